"""The verbs and the command line with device="gpu": work goes there, results come back as the CPU gives them."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.cli import main
from ssmlang.running import execution

pytestmark = pytest.mark.skipif(not any(d.platform == "gpu" for d in jax.devices()), reason="there is no GPU")
PARAMS = {"sd_level": 38.0, "sd_flow": 120.0}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Platforms on which the results of compiled functions lie."""
    seen: set[str] = set()
    plain = execution.Execution.compiled

    def compiled(self: execution.Execution, *args: object) -> object:
        function = plain(self, *args)

        def watched(*arguments: object) -> object:
            found = function(*arguments)
            seen.update(d.platform for leaf in jax.tree.leaves(found) for d in leaf.devices())
            return found

        return watched

    monkeypatch.setattr(execution.Execution, "compiled", compiled)
    return seen


@pytest.mark.parametrize("engine", ["auto", "parallel"])
def test_every_verb(nile: str, used: set[str], engine: str) -> None:
    model = ssmlang.compile(nile)
    data = {"flow": np.array([1120.0, 1160, np.nan, 1210, 1160, 1160, 813, 1230, 1370, 1140] * 3)}
    for platform in ("gpu", "cpu"):
        used.clear()
        found = [
            model.log_likelihood(data, PARAMS, engine=engine, device=platform),
            model.filter(data, PARAMS, engine=engine, device=platform),
            model.smooth(data, PARAMS, engine=engine, device=platform),
            model.forecast(data, PARAMS, steps=3, engine=engine, device=platform),
        ]
        assert used == {platform}
        if platform == "gpu":
            on_gpu = found
    np.testing.assert_allclose(float(on_gpu[0]), float(found[0]), rtol=1e-10)
    for one, other in zip(on_gpu[1:], found[1:], strict=True):
        assert one.attrs["engine"] == other.attrs["engine"] == ("kalman" if engine == "auto" else engine)
        for name, values in one.data_vars.items():
            assert isinstance(values.values, np.ndarray)
            np.testing.assert_allclose(values.values, other[name].values, rtol=1e-8, atol=1e-8)


def test_auto_takes_parallel_for_a_long_series(nile: str) -> None:
    model = ssmlang.compile(nile)
    y = 1000 + 100 * np.random.default_rng(0).standard_normal(30_000)
    found = model.filter({"flow": y}, PARAMS, device="gpu", keep="last")
    assert found.attrs["engine"] == "parallel"
    plain = model.filter({"flow": y}, PARAMS, device="cpu", keep="last")
    assert plain.attrs["engine"] == "kalman"
    np.testing.assert_allclose(found["mean"], plain["mean"], rtol=1e-9)
    np.testing.assert_allclose(found["cov"], plain["cov"], rtol=1e-9)


def test_a_fit(nile: str) -> None:
    model = ssmlang.compile(nile)
    y = 1000 + 100 * np.random.default_rng(0).standard_normal(40)
    fits = [model.fit({"flow": y}, method="mle", device=device, progress=False) for device in ("gpu", "cpu")]
    np.testing.assert_allclose(*[list(f.params.values()) for f in fits], rtol=1e-4)
    assert fits[0].smooth()["mean"].dims == ("time", "state")


def test_the_command_line(nile: str, tmp_path: Path) -> None:
    data = tmp_path / "flow.csv"
    data.write_text("flow\n" + "\n".join(str(900 + 7 * (i % 9)) for i in range(30)) + "\n")
    params = tmp_path / "p.json"
    params.write_text(json.dumps(PARAMS))
    for device in ("gpu", "cpu"):
        words = ["filter", nile, "--data", str(data), "--params", str(params), "--device", device]
        assert main([*words, "--out", str(tmp_path / f"{device}.csv")]) == 0
    import pandas as pd

    ours, theirs = (pd.read_csv(tmp_path / f"{device}.csv") for device in ("gpu", "cpu"))
    assert list(ours.columns) == list(theirs.columns)
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-8)
