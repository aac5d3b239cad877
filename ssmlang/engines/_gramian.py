"""How the factor engine is differentiated: through the Gramian P = S S', to any order and at any rank.

A factor S is never differentiated; an array C, zero in value, stands for the change of S S' (the right-hand side of
dS S' + S dS' = dP, see `triangular`). The maps of P below give C = 0 and carry the differential of P, written in
products of factors, so nothing is subtracted that the filter itself does not subtract, no factorisation is
differentiated, and a covariance that is no Gramian of a smooth factor (rank that grows with a parameter) is as good as
any. Where P stands in a rule it is S S' + C, so that the rules can be differentiated in their turn. With L = I - K z':

    update      dP+ = L dP L' - (P+ dz) K' - K (P+ dz)' + dR K K'
    prediction  dP+ = A dP A' + dA P A' + A P dA' + dQ
    spent entry dP+ = differential of (I - K z') P (I - K z')' + R K K' for a gain K that is no function of P

JAX drops a rule of one's own where it takes a loop apart for reverse mode, and then differentiates the function itself
a second time; so each function below is written such that its plain derivatives are right as well.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ssmlang.engines._products import product, product_transposed
from ssmlang.engines._univariate import advance_columns, advance_rows
from ssmlang.engines.layout import Layout


def _zero(X: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """Zero, with the derivatives of X."""
    return X - jax.lax.stop_gradient(X)


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
    del after, only
    a, Cz = jnp.sum(z[:, None] * S, axis=0), jnp.sum(C * z, axis=1)
    F = jnp.where(used, jnp.sum(a * a) + jnp.sum(z * Cz) + R, 1.0)
    v = jnp.where(used, y - d - jnp.sum(z * m), 0.0)
    M = jnp.where(used, jnp.sum(S * a, axis=1) + Cz, 0.0)
    return _zero(C - M[:, None] * M / F), m + M * (v / F), v, F


@correct.defjvp
def _(primals: tuple, tangents: tuple) -> tuple:
    S, after, used, only, C, m, z, _, _, R = primals
    dC, dm, dz, dy, dd, dR = tangents[4:]
    out = correct(*primals)
    C_after, _, v, F = out
    M = jnp.sum(S * jnp.sum(z[:, None] * S, axis=0), axis=1) + jnp.sum(C * z, axis=1)
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
    turned = jnp.sum(after * jnp.sum(dz[:, None] * after, axis=0), axis=1) + jnp.sum(C_after * dz, axis=1)
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
    AS = advance_rows(S, top, layout)
    AC = advance_columns(advance_rows(C, top, layout), top, layout)
    return _zero(product_transposed(AS, AS, layout.fused) + AC + Q)


@predict.defjvp
def _(layout: Layout, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    S, C, top, _ = primals
    _, dC, dtop, dQ = tangents
    moved = product_transposed(S[: layout.read], advance_rows(S, top, layout), layout.fused)
    moved = moved + advance_columns(C[: layout.read], top, layout)
    new = jnp.pad(product(dtop, moved, layout.fused), ((0, layout.size - layout.structure.n), (0, 0)))
    dC_after = advance_columns(advance_rows(dC, top, layout), top, layout) + new + new.T + dQ
    return predict(layout, *primals), dC_after


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
    del only
    left = S - K[:, None] * jnp.sum(z[:, None] * S, axis=0)
    both = C - K[:, None] * jnp.sum(z[:, None] * C, axis=0)
    both = both - jnp.sum(both * z, axis=1)[:, None] * K
    return _zero(left @ left.T + both + R * K[:, None] * K)


@spend.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    S, only, C, K, z, R = primals
    dC, dK, dz, dR = tangents[2:]
    left = S - K[:, None] * jnp.sum(z[:, None] * S, axis=0)
    if only is not None:
        left = jnp.where(only[:, None], 0.0, left)
    PL = S @ left.T + C - jnp.sum(C * z, axis=1)[:, None] * K
    rows = lambda x: jnp.sum(x[:, None] * PL, axis=0)
    cross = R * dK[:, None] * K - dK[:, None] * rows(z) - K[:, None] * rows(dz)
    both = dC - K[:, None] * jnp.sum(z[:, None] * dC, axis=0)
    both = both - jnp.sum(both * z, axis=1)[:, None] * K
    if only is not None:
        both = jnp.where(only[:, None] | only, 0.0, both)
    return spend(*primals), both + cross + cross.T + dR * K[:, None] * K
