"""Every engine through the verbs of a model: one answer, whichever is asked, and the one `auto` takes is named."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.analysis.engines import REQUIRES
from ssmlang.language.diagnostics import SsmError

TEXT = """
param phi in (-1, 1) ~ Uniform(-1, 1)
param s ~ HalfNormal(1)
state x
obs y
let double[t] = 2 * x[t] + 1
init x ~ Normal(0, 2)
x[t] ~ Normal(phi * x[t-1], s)
y[t] ~ Normal(x[t], 0.5)
"""
PAST = TEXT.replace("phi * x[t-1]", "sum(phi^k * x[t-k] for k in 1..t)")
PARAMS = {"phi": 0.6, "s": 0.8}
SERIES = [{"y": [0.3, np.nan, -0.2, 1.1, 0.4]}, {"y": [1.0, 0.2, 0.1, np.nan]}]
ENGINES = [name for name, needs in REQUIRES.items() if needs.linear and name != "kalman"]


def answers(text: str, engine: str) -> dict[str, np.ndarray]:
    """What the verbs give for two series, as arrays by name."""
    model = ssmlang.compile(text)
    found: dict[str, np.ndarray] = {}
    for verb in ("filter", "smooth"):
        for i, one in enumerate(getattr(model, verb)(SERIES, PARAMS, engine=engine)):
            assert one.attrs["engine"] == engine
            found |= {f"{verb} {i} {name}": v.values for name, v in one.data_vars.items()}
    ahead = model.forecast(SERIES[0], PARAMS, 2, engine=engine)
    found |= {f"forecast {name}": v.values for name, v in ahead.data_vars.items()}
    last = model.filter(SERIES[0], PARAMS, engine=engine, keep="last")
    assert last.sizes["time"] == 1
    found |= {f"last {name}": v.values for name, v in last.data_vars.items()}

    def value(phi: jax.Array) -> jax.Array:
        return model.log_likelihood(SERIES, {"phi": phi, "s": 0.8}, engine=engine)

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(value))(0.6)
    found["value"], found["slope"] = (np.asarray(v) for v in both)
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return answers(TEXT, "kalman")


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_same_through_every_verb(engine: str, expected: dict[str, np.ndarray]) -> None:
    same(answers(TEXT, engine), expected)


@pytest.fixture(scope="module")
def whole_past() -> dict[str, np.ndarray]:
    return answers(PAST, "kalman")


@pytest.mark.parametrize("engine", ["wiener_hopf", "dual"])
def test_so_they_do_for_a_whole_past(engine: str, whole_past: dict[str, np.ndarray]) -> None:
    same(answers(PAST, engine), whole_past)


def test_single_precision_is_the_factors_business() -> None:
    model = ssmlang.compile(TEXT)
    assert model.filter(SERIES[0], PARAMS, dtype="float32").attrs["engine"] == "square_root"
    assert model.filter(SERIES[0], PARAMS).attrs["engine"] == "kalman"


def test_a_fit_runs_on_the_engine_asked_for_and_remembers_it(tmp_path: Path) -> None:
    model = ssmlang.compile(PAST)
    data = {"y": model.simulate(30, PARAMS, seed=3)["y"].values}
    fit = model.fit(data, "mle", engine="wiener_hopf", progress=False)
    again = model.fit(data, "mle", progress=False)
    assert fit.engine == "wiener_hopf" and again.engine == "kalman"
    for name, value in again.params.items():
        assert fit.params[name] == pytest.approx(float(value), abs=1e-4)
    fit.save(tmp_path / "fit.nc")
    back = ssmlang.load(tmp_path / "fit.nc")
    assert back.engine == "wiener_hopf"
    np.testing.assert_allclose(back.forecast(2)["mean"].values, fit.forecast(2)["mean"].values, rtol=1e-10)


def test_options_come_with_an_object() -> None:
    model = ssmlang.compile(TEXT)
    exact, rough = (
        float(model.log_likelihood(SERIES, PARAMS, engine=ssmlang.engines.Dual(tolerance=t, preconditioner_order=0)))
        for t in (1e-12, 0.5)
    )
    assert exact == pytest.approx(float(model.log_likelihood(SERIES, PARAMS)), abs=1e-9)
    assert rough != exact


def test_a_long_past_goes_to_an_engine_that_can_take_it() -> None:
    model = ssmlang.compile(PAST)
    data = {"y": np.sin(np.arange(208.0))}
    with pytest.raises(SsmError, match='use engine="wiener_hopf"'):
        model.log_likelihood(data, PARAMS, engine="kalman")
    stable = {**PARAMS, "phi": 0.4}  # the weights of the past sum to less than one
    assert model.filter(data, stable).attrs["engine"] == "wiener_hopf"


def test_a_missing_value_that_is_read_back_can_be_too_much_for_an_engine() -> None:
    text = TEXT.replace("phi * x[t-1]", "phi * x[t-1] + 0.1 * y[t-1]")
    model = ssmlang.compile(text)
    model.execution("banded").setting(model.bind({"y": [0.1, 0.2, 0.3]}))
    with pytest.raises(SsmError, match="engine 'banded' needs noise of full rank") as caught:
        model.log_likelihood(SERIES, PARAMS, engine="banded")
    assert [d.code for d in caught.value.diagnostics] == ["E306"]


@pytest.mark.skipif(any(d.platform == "gpu" for d in jax.devices()), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_so() -> None:
    model = ssmlang.compile(TEXT)
    with pytest.raises(SsmError) as caught:
        model.filter(SERIES[0], PARAMS, device="gpu")
    (found,) = caught.value.diagnostics
    assert found.code == "E711" and found.why == ("JAX found: cpu (cpu)",)
