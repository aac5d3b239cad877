"""Draws obey the program's equations, row for row, and have its moments."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ssmlang.engines import Kalman

from .oracle import Dense
from .programs import Kind, jit, make, random_program

STEPS = 6
KINDS = [
    Kind(n=2, m=2, r=3, order=2, emission_lags=1, noise_lags=2, emission_noise_lags=1, seed=41),
    Kind(n=2, m=3, r=2, noise="dense", varying=True, rank=1, seed=42),
    Kind(n=1, m=2, r=1, order=3, noise="own", seed=43),
]


@pytest.mark.parametrize("kind", KINDS, ids=["lagged", "varying", "order 3"])
def test_draws_obey_the_equations(kind):
    program = random_program(kind, STEPS)
    dense = Dense(program, STEPS)
    simulate = jit(Kalman().simulate, static_argnames=("steps", "draws"))
    x, y, e = (np.asarray(a) for a in simulate(program, jax.random.key(3), steps=STEPS, draws=4000))
    for t in range(2, STEPS):
        F, G, H, J = (dense.at(name, t) for name in "FGHJ")
        if t >= len(F):
            want = dense.at("c", t) + sum(x[:, t - k - 1] @ F[k].T for k in range(len(F)))
            want = want + sum(e[:, t - j] @ G[j].T for j in range(len(G)))
            np.testing.assert_allclose(x[:, t], want, atol=1e-10)
        want = dense.at("d", t) + sum(x[:, t - k] @ H[k].T for k in range(len(H)))
        want = want + sum(e[:, t - j] @ J[j].T for j in range(len(J)))
        np.testing.assert_allclose(y[:, t], want, atol=1e-10)
    for t in (0, 1, STEPS - 1):
        both = np.concatenate([x[:, t], y[:, t], e[:, t]], axis=1)
        loadings = np.concatenate([dense.x[t].loadings, dense.y[t].loadings, dense.e[t].loadings])
        constant = np.concatenate([dense.x[t].constant, dense.y[t].constant, dense.e[t].constant])
        cov = loadings @ loadings.T
        sd = np.sqrt(np.diag(cov))
        assert np.abs((both.mean(axis=0) - constant) / np.where(sd > 0, sd, 1)).max() < 5 / np.sqrt(4000)
        noise = np.sqrt((cov**2 + np.outer(sd**2, sd**2)) / 4000)
        assert (np.abs(np.cov(both.T) - cov) <= 5 * noise + 1e-12).all()


def test_a_flat_start_cannot_be_drawn():
    program = make([[[1.0]]], [[[1.0]]], [[[1.0]]], [[[0.0]]], diffuse=[[1.0]])
    with pytest.raises(ValueError, match="diffuse"):
        Kalman().simulate(program, jax.random.key(0), 3)
