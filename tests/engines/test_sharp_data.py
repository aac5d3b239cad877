"""Particles where observations are sharp compared to the law of the states: row 0 is sent there, or a warning given."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang import SsmWarning
from ssmlang.engines import Particle
from ssmlang.lowering.nonlinear import NonlinearLowering
from tests.engines.programs import jit

RADAR = """
const dt = 0.5
param q ~ HalfNormal(1)
param sr ~ HalfNormal(1)
param sb ~ HalfNormal(0.1)
state p[2], v[2]
obs range, bearing
init p ~ Normal([100, 50], 10)
init v ~ Normal([5, -3], 2)
p[t] = p[t-1] + dt * v[t-1]
v[t] ~ Normal(v[t-1], q)
range[t] ~ Normal(sqrt(p[t, 0]^2 + p[t, 1]^2), sr)
bearing[t] ~ Normal(atan2(p[t, 1], p[t, 0]), sb)
"""
SHARP = {"q": 0.3, "sr": 0.2, "sb": 0.002}


def test_a_radar_is_found_from_its_first_row_on() -> None:
    model = ssmlang.compile(RADAR)
    data = model.simulate(12, SHARP, seed=1)[["range", "bearing"]]
    found = float(model.log_likelihood(data, SHARP, engine=Particle(particles=4000)))
    assert abs(found - float(model.log_likelihood(data, SHARP, engine="ekf"))) < 6
    with pytest.warns(SsmWarning, match=r"W724.*at row 0"):
        blind = model.log_likelihood(data, SHARP, engine=Particle(proposal="bootstrap"))
    assert float(blind) < found - 50


def test_a_first_row_with_two_modes_is_unbiased() -> None:
    """p(y) of y = x^2 / 20 + noise, of which a mode tells half: the mean over seeds is the integral."""
    source = """
state x
obs y
init x ~ Normal(1, 3)
x[t] ~ Normal(x[t-1], 1)
y[t] ~ Normal(x[t]^2 / 20, 0.003)
"""
    lowering = NonlinearLowering(ssmlang.compile(source).spec, {})
    program, y = lowering.program({}, {"y": jnp.array([0.6])}, {}, 1)
    keys = jax.random.split(jax.random.key(0), 400)
    each = jit(lambda: jax.vmap(lambda k: Particle(particles=200).log_likelihood(program, y, k))(keys))()
    x = np.linspace(-30, 30, 2_000_001)
    density = np.exp(-0.5 * ((x - 1) / 3) ** 2 - 0.5 * ((0.6 - x**2 / 20) / 0.003) ** 2) / (2 * np.pi * 3 * 0.003)
    ratio = np.exp(np.asarray(each)) / (density.sum() * (x[1] - x[0]))
    assert abs(ratio.mean() - 1) < 0.03  # by the first law alone it spreads by 1.2
    assert ratio.std() < 0.2


def test_rows_one_at_a_time_begin_as_the_filter_does() -> None:
    model = ssmlang.compile(RADAR)
    data = model.simulate(3, SHARP, seed=1)[["range", "bearing"]]
    engine = Particle(particles=2000)
    whole = model.filter(data, SHARP, engine=engine)
    state = model.initial_state(SHARP, engine=engine)
    for t in range(3):
        state = model.step(state, {n: float(data[n][t]) for n in ("range", "bearing")})
    np.testing.assert_allclose(state.log_likelihood, float(whole["log_likelihood"].sum()), rtol=1e-9)
