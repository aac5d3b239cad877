"""The stationary law: its equation, its derivative, and what happens where there is none."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from ssmlang.engines import Initial, Kalman
from ssmlang.engines.companion import memory_transition
from ssmlang.engines.stationary import stationary

from .oracle import Dense
from .programs import jit, make

SOLVE = jit(stationary)
ALONG = jit(lambda A, dA, a, B: jax.jvp(lambda A: stationary(A, a, B).cov, (A,), (dA,))[1])
BACK = jit(jax.grad(lambda A, weights, a, B: jnp.sum(weights * stationary(A, a, B).cov)))


def companion_of(poles, n):
    A = np.zeros((n, n))
    A[0] = -np.real(np.poly(poles))[1:]
    A[1:, :-1] = np.eye(n - 1)
    return A


@pytest.mark.parametrize("rho", [0.3, 0.95, 0.9999])
def test_equation_and_derivative(rho):
    A = companion_of([rho, 0.5 * np.exp(1j), 0.5 * np.exp(-1j)], 3)
    a, B = np.array([0.3, -1.0, 0.2]), np.array([[1.0, 0.2], [0.0, 0.4], [0.0, 0.0]])
    mean, cov, exists = SOLVE(A, a, B)
    assert exists
    np.testing.assert_allclose(mean, np.linalg.solve(np.eye(3) - A, a), rtol=1e-10)
    # Kronecker solution in extended precision by one step of refinement.
    want = solve_discrete_lyapunov(A, B @ B.T)
    for _ in range(3):
        residual = A @ want @ A.T + B @ B.T - want
        want = want + solve_discrete_lyapunov(A, residual)
    np.testing.assert_allclose(cov, want, rtol=1e-10, atol=1e-10 * np.abs(want).max())

    rng = np.random.default_rng(1)
    dA = rng.normal(size=(3, 3))
    dP = ALONG(A, dA, a, B)
    cross = dA @ want @ A.T
    exact = solve_discrete_lyapunov(A, cross + cross.T)
    np.testing.assert_allclose(dP, exact, rtol=1e-8, atol=1e-9 * np.abs(exact).max())
    weights = rng.normal(size=(3, 3))
    back = BACK(A, weights, a, B)
    np.testing.assert_allclose(np.sum(np.asarray(back) * dA), np.sum(weights * exact), rtol=1e-8)


def likelihood(phi, y):
    program = make([[[0.5, 1.0], [0.0, 0.0]]], np.eye(2)[None], np.eye(2)[None], np.zeros((1, 2, 2)))
    A = jnp.array([[0.0, 1.0], [0.0, 0.0]]).at[0, 0].set(phi)
    law = stationary(A, jnp.ones(2), jnp.eye(2))
    initial = Initial(law.mean, jnp.zeros((2, 0)), law.cov, jnp.zeros((2, 0)), law.exists)
    return Kalman().log_likelihood(replace(program, F=A[None], initial=initial), y)


SLOPE = jit(jax.value_and_grad(likelihood))


@pytest.mark.parametrize("phi", [1.0, 1.0 + 1e-9, -1.2, 40.0])
def test_no_stationary_law(phi):
    value, slope = SLOPE(phi, np.ones((400, 2)))
    assert value == -np.inf
    assert slope == 0.0


def test_stationary_arma_in_the_memory():
    """ARMA(2, 1) with its noise in the memory: joint law of x_0, x_{-1} and e_0."""
    F = np.array([[[0.5]], [[0.3]]])
    G = np.array([[[1.2]], [[0.4 * 1.2]]])
    program = make(F, G, [[[1.0]]], np.zeros((1, 1, 1)), c=np.array([0.7]))
    A, a, B = jit(memory_transition)(program)
    law = SOLVE(A, a, B)
    N = program.structure.memory_size
    initial = Initial(law.mean, np.zeros((N, 0)), law.cov, np.zeros((N, 0)), law.exists)
    late = Dense(replace(program, initial=initial), 6).x[5]
    np.testing.assert_allclose(late.constant, law.mean[:1], rtol=1e-12)
    np.testing.assert_allclose(late.loadings @ late.loadings.T, law.cov[:1, :1], rtol=1e-12)
