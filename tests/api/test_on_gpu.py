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
        assert (one.attrs["engine"], other.attrs["engine"]) == ("parallel", "kalman" if engine == "auto" else engine)
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


BENT = """
state x[2]
obs y
init x ~ Normal([1, 0], 0.5)
x[t] ~ Normal([0.9 * x[t-1, 1], sin(x[t-1, 0])], [0.1, 0.2])
y[t] ~ Poisson(exp(x[t, 0]))
"""
GENERAL = ("ekf", "iekf", "ukf", "cubature", "gauss_hermite", "ipls", "laplace", "importance", "particle")


@pytest.mark.parametrize("engine", GENERAL)
def test_engines_of_nonlinear_programs(engine: str) -> None:
    model = ssmlang.compile(BENT)
    data = {"y": np.random.default_rng(0).poisson(1.5, 30).astype(float)}
    found = {
        device: (
            float(model.log_likelihood(data, {}, engine=engine, device=device)),
            model.smooth(data, {}, engine=engine, device=device)["mean"].values,
            model.forecast(data, {}, steps=2, engine=engine, device=device)["observed_mean"].values,
        )
        for device in ("gpu", "cpu")
    }
    tolerance = 0.1 if engine == "particle" else 1e-8  # sums in another order draw other parents
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_regimes() -> None:
    model = ssmlang.compile(Path(ssmlang.__file__).parents[1] / "stdlib" / "models" / "switching.ssm")
    drawn = model.simulate(200, model.typical, seed=1, device="cpu")
    data = {name: drawn[name].values for name in model.spec.observations}
    for engine in ("discrete", "imm"):
        found = [float(model.log_likelihood(data, model.typical, engine=engine, device=d)) for d in ("gpu", "cpu")]
        np.testing.assert_allclose(*found, rtol=1e-9)


def test_members_of_a_panel_go_side_by_side(used: set[str]) -> None:
    """A likelihood of many series takes no longer than one of a few, and is what the CPU gives."""
    import time

    model = ssmlang.compile(Path(ssmlang.__file__).parents[1] / "benchmarks" / "models" / "panel.ssm",
                            constants={"n": 2, "sites": 400})  # fmt: skip
    rng = np.random.default_rng(0)
    params = {"F": np.broadcast_to(0.5 * np.eye(2), (400, 2, 2)), "H": rng.standard_normal((400, 2)),
              "Q": np.broadcast_to(np.eye(2), (400, 2, 2)), "sd": rng.uniform(0.5, 1.0, 400)}  # fmt: skip
    data = {"y": rng.standard_normal((60, 400))}
    call = lambda device: float(model.log_likelihood(data, params, device=device))
    np.testing.assert_allclose(call("gpu"), call("cpu"), rtol=1e-10)
    begun = time.perf_counter()
    call("gpu")
    assert time.perf_counter() - begun < 0.2, "one after the other they take longer than that"
    used.clear()
    call(None)
    assert used == {"cpu"}, "60 rows of 400 small series are quicker there"


def test_a_short_fit_goes_to_the_cpu(nile: str) -> None:
    """Where nothing is said: draws by NUTS take the time that they take without a GPU."""
    model = ssmlang.compile(nile)
    y = 1000 + 100 * np.random.default_rng(0).standard_normal(60)
    fits = [model.fit({"flow": y}, draws=50, warmup=100, chains=2, device=d, progress="off") for d in (None, "cpu")]
    np.testing.assert_array_equal(*[f.posterior["sd_level"].values for f in fits])
