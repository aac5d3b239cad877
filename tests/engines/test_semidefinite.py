"""The nearest covariance matrix, and its derivative where eigenvalues coincide."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines.semidefinite import positive_part
from tests.engines.programs import jit

ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
EIGENVALUES = {
    "positive": [3.0, 1.0, 0.5], "negative": [-3.0, -1.0, -1.0], "of both signs": [2.0, -1.0, 0.5],
    "coinciding": [2.0, 2.0, -1.0], "all the same": [1.5, 1.5, 1.5],
}  # fmt: skip


@pytest.mark.parametrize("values", EIGENVALUES.values(), ids=EIGENVALUES)
def test_the_derivative_is_that_of_differences(values: list[float]) -> None:
    W = (ROTATION * values) @ ROTATION.T
    step = np.random.default_rng(1).normal(size=(3, 3))
    step = 1e-6 * (step + step.T)
    with jax.enable_x64(True):
        value, slope = jit(lambda W, step: jax.jvp(positive_part, (W,), (step,)))(jnp.asarray(W), jnp.asarray(step))
        ahead, behind = (np.asarray(positive_part(jnp.asarray(W + a * step))) for a in (1, -1))
    np.testing.assert_allclose(value, (ROTATION * np.maximum(values, 0)) @ ROTATION.T, atol=1e-14)
    np.testing.assert_allclose(slope, (ahead - behind) / 2, atol=1e-14)


def test_a_row_without_data_has_a_derivative() -> None:
    with jax.enable_x64(True):
        slope = jax.grad(lambda W: jnp.sum(positive_part(W)))(jnp.zeros((4, 2, 2)))
    assert np.array_equal(slope, np.zeros((4, 2, 2)))
