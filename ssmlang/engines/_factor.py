"""One row of the Kalman filter in factor form: P = S S' is never formed.

An observation is taken in by Potter's update (Potter 1963; Bierman 1977, chapter V): with a = S'z and f = |a|^2 + R

    S+ = S - S a a' / (f (1 + sqrt(R / f))),   m+ = m + S a v / f

needs no factorisation, no matrix inverse, and nothing of the rank of S or R. A time update puts [A S, B], B the loading
of the noises, into as few columns as there are rows by an orthogonal transformation. Derivatives: see `_gramian`.

Conventions on observations that are predicted exactly are those of `_univariate`, with the tolerance where factors have
it: the standard deviation sqrt(f) of an entry with R = 0 is taken for zero where rounding in S, of relative size
`zero_tolerance`, makes up all of it; E bounds the rounding (|x' dS|^2 <= x' E x for every x).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._compress import lower, root
from ssmlang.engines._gramian import correct, predict
from ssmlang.engines._products import row_product
from ssmlang.engines._rows import Row
from ssmlang.engines._univariate import IMPOSSIBLE, SKIPPED, USED, Entry, Innovation
from ssmlang.engines.companion import Markov, initial, noise_loading
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian

Compress = Callable[[Float[Array, "N q"]], tuple[Float[Array, "N N"], Any]]
"""A square factor of the same Gramian, and whatever is to be kept of the transformation."""


class Root(NamedTuple):
    """Mean and covariance factor, and what goes with them."""

    S: Float[Array, "N N"]
    """never differentiated"""
    C: Float[Array, "N N"]
    """zero; its derivative is that of S S'"""
    m: Float[Array, " N"]
    E: Float[Array, "N N"] | None
    """bound of the rounding errors in S, where the structure lets observations be predicted exactly"""


class Turn(NamedTuple):
    """What an observation did to the coordinates: S+ = S (I - weight a a')."""

    a: Float[Array, " N"]
    weight: Float[Array, ""]
    shift: Float[Array, ""]
    """v / f: the coordinates' mean is a times this"""


def plainly(M: Float[Array, "N q"]) -> tuple[Float[Array, "N N"], None]:
    """Compress, and keep nothing."""
    return lower(M), None


def zero_tolerance(layout: Layout, dtype: Any) -> float:
    """The relative size below which a standard deviation is rounding."""
    return 8.0 * (layout.size + 1) * float(jnp.finfo(dtype).eps)


def start(program: LinearGaussian, markov: Markov, layout: Layout) -> Root:
    """The law of row 0 before its observations, its flat part apart."""
    law, extra = initial(program, layout), len(layout.row_noises)
    fresh = np.eye(layout.size)[:, layout.program_size :].astype(markov.mean.dtype)
    wide = [jnp.pad(part, ((0, extra), (0, 0))) for part in (jnp.asarray(law.factor), root(jnp.asarray(law.cov)))]
    S = jax.lax.stop_gradient(lower(jnp.concatenate([*wide, fresh], axis=1)))
    E = _rounding(S, layout) if layout.can_be_predicted_exactly else None
    return Root(S, markov.cov - jax.lax.stop_gradient(markov.cov), markov.mean, E)


def loading(program: LinearGaussian, layout: Layout) -> Float[Array, "*T N k"]:
    """B: how the noises that the memory reads enter it; never differentiated."""
    G = layout.patterns[1]
    enters = np.zeros(layout.structure.r, bool)
    if len(G):
        enters |= G[0].any(axis=0)
    enters[[noise for _, noise in layout.entering]] = True
    return jax.lax.stop_gradient(noise_loading(program, layout)[..., np.flatnonzero(enters).astype(np.int32)])


def gramian(S: Float[Array, "k N"]) -> Float[Array, "k k"]:
    """S S', exactly symmetric."""
    P = S @ S.T
    return 0.5 * (P + P.T)


def variances(S: Float[Array, "N N"]) -> Float[Array, " N"]:
    """The diagonal of S S'."""
    return jnp.sum(S * S, axis=1)


def update(now: Root, entry: Entry, begun: Float[Array, " N"], layout: Layout) -> tuple[Root, Innovation, Turn]:
    """Take in one observation (NaN: missing). `begun`: the variances at the start of the row."""
    seen = ~jnp.isnan(entry.y)
    entry = entry._replace(y=jnp.where(seen, entry.y, 0.0))
    z, y, d, R, mean = jax.lax.stop_gradient((entry.z, entry.y, entry.d, entry.R, now.m))
    S, tolerance = now.S, zero_tolerance(layout, now.S.dtype)
    a = row_product(z, S, layout.fused)
    f = jnp.sum(a * a) + R

    rounding = tolerance**2 * jnp.sum(z**2 * begun)
    close = tolerance**0.5 * (jnp.abs(y) + jnp.abs(d) + jnp.sum(jnp.abs(z * mean)))
    if now.E is not None:
        rounding = rounding + jnp.sum(z * jnp.sum(now.E * z, axis=-1))
        close = close + jnp.sqrt(rounding / tolerance)
    zero = (R == 0) & (rounding >= f)
    against = zero & (jnp.abs(y - d - jnp.sum(z * mean)) > close)
    used = seen & ~zero

    f = jnp.where(used, f, 1.0)
    a = jnp.where(used, a, 0.0)
    kept = jnp.where(used, jnp.sqrt(R / f), 1.0)
    weight = 1.0 / (f * (1.0 + kept))
    K = jnp.sum(S * a, axis=1)
    after = S - (weight * K)[:, None] * a
    if entry.only is not None:
        # This row shrinks by sqrt(R / f) exactly; written so, it loses no digits and is zero where R is.
        after = jnp.where(entry.only[:, None], kept * S, after)
    C, m, v, F = correct(S, after, used, entry.only, now.C, now.m, entry.z, entry.y, entry.d, entry.R)
    K = K / f
    E = None
    if now.E is not None:
        E = univariate.deflate(now.E, K, z) + jnp.where(used, _rounding(S, layout), 0.0)
    kind = jnp.where(used, USED, jnp.where(seen & against, IMPOSSIBLE, SKIPPED))
    turn = Turn(a, weight, jax.lax.stop_gradient(v) / f)
    return Root(after, C, m, E), Innovation(v, F, kind, K), turn


def time_update(
    now: Root, row: Row, B: Float[Array, "N k"], layout: Layout, compress: Compress = plainly
) -> tuple[Root, Any]:
    """From row t given y_0..y_t to row t + 1; and what `compress` kept, None where nothing enters."""
    top = jax.lax.stop_gradient(row.top)
    S, kept = univariate.advance_rows(now.S, top, layout), None
    if B.shape[1]:
        S, kept = compress(jnp.concatenate([S, B], axis=1))
    C = predict(layout, now.S, now.C, row.top, row.Q)
    m = univariate.advance_rows(now.m[:, None], row.top, layout)[:, 0] + row.a
    E = None
    if now.E is not None:
        E = univariate.propagated(now.E, top, layout) + _rounding(S, layout)
    return Root(S, C, m, E), kept


def _rounding(S: Float[Array, "N N"], layout: Layout) -> Float[Array, "N N"]:
    """What one operation on S may leave of rounding in it, as a matrix E."""
    return zero_tolerance(layout, S.dtype) ** 2 * jnp.diag(variances(S))
