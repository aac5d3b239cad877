"""A count whose mean is zero is no event for certain, in every way of looking at it."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang

MODEL = """
param k ~ HalfNormal(5)
state x
obs y, z
init x = 0
x[t] = x[t-1]
y[t] ~ NegativeBinomial(mean = x[t], concentration = k)
z[t] ~ Poisson(x[t])
"""


@pytest.mark.parametrize("engine", ["ekf", "ukf", "particle"])
def test_nothing_is_seen_where_nothing_is_expected(engine: str) -> None:
    model = ssmlang.compile(MODEL)
    none = {"y": np.zeros(3), "z": np.zeros(3)}
    assert float(model.log_likelihood(none, {"k": 3.0}, engine=engine)) == pytest.approx(0.0, abs=1e-12)


def test_differential_equations_that_are_not_linear_are_no_linear_states() -> None:
    model = ssmlang.compile("""
const dt = 1
param r ~ HalfNormal(1)
state x
obs y
init x = 1
d(x) = r * x * (1 - x / 100) * dt
y[t] ~ Poisson(x[t])
""")
    assert model.why().chosen == "ukf"
