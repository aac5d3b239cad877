"""The exact diffuse phase in factor form: the covariance is kappa D D' + S S' with kappa -> infinity.

An observation with w = z' D different from zero is spent on the flat part, as in `_diffuse`; with K = D w / |w|^2 the
finite part becomes (I - K z') P (I - K z')' + R K K', whose factor is [(I - K z') S, sqrt(R) K] put into N columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _factor as factor
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._diffuse import Flat, _rounding, _settle
from ssmlang.engines._factor import Compress, Root, Turn
from ssmlang.engines._gramian import spend
from ssmlang.engines._univariate import DIFFUSE, Entry, Innovation
from ssmlang.engines.layout import Layout


class Spent(NamedTuple):
    """What the smoother needs of an entry that was spent: w' delta = v - a'g + noise u, and what `compress` kept."""

    a: Float[Array, " N"]
    w: Float[Array, " d"]
    noise: Float[Array, ""]
    Q: Any


def update(
    now: Root, flat: Flat, entry: Entry, begun: Float[Array, " N"], layout: Layout, compress: Compress
) -> tuple[Root, Flat, Innovation, Turn, Spent]:
    """Take in one observation (NaN: missing)."""
    z, only = entry.z, entry.only
    seen = ~jnp.isnan(entry.y)
    w = jnp.sum(z[:, None] * flat.D, axis=0)
    F_inf = jnp.sum(w * w)
    fixed = jax.lax.stop_gradient(z)
    spent = seen & (jax.lax.stop_gradient(F_inf) > jnp.sum(jnp.sum(fixed * flat.ED, axis=-1) * fixed))

    plain, found, turn = factor.update(now, entry._replace(y=jnp.where(spent, jnp.nan, entry.y)), begun, layout)

    F_inf = jnp.where(spent, F_inf, 1.0)
    K = jnp.where(spent, jnp.sum(flat.D * w, axis=-1) / F_inf, 0.0)
    v = jnp.where(spent, jnp.where(seen, entry.y, 0.0) - entry.d - jnp.sum(z * now.m), 0.0)

    gain, R = jax.lax.stop_gradient((K, entry.R))
    a = jnp.sum(fixed[:, None] * now.S, axis=0)
    left = now.S - gain[:, None] * a
    D = flat.D - K[:, None] * w
    if only is not None:
        left = jnp.where(only[:, None], 0.0, left)
        D = jnp.where(only[:, None], 0.0, D)
    noise = jnp.sqrt(R)
    S, kept = compress(jnp.concatenate([left, (noise * gain)[:, None]], axis=1))
    E = None
    if now.E is not None and plain.E is not None:
        E = jnp.where(spent, univariate.deflate(now.E, K, z) + factor._rounding(now.S, layout), plain.E)
    after = Root(
        S=jnp.where(spent, S, plain.S),
        C=jnp.where(spent, spend(now.S, only, now.C, K, z, entry.R), plain.C),
        m=jnp.where(spent, now.m + K * v, plain.m),
        E=E,
    )
    unseen = flat.left - jnp.outer(jnp.sum(flat.left * w, axis=-1), w) / F_inf
    rest = Flat(
        D=jnp.where(spent, D, flat.D),
        left=jnp.where(spent, unseen, flat.left),
        ED=jnp.where(spent, univariate.deflate(flat.ED, K, z) + _rounding(flat.D, layout), flat.ED),
    )
    kind = jnp.where(spent, DIFFUSE, found.kind)
    innovation = Innovation(jnp.where(spent, v, found.v), jnp.where(spent, F_inf, found.F), kind, found.K)
    return after, _settle(rest), innovation, turn, Spent(a, w, noise, kept)
