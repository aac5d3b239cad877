"""Noise covariances of every rank: values and gradients against complex-step differences of a NumPy filter.

The family of Corenflos (2026), section V: Q = 0.2 [(1 - eps) v v' + eps I] and R = 0.4 [(1 - eps) w w' + eps I] down
to rank one; past it, no state noise, no observation noise, no initial variance, and a deterministic AR(3).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import Kalman, SquareRoot

from .oracle import Dense
from .programs import jit, make
from .test_kalman import close

V, W = np.array([1.0, 1.0]) / np.sqrt(2), np.array([1.0, -1.0]) / np.sqrt(2)
T = 15
Y = np.stack([np.sin(0.6 * np.arange(T)) + 0.4, np.cos(0.9 * np.arange(T)) - 0.2 * np.arange(T) / 15], axis=1)
F, H = np.array([[0.9, 0.2], [-0.3, 0.8]]), np.array([[1.0, 0.3], [0.5, 1.0]])
NAMES = ("F", "H", "G", "J", "S0", "mean")


def square_root_of(eps, direction, scale):
    """[a v, b I] with Gramian scale ((1 - eps) v v' + eps I), v the direction: smooth in its entries at any eps."""
    wide = [np.sqrt(scale * (1 - eps)) * direction[:, None], np.sqrt(scale * eps) * np.eye(2)]
    return np.concatenate(wide, axis=1)


def family(eps_q=1.0, eps_r=1.0, q=0.2, r=0.4, p=1.5):
    """Numbers of the model: F, H, G (n, 3), J (m, 3), S0, mean."""
    G, J = square_root_of(eps_q, V, q), square_root_of(eps_r, W, r)
    return dict(zip(NAMES, (F, H, G, J, np.sqrt(p) * np.eye(2), np.array([1.0, -1.0])), strict=True))


BASE = make(
    np.ones((1, 2, 2)), np.concatenate([np.ones((2, 3)), np.zeros((2, 3))], axis=1)[None], np.ones((1, 2, 2)),
    np.concatenate([np.zeros((2, 3)), np.ones((2, 3))], axis=1)[None], factor=np.eye(2),
)  # fmt: skip


def program_of(numbers):
    """The numbers in a program whose structure knows nothing of what is zero."""
    zero = jnp.zeros((2, 3))
    initial = BASE.initial._replace(factor=numbers["S0"], mean=numbers["mean"])
    G, J = jnp.concatenate([numbers["G"], zero], axis=1), jnp.concatenate([zero, numbers["J"]], axis=1)
    return replace(BASE, F=numbers["F"][None], H=numbers["H"][None], G=G[None], J=J[None], initial=initial)


@jit
def value_and_slopes(numbers, y):
    return jax.value_and_grad(lambda numbers: SquareRoot().log_likelihood(program_of(numbers), y))(numbers)


@jit
def value_and_slopes_in_covariance_form(numbers, y):
    return jax.value_and_grad(lambda numbers: Kalman().log_likelihood(program_of(numbers), y))(numbers)


def plain_filter(numbers, y):
    """Log-likelihood in covariance form, of complex numbers too: no conjugates, whole vectors at a time."""
    F, H, G, J, S0, m = (numbers[k] for k in NAMES)
    P, total = S0 @ S0.T, 0.0
    for t in range(len(y)):
        if t:
            m, P = F @ m, F @ P @ F.T + G @ G.T
        seen = ~np.isnan(y[t])
        Z = H[seen]
        S = Z @ P @ Z.T + J[seen] @ J[seen].T
        K, v = np.linalg.solve(S, Z @ P).T, y[t][seen] - Z @ m
        total = total - 0.5 * (v @ np.linalg.solve(S, v) + np.log(2 * np.pi) * seen.sum() + np.log(np.linalg.det(S)))
        m, P = m + K @ v, P - K @ Z @ P
    return total


def complex_step(numbers, y):
    """Derivative in every number, to rounding."""
    slopes = {}
    for name, value in numbers.items():
        slopes[name] = np.zeros(value.shape)
        for at in np.ndindex(value.shape):
            moved = {k: v.astype(complex) for k, v in numbers.items()}
            moved[name][at] += 1e-40j
            slopes[name][at] = np.imag(plain_filter(moved, y)) * 1e40
    return slopes


CASES = {
    **{f"eps {eps}": family(eps, eps) for eps in (1.0, 0.5, 1e-2, 1e-4, 1e-8, 0.0)},
    "Q of rank one": family(0.0, 1.0),
    "R of rank one": family(1.0, 0.0),
    "no state noise": family(q=0.0),
    "known start, Q of rank one": family(0.0, 1.0, p=0.0),
    "known start, no state noise": family(q=0.0, p=0.0),
    "exact sensors": family(r=0.0),
    "exact sensors, Q of rank one, wide start": family(0.3, 0.0, r=0.0, p=1e4),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_at_every_rank(name):
    numbers, holes = CASES[name], Y.copy()
    holes[3] = holes[7, 0] = holes[8, 1] = np.nan
    for y in (Y, holes):
        value, slopes = value_and_slopes(numbers, y)
        close(value, np.real(plain_filter(numbers, y)), 1e-10)
        want = complex_step(numbers, y)
        for key in numbers:
            close(slopes[key], want[key], 1e-8)
    if name in ("eps 0.0", "no state noise"):
        other = value_and_slopes_in_covariance_form(numbers, y)
        close(value, other[0], 1e-11)
        for key in numbers:
            close(slopes[key], other[1][key], 1e-8)


def test_derivative_in_a_scale_that_is_zero():
    """The likelihood is even in a scale, and smooth there: slope zero, and a curvature (forward mode over reverse)."""
    numbers = family(0.0, 0.0)

    @jit
    def derivatives(at):
        def value(scales):
            moved = {**numbers, "G": scales[0] * numbers["G"], "J": jnp.eye(2, 3) * 0.5 + scales[1] * numbers["J"]}
            return SquareRoot().log_likelihood(program_of({**moved, "S0": scales[0] * numbers["S0"]}), Y)

        return jax.grad(value)(at), jax.hessian(value)(at)

    def value(scales):
        moved = {**numbers, "G": scales[0] * numbers["G"], "J": np.eye(2, 3) * 0.5 + scales[1] * numbers["J"]}
        return plain_filter({**moved, "S0": scales[0] * numbers["S0"]}, Y)

    slope, curvature = derivatives(np.zeros(2))
    steps = [np.imag(value(np.array(at, complex))) * 1e40 for at in ((1e-40j, 0), (0, 1e-40j))]
    close(slope, steps, 1e-9)
    assert abs(float(slope[0])) < 1e-12
    h = 1e-3
    second = (value(np.array([h, 0])) - 2 * value(np.zeros(2)) + value(np.array([-h, 0]))) / h**2
    np.testing.assert_allclose(curvature[0, 0], second, rtol=1e-4)


def deterministic_ar3():
    """An AR(3) without noise, its three first values known but for a common scale, seen with noise."""
    lags = np.array([0.6, -0.3, 0.2])
    F = lags.reshape(3, 1, 1)
    return make(F, np.zeros((1, 1, 2)), [[[1.0]]], [[[0.0, 0.3]]], mean=[0.5, 0.2, -0.1],
                factor=np.array([[1.0], [0.8], [0.7]]))  # fmt: skip


def test_deterministic_autoregression():
    program, y = deterministic_ar3(), 0.4 * np.sin(np.arange(12.0))[:, None]
    y[5] = np.nan

    @partial(jit, static_argnums=0)
    def all_of_it(engine, F, y):
        value = lambda F: engine.log_likelihood(replace(program, F=F), y)
        return jax.value_and_grad(value)(F), engine.smooth(replace(program, F=F), y, memory=True)

    (value, slope), smoothed = all_of_it(SquareRoot(), program.F, y)
    other = all_of_it(Kalman(), program.F, y)
    dense = Dense(program, len(y))
    close(value, dense.log_likelihood(y))
    close(slope, other[0][1], 1e-9)
    for t in (0, 5, 11):
        mean, cov = dense.posterior(dense.memory[t], y, len(y))
        close(smoothed.memory_mean[t], mean)
        close(smoothed.memory_cov[t], cov)
    # One direction is unknown, and so of every posterior covariance: no eigenvalue but one, and none below zero.
    eigenvalues = np.linalg.eigvalsh(np.asarray(smoothed.memory_cov))
    assert (eigenvalues[:, :2] > -1e-16).all() and (eigenvalues[:, :2] < 1e-16).all()


def test_a_start_whose_rank_grows_with_a_parameter():
    """A covariance is not the Gramian of a smooth factor where its rank changes: d/dq of N(0, q) at q = 0 is finite."""

    @partial(jit, static_argnums=0)
    def slope(engine, q):
        def value(q):
            initial = BASE.initial._replace(factor=jnp.zeros((2, 0)), cov=q * jnp.outer(V, V), mean=np.array([1.0, -1]))
            return engine.log_likelihood(replace(program_of(family(0.0, 0.0)), initial=initial), Y)

        return jax.grad(value)(q)

    got = slope(SquareRoot(), 0.0)
    assert abs(float(got)) > 1e-3
    close(got, slope(Kalman(), 0.0), 1e-9)


@jit
def terms(F, H, cov, y):
    """Two states, no noise anywhere, one sensor."""
    program = make(np.ones((1, 2, 2)), np.zeros((1, 2, 1)), np.ones((1, 1, 2)), np.zeros((1, 1, 1)))
    program = replace(program, F=F, H=H, initial=program.initial._replace(cov=cov))
    return SquareRoot().log_likelihood_terms(program, y), jax.grad(
        lambda H: SquareRoot().log_likelihood(replace(program, H=H), y)
    )(H)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", ["line", "turn"])
def test_known_from_two_exact_rows(name, scale):
    """What is predicted exactly is skipped if it agrees and impossible if it does not, for ever after."""
    c, s = np.cos(0.7), np.sin(0.7)
    F = np.array([[[1.0, 1.0], [0.0, 1.0]]]) if name == "line" else np.array([[[c, s], [-s, c]]])
    H = np.array([[[1.0, 0.0]]]) if name == "line" else np.array([[[1.0, 0.5]]])
    cov = scale * np.array([[2.0, 0.3], [0.3, 1.0]])
    x, y = np.array([1.3, 0.2]), np.zeros((60, 1))
    for row in y:
        row[:] = H[0] @ x
        x = F[0] @ x
    program = make(F, np.zeros((1, 2, 1)), H, np.zeros((1, 1, 1)), cov=cov)
    got, slope = terms(F, H, cov, y)
    close(np.sum(got[:2]), Dense(program, 2).log_likelihood(y[:2]))
    np.testing.assert_array_equal(got[2:], 0.0)
    assert np.isfinite(slope).all()
    y[17] += 1e-5 * max(np.abs(y).max(), scale**0.5)
    got, slope = terms(F, H, cov, y)
    assert np.flatnonzero(np.isinf(got)).tolist() == [17] and np.isfinite(slope).all()
