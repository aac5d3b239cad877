"""What has been seen of the flat coefficients of the initial law, and what follows from it.

The rows after the first are gone through given the flat coefficients delta; each says something of them, in all

    log p(y | delta) = eta' delta - |Z' delta|^2 / 2 + constant,

and integrating delta out adds  |X^{-1} eta|^2 / 2 - log |det X|  to the density at delta = 0, X X' = Z Z' (de Jong
1991). Directions that nothing has seen are left out: their law stays flat.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines._rotations import beside, condition, product, transposed


class Settled(NamedTuple):
    """delta given what was seen of it: as Z and eta with every coefficient in a unit of its own."""

    eta: Float[Array, "d K *T"]
    X: Float[Array, "d 2d *T"]
    """[Z M]: Z Z' plus what makes it regular without touching what was seen"""
    unseen: Float[Array, "d d *T"]
    """an orthonormal basis of the directions that nothing has seen, other columns zero"""
    unit: Float[Array, " d *T"]
    constant: Float[Array, " *T"]
    """what log |det X| counts too much, and -log(2 pi)/2 for each direction that was seen"""


def settle(
    eta: Float[Array, "d K *T"], Z: Float[Array, "d d *T"], size: Float[Array, " d *T"], flat: Float[Array, "N d"]
) -> Settled:
    """Judge which directions have been seen.

    `size` is what the rows of Z would have for norms if nothing in them cancelled: what counts as rounding is measured
    by it. `flat`, the program's own flat part, gives a unit to coefficients that no row has read yet.
    """
    d, eps = Z.shape[0], float(jnp.finfo(Z.dtype).eps)
    fixed, size, flat = jax.lax.stop_gradient((Z, size, flat))
    begun = jnp.sqrt(jnp.sum(flat**2, axis=0))
    begun = jnp.where(begun > 0, begun, 1.0).reshape(d, *(1,) * (Z.ndim - 2))
    most = jnp.max(size / begun, axis=0)
    unit = jnp.where(size > 0, size, jnp.where(most > 0, most, 1.0) * begun)
    U, values, _ = jnp.linalg.svd(jnp.moveaxis(fixed / unit[:, None], (0, 1), (-2, -1)))
    values, U = jnp.moveaxis(values, -1, 0), jnp.moveaxis(U, (-2, -1), (0, 1))
    seen = values > 16 * d * eps ** (2 / 3)
    unseen = jnp.where(seen[None], 0.0, U)
    # V spans the null space of Z Z' in the program's own units: det(Z Z' + V V') is the product of the eigenvalues that
    # are not zero times det(V'V), also to first order while the null space turns.
    M = unseen * (jnp.min(unit, axis=0) / unit)[:, None] ** 2
    V = M * unit[:, None]
    inner = product(transposed(V), V) + _diagonal(seen.astype(Z.dtype))
    extra = 0.5 * jnp.linalg.slogdet(jnp.moveaxis(inner, (0, 1), (-2, -1)))[1]
    constant = jnp.sum(jnp.log(unit), axis=0) - extra - 0.5 * float(np.log(2 * np.pi)) * jnp.sum(seen, axis=0)
    return Settled(eta / unit[:, None], beside(Z / unit[:, None], M), unseen, unit, constant)


def gained(settled: Settled) -> Float[Array, " K *T"]:
    """What integrating delta out adds to the log-density at delta = 0."""
    found = condition(settled.X, _no_rows(settled.X), settled.eta)
    return 0.5 * jnp.sum(found.whitened**2, axis=0) - found.logdet - settled.constant


def law(settled: Settled) -> tuple[Float[Array, "d K *T"], Float[Array, "d d *T"]]:
    """The mean of delta, zero in directions that nothing has seen, and a root of its covariance; never differentiated.

    Along what nothing has seen the covariance is any number.
    """
    fixed = jax.lax.stop_gradient(settled)
    d, K = fixed.unit.shape[0], fixed.eta.shape[1]
    unit = jnp.broadcast_to(_diagonal(1.0 / fixed.unit), fixed.X[:, :d].shape)
    found = condition(fixed.X, _no_rows(fixed.X), beside(fixed.eta, unit))
    root = transposed(found.whitened[:, K:])
    return product(root, found.whitened[:, :K]), root


def estimate(settled: Settled) -> Float[Array, "d K *T"]:
    """The mean of delta, zero in directions that nothing has seen; never differentiated."""
    return law(settled)[0]


def spread(settled: Settled, D: Float[Array, "N d *T"]) -> tuple[Float[Array, "N K *T"], Float[Array, "N d *T"]]:
    """D times the mean of delta, and D times a root of its covariance."""
    turned = transposed(D / settled.unit[None])
    K = settled.eta.shape[1]
    found = condition(settled.X, _no_rows(settled.X), beside(settled.eta, turned))
    root = transposed(found.whitened[:, K:])
    return product(root, found.whitened[:, :K]), root


def unknown(settled: Settled, D: Float[Array, "N d *T"], size: Float[Array, "N d *T"]) -> Bool[Array, " N *T"]:
    """Which rows of D load on a direction that nothing has seen; `size` bounds |D|, for what counts as rounding."""
    D, size = D / settled.unit[None], size / settled.unit[None]
    rounding = 16 * D.shape[1] * float(jnp.finfo(D.dtype).eps) ** (2 / 3)
    left = jnp.max(jnp.abs(product(D, settled.unseen)), axis=1, initial=0.0)
    return left > rounding * jnp.sqrt(jnp.sum(size**2, axis=1))


def _diagonal(values: Array) -> Float[Array, "d d *T"]:
    d = values.shape[0]
    on = np.eye(d, dtype=bool).reshape(d, d, *(1,) * (values.ndim - 1))
    return jnp.where(on, values[None], 0.0)


def _no_rows(X: Float[Array, "d k *T"]) -> Float[Array, "0 k *T"]:
    return X[:0]
