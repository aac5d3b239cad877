"""Short steps of stochastic differential equations, against Euler-Maruyama's chain of ten thousand steps on a grid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines.flow import flow, increments, joined, moments, step

H = 0.4
START = 0.7


def drift(x: jax.Array) -> jax.Array:
    return 2 * x - x**3


def brute_force(scale: bool) -> tuple[float, float]:
    """Mean and variance after H: 8192 Euler-Maruyama steps, their kernel squared thirteen times, so without draws."""
    grid = np.linspace(-2.5, 3.5, 601)
    steps = 8192
    # The kernel of a single step is narrower than the grid: it is the moments of each cell that are carried.
    short = H / steps
    rate = np.asarray(drift(jnp.asarray(grid)))
    spread = (0.3 * grid if scale else np.full_like(grid, 0.3)) ** 2
    d = grid[1] - grid[0]
    up = short * (spread / (2 * d * d) + np.maximum(rate, 0) / d)
    down = short * (spread / (2 * d * d) + np.maximum(-rate, 0) / d)
    # Central differences of the drift where noise allows them: second order in the grid.
    central = spread / (2 * d * d) > np.abs(rate) / (2 * d)
    up = np.where(central, short * (spread / (2 * d * d) + rate / (2 * d)), up)
    down = np.where(central, short * (spread / (2 * d * d) - rate / (2 * d)), down)
    P = np.diag(1 - up - down) + np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    P[0, 0] += down[0]
    P[-1, -1] += up[-1]
    at = int(np.argmin(np.abs(grid - START)))
    law = np.linalg.matrix_power(P, steps)[at]
    mean = float(law @ grid)
    return mean, float(law @ (grid - mean) ** 2)


@pytest.fixture(autouse=True)
def _double() -> object:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("scale", [False, True], ids=["constant diffusion", "diffusion of the state"])
def test_against_brute_force(scale: bool) -> None:
    mean, variance = brute_force(scale)
    diffusion = (lambda x: 0.3 * x[:, None]) if scale else (lambda x: jnp.full((1, 1), 0.3))
    x, h = jnp.array([START]), jnp.asarray(H)
    m, P = moments(drift, diffusion, x, h, 32)
    # What is left out are third and fourth moments.
    np.testing.assert_allclose(m[0], mean, atol=5e-4)
    np.testing.assert_allclose(P[0, 0], variance, rtol=0.06 if scale else 0.02)
    e = jax.random.normal(jax.random.key(0), (40_000, 16, 2, 1))
    paths = jax.jit(jax.vmap(lambda e: flow(drift, diffusion, x, h, e, not scale)))(e)[:, 0]
    error = np.sqrt(variance / len(e))
    assert abs(float(paths.mean()) - mean) < 4 * error + 2e-4
    np.testing.assert_allclose(float(paths.var()), variance, rtol=4 * np.sqrt(2 / len(e)) + 2e-3)


def test_linear_moments_are_exact() -> None:
    A, L = jnp.array([[0.0, 1.0], [-2.0, -0.3]]), jnp.array([[0.0], [0.8]])
    from ssmlang.engines.diffusion import gramian, transition

    x, h = jnp.array([1.0, -0.5]), jnp.asarray(0.9)
    m, P = moments(lambda x: A @ x, lambda x: L, x, h, 64)
    np.testing.assert_allclose(m, transition(A, h, L)[0] @ x, atol=1e-8)
    np.testing.assert_allclose(P, gramian(A, h, L), atol=1e-8)


@pytest.mark.parametrize(("additive", "order"), [(True, 1.5), (False, 1.0)])
def test_strong_order(additive: bool, order: float) -> None:
    # The same path of the noise in few steps and in many: the error falls with the step to the power of the order.
    diffusion = (lambda x: jnp.full((1, 1), 0.5)) if additive else (lambda x: 0.5 * x[:, None])
    fine = 256
    e = jax.random.normal(jax.random.key(1), (400, fine, 2, 1))

    def path(e: jax.Array, steps: int) -> jax.Array:
        noise, h = jax.vmap(lambda e: increments(e, jnp.asarray(1.0 / fine)))(e), 1.0 / fine
        while len(noise.dW) > steps:
            halves = [jax.tree.map(lambda v, k=k: v[k::2], noise) for k in (0, 1)]
            noise, h = joined(halves[0], halves[1], jnp.asarray(h)), 2 * h
        x = jnp.array([START])
        return jax.lax.scan(lambda x, n: (step(drift, diffusion, x, jnp.asarray(h), n, additive), None), x, noise)[0][0]

    ends = {k: jax.jit(jax.vmap(lambda e, k=k: path(e, k)))(e) for k in (8, 32, fine)}
    coarse, finer = (float(jnp.sqrt(jnp.mean((ends[k] - ends[fine]) ** 2))) for k in (8, 32))
    assert np.log2(coarse / finer) / 2 > order - 0.15


def test_a_drift_without_noise_is_of_order_four() -> None:
    x, h, exact = jnp.array([START]), jnp.asarray(H), START
    exact = START * np.exp(2 * H) / np.sqrt(1 + START**2 * (np.exp(4 * H) - 1) / 2)
    still = lambda x: jnp.zeros((1, 1))
    ends = [float(flow(drift, still, x, h, jnp.zeros((k, 2, 1)), True)[0]) for k in (2, 4)]
    assert abs(ends[1] - exact) < 1e-5
    assert np.log2(abs(ends[0] - exact) / abs(ends[1] - exact)) > 3.7
