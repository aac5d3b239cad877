"""Iterated smoothers that go through all rows at once: the sequential ones' numbers, in logarithmic depth."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import ssmlang
from ssmlang.engines import IEKF, IPLS
from ssmlang.engines.nonlinear import Facts, Law, Nonlinear
from ssmlang.lowering.nonlinear import NonlinearLowering
from tests.engines.nonlinear_programs import as_nonlinear, gaussian
from tests.engines.programs import Kind, jit, random_data, random_program
from tests.engines.test_cuda_lowering import FORBIDDEN, calls

STEPS = 150


def pendulum() -> Nonlinear:
    """A noise of rank one moves two entries; two correlated observations bend."""
    facts = Facts(n=2, N=2, first_noises=2, noises=1, m=2, k=2, definitions=1, additive=True)
    blur = jnp.asarray([[0.1, 0.05], [0.05, 0.2]])
    return gaussian(
        facts,
        lambda e: jnp.array([1.0, 0.0]) + 0.5 * e,
        lambda t, s, e: jnp.stack([s[0] + 0.1 * s[1], s[1] - 0.1 * jnp.sin(s[0]) + 0.1 * e[0]]),
        lambda t, s: Law(jnp.stack([jnp.sin(s[0]), s[0] * s[1]]), blur),
    )


def gaps(steps: int) -> np.ndarray:
    y = np.random.default_rng(0).normal(size=(steps, 2))
    y[0, 1] = y[5] = y[9, 0] = np.nan
    y[30:40, 1] = y[-1] = np.nan
    return y


COUNTS = """
state x[2]
obs y
obs z
init x ~ Normal([1, 0], 0.5)
x[t] ~ Normal([x[t-1, 1], sin(x[t-1, 0])], [0.1, 0.2])
y[t] ~ Poisson(exp(x[t, 0]))
z[t] ~ Normal(x[t, 1]^2, 0.3)
"""


def same(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, expected)


@pytest.mark.parametrize("engine", [IEKF, IPLS])
def test_a_bent_program_has_the_numbers_of_the_sequential_smoother(engine):
    once, many = (engine(iterations=4, parallel=parallel) for parallel in (False, True))
    smoothed = lambda engine: jit(lambda y: engine.smooth(pendulum(), y))(gaps(STEPS))
    same(smoothed(many), smoothed(once))


def test_so_have_counts_beside_a_series_with_gaps():
    lowering = NonlinearLowering(ssmlang.compile(COUNTS).spec, {})
    random = np.random.default_rng(1)
    data = {"y": random.poisson(2.0, 40).astype(float), "z": random.normal(size=40)}
    data["y"][3:6] = data["z"][5:9] = np.nan

    def smoothed(parallel):
        def asked(data):
            program, rows = lowering.program({}, data, {}, 40)
            return IEKF(parallel=parallel).smooth(program, rows)

        return jit(asked)(data)

    same(smoothed(True), smoothed(False))


def test_noise_of_any_rank_and_the_gradient():
    kind = Kind(n=2, m=2, r=1, noise="own", rank=1, seed=2)
    program, y = as_nonlinear(random_program(kind, 6), True), random_data(kind, 6, missing=0.2, rows=(2,))

    def value(scale, parallel):
        laws = IEKF(iterations=1, parallel=parallel).smooth(program, y * scale)
        return jnp.sum(laws.mean**2) + jnp.sum(laws.cov), laws

    once, many = (jit(jax.value_and_grad(lambda s, p=p: value(s, p), has_aux=True))(1.0) for p in (False, True))
    same(many, once)


def test_an_observation_known_from_the_row_before_gives_no_number():
    facts = Facts(n=1, N=1, first_noises=1, noises=1, m=1, k=1, definitions=1, additive=True)
    still = gaussian(facts, lambda e: e, lambda t, s, e: s + 0.0 * e, lambda t, s: Law(s, jnp.zeros((1, 1))))
    y = np.full((20, 1), 0.3)
    assert np.isnan(IEKF(parallel=True).smooth(still, y).mean[1:]).all()
    np.testing.assert_allclose(IEKF().smooth(still, y).mean, 0.3)


def loops(jaxpr) -> list[int]:
    """Lengths of the loops in a program, inner ones too; -1 where it is not told."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("scan", "while"):
            found.append(equation.params.get("length", -1))
        for inner in jaxprs_in_params(equation.params):
            found += loops(inner)
    return found


def wide(n: int) -> Nonlinear:
    """More entries than are written out."""
    facts = Facts(n=n, N=n, first_noises=n, noises=n, m=n, k=n, definitions=1, additive=True)
    return gaussian(facts, lambda e: e, lambda t, s, e: jnp.sin(s) + e, lambda t, s: Law(s**2, jnp.eye(n)))


@pytest.mark.parametrize("make", [pendulum, lambda: wide(26)], ids=["small", "large"])
@pytest.mark.parametrize("engine", [IEKF(), IPLS(points="cubature")], ids=lambda e: e.name)
def test_no_pass_loops_over_the_rows(engine, make):
    """The filter before the passes does, once. What is left grows with the length of a stretch and the logarithm."""
    program, steps = make(), 1024
    y = np.zeros((steps, program.facts.m))

    def over_rows(parallel):
        smooth = replace(engine, parallel=parallel).smooth
        found = loops(jax.make_jaxpr(lambda y: smooth(program, y))(y).jaxpr)
        assert -1 not in found or not parallel
        return [length for length in found if length > 64]

    assert over_rows(True) == [steps]
    assert len(over_rows(False)) >= 3


@pytest.mark.parametrize("engine", [IEKF(parallel=True), IPLS(parallel=True)], ids=lambda e: e.name)
def test_lowers_for_cuda(engine):
    lowering = NonlinearLowering(ssmlang.compile(COUNTS).spec, {})

    def asked(y):
        found, rows = lowering.program({}, {"y": y, "z": y}, {}, 40)
        return jax.tree.leaves(engine.smooth(found, rows))

    assert not [call for call in calls(asked, np.arange(40.0)) if FORBIDDEN.search(call)]
