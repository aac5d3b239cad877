"""Factors in single precision over a hundred thousand rows, where covariances in single precision are lost."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import Kalman, SquareRoot

from .programs import make

ROWS = 100_000


def smooth_trend():
    """A trend whose slope hardly moves, from a variance of 1e8: 20 decimal powers between the variances."""
    F, G = np.array([[[1.0, 1.0], [0.0, 1.0]]]), np.array([[[0.0, 0.0], [1e-5, 0.0]]])
    return make(F, G, [[[1.0, 0.0]]], [[[0.0, 0.1]]], factor=1e4 * np.eye(2))


PROGRAM = smooth_trend()
Y = np.sin(np.arange(ROWS) / 500.0)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(ROWS, 1))


@partial(jax.jit, static_argnums=0)
def followed(engine, program, y):
    """The log-likelihood, and the variances of the states with the determinants of their covariances."""
    found = engine.filter(program, y)
    P = found.cov
    return jnp.sum(found.log_likelihood), P[:, [0, 1], [0, 1]], P[:, 0, 0] * P[:, 1, 1] - P[:, 0, 1] ** 2


@jax.jit
def slopes(program, y):
    """In the logarithms of both scales."""

    def value(logs):
        scales = jnp.exp(logs)
        return SquareRoot().log_likelihood(replace(program, G=program.G * scales[0], J=program.J * scales[1]), y)

    return jax.grad(value)(jnp.zeros(2))


@pytest.mark.skipif("optimization_level=0" in os.environ.get("XLA_FLAGS", ""),
                    reason="holds for programs compiled as a user's are: `make tests` runs it so")  # fmt: skip
def test_hundred_thousand_rows_in_single_precision():
    exact, variances, _ = followed(SquareRoot(), PROGRAM, Y)
    with jax.enable_x64(False):
        value, found, determinants = followed(SquareRoot(), PROGRAM, Y)
        assert value.dtype == found.dtype == jnp.float32
        lost, broken, _ = followed(Kalman(), PROGRAM, Y)
    np.testing.assert_allclose(value, exact, rtol=1e-5)
    np.testing.assert_allclose(found[2:], variances[2:], rtol=1e-3)
    assert (np.asarray(found) > 0).all() and (np.asarray(determinants[2:]) > 0).all()
    # The covariance form, on the same data in the same precision: negative or lost variances, no likelihood.
    assert not np.isfinite(broken).all() or (np.asarray(broken) <= 0).any()
    assert not abs(float(lost) / float(exact) - 1) < 1e-3


def test_gradient_in_single_precision():
    exact = slopes(PROGRAM, Y[:5000])
    with jax.enable_x64(False):
        got = slopes(PROGRAM, Y[:5000])
        assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, exact, rtol=1e-3)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_no_variance_below_zero(rank):
    """Posterior variances in single precision, from the filter and the smoother, at any rank of the start."""
    factor = 1e4 * np.eye(2)[:, :rank]
    with jax.enable_x64(False):
        program = replace(PROGRAM, initial=PROGRAM.initial._replace(factor=factor))
        found = jax.jit(SquareRoot().smooth)(program, Y[:200])
    variances = np.asarray(found.cov)[:, [0, 1], [0, 1]]
    assert np.isfinite(variances).all() and (variances >= 0).all()
    assert (np.linalg.eigvalsh(np.asarray(found.cov, float)) >= -1e-6 * variances.max(axis=1, keepdims=True)).all()
