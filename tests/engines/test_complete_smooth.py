"""The smoother's way through complete data, means alone where covariances have settled, has the plain one's numbers."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.engines import DiffuseHead, Kalman, _complete_smooth
from ssmlang.inference import quick
from tests.engines.programs import Kind, jit, random_data, random_program
from tests.engines.test_routes import SETTLED, STEPS, agree

PLAIN = Kalman(diffuse=DiffuseHead(4, True), complete=True)
OFTEN = replace(PLAIN, often=True)


def both(program, y, memory=False):
    for engine in (OFTEN, PLAIN):
        found = jit(lambda program, y, engine=engine: engine.smooth(program, y, memory=memory))(program, y)
        yield [np.asarray(a) for a in found if a is not None]


@pytest.mark.parametrize("kind", SETTLED.values(), ids=SETTLED)
def test_complete_data(kind):
    """Offsets that change, no whole number of looks, and rows after the last observation."""
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    program = replace(program, d=np.random.default_rng(kind.seed).normal(size=(STEPS, kind.m)))
    y[-21:] = np.nan
    found, plain = both(program, y, True)
    agree(found, plain)
    cov = found[1][200:-200]
    assert (cov == cov[0]).all()


@pytest.mark.parametrize("left", [0, 3, 40, STEPS])
def test_few_observations(left):
    kind = Kind(n=2, m=1, noise="own", seed=71)
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    y[left:] = np.nan
    agree(*both(program, y))


def test_what_does_not_settle_and_a_gap_that_was_denied():
    kind = Kind(n=1, m=1, noise="own", seed=56)
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    still = replace(program, F=np.ones_like(program.F), G=np.zeros_like(program.G))
    agree(*both(still, y))
    y[200] = np.nan
    agree(*both(program, y))


def test_an_observation_without_noise():
    """The scale of an observation's noise may be zero where its structure has one: a random walk seen as it is."""
    kind = Kind(n=1, m=1, noise="own", seed=72)
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    agree(*both(replace(program, J=np.zeros_like(program.J)), y))


def test_batches():
    kind = Kind(n=1, m=1, noise="own", seed=73)
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    one = lambda scale: OFTEN.smooth(replace(program, G=program.G * scale), y).mean
    scales = jnp.asarray([0.5, 1.0])
    agree(jit(jax.vmap(one))(scales), jnp.stack([jit(one)(s) for s in scales]))


def test_the_verb_takes_this_way_once_it_has_run_for_long(monkeypatch):
    model = ssmlang.compile("""
        param s ~ HalfNormal(1)
        state x
        obs y
        init x ~ Normal(0, 1)
        x[t] ~ Normal(0.8 * x[t-1], s)
        y[t] ~ Normal(x[t], 1)
    """)
    ways = []
    own = _complete_smooth._smoothed
    monkeypatch.setattr(_complete_smooth, "_smoothed", lambda *args: ways.append("quick") or own(*args))
    data, params = {"y": np.random.default_rng(0).normal(size=STEPS)}, {"s": 0.5}
    first = model.smooth(data, params)
    assert not ways  # which takes longer to compile
    monkeypatch.setattr(quick, "_WORTH_COMPILING", 0.0)
    spent = model.execution()._compiled.values()
    for program in spent:
        for of_shapes in program._spent.values():
            of_shapes.running = 1e9
    for _ in range(2):
        later = model.smooth(data, params)
        assert ways == ["quick"]
        for name in first.data_vars:
            np.testing.assert_allclose(later[name], first[name], rtol=1e-10, atol=1e-12)
