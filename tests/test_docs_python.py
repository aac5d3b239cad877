"""The Python of the docs' pages runs, beside the programs that the pages show."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "augmented.md": ("outbreak.nc", "the drop is seen: True"),
    "coming_from.md": ("lynx.nc", "the same as SARIMAX: True"),
    "continuous.md": ("buoy.nc", "the same by dt or by times: True True"),
    "discrete.md": ("recessions.png", "recession -0.359 expansion 1.164"),
    "engines.md": ("growth.nc", "draws are nearest: True"),
    "fitting.md": ("sv.nc", "True True"),
    "lifts.md": ("filtered.nc", "the lift is ahead of the EKF: True"),
    "particles.md": ("volatility.png", "less spread: True"),
    "non_gaussian.md": ("vans.png", "Laplace is within a tenth: True"),
    "nonlinear.md": ("smoothed.nc", "the rows sum to it: True"),
    "residuals.md": ("residuals.png", "1899"),
    "streams.md": ("now.nc", "1 14."),
    "weights.md": ("weights.png", "the sum is the estimate: True"),
}
"""Page -> a file that its code writes, and a text that it prints."""


@pytest.mark.parametrize("name", PAGES)
def test_python_of_a_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for program in re.findall(r"^```ssm\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (title,) = re.findall(r"^model (\w+)$", program, re.MULTILINE)
        (tmp_path / f"{title}.ssm").write_text(program, encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        runpy.run_path("page.py", run_name="__main__")
    written, printed = PAGES[name]
    out = capsys.readouterr().out
    assert (tmp_path / written).exists() and printed in out, out
