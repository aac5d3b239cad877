"""One row of the Kalman filter in covariance form, with univariate updates.

An update is one rank-one correction of P, a time update one product from each side, so a row costs few instructions.
Nothing is inverted or factored but the scalar innovation variance, and P is symmetric to the last bit: an antisymmetric
part that rounding left would follow the transition alone, which may be unstable. Koopman & Durbin (2000); Durbin &
Koopman (2012), section 6.4.

An observation with zero innovation variance that agrees with its prediction carries no information and is skipped; one
that does not agree is impossible and the log-likelihood is -inf. "Zero" means what rounding leaves: only an entry
without noise of its own (R = 0) can have it, and its variance z' P z is taken for zero below `zero_tolerance` times
sum_j z_j^2 P_jj, with P at the start of the row; where the structure lets observations be predicted exactly from
earlier rows, also below z' E z, E being a bound of the rounding errors in P (|x' dP x| <= x' E x for every x) that
follows the same recursions as P. "Agrees" means within the square root of that tolerance, relative to the numbers that
the innovation is the difference of (and to the standard deviations that E stems from): about seven digits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import DTypeLike

from ssmlang.engines._products import SUMMED_LIMIT, product, product_transposed, read_across, row_product, symmetric
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._turned import turned
from ssmlang.engines.layout import Layout, Runs

USED, SKIPPED, IMPOSSIBLE, DIFFUSE = 0, 1, 2, 3
"""What became of an entry of y: it informs the finite part; it was missing or exactly predicted; it contradicts an
exact prediction; it was spent on the diffuse part."""

SLICES = 12
"""Up to this many slices are taken of a memory; more are one gather."""


class Entry(NamedTuple):
    """What an observation needs of its row."""

    z: Float[Array, " N"]
    y: Float[Array, " *series"]
    d: Float[Array, ""]
    R: Float[Array, ""]
    only: Bool[Array, " N"] | None
    """the one entry of the memory that is read, None where there are several or none"""


class Innovation(NamedTuple):
    """Innovation v, its variance F (1 where nothing was used), the entry's fate, and the gain K."""

    v: Float[Array, " *series"]
    F: Float[Array, ""]
    kind: Int[Array, ""]
    K: Float[Array, " N"]


class Finite(NamedTuple):
    """Covariance P (symmetric) and mean m, and the bound E of the rounding errors in P where it is needed.

    Several series with the same missing entries share P: m then has a column for each, and y and v an entry.
    """

    P: Float[Array, "N N"]
    m: Float[Array, N * S]
    E: Float[Array, "N N"] | None


def zero_tolerance(layout: Layout, dtype: DTypeLike) -> float:
    """The relative size below which a variance is rounding."""
    return 4.0 * layout.size * float(jnp.finfo(dtype).eps)


def start(mean: Float[Array, " N"], cov: Float[Array, "N N"], layout: Layout) -> Finite:
    """The moments of row 0 before its observations."""
    E = None
    if layout.can_be_predicted_exactly:
        E = jnp.diag(zero_tolerance(layout, cov.dtype) * jax.lax.stop_gradient(jnp.diagonal(cov)))
    return Finite(symmetric(cov), mean, E)


def terms(v: Float[Array, "T m"], F: Float[Array, "T m"], kind: Int[Array, "T m"]) -> Float[Array, " T"]:
    """Log-density of each row given the rows before it, constants included.

    Entries spent on the diffuse part count -log(F_inf)/2 without the constant (Durbin & Koopman 2012, section 7.2.2).
    """
    finite = jnp.where(kind == USED, v**2 / F + jnp.log(2 * jnp.pi), 0.0)
    each = -0.5 * (jnp.log(F) + finite)
    return jnp.sum(jnp.where(kind == IMPOSSIBLE, -jnp.inf, each), axis=-1)


def innovation(
    now: Finite, entry: Entry, begun: Float[Array, " N"], layout: Layout
) -> tuple[Float[Array, " N"], Float[Array, ""], Float[Array, ""], Bool[Array, ""], Bool[Array, ""]]:
    """M = P z, the innovation v and its variance F, whether F is zero and, if so, whether v contradicts it.

    `begun` is the diagonal of P at the start of the row.
    """
    z, y, d, R, _ = entry
    M = row_product(z, now.P)
    v = y - d - along(z, now.m)
    known = jnp.sum(M * z)
    # Not `maximum`, whose derivative at zero, where a state is known exactly, is one half.
    F = jnp.where(known < 0, 0.0, known) + R

    def judged(z: Array, y: Array, d: Array, F: Array, v: Array, begun: Array, now: Finite) -> tuple[Array, Array]:
        tolerance = zero_tolerance(layout, now.P.dtype)
        bound = tolerance * jnp.sum(z**2 * (begun + variances(now.P)))
        size = jnp.abs(y) + jnp.abs(d) + along(jnp.abs(z), jnp.abs(now.m))
        close = float(np.sqrt(tolerance)) * size
        if now.E is not None:
            bound = bound + jnp.sum(z * row_product(z, now.E))
            close = close + jnp.sqrt(jnp.maximum(bound, 0.0))
        zero = bound >= F
        return zero, zero & jnp.any(jnp.abs(v) > close)

    no = jnp.zeros((), bool)
    facts = jax.lax.stop_gradient((z, y, d, F, v, begun, now))
    zero, against = jax.lax.cond(R == 0, judged, lambda *_: (no, no), *facts)
    return M, v, F, zero, against


def update(now: Finite, entry: Entry, begun: Float[Array, " N"], layout: Layout) -> tuple[Finite, Innovation]:
    """Take in one observation (NaN: missing)."""
    there = ~jnp.isnan(entry.y)
    seen = there if there.ndim == 0 else there[0]
    entry = entry._replace(y=jnp.where(there, entry.y, along(entry.z, now.m) + entry.d))
    M, v, F, zero, against = innovation(now, entry, begun, layout)
    used = seen & ~zero
    v = jnp.where(used, v, 0.0)
    F = jnp.where(used, F, 1.0)
    weight = jnp.where(used, 1.0 / F, 0.0)
    P = now.P - M[:, None] * M * weight
    if entry.only is not None:
        # Row and column j of P - M M' / F are M R / F exactly; written so, they lose no digits and are zero where R is.
        P = jnp.where(entry.only[:, None] | entry.only, jnp.where(used, entry.R / F, 1.0) * now.P, P)
    K = M * weight
    E = None
    if now.E is not None:
        E = deflate(now.E, K, entry.z) + jnp.where(used, zero_tolerance(layout, P.dtype), 0.0) * diagonal(now.P)
    kind = jnp.where(used, USED, jnp.where(seen & against, IMPOSSIBLE, SKIPPED))
    return Finite(P, now.m + outer(K, v), E), Innovation(v, F, kind, K)


def columns(m: Array) -> Float[Array, "N series"]:
    """A column for each series."""
    return m[:, None] if m.ndim == 1 else m


def along(z: Float[Array, " N"], m: Float[Array, N * S]) -> Float[Array, " *series"]:
    """z' m."""
    return jnp.sum(z * m) if m.ndim == 1 else row_product(z, m)


def outer(K: Float[Array, " N"], v: Float[Array, " *series"]) -> Float[Array, N * S]:
    """K v'."""
    return K * v if v.ndim == 0 else K[:, None] * v


def deflate(E: Float[Array, "N N"], K: Float[Array, " N"], z: Float[Array, " N"]) -> Float[Array, "N N"]:
    """(I - K z') E (I - K z')', never differentiated."""
    E, K, z = jax.lax.stop_gradient((E, K, z))
    E = E - K[:, None] * row_product(z, E)
    return E - row_product(z, E.T)[:, None] * K


def diagonal(P: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """The diagonal of P as a matrix, never differentiated."""
    return jnp.where(np.eye(len(P), dtype=np.bool_), jax.lax.stop_gradient(P), 0.0)


def variances(P: Float[Array, "N N"]) -> Float[Array, " N"]:
    """The diagonal of P, never differentiated; a masked sum, which fuses where a gather would not, while P is small."""
    return (
        jnp.sum(diagonal(P), axis=1) if P.size <= SUMMED_LIMIT else jax.lax.stop_gradient(P.reshape(-1)[:: len(P) + 1])
    )


def at_hand(rows: Rows, layout: Layout) -> Float[Array, "read n"] | None:
    """The transpose of a transition that all rows share, where it pays to have it before they are gone through."""
    top = rows.constant.get("top")
    return turned(top) if top is not None and layout.fused and read_across(top, len(top)) else None


def time_update(now: Finite, row: Row, layout: Layout, across: Float[Array, "read n"] | None = None) -> Finite:
    """From row t given y_0..y_t to row t + 1. `across`: the transpose of the transition, if it is at hand."""
    P = propagated(now.P, row.top, layout, across) + row.Q
    m = (advance_rows(columns(now.m), row.top, layout) + row.a[:, None]).reshape(now.m.shape)
    E = None
    if now.E is not None:
        E = propagated(now.E, jax.lax.stop_gradient(row.top), layout) + zero_tolerance(layout, P.dtype) * diagonal(P)
    return Finite(P, m, E)


def propagated(
    P: Float[Array, "N N"], top: Float[Array, "n read"], layout: Layout, across: Float[Array, "read n"] | None = None
) -> Float[Array, "N N"]:
    """A P A' for a symmetric P, symmetric to the last bit."""
    new, fused = product(top, P[: layout.read], layout.fused), layout.fused
    read = new[:, : layout.read]
    corner = symmetric(product_transposed(read, top, fused) if across is None else product(read, across, fused))
    if layout.size == layout.structure.n:
        return corner
    across = jnp.concatenate([part.T for part in _taken(new.T, layout.down)], axis=1)
    rest = jnp.concatenate(_taken(P, layout.down), axis=0)
    rest = jnp.concatenate([part.T for part in _taken(rest.T, layout.down)], axis=1)
    return jnp.concatenate(
        [jnp.concatenate([corner, across], axis=1), jnp.concatenate([across.T, rest], axis=1)], axis=0
    )


def advance_rows(X: Float[Array, "N k"], top: Float[Array, "n read"], layout: Layout) -> Float[Array, "N k"]:
    """A X: new x_t on top, older rows of x and of the noises pushed down, fresh noises zero."""
    new = product(top, X[: layout.read], layout.fused)
    return jnp.concatenate([new, *_taken(X, layout.down)], axis=0)


def advance_columns(X: Float[Array, "k N"], top: Float[Array, "n read"], layout: Layout) -> Float[Array, "k N"]:
    """X A'."""
    new = product_transposed(X[:, : layout.read], top, layout.fused)
    return jnp.concatenate([new, *(part.T for part in _taken(X.T, layout.down))], axis=1)


def retreat(r: Array, top: Float[Array, "n read"], layout: Layout) -> Array:
    """A' r for a vector or matrix r with N rows, the transpose of `advance_rows`: for the smoother."""
    if not layout.size:  # a model without states
        return r
    matrix = r if r.ndim == 2 else r[:, None]
    new = product(top.T, matrix[: layout.structure.n], layout.fused)
    out = jnp.pad(new, ((0, layout.size - layout.read), (0, 0)))
    return (out + jnp.concatenate(_taken(matrix, layout.up), axis=0)).reshape(r.shape)


def _taken(X: Float[Array, "N k"], runs: Runs) -> list[Float[Array, "_ k"]]:
    """Rows of X: slices, which fuse where a gather would not, as long as there are few."""
    if len(runs) > SLICES:
        entries = np.concatenate([np.full(count, -1) if i < 0 else i + np.arange(count) for i, count in runs])
        return [jnp.where(entries[:, None] < 0, 0.0, X[np.maximum(entries, 0).astype(np.int32)])]
    return [jnp.zeros((count, X.shape[1]), X.dtype) if i < 0 else X[i : i + count] for i, count in runs]
