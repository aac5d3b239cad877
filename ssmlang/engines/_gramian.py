"""How the factor engine is differentiated: through the Gramian P = S S', to any order and at any rank.

A factor S is never differentiated; an array C, zero in value, stands for the change of S S' (the right-hand side of
dS S' + S dS' = dP, see `triangular`). The maps of P below give C = 0 and carry the differential of P, written in
products of factors, so nothing is subtracted that the filter itself does not subtract, no factorisation is
differentiated, and a covariance that is no Gramian of a smooth factor (rank that grows with a parameter) is as good as
any. With L = I - K z':

    update      dP+ = L dP L' - (P+ dz) K' - K (P+ dz)' + dR K K'
    prediction  dP+ = A dP A' + dA P A' + A P dA' + dQ
    spent entry dP+ = differential of (I - K z') P (I - K z')' + R K K' for a gain K that is no function of P
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ssmlang.engines._products import product, product_transposed
from ssmlang.engines._univariate import advance_columns, advance_rows
from ssmlang.engines.layout import Layout


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def vanishing(f: Callable[[Array, Any], Array], C: Float[Array, "N N"], given: Any) -> Array:
    """f(C, given) for f linear in C, where C is zero: nothing is computed but the derivatives."""
    shape = jax.eval_shape(f, C, given)
    return jnp.zeros(shape.shape, shape.dtype)


@vanishing.defjvp
def _(f: Callable[[Array, Any], Array], primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (C, given), (dC, more) = primals, tangents
    moved = lambda C, both: jax.jvp(lambda given: f(C, given), (both[0],), (both[1],))[1]
    return vanishing(f, C, given), f(dC, given) + vanishing(moved, C, (given, more))


def times(C: Float[Array, "N N"], x: Float[Array, " N"]) -> Float[Array, " N"]:
    """C x."""
    return vanishing(lambda C, x: jnp.sum(C * x, axis=1), C, x)


@jax.custom_jvp
def correct(
    S: Float[Array, "N N"],
    after: Float[Array, "N N"],
    used: Bool[Array, ""],
    only: Bool[Array, " N"] | None,
    C: Float[Array, "N N"],
    m: Float[Array, " N"],
    z: Float[Array, " N"],
    y: Float[Array, ""],
    d: Float[Array, ""],
    R: Float[Array, ""],
) -> tuple[Float[Array, "N N"], Float[Array, " N"], Float[Array, ""], Float[Array, ""]]:
    """An observation taken in where `used`: C and the mean after it, the innovation (0 where not) and its variance (1).

    S, after: the factors before and after, not differentiated. only: the one entry that z reads, where there is one.
    """
    a = jnp.sum(z[:, None] * S, axis=0)
    F = jnp.where(used, jnp.sum(a * a) + R, 1.0)
    v = jnp.where(used, y - d - jnp.sum(z * m), 0.0)
    return C, m + jnp.sum(S * a, axis=1) * (v / F), v, F


@correct.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    S, after, used, only, C, m, z, _, _, R = primals
    dC, dm, dz, dy, dd, dR = tangents[4:]
    out = correct(*primals)
    C_after, _, v, F = out
    M = jnp.sum(S * jnp.sum(z[:, None] * S, axis=0), axis=1) + times(C, z)
    K = jnp.where(used, M / F, 0.0)

    left = dC - K[:, None] * jnp.sum(z[:, None] * dC, axis=0)
    drift = dm - K * jnp.sum(z * dm)
    if only is not None:
        # Row j of L is R / F times that of I, exactly: written so it loses no digits.
        kept = jnp.where(used, R / F, 1.0)
        left = jnp.where(only[:, None], kept * dC, left)
        drift = jnp.where(only, kept * dm, drift)
    leftz = jnp.sum(left * z, axis=1)
    both = left - leftz[:, None] * K
    if only is not None:
        both = jnp.where(only, jnp.where(used, R / F, 1.0) * left, both)
    turned = jnp.sum(after * jnp.sum(dz[:, None] * after, axis=0), axis=1) + times(C_after, dz)
    cross = turned[:, None] * K
    dC_after = both - cross - cross.T + dR * K[:, None] * K

    dF = jnp.where(used, jnp.sum(z * jnp.sum(dC * z, axis=1)) + 2 * jnp.sum(M * dz) + dR, 0.0)
    fresh = jnp.where(used, dy - dd - jnp.sum(dz * m), 0.0)
    dv = fresh - jnp.where(used, jnp.sum(z * dm), 0.0)
    dK = (leftz + turned - K * (jnp.sum(M * dz) + dR)) / F
    return out, (dC_after, drift + K * fresh + dK * v, dv, dF)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def predict(
    layout: Layout, S: Float[Array, "N N"], C: Float[Array, "N N"], top: Float[Array, "n read"], Q: Float[Array, "N N"]
) -> Float[Array, "N N"]:
    """C after a time update from the factor S, which is not differentiated."""
    del layout, S, top, Q
    return C


@predict.defjvp
def _(layout: Layout, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    S, C, top, _ = primals
    _, dC, dtop, dQ = tangents
    read, below = layout.read, layout.size - layout.structure.n
    moved = product(dtop, S[:read], layout.fused)
    new = product_transposed(moved, advance_rows(S, top, layout), layout.fused)

    def seen(C: Array, given: tuple[Array, Array]) -> Array:
        return advance_columns(product(given[0], C[:read], layout.fused), given[1], layout)

    new = jnp.pad(new + vanishing(seen, C, (dtop, top)), ((0, below), (0, 0)))
    return predict(layout, *primals), (
        advance_columns(advance_rows(dC, top, layout), top, layout) + new + new.T + dQ
    )  # fmt: skip


@jax.custom_jvp
def spend(
    S: Float[Array, "N N"],
    only: Bool[Array, " N"] | None,
    C: Float[Array, "N N"],
    K: Float[Array, " N"],
    z: Float[Array, " N"],
    R: Float[Array, ""],
) -> Float[Array, "N N"]:
    """C after an observation that was spent on the flat part, with the gain K that the flat part gives it."""
    del S, only, K, z, R
    return C


@spend.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    S, only, C, K, z, R = primals
    dC, dK, dz, dR = tangents[2:]
    a = jnp.sum(z[:, None] * S, axis=0)
    turned = -(dK[:, None] * a + K[:, None] * jnp.sum(dz[:, None] * S, axis=0))
    left = S - K[:, None] * a
    if only is not None:
        left = jnp.where(only[:, None], 0.0, left)
    cross = turned @ left.T + vanishing(_turned, C, (K, z, dK, dz)) + R * dK[:, None] * K
    both = dC - K[:, None] * jnp.sum(z[:, None] * dC, axis=0)
    both = both - jnp.sum(both * z, axis=1)[:, None] * K
    if only is not None:
        both = jnp.where(only[:, None] | only, 0.0, both)
    return spend(*primals), both + cross + cross.T + dR * K[:, None] * K


def _turned(C: Float[Array, "N N"], given: tuple[Array, Array, Array, Array]) -> Float[Array, "N N"]:
    """-(dK z' + K dz') C (I - K z')'."""
    K, z, dK, dz = given
    right = C - jnp.sum(C * z, axis=1)[:, None] * K
    return -(dK[:, None] * jnp.sum(z[:, None] * right, axis=0) + K[:, None] * jnp.sum(dz[:, None] * right, axis=0))
