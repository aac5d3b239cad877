"""Programs of the language by every verb through particles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ssmlang
from ssmlang.engines import Particle
from tests.engines.swarms import SWITCHING, VOLATILITY

LORENZ = """
const dt = 0.02
augment param rho ~ Normal(25, 5) walk 0.01
param sd_obs ~ HalfNormal(2)
def lorenz(v) = [10 * (v[1] - v[0]), v[0] * (rho - v[2]) - v[1], v[0] * v[1] - 8/3 * v[2]]
state x[3]
obs y[2]
init x ~ Normal([0, 1, 20], 5)
x[t] ~ Normal(rk4(lorenz, x[t-1], dt), 0.1)
y[t] ~ Normal([x[t, 0], x[t, 2]], sd_obs)
"""
SIR = """
const population = 763
augment param beta ~ LogNormal(0.5, 0.5) walk 0.05
param recovery ~ LogNormal(-0.7, 0.3)
param k ~ HalfNormal(10)
state s, i
obs in_bed
let infections[t] = beta * exp(s[t-1]) * exp(i[t-1]) / population
init s ~ Normal(log(population), 0.01)
init i ~ Normal(0, 0.5)
s[t] ~ Normal(log(max(exp(s[t-1]) - infections[t], 1)), 0.01)
i[t] ~ Normal(log(max(exp(i[t-1]) * (1 - recovery) + infections[t], 1)), 0.05)
in_bed[t] ~ NegativeBinomial(mean = exp(i[t]), concentration = k)
"""
BIRDS = """
axis bird = 1..2
axis fate = {alive, dead}
param survival in (0, 1) ~ Beta(1, 1)
let P[fate, fate] = [[survival, 1 - survival], [0, 1]]
state z[bird] in fate
obs seen[bird]
init z ~ Categorical([1, 0])
z[t, i] ~ Categorical(P[z[t-1, i]]) for i in bird
seen[t, i] ~ Bernoulli(if z[t, i] == alive then 0.6 else 0) for i in bird
"""
BEDS = np.array([3.0, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4])


def simulated(text: str, params: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    return {name: np.asarray(ssmlang.compile(text).simulate(12, params, seed=5)[name])}


CASES = {
    "volatility": (VOLATILITY, {}, {"r": np.array([0.1, -1.5, np.nan, 0.02, -0.9])}),
    "lorenz": (LORENZ, {"sd_obs": 1.0}, None),
    "sir": (SIR, {"recovery": 0.5, "k": 10.0}, {"in_bed": BEDS}),
    "switching": (SWITCHING, {}, {"y": np.array([1.2, 0.7, -0.4, -1.6, np.nan, -0.9])}),
    "birds": (BIRDS, {"survival": 0.8}, {"seen": np.array([[1.0, 0], [1, 1], [0, 1], [0, 0], [0, 1]])}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_verb(name: str) -> None:
    text, params, data = CASES[name]
    data = data or simulated(text, params, "y")
    model, engine = ssmlang.compile(text), Particle(200, trajectories=50)
    steps = len(next(iter(data.values())))
    filtered = model.filter(data, params, engine)
    np.testing.assert_allclose(
        float(model.log_likelihood(data, params, engine)), filtered.log_likelihood.sum(), rtol=1e-9
    )
    smoothed, ahead = model.smooth(data, params, engine), model.forecast(data, params, 3, engine)
    assert smoothed.paths.sizes["path"] == 50 and ahead.sizes["time"] == 3 and filtered.sizes["time"] == steps
    for found in (filtered, smoothed, ahead):
        for field in ("mean", "cov", "observed_mean", "observed_cov"):
            assert np.isfinite(found[field]).all(), field
        assert (np.diagonal(found["cov"], axis1=1, axis2=2) >= -1e-12).all()
    assert (filtered["ess"] > 1).all() and "ess" not in ahead


def test_an_outbreak_is_followed() -> None:
    model, engine = ssmlang.compile(SIR), Particle(1000)
    found = model.smooth({"in_bed": BEDS}, {"recovery": 0.5, "k": 10.0}, engine)
    followed = np.corrcoef(np.log(BEDS), found["mean"].sel(state="i"))[0, 1]
    assert followed > 0.97
    assert (found["beta"] > 0.8).all() and (found["beta"] < 4).all()
    # Definitions are means over paths, not functions of means; they are NaN where they have no row before.
    assert np.isfinite(found["infections"][1:]).all() and (found["infections_sd"][1:] > 0).all()


@pytest.mark.parametrize("single", [True, False])
def test_precision_is_that_asked_for(single: bool) -> None:
    model, dtype = ssmlang.compile(VOLATILITY), "float32" if single else "float64"
    found = model.log_likelihood({"r": [0.1, -1.5]}, {}, Particle(100), dtype=dtype)
    assert found.dtype == dtype and np.isfinite(found)
