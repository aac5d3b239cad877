"""Steps of linear stochastic differential equations: closed forms, Van Loan's matrix, NumPy's road, derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from ssmlang.engines.diffusion import discretise, exprel, gramian, transition
from ssmlang.model._diffusion import moments

REPEATED = np.array([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [0.0, 0.0, -1.0]])
"""One eigenvalue three times, with a single eigenvector."""
COMPLEX = np.array([[0.0, 1.0], [-4.0, -0.2]])
STEP, TRANSITION, GRAMIAN = jax.jit(discretise), jax.jit(transition), jax.jit(gramian)
EXPREL = jax.jit(jax.value_and_grad(exprel))
LAST = {n: np.eye(n)[:, -1:] for n in (1, 2, 3)}


def van_loan(A: np.ndarray, L: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """The transition and the covariance by one exponential (Van Loan 1978)."""
    n = len(A)
    block = expm(np.block([[-A, L @ L.T], [np.zeros((n, n)), A.T]]) * h)
    F = block[n:, n:].T
    return F, F @ block[:n, n:]


@pytest.fixture(autouse=True)
def _double() -> object:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("h", [0.0, 1e-6, 0.3, 2.0])
@pytest.mark.parametrize("A", [REPEATED, COMPLEX, np.zeros((2, 2)), np.diag([-3.0, 0.0])], ids=str)
def test_van_loan(A: np.ndarray, h: float) -> None:
    n = len(A)
    found = STEP(jnp.asarray(A), jnp.arange(1.0, n + 1), jnp.asarray(LAST[n]), jnp.asarray(h))
    F, Q = van_loan(A, LAST[n], h)
    both = expm(np.block([[A, np.arange(1.0, n + 1)[:, None]], [np.zeros((1, n + 1))]]) * h)
    np.testing.assert_allclose(found.F, F, atol=1e-14)
    np.testing.assert_allclose(found.c, both[:n, n], atol=1e-14)
    np.testing.assert_allclose(found.G @ found.G.T, Q, atol=1e-14 * max(np.abs(Q).max(), 1e-3))


@pytest.mark.parametrize("h", [1e-4, 0.37, 40.0])
def test_integrated_brownian_motion(h: float) -> None:
    # The noise reaches the position through the velocity alone: L L' is singular, the covariance is not.
    A = jnp.array([[0.0, 1.0], [0.0, 0.0]])
    exact = np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]])
    np.testing.assert_allclose(GRAMIAN(A, jnp.asarray(h), jnp.asarray(LAST[2])), exact, rtol=1e-13)
    _, _, G = TRANSITION(A, jnp.asarray(h), jnp.asarray(LAST[2]))
    np.testing.assert_allclose(G @ G.T, exact, rtol=1e-13)
    assert G[0, 1] == 0 and G[1, 1] > 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 50.0, 1e5])
@pytest.mark.parametrize("n", [2, 5])
def test_lyapunov_and_numpy(n: int, scale: float) -> None:
    # Q of a step solves A Q + Q A' = F L L' F' - L L', however stiff the drift is.
    random = np.random.default_rng(n)
    A, L, h = (random.normal(size=(n, n)) - 3 * np.eye(n)) * scale, random.normal(size=(n, 2)), 0.3
    F, phi, G = TRANSITION(jnp.asarray(A), jnp.asarray(h), jnp.asarray(L))
    Q = np.asarray(G @ G.T)
    residual = A @ Q + Q @ A.T - (F @ L @ L.T @ F.T - L @ L.T)
    assert np.abs(residual).max() < 1e-12 * (scale * np.abs(Q).max() + 1)
    for ours, theirs, least in zip(moments(A, h, L), (F, phi, Q), (1.0, 0.0, 0.0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(np.abs(theirs).max(), least))


def test_a_noise_that_does_not_reach_everything() -> None:
    # Two states of one rate driven by one noise are the same number: rank one, exactly.
    _, _, G = TRANSITION(-jnp.eye(2), jnp.asarray(1.0), jnp.ones((2, 1)))
    np.testing.assert_allclose(G, [[np.sqrt((1 - np.exp(-2)) / 2), 0], [np.sqrt((1 - np.exp(-2)) / 2), 0]], rtol=1e-14)
    assert not np.asarray(TRANSITION(-jnp.eye(2), jnp.asarray(1.0), jnp.zeros((2, 1)))[2]).any()


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_derivatives(rank: int) -> None:
    L = {0: np.zeros((2, 1)), 1: np.ones((2, 1)), 2: LAST[2]}[rank]

    @jax.jit
    def value(x: jax.Array) -> jax.Array:
        A = -x[0] * jnp.eye(2) if rank < 2 else jnp.array([[0.0, 1.0], [-x[0], -x[1]]])
        F, phi, G = transition(A, jnp.asarray(1.7), x[2] * jnp.asarray(L))
        weights = jnp.array([[1.0, 0.3], [0.7, 2.0]])
        return jnp.sum(jnp.sin(F + 2 * phi + G @ G.T) * weights)

    at, e = jnp.array([0.8, 0.4, 0.6]), 1e-6
    steps = [(value(at + e * d) - value(at - e * d)) / (2 * e) for d in jnp.eye(3)]
    slope = jax.jit(jax.grad(value))
    np.testing.assert_allclose(slope(at), steps, atol=1e-8)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(value))(at), steps, atol=1e-8)
    curve = [(slope(at + e * d) - slope(at - e * d)) / (2 * e) for d in jnp.eye(3)]
    np.testing.assert_allclose(jax.jit(jax.hessian(value))(at), curve, atol=1e-7)


def test_many_steps_of_one_drift() -> None:
    A, L = jnp.asarray(COMPLEX), jnp.asarray(LAST[2])
    steps = jnp.array([0.0, 1e-3, 0.5, 30.0])
    together = jax.jit(jax.vmap(lambda h: transition(A, h, L)))(steps)
    for k, h in enumerate(steps):
        for ours, alone in zip(together, TRANSITION(A, h, L), strict=True):
            np.testing.assert_allclose(ours[k], alone, atol=1e-14)


@pytest.mark.parametrize("x", [-40.0, -0.6, -0.3, 0.0, 1e-9, 0.4, 3.0])
def test_exprel(x: float) -> None:
    import mpmath

    exact = lambda z: mpmath.expm1(z) / z if z else mpmath.mpf(1)
    value, slope = EXPREL(jnp.asarray(x))
    np.testing.assert_allclose(value, float(exact(mpmath.mpf(x))), rtol=1e-14)
    np.testing.assert_allclose(slope, float(mpmath.diff(exact, x)), rtol=1e-8)
