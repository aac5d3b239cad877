"""Members of a batch in the lanes of one program: the numbers of each are those it has by itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines import _side_by_side as side
from ssmlang.engines._kernel import kernel, one_kernel


def filtered(F, z, y):
    """A filter of two states with a gap where y is NaN, and a branch that members take apart."""

    def row(carry, y):
        P, m, total = carry
        M = jnp.sum(z[:, None] * P, axis=0)
        S, v = jnp.sum(M * z) + 0.1, y - jnp.sum(z * m)
        used = ~jnp.isnan(y)
        w, v = jnp.where(used, 1 / S, 0.0), jnp.where(used, v, 0.0)
        gained = jax.lax.cond(used & (v > 0), lambda v: -0.5 * v**2 * w - 0.5 * jnp.log(S), lambda v: 0.25 * v, v)
        P = P - M[:, None] * M * w
        FP = jnp.sum(F[:, :, None] * P, axis=1)
        new = jnp.sum(FP[:, None, :] * F, axis=-1)
        return (0.5 * (new + new.T) + np.eye(2), jnp.sum(F * (m + M * v * w), axis=1), total + gained), m

    return jax.lax.scan(row, (jnp.eye(2), jnp.zeros(2), 0.0), y)


def shaped(a, b):
    """Every operation on shapes, and a program within the program."""
    inner = one_kernel(lambda a: jnp.concatenate([a[1:, ::2], jnp.ones((1, 2))]) * 2)
    padded = jnp.pad(jnp.stack([a, a + b[0]], axis=1), ((0, 0), (1, 0), (0, 2)), constant_values=3.0)
    filled = jax.lax.pad(a, b[1], ((0, 1, 0), (1, 0, 0)))
    return inner(a), padded.transpose(2, 0, 1).reshape(9, -1), filled, jnp.max(a, axis=0), jnp.squeeze(a[:1], 0), b


rng = np.random.default_rng(3)
MEMBERS = 7
F = 0.5 * rng.standard_normal((MEMBERS, 2, 2))
Y = np.where(rng.uniform(size=(MEMBERS, 9)) < 0.2, np.nan, rng.standard_normal((MEMBERS, 9)))
Z = rng.standard_normal((MEMBERS, 2))
CALLS = {
    "all of their own": (filtered, (F, Z, Y), (0, 0, 0)),
    "matrices shared": (filtered, (F[0], Z[0], Y), (None, None, 0)),
    "data shared": (filtered, (F, Z[0], Y[0]), (0, None, None)),
    "members last": (filtered, (F.transpose(1, 2, 0), Z.T, Y.T), (2, 1, 1)),
    "shapes": (shaped, (rng.standard_normal((MEMBERS, 3, 4)), rng.standard_normal((MEMBERS, 2))), (0, 0)),
    "shapes, some shared": (shaped, (rng.standard_normal((MEMBERS, 3, 4)), np.ones(2)), (0, None)),
    "a number for all": (shaped, (rng.standard_normal((3, 4)), rng.standard_normal((MEMBERS, 2))), (None, 0)),
}


@pytest.mark.parametrize(("function", "args", "axes"), CALLS.values(), ids=CALLS)
def test_each_member_has_its_own_numbers(function, args, axes):
    closed = jax.make_jaxpr(function)(*(a if x is None else np.take(a, 0, x) for a, x in zip(args, axes, strict=True)))
    assert side.fits(closed.jaxpr)
    found = jax.jit(jax.vmap(one_kernel(function), axes))(*args)
    leaves = jax.tree.leaves(found)
    for i in range(MEMBERS):
        alone = function(*(a if x is None else np.take(a, i, x) for a, x in zip(args, axes, strict=True)))
        for one, expected in zip(leaves, jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one[i], expected, rtol=1e-12, atol=1e-14)


def test_a_batch_of_batches_and_derivatives():
    value = lambda s, y: filtered(s * F[0], Z[0], y)[0][2]
    scales = np.array([0.5, 1.0, 1.5])
    native = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(kernel(value)), (None, 0)), (0, None)))(scales, Y)
    for i, s in enumerate(scales):
        for j, y in enumerate(Y):
            plain = jax.value_and_grad(value)(s, y)
            np.testing.assert_allclose([native[0][i, j], native[1][i, j]], plain, rtol=1e-10)


def test_what_does_not_gain_or_cannot_is_left_to_one_member_after_the_other():
    program = lambda f, *a: jax.make_jaxpr(f)(*a).jaxpr
    large = np.ones((6, 6))
    assert not side.fits(program(lambda a: jnp.sum(a[:, :, None] * a, axis=1), large))
    assert side.fits(program(lambda a: jnp.sum(a[:, :, None] * a, axis=1), large[:4, :4]))
    assert not side.fits(program(lambda a: jax.lax.while_loop(lambda a: a[0] < 5, lambda a: a + 1, a), np.zeros(2)))
    assert not side.fits(program(lambda a, i: a[i], np.zeros(3), 1))
