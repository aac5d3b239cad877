"""Standard normal draws in groups that balance each other: signs and lengths."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import gammainc, gammaincc, gammaln
from jaxtyping import Float, Key

Balance = Literal["both", "location", "none"]
GROUP: dict[str, int] = {"both": 4, "location": 2, "none": 1}
"""Draws in a group: a draw, its negative, and both at the length whose probability is the complement."""
NEWTON = 8


def normals(key: Key[Array, ""], size: int, draws: int, balance: Balance) -> Float[Array, "groups k size"]:
    """At least `draws` standard normal vectors in whole groups: each vector has the law N(0, I), the members of a group
    depend on each other and groups do not. Durbin & Koopman (2012), section 11.4.3."""
    groups = -(-draws // GROUP[balance])
    u = jax.random.normal(key, (groups, size))
    members = [u]
    if balance == "both" and size:
        half = 0.5 * jnp.sum(u**2, axis=1)
        members.append(u * jnp.sqrt(flipped(half, 0.5 * size) / half)[:, None])
    elif balance == "both":
        members.append(u)
    if balance != "none":
        members += [-m for m in members]
    return jnp.stack(members, axis=1)


def flipped(x: Float[Array, " k"], a: float) -> Float[Array, " k"]:
    """The quantile of Gamma(a, 1) at the probability that what is drawn lies above x."""
    below, above = gammainc(a, x), gammaincc(a, x)
    # Wilson & Hilferty's cube root is nearly normal: its mirror image is where Newton's method starts. It solves for
    # the logarithm of the smaller tail, which is nearly straight in that of y.
    centre = 1 - 1 / (9 * a)
    y = a * jnp.maximum(2 * centre - jnp.cbrt(x / a), 0.02) ** 3
    for _ in range(NEWTON):
        slope = jnp.exp(a * jnp.log(y) - y - gammaln(a))
        lower, upper = gammainc(a, y), gammaincc(a, y)
        small = above < below
        tail, wanted = jnp.where(small, lower, upper), jnp.where(small, above, below)
        step = (jnp.log(tail) - jnp.log(wanted)) * tail / jnp.where(small, slope, -slope)
        y = y * jnp.exp(-jnp.clip(step, -3.0, 3.0))
    return y
