"""A function of a few numbers at many points, each of its numbers a vector over the points.

Batched as it is written, a vector that a function puts together from its numbers is a matrix, for each entry of which
the compiler asks by which number it is given. Numbers that stay apart go through a kernel as they are: the likelihood
of `ukf` in three dimensions takes two thirds of the time so, its gradient a third.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ssmlang.engines._written import Entries, Refused, Writer

LIMIT = 600
"""Vectors over the points, up to which a function is written out."""


def at_points(f: Callable[..., Float[Array, " k"]], *points: Float[Array, "_ K"]) -> Float[Array, "k K"] | None:
    """f at each of K points, its arguments' entries given along the first axis; None where the function is too long,
    or does what is not written out here."""
    closed = jax.make_jaxpr(f)(*(jax.ShapeDtypeStruct(x.shape[:1], x.dtype) for x in points))
    writer = Writer(most=LIMIT)
    try:
        given = [Entries(np.array([writer.kept(row) for row in x], int), x.dtype) for x in points]
        (found,) = writer.run(closed.jaxpr, closed.consts, given)
        at = writer.split(found).at
    except Refused:
        return None
    return jnp.stack([jnp.broadcast_to(writer.numbers[i], points[0].shape[1:]) for i in at])
