"""Means and variances of functions of a Gaussian vector, by points: exact for polynomials up to a degree."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

POINTS = {1: 11, 2: 7}
"""Gauss-Hermite points along each direction, by the number of directions; with more of them the 2 N points of the
spherical rule of degree 3 (Arasaratnam & Haykin 2009) and the centre's weight zero."""


def rule(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (k, size) and weights (k,) for N(0, I)."""
    if size == 0:
        return np.zeros((1, 0)), np.ones(1)
    if size in POINTS:
        at, weight = np.polynomial.hermite_e.hermegauss(POINTS[size])
        weight = weight / weight.sum()
        return (np.array(list(product(at, repeat=size))), np.array([np.prod(w) for w in product(weight, repeat=size)]))
    eye = np.sqrt(size) * np.eye(size)
    return np.concatenate([eye, -eye]), np.full(2 * size, 0.5 / size)


def moments(
    function: Callable[[Float[Array, " N"]], Float[Array, " k"]], mean: Float[Array, " N"], root: Float[Array, "N j"]
) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Mean and covariance of function(s), s ~ N(mean, root root')."""
    at, weight = rule(root.shape[1])
    values = jax.vmap(lambda u: function(mean + root @ u))(jnp.asarray(at, mean.dtype))
    centre = jnp.asarray(weight) @ values
    away = values - centre
    return centre, (away * weight[:, None]).T @ away


def mean_of(function: Callable[[Array], Array], mean: Float[Array, " N"], root: Float[Array, "N j"]) -> Array:
    """Mean of an array-valued function."""
    at, weight = rule(root.shape[1])
    return jnp.tensordot(weight, jax.vmap(lambda u: function(mean + root @ u))(jnp.asarray(at, mean.dtype)), 1)
