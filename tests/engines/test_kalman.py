"""The filter against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.engines import Kalman

from .oracle import Dense
from .programs import Kind, jit, random_data, random_program

STEPS = 9
FILTER = jit(lambda program, y: Kalman().filter(program, y, memory=True))
SMOOTH = jit(lambda program, y: Kalman().smooth(program, y, memory=True))

KINDS = [
    Kind(n=3, m=2, noise="dense", seed=3),
    Kind(n=1, m=1, r=1, order=2, noise_lags=2, noise="none", seed=6),
    Kind(n=2, m=2, order=2, noise_lags=1, emission_noise_lags=2, r=3, seed=7),
    Kind(n=2, m=3, r=5, order=2, emission_lags=1, noise_lags=1, emission_noise_lags=1, varying=True, seed=9),
    Kind(n=5, m=4, r=2, noise="own", rank=0, seed=10),
    Kind(n=4, m=2, r=2, order=4, noise="none", rank=3, sparse=0.3, seed=11),
    Kind(n=13, m=2, order=2, noise="own", seed=14),
    Kind(n=2, m=9, r=3, order=2, noise="dense", sparse=0.4, rank=2, seed=13),
]
IDS = [f"{i}-{k.noise}" for i, k in enumerate(KINDS)]


def close(got, want, tolerance=1e-9):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    known = ~np.isnan(want)
    assert not np.isnan(got).any()
    infinite = np.isinf(want)
    np.testing.assert_array_equal(np.isinf(got), infinite)
    known &= ~infinite
    scale = max(np.abs(want[known]).max(initial=0.0), 1.0)
    np.testing.assert_allclose(got[known], want[known], rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
@pytest.mark.parametrize("pattern", ["full", "holes"])
def test_filter_is_the_dense_conditional_law(kind, pattern):
    program = random_program(kind, STEPS)
    y = random_data(kind, STEPS, *((0.0, ()) if pattern == "full" else (0.3, (0, 4, 7, 8))))
    dense = Dense(program, STEPS)
    got = FILTER(program, y)
    before = 0.0
    for t in range(STEPS):
        close(got.predicted_mean[t], dense.posterior(dense.x[t], y, t)[0])
        close(got.predicted_cov[t], dense.posterior(dense.x[t], y, t)[1])
        close(got.observed_mean[t], dense.posterior(dense.y[t], y, t)[0])
        close(got.observed_cov[t], dense.posterior(dense.y[t], y, t)[1])
        mean, cov = dense.posterior(dense.memory[t], y, t + 1)
        close(got.memory_mean[t], mean)
        close(got.memory_cov[t], cov)
        close(got.mean[t], mean[: kind.n])
        close(got.cov[t], cov[: kind.n, : kind.n])
        total = dense.log_likelihood(y, t + 1)
        close(got.log_likelihood[t], total - before)
        before = total


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_smoother_is_the_dense_conditional_law(kind):
    y = random_data(kind, STEPS, 0.3, (0, 4, 7, 8))
    program = random_program(kind, STEPS)
    dense = Dense(program, STEPS)
    got = SMOOTH(program, y)
    for t in range(STEPS):
        mean, cov = dense.posterior(dense.memory[t], y, STEPS)
        close(got.memory_mean[t], mean)
        close(got.memory_cov[t], cov)
        close(got.mean[t], mean[: kind.n])
        close(got.cov[t], cov[: kind.n, : kind.n])
        close(got.observed_mean[t], dense.posterior(dense.signal[t], y, STEPS)[0])
        close(got.observed_cov[t], dense.posterior(dense.signal[t], y, STEPS)[1])
    close(np.sum(got.log_likelihood), dense.log_likelihood(y))
