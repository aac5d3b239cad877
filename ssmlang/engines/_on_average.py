"""Means of functions of a memory over its law, for engines that linearise at a point."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._evidence import axes_seen
from ssmlang.engines._linearise import root
from ssmlang.engines._products import FUSED_LIMIT
from ssmlang.engines._sigma_points import Unscented


def on_average(f: Callable[[Array], Array], mean: Float[Array, " N"], sides: Float[Array, "N j"]) -> Float[Array, " q"]:
    """The mean of f over the law whose covariance is sides sides', by unscented points along these axes."""
    points = Unscented().points(sides.shape[1])
    values = jax.vmap(f)(mean + jnp.asarray(points.at, mean.dtype) @ sides.T)
    return jnp.asarray(points.mean, mean.dtype) @ values


def sides_of(times: Callable[[Array], Array], A: Float[Array, "k N"]) -> Float[Array, "N j"]:
    """Axes of the law whose covariance multiplies by `times`: all of a small one's, else those that A sees."""
    N = A.shape[1]
    if N <= FUSED_LIMIT:
        return root(times(jnp.eye(N, dtype=A.dtype)), False)
    return axes_seen(times(A.T), A, False)
