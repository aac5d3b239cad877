"""Smoothed means of many series at once are those of each alone."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ssmlang.engines import Kalman
from ssmlang.engines.means import smoothed_means

from .programs import Kind, jit, random_data, random_program

STEPS = 8
MANY = jit(smoothed_means)
EACH = jit(jax.vmap(lambda program, y: Kalman().smooth(program, y).mean, in_axes=(None, 0)))
KINDS = {
    "order 2, lagged noises": Kind(n=2, m=2, order=2, emission_lags=1, noise_lags=1, emission_noise_lags=1, seed=61),
    "varying, exact, rank 1": Kind(n=3, m=2, r=1, noise="none", varying=True, rank=1, seed=62),
    "flat start": Kind(n=3, m=2, r=2, order=2, noise="own", diffuse=4, seed=63),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_many_are_each_alone(name: str) -> None:
    kind = KINDS[name]
    program, y = random_program(kind, STEPS), random_data(kind, STEPS, 0.25, (3,))
    ys = y + np.random.default_rng(1).normal(size=(5, *y.shape))
    got, want = np.asarray(MANY(program, ys)), np.asarray(EACH(program, ys))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
