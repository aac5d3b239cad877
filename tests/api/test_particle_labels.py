"""Probabilities of labels, and most probable paths, by engines that draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ssmlang
from ssmlang.engines import Particle, RaoBlackwell

CHAIN = """
axis regime = {low, high, odd}
param sd ~ HalfNormal(1)
let P = [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]
let mid[regime] = [-1, 1, 0]
state s in regime
obs y
init s ~ Categorical([0.2, 0.3, 0.5])
s[t] ~ Categorical(P[s[t-1]])
y[t] ~ Normal(mid[s[t]], sd)
"""
LEVELS = """
axis regime = {calm, wild}
param sd ~ HalfNormal(1)
let P = [[0.9, 0.1], [0.3, 0.7]]
let step[regime] = [0.1, 2]
state s in regime
state x
obs y
init s ~ Categorical([0.5, 0.5])
init x ~ Normal(0, 1)
s[t] ~ Categorical(P[s[t-1]])
x[t] ~ Normal(x[t-1], step[s[t]])
y[t] ~ Normal(x[t], sd)
"""
PARAMS = {"sd": 0.8}


def _data(model: ssmlang.Model, steps: int) -> dict[str, np.ndarray]:
    y = model.simulate(steps, PARAMS, seed=4)["y"].values.copy()
    y[3] = np.nan
    return {"y": y}


@pytest.fixture(scope="module")
def chain() -> Any:
    model = ssmlang.compile(CHAIN)
    return model, _data(model, 24)


def _alike(one: Any, two: Any, name: str, tolerance: float) -> None:
    assert one[name].dims == two[name].dims
    for dim in one[name].dims:
        assert list(one[name][dim].values) == list(two[name][dim].values)
    np.testing.assert_allclose(one[name].values, two[name].values, atol=tolerance)


def test_filtered_and_forecast_probabilities_are_those_of_discrete(chain: Any) -> None:
    model, data = chain
    exact, drawn = (model.filter(data, PARAMS, engine=e) for e in ("discrete", Particle(4000)))
    _alike(drawn, exact, "s_probability", 0.05)
    _alike(drawn, exact, "s_predicted_probability", 0.05)
    exact, drawn = (model.forecast(data, PARAMS, 3, engine=e) for e in ("discrete", Particle(4000)))
    _alike(drawn, exact, "s_probability", 0.05)
    assert "s_predicted_probability" not in drawn


def test_smoothed_probabilities_and_the_most_probable_path_are_those_of_discrete(chain: Any) -> None:
    model, data = chain
    exact, drawn = (model.smooth(data, PARAMS, engine=e) for e in ("discrete", Particle(2000)))
    _alike(drawn, exact, "s_probability", 0.06)
    assert drawn["s_path"].dims == exact["s_path"].dims
    assert list(drawn["s_path"].values) == list(exact["s_path"].values)


def test_switching_levels_by_enumeration() -> None:
    """All 2^6 paths of the regimes, each with its own Gaussian likelihood."""
    model = ssmlang.compile(LEVELS)
    data = {"y": np.array([0.3, 0.2, 3.5, np.nan, 3.0, 3.1])}
    truth = _enumerated(data["y"])
    for engine in (RaoBlackwell(3000), Particle(10_000)):
        smoothed = model.smooth(data, PARAMS, engine=engine)
        np.testing.assert_allclose(smoothed["s_probability"].sel(regime="wild"), truth, atol=0.06)
        assert "s_path" not in smoothed
        filtered = model.filter(data, PARAMS, engine=engine)
        assert float(filtered["s_probability"].sel(regime="wild")[-1]) == pytest.approx(truth[-1], abs=0.05)
        assert filtered["s_predicted_probability"].dims == ("time", "regime")


def _enumerated(y: np.ndarray) -> np.ndarray:
    """P(wild at t | all data)."""
    T, seen = len(y), ~np.isnan(y)
    P, step = np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([0.1, 2.0])
    total, wild = 0.0, np.zeros(T)
    for code in range(2**T):
        s = np.array([(code >> t) & 1 for t in range(T)])
        var = np.cumsum(np.concatenate([[1.0], step[s[1:]] ** 2]))
        cov = np.minimum.outer(var, var)[np.ix_(seen, seen)] + PARAMS["sd"] ** 2 * np.eye(seen.sum())
        quad = y[seen] @ np.linalg.solve(cov, y[seen])
        p = 0.5 * np.prod(P[s[:-1], s[1:]]) * np.exp(-0.5 * quad) / np.sqrt(np.linalg.det(2 * np.pi * cov))
        total, wild = total + p, wild + p * s
    return np.asarray(wild / total)
