"""Rows taken from their steady covariance at once give the numbers of rows taken one by one, whatever the first law."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ssmlang.engines import DiffuseHead, Kalman, _density, _likelihood, _steady, _tail
from ssmlang.engines import _row_update as row_update
from ssmlang.engines._forward import initial_state
from ssmlang.engines._products import FUSED_LIMIT
from ssmlang.engines._rows import Rows
from ssmlang.engines.companion import companion
from ssmlang.engines.layout import Layout
from tests.engines.programs import Kind, jit, random_data, random_program
from tests.engines.test_routes import STEPS, agree, by_row, with_slopes

OWN = Kind(n=3, m=2, noise="own", seed=81)
settles = Kalman(diffuse=DiffuseHead(4, True), complete=True)
taken: list[int] = []
"""Of each evaluation how many blocks of rows were taken in one by one."""


@pytest.fixture(scope="module", autouse=True)
def at_once():
    """Whatever the length of the series."""

    def counting(plain):
        def counted(*args):
            passed = plain(*args)
            jax.debug.callback(lambda n: taken.append(int(n)), passed.blocks)
            return passed

        return counted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_likelihood, "STEADY_WORK", 0)
        patch.setattr(_likelihood, "SLOPES_WORK", 0)
        patch.setattr(_likelihood, "taken_in", counting(_density.taken_in))
        patch.setattr(_likelihood, "by_scan", counting(_density.by_scan))
        yield


@cache
def compiled(way, slopes):
    """Value, or derivatives, of programs like OWN as functions of their numbers: compiled once for all of them."""

    def value(F, G, H, cov, y):
        program = random_program(OWN, STEPS)
        initial = program.initial._replace(factor=np.zeros((len(cov), 0)), cov=cov)
        return way(replace(program, F=F, G=jnp.where(program.structure.patterns[1], G, 0.0), H=H, initial=initial), y)

    return jit(jax.grad(value, (0, 1, 2, 3, 4)) if slopes else value)


def numbers(program, y):
    initial = program.initial
    return program.F, program.G, program.H, initial.cov + initial.factor @ initial.factor.T, y


def start(program, cov):
    N = program.initial.mean.shape[0]
    return replace(program, initial=program.initial._replace(factor=np.zeros((N, 0)), cov=cov * np.eye(N)))


def slow(program, noise=1e-4):
    """Nearly fixed states: what is known of them goes on growing for thousands of rows."""
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=program.F.shape[-2:]))[0]
    return replace(program, F=(1 - noise**2) * turn[None], G=noise * program.G)


PROGRAMS = {
    "as drawn": lambda p: p,
    "known at first": lambda p: start(p, 0.0),
    "next to nothing known": lambda p: start(p, 1e5),
    "slow": slow,
    "noise of rank one": lambda p: replace(p, G=p.G * (np.arange(p.G.shape[-1]) == 0)),
}


def data(missing=11):
    """Rows after the last observation, and no whole number of blocks."""
    y = random_data(OWN, STEPS)
    y[STEPS - missing :] = np.nan
    return y


@pytest.mark.parametrize("change", PROGRAMS.values(), ids=PROGRAMS)
def test_the_first_law_is_accounted_for_exactly(change):
    given = numbers(change(random_program(OWN, STEPS)), data())
    taken.clear()
    found = [compiled(settles.log_likelihood, slopes)(*given) for slopes in (False, True)]
    jax.effects_barrier()
    assert not any(taken)
    agree(found[0], compiled(by_row, False)(*given))
    agree(found[1], compiled(by_row, True)(*given), 1e-7 if given[3].max() > 1e4 else 1e-9)


def test_states_without_noise_have_a_steady_covariance_and_no_derivative_of_it():
    program = random_program(OWN, STEPS)
    program = replace(program, F=np.eye(3)[None] * [1, 0.5, 1], G=program.G * np.array([[1.0], [1], [0]]))
    given = numbers(program, data())
    for slopes in (False, True):
        taken.clear()
        found = compiled(settles.log_likelihood, slopes)(*given)
        jax.effects_barrier()
        assert any(taken) == slopes
        agree(found, compiled(by_row, slopes)(*given), 1e-8)


MEMORIES = {
    "order two, lagged and correlated noises": Kind(n=2, m=2, order=2, noise_lags=1, noise="dense", seed=52),
    "flat start, one state": Kind(n=1, m=1, noise="own", diffuse=1, seed=55),
    "products by a library": Kind(n=FUSED_LIMIT + 2, m=2, noise="own", seed=61),
}


@pytest.mark.parametrize("kind", MEMORIES.values(), ids=MEMORIES)
def test_memories_of_every_kind(kind):
    program, y = random_program(kind, STEPS), random_data(kind, STEPS)
    program = replace(program, d=np.random.default_rng(kind.seed).normal(size=(STEPS, kind.m)))
    agree(with_slopes(settles.log_likelihood, program, y), with_slopes(by_row, program, y), 1e-9)
    agree(jit(settles.log_likelihood)(program, y), jit(by_row)(program, y))


def test_what_later_blocks_say_of_the_start(monkeypatch):
    """Of one block alone, where all of them are asked."""
    monkeypatch.setattr(_tail, "NEAR", 1)
    program, y = slow(random_program(OWN, STEPS)), data()
    agree(jit(settles.log_likelihood)(program, y), compiled(by_row, False)(*numbers(program, y)))


NEVER = {
    "an unstable state that nobody sees": lambda p: replace(
        p, F=np.diag([0.5, 0.5, 1.01])[None], H=p.H * np.array([1.0, 1.0, 0.0])
    ),
    "too little known for the digits there are": lambda p: start(p, 1e9),
}


@pytest.mark.parametrize("change", NEVER.values(), ids=NEVER)
def test_rows_are_taken_one_by_one_where_the_steady_state_does_not_serve(change):
    given = numbers(change(random_program(OWN, STEPS)), data())
    taken.clear()
    found = [compiled(settles.log_likelihood, slopes)(*given) for slopes in (False, True)]
    jax.effects_barrier()
    assert min(taken) > 0
    agree(found[0], compiled(by_row, False)(*given))
    agree(found[1], compiled(by_row, True)(*given), 1e-6)


def test_second_derivatives():
    program, y = random_program(OWN, STEPS), random_data(OWN, STEPS)

    def curvature(density):
        value = lambda s: density(replace(program, F=program.F * s[0], G=program.G * s[1]), y)
        return jit(jax.hessian(value))(jnp.ones(2))

    agree(curvature(settles.log_likelihood), curvature(by_row), 1e-8)


@pytest.mark.parametrize("n", [3, FUSED_LIMIT + 2])
def test_the_steady_covariance_is_that_of_the_riccati_equation(n):
    kind = Kind(n=n, m=2, noise="own", seed=83)
    program = random_program(kind, 9)
    layout = Layout(program.structure)
    markov = companion(program, layout)
    row = Rows.of(markov, 9).row({})
    F, H, R = np.asarray(program.F[0]), np.asarray(row.Z), np.diag(row.R)
    found = jit(partial(_steady.steady, layout))(row)
    assert found.exists
    np.testing.assert_allclose(found.P, scipy.linalg.solve_discrete_are(F.T, H.T, row.Q, R), rtol=1e-10, atol=1e-12)
    # Its derivative against differences.
    moved = lambda s: _steady.steady(layout, row._replace(Q=row.Q * s)).P
    slope = jit(jax.jacfwd(moved))(1.0)
    np.testing.assert_allclose(slope, (moved(1 + 1e-5) - moved(1 - 1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)
    P0 = initial_state(markov, layout)[0].P
    learned = _steady.learned(layout, row_update.settled(found.P, row, layout), jnp.asarray(77, np.int32), 100)
    begun = _steady.start(layout, P0 - found.P, learned.N)
    expected = np.linalg.slogdet(np.eye(n) + (P0 - found.P) @ learned.N)
    np.testing.assert_allclose([begun.half_log_det], [0.5 * expected[1]], rtol=1e-10)

