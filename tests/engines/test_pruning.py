"""Entries of the memory that nothing reads any more are dropped, and no result depends on it."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from ssmlang.engines import DiffuseHead, Kalman, diffuse_head
from ssmlang.engines.companion import companion, memory_transition
from ssmlang.engines.layout import Layout

from .oracle import Dense
from .programs import Kind, jit, make, random_data
from .test_kalman import close

STEPS = 9


def seasonal(period=12, diffuse=True):
    """A local linear trend and a seasonal: level and slope are read one row back, the season `period` - 1."""
    lags = period - 1
    F = np.zeros((lags, 3, 3))
    F[0, 0, 0] = F[0, 0, 1] = F[0, 1, 1] = 1.0
    F[:, 2, 2] = -1.0
    G = np.zeros((1, 3, 4))
    G[0, :, :3] = np.diag([0.3, 0.1, 0.2])
    program = make(F, G, [[[1.0, 0.0, 1.0]]], [[[0.0, 0.0, 0.0, 0.7]]])
    columns = [0, 1, *(2 + 3 * k for k in range(lags))]
    D = np.eye(program.structure.memory_size)[:, columns]
    initial = program.initial._replace(diffuse=D) if diffuse else program.initial._replace(factor=D)
    return replace(program, initial=initial)


def mixed(varying=False):
    """Depths of every kind: a factor read four rows back by the emission, errors that are read once, a noise that is
    read two rows later by the transition and another that both equations read; all of s_0 correlated."""
    rng = np.random.default_rng(3)
    lead = (STEPS,) if varying else ()
    F, G = np.zeros((*lead, 2, 4, 4)), np.zeros((*lead, 3, 4, 5))
    H, J = np.zeros((*lead, 4, 2, 4)), np.zeros((*lead, 2, 2, 5))
    F[..., 0, :, :] = 0.3 * rng.normal(size=(4, 4))
    F[..., 1, 2, 1] = 0.4
    G[..., 0, :, :4] = rng.normal(size=(4, 4))
    G[..., 2, 0, 1] = 0.5
    H[..., :, 0, 3] = rng.normal(size=(*lead, 4))
    H[..., 0, 1, :3] = 1.0
    J[..., 0, 0, 0], J[..., 1, 1, 3], J[..., 0, :, 4] = 0.6, 0.3, (1.0, -0.5)
    bare = make(F, G, H, J)
    N = bare.structure.memory_size
    return make(F, G, H, J, c=rng.normal(size=4), mean=rng.normal(size=N), factor=rng.normal(size=(N, N)))


PROGRAMS = {"seasonal": seasonal(4), "seasonal, proper": seasonal(4, False), "mixed": mixed(), "varying": mixed(True)}


def test_sizes():
    assert (seasonal().structure.memory_size, Layout(seasonal().structure).size) == (33, 13)
    layout = Layout(mixed().structure)
    # The state that the emission reads three rows back is kept for four, the one that F reads at lag 2 for two; noise
    # 1 is kept for two rows, noise 3 (read a row later) for two, noise 0 for its own; noise 4 is a row noise.
    assert mixed().structure.memory_noises == (0, 1, 3)
    assert layout.kept.tolist() == [0, 1, 2, 3, 5, 7, 11, 15, 16, 17, 18, 20, 21]
    assert (layout.size, layout.row_noises, layout.x_entries) == (14, (4,), 8)


@pytest.mark.parametrize("name", PROGRAMS)
def test_transition_of_what_is_kept(name):
    """The pruned transition is the whole one, restricted: nothing that is kept reads what is not."""
    program = PROGRAMS[name]
    layout = Layout(program.structure)
    A = np.asarray(jit(memory_transition)(program)[0])
    A = np.broadcast_to(A, (STEPS, *A.shape[-2:]))
    dropped = np.setdiff1d(np.arange(A.shape[-1]), layout.kept)
    assert len(dropped) and not A[:, layout.kept][:, :, dropped].any()
    top = np.asarray(jit(companion, static_argnums=1)(program, layout).top)
    want = A[:, layout.kept][:, :, layout.kept]
    n = program.structure.n
    np.testing.assert_array_equal(np.broadcast_to(top, (STEPS, *top.shape[-2:])), want[:, :n, : layout.read])
    moves = (np.arange(layout.program_size) == layout.source[n : layout.program_size, None]).astype(float)
    np.testing.assert_array_equal(np.broadcast_to(moves, (STEPS, *moves.shape)), want[:, n:])


@pytest.mark.parametrize("name", ["seasonal", "varying"])
def test_results_are_the_dense_ones(name):
    program = PROGRAMS[name]
    n, y = program.structure.n, random_data(Kind(m=program.structure.m, seed=5), STEPS, 0.2, (6,))
    dense = Dense(program, STEPS)
    head = DiffuseHead(STEPS, True)
    filtered = jit(Kalman(diffuse=head).filter)(program, y)
    smoothed = jit(Kalman(diffuse=head).smooth)(program, y)
    assert filtered.mean.shape == (STEPS, n)
    for t in range(STEPS):
        for got, want in (
            ((filtered.mean, filtered.cov), dense.posterior(dense.x[t], y, t + 1)),
            ((filtered.predicted_mean, filtered.predicted_cov), dense.posterior(dense.x[t], y, t)),
            ((filtered.observed_mean, filtered.observed_cov), dense.posterior(dense.y[t], y, t)),
            ((smoothed.mean, smoothed.cov), dense.posterior(dense.x[t], y, STEPS)),
            ((smoothed.observed_mean, smoothed.observed_cov), dense.posterior(dense.signal[t], y, STEPS)),
        ):
            close(got[0][t], want[0], 1e-8)
            close(got[1][t], want[1], 1e-7)
    for found in (filtered, smoothed):
        close(np.sum(found.log_likelihood), dense.log_likelihood(y))


def test_head_with_traced_scales_is_certain():
    """What the diffuse directions meet is known although the scales are not."""
    program = seasonal()
    seen = np.ones((40, 1), bool)

    @jax.jit
    def scaled(G, J):
        assert diffuse_head(replace(program, G=G, J=J), seen) == (16, True)
        return G.sum() + J.sum()

    scaled(program.G, program.J)
