"""Every program in the docs is checked, every link leads somewhere, and the page of codes is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssmlang.analysis.engines import REQUIRES
from ssmlang.cli import main
from ssmlang.cli.programs import read_program
from ssmlang.language.codes import REGISTRY
from ssmlang.language.render import render_text

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```ssm(?P<flags>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

# errors.md is made from the registry, whose examples have tests of their own.
PROGRAMS = [
    pytest.param(match["text"], match["flags"].strip(), id=f"{page.name}:{number}")
    for page in PAGES
    if page.name != "errors.md"
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
]


@pytest.mark.parametrize(("text", "flags"), PROGRAMS)
def test_programs_are_as_they_are_said_to_be(text: str, flags: str, tmp_path: Path) -> None:
    file = tmp_path / "block.ssm"
    file.write_text(text, encoding="utf-8")
    checked = read_program(str(file), {})
    errors = [d for d in checked.findings if d.severity == "error"]
    if flags.startswith("wrong="):
        assert {d.code for d in errors} == {flags.removeprefix("wrong=")}, render_text(checked.findings)
    else:
        assert not flags and not errors and checked.model is not None, render_text(checked.findings)


def test_the_reference_has_programs_right_and_wrong() -> None:
    flags = [p.values[1] for p in PROGRAMS]
    assert flags.count("") > 15
    assert any(str(f).startswith("wrong=") for f in flags)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that Markdown renderers make of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def test_the_page_of_codes_is_current() -> None:
    from docs.make_errors import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"
    assert all(f"### {code}\n" in page() for code in REGISTRY)


def test_the_page_of_the_python_interface_is_current() -> None:
    from docs.make_python import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_reference_names_every_distribution_and_every_function() -> None:
    from ssmlang.model.distributions import DISTRIBUTIONS
    from ssmlang.model.elaborate.functions import FUNCTIONS

    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    assert [name for name in DISTRIBUTIONS if f"`{name}(" not in text] == []
    words = set(re.findall(r"\w+", text[text.index("## 15") : text.index("## 16")]))
    assert set(FUNCTIONS) - words == set()


def test_the_checks_that_readme_shows_are_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for block in BLOCK.finditer(text):
        (name,) = re.findall(r"^model (\w+)$", block["text"], re.MULTILINE)
        Path(f"{name}.ssm").write_text(block["text"], encoding="utf-8")
    shown = re.findall(r"^```console\n\$ ssmlang (check [^\n]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown
    for command, output in shown:
        main(command.split())
        assert capsys.readouterr().out == output


def test_the_python_that_readme_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert "model.fit(data) " in code
    code = code.replace("model.fit(data) ", "model.fit(data, draws=40, warmup=40, chains=2) ")
    code = code.replace('"stdlib/', f'"{ROOT}/stdlib/')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sd_level" in done.stdout and (tmp_path / "nile.png").exists()


def test_the_page_of_engines_has_every_engine() -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE))))
    assert named == set(REQUIRES)
