"""States without any noise: their likelihood is that of the observations along the one path there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nbinom

import ssmlang

TEXT = """
param rate ~ LogNormal(0, 1)
param k    ~ LogNormal(2, 1)
state x
obs y
let double = 2 * rate
init x = 3
x[t] = x[t-1] * rate * (1 - x[t-1] / 50)
y[t] ~ NegativeBinomial(mean = x[t], concentration = k)
"""
Y = np.array([2.0, 7.0, np.nan, 11.0])
PARAMS = {"rate": 1.7, "k": 4.0}


@pytest.mark.parametrize("engine", ["ukf", "ekf", "laplace", "particle"])
def test_the_likelihood_is_that_of_the_observations(engine: str) -> None:
    x, total = 3.0, 0.0
    for t, y in enumerate(Y):
        x = x * 1.7 * (1 - x / 50) if t else x
        total += 0.0 if np.isnan(y) else nbinom.logpmf(y, 4.0, 4.0 / (4.0 + x))
    found = ssmlang.compile(TEXT).log_likelihood({"y": Y}, PARAMS, engine=engine)
    assert abs(float(found) - total) < 1e-9
