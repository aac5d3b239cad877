"""Observations without noise: what is predicted exactly is skipped if it agrees, and impossible if it does not."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ssmlang.engines import Kalman

from .oracle import Dense
from .programs import make
from .test_kalman import close

TERMS = jax.jit(Kalman().log_likelihood_terms)
SMOOTH = jax.jit(Kalman().smooth)
GRADIENT = jax.jit(jax.grad(Kalman().log_likelihood, allow_int=True))


def line(scale=1.0):
    """A straight line seen exactly: two rows tell all."""
    F = np.array([[[1.0, 1.0], [0.0, 1.0]]])
    cov = scale * np.array([[2.0, 0.3], [0.3, 1.0]])
    return make(F, np.zeros((1, 2, 1)), [[[1.0, 0.0]]], np.zeros((1, 1, 1)), cov=cov)


def rotation():
    """A rotating vector seen exactly through a combination of its entries."""
    c, s = np.cos(0.7), np.sin(0.7)
    F = np.array([[[c, s], [-s, c]]])
    return make(F, np.zeros((1, 2, 1)), [[[1.0, 0.5]]], np.zeros((1, 1, 1)), cov=np.eye(2))


def path(program, start, steps):
    F, H = np.asarray(program.F)[0], np.asarray(program.H)[0]
    states = [np.array(start)]
    for _ in range(steps - 1):
        states.append(F @ states[-1])
    return np.array([H @ x for x in states]), np.array(states)


@pytest.mark.parametrize("program", [line(), line(1e6), line(1e-6), rotation()], ids=["line", "wide", "narrow", "turn"])
def test_known_from_two_rows(program):
    y, x = path(program, [1.3, 0.2], 60)
    got = np.asarray(TERMS(program, y))
    close(got[:2].sum(), Dense(program, 2).log_likelihood(y[:2]))
    np.testing.assert_array_equal(got[2:], 0.0)
    found = SMOOTH(program, y)
    np.testing.assert_allclose(found.mean, x, atol=1e-8)
    assert np.abs(np.asarray(found.cov)).max() < 1e-12 * np.asarray(program.initial.cov).max() * 60**2
    assert np.isfinite(np.asarray(GRADIENT(program, y).H)).all()
    y[17] += 1e-5 * max(np.abs(y).max(), np.asarray(program.initial.cov).max() ** 0.5)
    got = np.asarray(TERMS(program, y))
    assert got[17] == -np.inf
    assert np.isfinite(np.delete(got, 17)).all()
    assert np.isfinite(np.asarray(GRADIENT(program, y).H)).all()


def test_the_same_sensor_twice():
    """Two exact readings of one noisy state: the second says nothing, or the impossible."""
    F, H = np.array([[[0.9, 0.1], [0.0, 0.8]]]), np.array([[[1.0, 1.0], [2.0, 2.0]]])
    program = make(F, np.eye(2)[None], H, np.zeros((1, 2, 2)), cov=np.eye(2))
    one = make(F, np.eye(2)[None], H[:, :1], np.zeros((1, 1, 2)), cov=np.eye(2))
    y = np.random.default_rng(2).normal(size=(20, 1))
    both = np.concatenate([y, 2 * y], axis=1)
    close(TERMS(program, both), TERMS(one, y))
    both[3, 1] += 0.1
    assert np.flatnonzero(np.isinf(TERMS(program, both))).tolist() == [3]
    both[3] = np.nan
    y[3] = np.nan
    close(TERMS(program, both), TERMS(one, y))


def test_tiny_noise_is_not_zero_noise():
    """An unstable state with a sensor of any small precision keeps its likelihood."""
    for sd in (1e-3, 1e-6):
        program = make([[[1.1]]], [[[1.0, 0.0]]], [[[1.0]]], [[[0.0, sd]]], cov=[[1.0]])
        y = np.cumsum(np.random.default_rng(4).normal(size=(300, 1)), axis=0)
        got = float(TERMS(program, y).sum())
        close(got, scalar_filter(1.1, 1.0, sd**2, 1.0, y[:, 0]), 1e-9)


def test_explosive_state_seen_exactly():
    program = make([[[1.5, 0.3], [0.0, 1.2]]], np.eye(2)[None], [[[1.0, 0.4]]], np.zeros((1, 1, 2)), cov=np.eye(2))
    y = np.random.default_rng(5).normal(size=(200, 1))
    got = np.asarray(TERMS(program, y))
    assert np.isfinite(got).all() and (got != 0).all()
    close(got[:6].sum(), Dense(program, 6).log_likelihood(y[:6]))


def test_nearly_flat_prior():
    """A variance of 1e12 before a noise of 1: nothing is lost where one entry is read."""
    program = make([[[1.0]]], [[[0.3, 0.0]]], [[[1.0]]], [[[0.0, 1.0]]], cov=[[1e12]])
    y = np.random.default_rng(6).normal(size=(50, 1)) + 4
    close(TERMS(program, y).sum(), scalar_filter(1.0, 0.09, 1.0, 1e12, y[:, 0]), 1e-12)


def scalar_filter(phi, q, r, p, y):
    """x' = phi x + N(0, q), y = x + N(0, r), in exact fractions where floating point would lose digits."""
    from fractions import Fraction

    phi, q, r, p, m, total = *(Fraction(float(v)) for v in (phi, q, r, p)), Fraction(0), 0.0
    for value in y:
        f = p + r
        v = Fraction(float(value)) - m
        total -= 0.5 * (np.log(2 * np.pi * float(f)) + float(v * v / f))
        m, p = m + p / f * v, p * r / f
        m, p = (phi * m).limit_denominator(10**40), (phi * phi * p + q).limit_denominator(10**40)
    return total
