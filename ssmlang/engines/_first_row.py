"""Row 0 of a program by its noise loadings: the one row whose law is given, flat part and exact knowledge included.

    s_0 = m + D delta + U e,  delta flat,  e ~ N(0, I)

Its observations are taken in one after the other. One that sees a flat direction is spent on it (Koopman & Durbin
2000); one that is known exactly says nothing if it agrees and is impossible if it does not, with the tolerances of
`_univariate` and `_diffuse`. The other takes its own loadings out of those of the state. Nothing is factored.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines._elements import Law
from ssmlang.engines._rotations import compress
from ssmlang.engines._rows_last import RowsLast
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial


class FirstRow(NamedTuple):
    """The law of s_0 before and after its observations, and their density."""

    before: Law
    law: Law
    density: Float[Array, " K"]


def first_row(initial: Initial, rows: RowsLast, layout: Layout, tolerance: float) -> FirstRow:
    """Take in row 0 of `rows`."""
    N, extra, dtype = layout.size, len(layout.row_noises), rows.W.dtype
    (m, w), K = rows.W.shape[:2], rows.y.shape[1]
    root = jnp.concatenate([initial.factor, symmetric_root(initial.cov)], axis=1)
    root = jnp.pad(root, ((0, extra), (0, extra)))
    root = root.at[np.arange(N - extra, N), root.shape[1] - extra + np.arange(extra)].set(1.0)
    flat = initial.diffuse
    if flat.shape[1] > N:
        # As good a set of flat coefficients, of which no more are in use than there are entries.
        flat = compress(flat)
    flat = jnp.pad(flat, ((0, extra), (0, 0)))
    mean = jnp.broadcast_to(jnp.pad(initial.mean, (0, extra))[:, None], (N, K))
    d = flat.shape[1]
    none = (jnp.zeros((d, K), dtype), jnp.zeros((d, d), dtype))
    before = Law(flat, mean, compress(root), *none)

    begun, flat_begun = jnp.sum(root**2, axis=1), _norms(flat)
    rank = layout.size * float(jnp.finfo(dtype).eps) ** (2 / 3)

    def take_in(state: tuple[Array, Array, Array], i: Array) -> tuple[tuple[Array, Array, Array], Array]:
        m, U, D = state
        z, own, y, seen, offset = rows.Z[i, :, 0], rows.W[i, :, 0], rows.y[i, :, 0], rows.seen[i, 0], rows.d[i, 0, 0]
        load = jnp.sum(z[:, None] * U, axis=0) + jnp.pad(own, (U.shape[1] - w, 0))
        sight = jnp.sum(z[:, None] * D, axis=0)
        v = y - offset - jnp.sum(z[:, None] * m, axis=0)
        f, f_flat = jnp.sum(load**2), jnp.sum(sight**2)
        spent = seen & (jnp.sqrt(f_flat) > rank * jnp.sum(jnp.abs(z) * flat_begun))
        bound = tolerance * jnp.sum(z**2 * begun)
        exact = jnp.all(own == 0) & (f <= bound)
        size = jnp.abs(y) + jnp.abs(offset) + jnp.sum(jnp.abs(z[:, None] * m), axis=0)
        against = jnp.abs(v) > float(np.sqrt(tolerance)) * size + jnp.sqrt(bound)
        used = seen & ~exact & ~spent
        f, f_flat = jnp.where(used, f, 1.0), jnp.where(spent, f_flat, 1.0)
        K = jnp.where(used, jnp.sum(U * load, axis=1) / f, 0.0)
        K = jnp.where(spent, jnp.sum(D * sight, axis=1) / f_flat, K)
        m = m + K[:, None] * jnp.where(used | spent, v, 0.0)
        U = U - K[:, None] * load
        D = _settled(D - jnp.where(spent, K, 0.0)[:, None] * sight, flat_begun, rank)
        usual = -0.5 * (v**2 / f + jnp.log(f) + float(np.log(2 * np.pi)))
        density = jnp.where(used, usual, jnp.where(spent, -0.5 * jnp.log(f_flat), 0.0))
        return (m, U, D), jnp.where(seen & exact & ~spent & against, -jnp.inf, density)

    wide = jnp.pad(root, ((0, 0), (0, w)))
    (mean, U, D), densities = jax.lax.scan(take_in, (mean, wide, flat), jnp.arange(m))
    return FirstRow(before, Law(D, mean, compress(U), *none), jnp.sum(densities, axis=0))


def _norms(D: Float[Array, "N d"]) -> Float[Array, " N"]:
    return jax.lax.stop_gradient(jnp.sqrt(jnp.sum(D**2, axis=1)))


def _settled(D: Float[Array, "N d"], begun: Float[Array, " N"], rank: float) -> Float[Array, "N d"]:
    """Rows of which rounding alone is left: exactly nothing."""
    gone: Bool[Array, " N"] = _norms(D) <= rank * begun
    return jnp.where(gone[:, None], 0.0, D)


@jax.custom_jvp
def symmetric_root(P: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """S with S S' = P for a covariance of any rank, by its eigenvectors.

    The derivative is any dS with dS S' + S dS' = dP, which all uses of a root through its covariance agree on: with
    Pi = S S^+,  dS = (I - Pi/2) dP (S^+)'. It is exact where the rank does not change.
    """
    return _eigen_root(P)[0]


@symmetric_root.defjvp
def _root_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (P,), (dP,) = primals, tangents
    S, inverse = _eigen_root(P)
    moved = dP @ inverse
    return S, moved - 0.5 * (S @ (inverse.T @ moved))


def _eigen_root(P: Float[Array, "N N"]) -> tuple[Float[Array, "N N"], Float[Array, "N N"]]:
    """S and the transpose of its pseudo-inverse."""
    if not P.shape[0]:
        return P, P
    values, V = jnp.linalg.eigh(P)
    scale = jnp.maximum(values[-1], 0.0)
    kept = values > 4 * P.shape[0] * float(jnp.finfo(P.dtype).eps) * scale
    root = jnp.sqrt(jnp.where(kept, values, 1.0))
    return V * jnp.where(kept, root, 0.0), V * jnp.where(kept, 1.0 / root, 0.0)
