"""Draws of paths given data have the smoother's law, jointly over time."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ssmlang.engines import Kalman
from ssmlang.engines.paths import draw_paths

from .oracle import Dense, Linear
from .programs import Kind, jit, make, random_data, random_program

STEPS, DRAWS = 7, 4000
PATHS = jit(lambda program, y, key: draw_paths(Kalman(), program, y, jax.random.split(key, DRAWS)))
FEW = jit(lambda program, y, key: draw_paths(Kalman(), program, y, jax.random.split(key, 20)))

KINDS = {
    "dense": Kind(n=2, m=2, noise="dense", seed=51),
    "order 2, moving averages": Kind(n=2, m=2, order=2, emission_lags=1, noise_lags=1, emission_noise_lags=1, seed=52),
    "varying, rank 1, exact": Kind(n=3, m=1, r=1, noise="none", varying=True, rank=1, seed=53),
    "flat start": Kind(n=2, m=2, r=2, order=2, noise="own", diffuse=3, seed=54),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_paths_have_the_joint_law_of_all_rows(name):
    """Means and covariances over all rows and states at once, against dense linear algebra."""
    kind = KINDS[name]
    program, y = random_program(kind, STEPS), random_data(kind, STEPS, 0.25, (3,))
    dense = Dense(program, STEPS)
    everything = Linear.stack([dense.x[t] for t in range(STEPS)])
    mean, cov = dense.posterior(everything, y, STEPS)
    assert np.isfinite(cov).all()
    drawn = np.asarray(PATHS(program, y, jax.random.key(1))).reshape(DRAWS, -1)
    sd = np.sqrt(np.maximum(np.diag(cov), 0))
    scale = np.abs(mean).max() + sd.max()
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * sd / np.sqrt(DRAWS) + 1e-8 * scale).all()
    spread = np.sqrt((cov**2 + np.outer(sd**2, sd**2)) / DRAWS)
    assert (np.abs(np.cov(drawn.T) - cov) < 5 * spread + 1e-8 * scale**2).all()


def test_what_holds_exactly_among_states_holds_in_each_path():
    """A level with a fixed slope, an exactly known copy, and a sum that is observed without noise."""
    F = [[[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]]
    G = [[[0.0], [0.0], [0.0]]]
    G[0][0][0] = 0.7
    program = make(F, G, [[[1.0, 0.0, 1.0]]], np.zeros((1, 1, 1)), diffuse=np.eye(3))
    rng = np.random.default_rng(0)
    level = np.cumsum(0.7 * rng.normal(size=40) + 0.3)
    copy = np.concatenate([[0.4], 2 * level[:-1]])
    y = (level + copy)[:, None]
    y[[4, 5, 20]] = np.nan
    paths = np.asarray(FEW(program, y, jax.random.key(2)))
    assert np.abs(np.diff(paths[:, :, 1], axis=1)).max() < 1e-9
    np.testing.assert_allclose(paths[:, 1:, 2], 2 * paths[:, :-1, 0], atol=1e-9)
    seen = ~np.isnan(y[:, 0])
    assert np.abs((paths[:, :, 0] + paths[:, :, 2])[:, seen] - y[seen, 0]).max() < 1e-9
    assert paths[:, 4, 0].std() > 0.01


def test_paths_are_independent_and_given_by_their_key():
    program = make([[[0.8]]], [[[1.0, 0]]], [[[1.0]]], [[[0, 0.5]]], cov=[[1.0]])
    y = np.random.default_rng(1).normal(size=(30, 1))
    one, again = (np.asarray(FEW(program, y, jax.random.key(3))) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert len(np.unique(one[:, 10, 0])) == 20
    assert np.abs(np.asarray(FEW(program, y, jax.random.key(4))) - one).min() > 0
