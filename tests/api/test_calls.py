"""What is given beside data: whatever it is, an answer or a diagnostic; and calls that compile nothing anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError

TEXT = """
param s ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.5 * x[t-1], s)
y[t] ~ Normal(x[t], 1)
let size[t] = exp(s * x[t])
"""
DATA = {"y": [0.1, np.nan, 0.4, -0.2]}
Call = Callable[[ssmlang.Model], Any]


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(TEXT)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("E449", lambda m: m.log_likelihood(DATA, None)),
        ("E449", lambda m: m.filter(DATA, [1.0])),
        ("E449", lambda m: m.smooth(DATA, "s=1")),
        ("E449", lambda m: m.smooth(DATA, "[1]")),
        ("E449", lambda m: m.simulate(3, params=1.0)),
        ("E450", lambda m: m.forecast(DATA, {"s": 1.0}, steps="two")),
        ("E450", lambda m: m.forecast(DATA, {"s": 1.0}, steps=2.5)),
        ("E450", lambda m: m.forecast(DATA, {"s": 1.0}, steps=None)),
        ("E450", lambda m: m.forecast(DATA, {"s": 1.0}, steps=0)),
        ("E450", lambda m: m.simulate("three")),
        ("E450", lambda m: m.simulate(0)),
        ("E450", lambda m: m.simulate()),
        ("E450", lambda m: m.simulate(3, draws=0)),
        ("E450", lambda m: m.simulate(3, draws="many")),
        ("E451", lambda m: m.simulate(3, seed=None)),
        ("E451", lambda m: m.simulate(3, seed="x")),
        ("E451", lambda m: m.simulate(3, seed=2**70)),
        ("E451", lambda m: m.fit(DATA, seed=0.5)),
        ("E451", lambda m: m.fit(DATA, progress=7)),
        ("E451", lambda m: m.filter(DATA, {"s": 1.0}, keep="first")),
        ("E451", lambda m: m.smooth(DATA, {"s": 1.0}, keep=np.zeros(2))),
        ("E451", lambda m: ssmlang.compile(None)),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_an_argument_does_not_take(model: ssmlang.Model, code: str, call: Call) -> None:
    with pytest.raises(SsmError) as caught:
        call(model)
    assert {d.code for d in caught.value.diagnostics} == {code}


def test_what_is_simulated_goes_back_in_with_the_parameters_it_bears(model: ssmlang.Model) -> None:
    drawn = model.simulate(6, seed=3)
    found = float(model.log_likelihood(drawn, drawn.attrs["params"]))
    assert np.isfinite(found)
    assert float(model.filter(drawn, drawn.attrs["params"])["log_likelihood"].sum()) == pytest.approx(found, rel=1e-12)


def test_nothing_is_compiled_for_other_parameters(model: ssmlang.Model) -> None:
    compiled: list[str] = []
    counting = False

    def listen(event: str, duration: float, **_: Any) -> None:
        if counting and event.endswith("backend_compile_duration"):
            compiled.append(event)

    def everything(s: float) -> list[np.ndarray]:
        smoothed = model.smooth(DATA, {"s": s})
        return [smoothed["size"].values, smoothed["size_sd"].values, model.simulate(5, seed=int(10 * s))["x"].values]

    jax.monitoring.register_event_duration_secs_listener(listen)
    first = everything(0.5)
    counting = True
    second = everything(0.9)
    counting = False
    assert not compiled
    assert all((a != b).all() for a, b in zip(first, second))
    # log-normal: exp(s x) of a Gaussian x, by hand
    law = model.smooth(DATA, {"s": 0.9})
    mean, var = 0.9 * law["mean"].values[:, 0], 0.81 * law["cov"].values[:, 0, 0]
    np.testing.assert_allclose(second[0], np.exp(mean + var / 2), rtol=1e-10)
    np.testing.assert_allclose(second[1], np.exp(mean + var / 2) * np.sqrt(np.expm1(var)), rtol=1e-10)
