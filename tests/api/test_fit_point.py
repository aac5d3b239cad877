"""Which parameters stand for a posterior of several humps."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang
from ssmlang.running.estimate import Estimate
from ssmlang.running.fit import Fit

MODEL = """param a ~ Normal(0, 2)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.9 * x[t-1], 0.5)
y[t] ~ Normal(a * x[t], 0.3)
"""


@pytest.fixture(scope="module")
def made():
    model = ssmlang.compile(MODEL)
    y = model.simulate(40, {"a": 1.5}, seed=2).y.values.ravel()
    return model, {"y": y}


def fit_of(model, data, draws: list[float]) -> Fit:
    density = lambda a: float(model.log_likelihood(data, {"a": a})) - a**2 / 8
    found = Estimate({"a": np.array([draws])}, {"lp": np.array([[density(a) for a in draws]])}, None)
    return Fit(model, model.execution("auto"), tuple(model.bind(data)), found, method="nuts")


def test_between_two_humps_it_is_the_best_draw(made):
    fit = fit_of(*made, [1.2, -1.5, 1.7, -1.4])
    assert fit.params["a"] == pytest.approx(0.0, abs=1e-12)
    best = fit.point["a"]
    assert best in (1.2, -1.5, 1.7, -1.4)
    model, data = made
    one = model.filter(data, {"a": best})
    np.testing.assert_array_equal(fit.filter().log_likelihood, one.log_likelihood)
    assert float(one.log_likelihood.sum()) > float(model.log_likelihood(data, fit.params)) + 10
    np.testing.assert_array_equal(fit.residuals().standardized, model.residuals(data, {"a": best}).standardized)


def test_where_there_is_one_hump_it_is_the_mean(made):
    fit = fit_of(*made, [1.2, 1.5, 1.7, 1.4])
    assert fit.point == fit.params
