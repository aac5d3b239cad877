"""Functions of a few numbers at many points."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.engines._lanes import LIMIT, at_points


def _flow(s: jax.Array, e: jax.Array) -> jax.Array:
    """Entries taken apart and put together, sums, conditions, a matrix, and what reads neither argument."""
    scale = jnp.asarray([2.0, 3.0]) @ jnp.asarray([1.0, -1.0])
    turned = jnp.stack([s[1] * s[2], jnp.where(s[0] > 0, s[0] ** 2, jnp.exp(s[0])), scale * s[2]])
    outer = turned[:, None] * turned
    return jnp.concatenate([outer.sum(axis=0) + e[0], jnp.flip(s)[1:], jnp.tanh(e), jnp.ones(1)])


def test_values_and_derivatives_are_those_of_a_batch() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        s, e = jnp.asarray(rng.normal(size=(3, 7))), jnp.asarray(rng.normal(size=(2, 7)))
        batch = jax.vmap(_flow, (-1, -1), -1)
        np.testing.assert_allclose(at_points(_flow, s, e), batch(s, e), rtol=1e-14)
        slope = lambda way: jax.grad(lambda s: jnp.sum(jnp.sin(way(s))))(s)
        found = slope(lambda s: at_points(_flow, s, e))
        np.testing.assert_allclose(found, slope(lambda s: batch(s, e)), rtol=1e-12)


def test_what_is_long_or_unknown_is_refused() -> None:
    s = jnp.ones((3, 7))
    assert at_points(lambda s: jnp.sort(s), s) is None
    assert at_points(lambda s: jnp.sum(jnp.outer(s, jnp.ones(LIMIT)), axis=1), s) is None
