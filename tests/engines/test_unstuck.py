"""Augmented parameters that nothing moves from their prior means: the weights of a network start from a draw."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang

ELMAN = """
const n = 2
param W[n, n] ~ Normal(0, 0.5)
param U[n] ~ Normal(0, 1)
param V[n] ~ Normal(0, 1)
param sd_hidden ~ HalfNormal(0.1)
param sd_obs ~ HalfNormal(0.5)
input u
state h[n]
obs y
init h ~ Normal(0, 1)
h[t] ~ Normal(tanh(W @ h[t-1] + U * u[t]), sd_hidden)
y[t] ~ Normal(dot(V, h[t]), sd_obs)
"""
WEIGHTS = {"W": np.array([[0.5, -0.4], [0.3, 0.2]]), "U": np.array([1.0, -0.7]), "V": np.array([1.2, 0.8])}
NOISES = {"sd_hidden": 0.05, "sd_obs": 0.1}


@pytest.mark.parametrize("engine", ["ekf", "ukf"])
def test_a_network_is_learnt_by_filtering_states_and_weights_together(engine: str) -> None:
    rng = np.random.default_rng(0)
    u = rng.normal(size=120)
    y = np.asarray(ssmlang.compile(ELMAN).simulate(120, WEIGHTS | NOISES, future={"u": u}, seed=1)["y"])
    model = ssmlang.compile(ELMAN, augment=dict.fromkeys(WEIGHTS, 0.001))
    found = model.filter({"u": u, "y": y}, NOISES, engine=engine)
    off = (y - found["observed_mean"].values.reshape(-1))[60:]
    assert np.sqrt(np.mean(off**2)) < 0.4 * y[60:].std()
    assert np.abs(found["V"].values[-1]).min() > 0.1


@pytest.mark.parametrize(("moved", "seen"), [("a * x[t-1]", "x[t]"), ("a * x[t-1]", "x[t]^2"), ("x[t-1]", "a * x[t]")])
def test_a_chance_zero_of_a_state_draws_nothing(moved: str, seen: str) -> None:
    """The state's mean is zero, but data move it, and then tell of the coefficient."""
    model = ssmlang.compile(f"""
augment param a ~ Normal(0.7, 0.2)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal({moved}, 0.5)
y[t] ~ Normal({seen}, 0.3)
""")
    found = model.filter({"y": np.array([np.nan, 0.3])}, {}, engine="ekf")
    assert abs(float(found["a"][0]) - 0.7) < 1e-12
