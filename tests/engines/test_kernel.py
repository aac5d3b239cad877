"""One native function instead of many operations: the same numbers, under every transformation, whatever is passed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines._kernel import kernel, one_kernel
from ssmlang.engines._products import gram, product_transposed


def decay(start, rows):
    return jax.lax.scan(lambda c, x: (0.5 * c + x * x, c), start, rows)


ROWS = np.arange(10.0).reshape(5, 2)
CALLS = {
    "plain": lambda f, b: f(decay)(b[0], b),
    "constant argument": lambda f, b: f(decay)(jnp.zeros(2), b),
    "argument never read": lambda f, b: f(lambda x, y, b: decay(x, b))(b[0], b[1], b),
    "constant never read": lambda f, b: f(lambda x, y, b: decay(x, b))(b[0], jnp.ones((3, 3)), b),
    "constant of one number never read": lambda f, b: f(lambda x, y, b: decay(x, b))(b[0], jnp.zeros(1), b),
    "nothing in an argument": lambda f, b: f(lambda x, y, b: (decay(x, b), y))(b[0], jnp.zeros((0, 2)), b),
    "argument handed back": lambda f, b: f(lambda x, b: (decay(x, b), x))(b[0], b),
    "same argument twice": lambda f, b: f(lambda x, y, b: decay(x + y, b))(b[0], b[0], b),
    "only a part is used": lambda f, b: f(decay)(b[0], b)[0],
    "a matrix product": lambda f, b: f(lambda b: jax.lax.fori_loop(0, 3, lambda i, b: b @ (b.T @ b) / 9, b))(b),
    "a sum of very many terms": lambda f, b: f(lambda b: b * jnp.sum(jnp.sin(b[0, 0] + np.arange(5000.0))))(b),
    "flags and counts": lambda f, b: f(lambda x, n, q, b: (decay(x, b), n + 1, ~q))(b[0], jnp.asarray(3), b[0] > 0, b),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("way", [one_kernel, kernel], ids=["one_kernel", "kernel"])
def test_the_numbers_are_those_of_the_function(call, way):
    plain = jax.jit(lambda b: call(lambda f: f, b))(ROWS)
    assert jax.tree.all(jax.tree.map(np.array_equal, jax.jit(lambda b: call(way, b))(ROWS), plain))


@pytest.mark.parametrize("way", [one_kernel, kernel], ids=["one_kernel", "kernel"])
def test_derivatives_and_batches(way):
    plain = lambda s, b: jnp.sum(decay(s * b[0], b)[1] ** 2)
    native = lambda s, b: jnp.sum(way(decay)(s * b[0], b)[1] ** 2)
    batch = np.stack([ROWS, ROWS + 1.0, 2 * ROWS])
    for transform, data in (
        (lambda g: jax.grad(g, (0, 1)), ROWS),
        (lambda g: jax.vmap(g, (None, 0)), batch),
        (lambda g: jax.vmap(jax.value_and_grad(g, (0, 1)), (None, 0)), batch),
        (lambda g: jax.grad(lambda s, b: jax.vmap(g, (None, 0))(s, b).sum()), batch),
    ):
        found, expected = (jax.jit(transform(g))(1.5, data) for g in (native, plain))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), found, expected)


def test_a_matrix_that_a_product_reads_across_is_turned_first_in_a_kernel():
    across = lambda A, B: product_transposed(A, B, fused=True)
    native = one_kernel(across)
    A, B = np.random.default_rng(0).standard_normal((2, 12, 12))
    assert "turned" in str(jax.make_jaxpr(native)(A, B))
    assert "turned" not in str(jax.make_jaxpr(across)(A, B))
    assert "turned" not in str(jax.make_jaxpr(one_kernel(across))(A[:8, :8], B[:8, :8]))  # in registers all along
    np.testing.assert_allclose(jax.jit(native)(A, B), A @ B.T, rtol=1e-12)
    members = jax.jit(jax.vmap(native, (0, None)))(np.stack([A, B]), B)
    np.testing.assert_allclose(members, np.stack([A @ B.T, B @ B.T]), rtol=1e-12)
    slopes = jax.jit(jax.grad(lambda A, B: jnp.sum(native(A, B) * A), (0, 1)))(A, B)
    np.testing.assert_allclose(slopes[0], A @ B.T + A @ B, rtol=1e-12)
    np.testing.assert_allclose(slopes[1], A.T @ A, rtol=1e-12)


def test_a_weighted_gram_matrix_is_symmetric_to_the_last_bit():
    rng = np.random.default_rng(1)
    for k, n in ((3, 4), (3, 10), (8, 24)):
        M, w = rng.standard_normal((k, n)), rng.exponential(size=k)
        found = jax.jit(one_kernel(lambda M, w: gram(M, w, fused=True)))(M, w)
        np.testing.assert_allclose(found, M.T @ (w[:, None] * M), rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(found, np.asarray(found).T)
