"""The triangular factor and its derivatives: what holds of the Gramian must hold at every rank and shape."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines.triangular import tria

SHAPES = [(1, 1), (1, 4), (4, 1), (3, 3), (3, 7), (5, 2)]
CASES = [(n, q, rank) for n, q in SHAPES for rank in range(min(n, q) + 1)]
RULES = ["column_space", "constant", "free"]


def drawn(n, q, rank, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, q))


def tangent_within(M, rank, seed=1):
    """A direction in which the rank stays: what the rule without Q is meant for."""
    rng = np.random.default_rng(seed)
    n, q = M.shape
    return rng.normal(size=(n, n)) @ M + M @ rng.normal(size=(q, q))


TRIA = jax.jit(tria, static_argnames="rule")
TANGENT = jax.jit(lambda rule, M, dM: jax.jvp(lambda M: tria(M, rule), (M,), (dM,)), static_argnums=0)


def gramian_loss(W):
    """A loss of the Gramian with no symmetry to help it."""
    return lambda G: jnp.sum(W * G) + 0.5 * jnp.sum((W @ G) ** 2) + jnp.log(1.0 + jnp.trace(G))


@partial(jax.jit, static_argnums=0)
def SLOPES(rule, M, W):
    g = gramian_loss(W)
    return jax.grad(lambda M: g(tria(M, rule) @ tria(M, rule).T))(M), jax.grad(g)(M @ M.T)


@pytest.mark.parametrize("n,q,rank", CASES)
def test_value(n, q, rank):
    M = drawn(n, q, rank)
    L = np.asarray(TRIA(M))
    assert L.shape == (n, min(n, q))
    np.testing.assert_array_equal(L, np.tril(L))
    np.testing.assert_allclose(L @ L.T, M @ M.T, atol=1e-13 * max(np.abs(M).max(), 1) ** 2 * q)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n,q,rank", CASES)
def test_gramian_identity(rule, n, q, rank):
    M = drawn(n, q, rank)
    dM = tangent_within(M, rank) if rule == "free" else np.random.default_rng(1).normal(size=(n, q))
    L, dL = TANGENT(rule, M, dM)
    left, right = dL @ L.T + L @ dL.T, dM @ M.T + M @ dM.T
    np.testing.assert_allclose(left, right, atol=1e-10 if rule == "free" else 1e-12)


@pytest.mark.parametrize("rule", ["column_space", "constant"])
@pytest.mark.parametrize("n,q,rank", CASES)
def test_transposed_rule_is_the_gradient_of_the_gramian(rule, n, q, rank):
    """VJP of g(L L') is 2 g'(G) M, at every rank."""
    M = drawn(n, q, rank)
    got, G_bar = SLOPES(rule, M, np.random.default_rng(2).normal(size=(n, n)))
    want = (G_bar + G_bar.T) @ M
    np.testing.assert_allclose(got, want, atol=1e-11 * max(np.abs(want).max(), 1.0))


def test_full_rank_derivative_is_that_of_cholesky():
    """The only rule whose L itself may be differentiated, and only there."""
    M, dM = drawn(4, 6, 4), drawn(4, 6, 4, seed=5)
    L, dL = TANGENT("column_space", M, dM)
    _, dC = jax.jvp(lambda M: jnp.linalg.cholesky(M @ M.T), (M,), (dM,))
    signs = np.sign(np.diag(L))
    np.testing.assert_allclose(dL * signs, dC, atol=1e-12)
    np.testing.assert_allclose(np.triu(dL, 1), 0.0, atol=1e-13)
    constant = TANGENT("constant", M, dM)[1]
    assert np.abs(np.triu(constant, 1)).max() > 0.1


def test_trap_no_triangular_differential_where_rank_is_lost():
    """A first row of nothing: dL has an upper part, and (6) fails for its lower triangle alone."""
    M, dM = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[3.0, 1.0], [0.0, 0.0]])
    L, dL = (np.asarray(a) for a in TANGENT("column_space", M, dM))
    want = dM @ M.T + M @ dM.T
    np.testing.assert_allclose(dL @ L.T + L @ dL.T, want, atol=1e-12)
    assert np.abs(np.triu(dL, 1)).max() > 0.1
    low = np.tril(dL)
    assert np.abs(low @ L.T + L @ low.T - want).max() > 0.1


@pytest.mark.parametrize("shape", [(3, 6), (3, 3), (2, 1)])
def test_second_derivatives_without_q(shape):
    rng = np.random.default_rng(4)
    g = gramian_loss(rng.normal(size=(shape[0], shape[0])))
    M = rng.normal(size=shape)
    got = jax.jit(jax.hessian(lambda M: g(tria(M, "free") @ tria(M, "free").T)))(M)
    want = jax.jit(jax.hessian(lambda M: g(M @ M.T)))(M)
    np.testing.assert_allclose(got, want, atol=1e-10 * np.abs(want).max())


def test_second_derivatives_on_a_curve_of_rank_one():
    g = gramian_loss(np.random.default_rng(4).normal(size=(3, 3)))

    def curve(t):
        return jnp.outer(jnp.array([jnp.sin(t), t**2, 1.0 + t]), jnp.array([jnp.cos(t), 1.0, t]))

    second = lambda f: jax.jit(jax.grad(jax.grad(f)))(0.7)
    got = second(lambda t: g(tria(curve(t), "free") @ tria(curve(t), "free").T))
    np.testing.assert_allclose(got, second(lambda t: g(curve(t) @ curve(t).T)), rtol=1e-9)


@pytest.mark.parametrize("rule", ["column_space", "constant"])
def test_a_second_derivative_is_refused_where_it_would_be_wrong(rule):
    with pytest.raises(NotImplementedError, match="rule='free'"):
        jax.hessian(lambda M: jnp.sum(tria(M, rule) ** 2))(drawn(2, 3, 2))


@pytest.mark.parametrize("rule", RULES)
def test_vmap_and_jit_and_scan(rule):
    Ms = np.stack([drawn(3, 5, rank, seed=rank) for rank in (3, 2, 0)])
    dMs = np.stack([tangent_within(M, 3) for M in Ms])
    both = jax.jit(jax.vmap(lambda M, dM: jax.jvp(lambda M: tria(M, rule), (M,), (dM,))))(Ms, dMs)
    for L, dL, M, dM in zip(*both, Ms, dMs, strict=True):
        np.testing.assert_allclose(L @ L.T, M @ M.T, atol=1e-12)
        np.testing.assert_allclose(dL @ L.T + L @ dL.T, dM @ M.T + M @ dM.T, atol=1e-9)
    summed = lambda Ms: jax.lax.scan(lambda c, M: (c + jnp.sum(tria(M, rule) ** 2), None), 0.0, Ms)[0]
    np.testing.assert_allclose(jax.jit(jax.grad(summed))(Ms), 2 * Ms, atol=1e-9 if rule == "free" else 1e-12)


@pytest.mark.parametrize("rule", ["column_space", "constant"])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_single_precision(rule, rank):
    with jax.enable_x64(False):
        M = drawn(3, 5, rank).astype("float32")
        dM = np.random.default_rng(3).normal(size=(3, 5)).astype("float32")
        L, dL = jax.jvp(lambda M: tria(M, rule), (M,), (dM,))
        assert L.dtype == dL.dtype == jnp.float32
        np.testing.assert_allclose(dL @ L.T + L @ dL.T, dM @ M.T + M @ dM.T, atol=2e-5)


def test_nothing_to_factor():
    assert tria(jnp.zeros((3, 0))).shape == (3, 0)
    assert tria(jnp.zeros((0, 3))).shape == (0, 0)


def test_what_is_no_matrix_or_no_rule_is_refused():
    with pytest.raises(ValueError, match="vmap"):
        tria(jnp.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="constant"):
        tria(jnp.zeros((3, 3)), "paper")
