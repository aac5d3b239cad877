"""Programs that say the same give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssmlang

SERIES = np.where(np.arange(25) % 9 == 4, np.nan, np.random.default_rng(5).normal(size=25))
ORDERED = """
param phi[3] ~ Normal(0, 0.3)
param s, r ~ HalfNormal(1)
state x
obs y
init x[0] ~ Normal(0, 1)
init x[-1] ~ Normal(0, 2)
init x[-2] ~ Normal(0, 3)
x[t] ~ Normal(phi[0] * x[t-1] + phi[1] * x[t-2] + phi[2] * x[t-3], s)
y[t] ~ Normal(x[t], r)
"""
COMPANION = """
param phi[3] ~ Normal(0, 0.3)
param s, r ~ HalfNormal(1)
let F = [[phi[0], phi[1], phi[2]], [1, 0, 0], [0, 1, 0]]
noise e ~ Normal(0, s)
state z[3]
obs y
init z ~ Normal(0, [1, 2, 3])
z[t] = F @ z[t-1] + [e[t], 0, 0]
y[t] ~ Normal(z[t, 0], r)
"""
PARTS = """
from structural import local_level, seasonal
param a, b, c ~ HalfNormal(1)
part trend = local_level(a)
part season = seasonal(period = 4, sd = b)
obs y
y[t] ~ Normal(trend[t] + season[t], c)
"""
BY_HAND = """
param a, b, c ~ HalfNormal(1)
y[t] ~ Normal(l[t] + g[t], c)
g[t] ~ Normal(-g[t-1] - g[t-2] - g[t-3], b)
l[t] ~ Normal(l[t-1], a)
init l, g ~ Diffuse()
obs y
state g, l
"""


def log_likelihood(model: ssmlang.Model, params: dict) -> float:
    return float(model.log_likelihood({"y": SERIES}, params))


@pytest.fixture(scope="module")
def models() -> dict[str, ssmlang.Model]:
    texts = {"ordered": ORDERED, "companion": COMPANION, "parts": PARTS, "by hand": BY_HAND}
    return {name: ssmlang.compile(text) for name, text in texts.items()}


small = st.floats(-0.9, 0.9, allow_subnormal=False)
scale = st.floats(0.05, 3.0)


@settings(max_examples=15, deadline=None)
@given(phi=st.tuples(small, small, small), s=scale, r=scale)
def test_lags_and_their_companion_form(models, phi, s, r) -> None:
    params = {"phi": list(phi), "s": s, "r": r}
    assert log_likelihood(models["ordered"], params) == pytest.approx(
        log_likelihood(models["companion"], params), rel=1e-10)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(a=scale, b=scale, c=scale)
def test_parts_and_their_equations_in_any_order(models, a, b, c) -> None:
    params = {"a": a, "b": b, "c": c}
    assert log_likelihood(models["parts"], params) == pytest.approx(
        log_likelihood(models["by hand"], params), rel=1e-9)  # fmt: skip


def test_a_written_out_program_is_the_same_model(models) -> None:
    flat = ssmlang.compile(models["parts"].portable_text)
    params = {"a": 0.3, "b": 0.5, "c": 1.0}
    assert log_likelihood(flat, params) == log_likelihood(models["parts"], params)
    assert set(flat.smooth({"y": SERIES}, params).data_vars) >= {"trend", "season"}


@pytest.mark.parametrize("covariance", [
    "MvNormal([0, 0], s^2 * [[1], [2]] @ [[1, 2]])", "MvNormal([0, 0], [[s], [2 * s]] @ [[s, 2 * s]])",
    "MvNormal([0, 0], [[s^2 * 2^(i + j) * exp(-0 * r) for j in 0..1] for i in 0..1])",
    "MvNormal([0, 0], scale_tril = [[s, 0], [2 * s, 0]])",
])
def test_a_covariance_of_rank_one_is_a_noise_that_is_shared(covariance) -> None:
    """However it is written."""
    text = ("param s, r ~ HalfNormal(1)\nstate x[2]\nobs y\nnoise w[2] ~ {}\ninit x ~ Normal([1, -1], 0.5)\n"
            "x[t] = [0.9 * x[t-1, 0] + w[t, 0], 0.4 * x[t-1, 1] + w[t, 1]]\ny[t] ~ Normal(x[t, 0] - x[t, 1], r)\n")
    alone = text.format("Normal(0, s)").replace("w[2]", "w").replace("w[t, 0]", "w[t]").replace("w[t, 1]", "2 * w[t]")
    params = {"s": 0.3, "r": 0.2}
    expected = log_likelihood(ssmlang.compile(alone), params)
    model = ssmlang.compile(text.format(covariance))
    for engine in ("kalman", "square_root"):
        found = float(model.log_likelihood({"y": SERIES}, params, engine=engine))
        assert found == pytest.approx(expected, abs=1e-9), engine
