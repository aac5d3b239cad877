"""Every way through the rows gives the numbers of the plain one, and so do its derivatives."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman, _smooth
from ssmlang.engines._likelihood import SLOPES_BY_ROW
from ssmlang.engines.routes import FREEZING_ROWS, SETTLING_ROWS, route
from tests.engines.programs import Kind, jit, random_data, random_program

STEPS = SETTLING_ROWS + 37
SETTLED = {
    "three": Kind(n=3, m=2, noise="own", seed=51),
    "order two, lagged and correlated noises": Kind(n=2, m=2, order=2, noise_lags=1, noise="dense", seed=52),
    "many entries": Kind(n=1, m=9, noise="own", seed=54),
    "flat start": Kind(n=2, m=1, noise="own", diffuse=1, seed=55),
}


def by_row(program, y):
    return jnp.sum(Kalman(diffuse=DiffuseHead(4, True)).log_likelihood_terms(program, y))


def with_slopes(density, program, y):
    """Value and the derivatives in every number of the program that its structure lets differ from zero."""
    names = ("F", "c", "G", "H", "d", "J")
    free = dict(zip("FGHJ", program.structure.patterns, strict=True))
    point = {name: jnp.asarray(getattr(program, name)) for name in names}

    def value(point, mean, y):
        start = program.initial._replace(mean=mean)
        point = {name: jnp.where(free[name], a, 0.0) if name in free else a for name, a in point.items()}
        return density(replace(program, **point, initial=start), y)

    return jit(jax.value_and_grad(value, (0, 1)))(point, jnp.asarray(program.initial.mean), y)


def agree(one, other, tolerance=1e-10):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.abs(b).max(initial=1e-300)))


@pytest.mark.parametrize("kind", SETTLED.values(), ids=SETTLED)
@pytest.mark.parametrize("steps", [STEPS, SLOPES_BY_ROW + 7], ids=["short", "long"])
def test_settled_gain_in_blocks(kind, steps):
    program, y = random_program(kind, steps), random_data(kind, steps)
    y[-11:] = np.nan
    settles = Kalman(diffuse=DiffuseHead(4, True), complete=True)
    assert route(kind.m, steps - 4, constant=True, complete=True, exact=False).settles
    agree(with_slopes(settles.log_likelihood, program, y), with_slopes(by_row, program, y))
    agree(jit(settles.log_likelihood)(program, y), jit(by_row)(program, y))


def test_a_gain_that_never_settles_is_worked_out_to_the_end():
    """A random walk without noise: its variance falls as 1 / t for ever."""
    kind = Kind(n=1, m=1, noise="own", seed=56)
    program = random_program(kind, STEPS)
    program = replace(program, F=np.ones_like(program.F), G=np.zeros_like(program.G))
    y = random_data(kind, STEPS)
    agree(with_slopes(Kalman(complete=True).log_likelihood, program, y), with_slopes(by_row, program, y))


@pytest.mark.parametrize("kind", SETTLED.values(), ids=SETTLED)
def test_a_settled_gain_between_gaps(kind):
    steps = FREEZING_ROWS + 21
    program, y = random_program(kind, steps), random_data(kind, steps)
    y[130:133] = np.nan
    y[301, 0] = np.nan
    found = route(kind.m, steps - 4, constant=True, complete=False, exact=False)
    assert found.freezes and not found.settles
    frozen = Kalman(diffuse=DiffuseHead(4, True))
    agree(with_slopes(frozen.log_likelihood, program, y), with_slopes(by_row, program, y))
    agree(jit(frozen.log_likelihood)(program, y), jit(by_row)(program, y))


def smoothed(program, y, memory=False):
    engine = Kalman(diffuse=DiffuseHead(4, True))
    found = jit(lambda program, y: engine.smooth(program, y, memory=memory))(program, y)
    return [np.asarray(a) for a in found if a is not None]


def by_row_smoothed(monkeypatch, *args):
    monkeypatch.setattr(_smooth, "SMOOTHING_WORK", np.inf)
    return smoothed(*args)


@pytest.mark.parametrize("kind", SETTLED.values(), ids=SETTLED)
def test_smoothed_moments_settle_from_both_ends_and_around_gaps(kind, monkeypatch):
    """Gaps, offsets that change, rows after the last observation, and no whole number of blocks."""
    steps = FREEZING_ROWS + 21
    program, y = random_program(kind, steps), random_data(kind, steps)
    program = replace(program, d=np.random.default_rng(kind.seed).normal(size=(steps, kind.m)))
    y[130:133], y[301, 0], y[-70:] = np.nan, np.nan, np.nan
    monkeypatch.setattr(_smooth, "SMOOTHING_WORK", 0)
    found = smoothed(program, y, True)
    agree(found, by_row_smoothed(monkeypatch, program, y, True))


def test_an_observation_without_variance_does_not_settle():
    """Two copies of one observation without noise: the second is always known, and a contradiction is impossible."""
    kind = Kind(n=2, m=2, r=2, noise="none", seed=60)
    program = random_program(kind, STEPS)
    program = replace(program, H=np.repeat(program.H[..., :1, :], 2, axis=-2), d=np.zeros(2))
    y = np.repeat(random_data(kind, STEPS)[:, :1], 2, axis=1)
    value = jit(Kalman(diffuse=DiffuseHead(4, True), complete=True).log_likelihood)
    agree(value(program, y), jit(by_row)(program, y))
    y[-1, 1] += 1.0
    assert value(program, y) == -np.inf


SHARED = {
    "own": Kind(n=3, m=2, noise="own", seed=57),
    "varying": Kind(n=2, m=1, varying=True, seed=58),
    "exact": Kind(n=2, m=2, r=2, noise="none", seed=59),
}


@pytest.mark.parametrize("kind", SHARED.values(), ids=SHARED)
def test_one_covariance_for_many_series(kind):
    steps, count = FREEZING_ROWS + 5 if kind.n == 3 else 20, 37
    program = random_program(kind, steps)
    y = np.stack([random_data(replace(kind, seed=s), steps) for s in range(count)])
    y[:, 3], y[:, 7, 0] = np.nan, np.nan
    one_by_one = lambda program, y: jnp.sum(jax.lax.map(lambda y: by_row(program, y), y))
    agree(with_slopes(Kalman().log_likelihood_of_all, program, y), with_slopes(one_by_one, program, y))


def test_second_derivatives_of_the_settled_way():
    kind = SETTLED["three"]
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)

    def curvature(density):
        value = lambda s: density(replace(program, F=program.F * s[0], G=program.G * s[1]), y)
        return jit(jax.hessian(value))(jnp.ones(2))

    agree(curvature(Kalman(complete=True).log_likelihood), curvature(by_row), 1e-8)


def test_settling_is_left_where_it_would_be_wrong():
    settles = lambda **facts: route(1, 1000, **{"constant": True, "complete": True, "exact": False, **facts}).settles
    assert settles()
    assert not any([settles(constant=False), settles(complete=False), settles(exact=True)])
    assert not route(1, SETTLING_ROWS - 1, constant=True, complete=True, exact=False).settles


def test_batches_of_parameters_go_through_the_kernels():
    kind = Kind(n=2, m=1, noise="own", seed=60)
    program, y = random_program(kind, 30), random_data(kind, 30, 0.2)
    value = lambda s: Kalman(diffuse=DiffuseHead(0, True)).log_likelihood(replace(program, G=program.G * s), y)
    scales = jnp.asarray([0.5, 1.0, 2.0])
    one = jax.value_and_grad(value)
    together, each = jax.jit(jax.vmap(one))(scales), jax.jit(one)
    agree(together, jax.tree.map(lambda *a: jnp.stack(a), *[each(s) for s in scales]))


def test_second_derivatives_through_a_loop_over_series():
    kind = Kind(n=2, m=1, noise="own", seed=61)
    program = random_program(kind, 20)
    series = np.stack([random_data(replace(kind, seed=s), 20) for s in range(3)])

    def curvature(density, of=jax.hessian):
        one = lambda s, y: density(replace(program, F=program.F * s[0], G=program.G * s[1]), y)
        return jit(of(lambda s: jnp.sum(jax.lax.map(lambda y: one(s, y), series))))(jnp.ones(2))

    expected = curvature(by_row)
    for of in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f)), lambda f: jax.jacfwd(jax.jacfwd(f))):
        agree(curvature(Kalman(diffuse=DiffuseHead(0, True)).log_likelihood, of), expected, 1e-8)
