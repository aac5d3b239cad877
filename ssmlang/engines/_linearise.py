"""Affine approximations of a map of a Gaussian memory: by derivatives at its mean, or statistically by sigma points.

For s ~ N(m, P) and y = f(s, e) + noise of covariance R(s), e standard normal, a method gives the mean and covariance of
y and its covariance with s (`moments`), and the affine map with the same moments

    y ~ A s + b + N(0, Omega)

(`affine`: statistical linear regression; Garcia-Fernandez, Svensson, Morelande & Sarkka 2015). Both work with a root L
of P, and nothing is divided by what may be zero: in directions in which s does not vary A is the derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import product, product_transposed
from ssmlang.engines._sigma_points import PointRule
from ssmlang.engines.nonlinear import Law
from ssmlang.engines.semidefinite import semidefinite_root

ROUNDING = 64.0
"""Units of rounding in values of a map, up to which what bends them is none."""

UNROLLED_COLUMNS = 6
"""Up to this many columns a root is written out."""


class Moments(NamedTuple):
    """Mean and covariance of an image, and the covariance of the memory with it."""

    mean: Float[Array, " k"]
    cov: Float[Array, "k k"]
    cross: Float[Array, "N k"]


class Affine(NamedTuple):
    """y ~ A s + b + N(0, Omega)."""

    A: Float[Array, "k N"]
    b: Float[Array, " k"]
    Omega: Float[Array, "k k"]


class Map(NamedTuple):
    """y = value(s, e) + noise of covariance spread(s), with e ~ N(0, I)."""

    value: Callable[[Array, Array], Array]
    spread: Callable[[Array], Array] | None
    noises: int
    """length of e"""


class Linearisation(Protocol):
    """A way of linearising; hashable. `fused`: for small memories, products written element by element."""

    def moments(self, f: Map, law: Law, fused: bool) -> Moments: ...

    def affine(self, f: Map, law: Law, fused: bool) -> Affine: ...


@dataclass(frozen=True)
class Taylor:
    """First-order derivatives at the mean."""

    def moments(self, f: Map, law: Law, fused: bool) -> Moments:
        """By the derivative at the mean."""
        mean, A, own = self._parts(f, law, fused)
        cross = product_transposed(law.cov, A, fused)
        return Moments(mean, product(A, cross, fused) + own, cross)

    def affine(self, f: Map, law: Law, fused: bool) -> Affine:
        """The tangent at the mean."""
        mean, A, own = self._parts(f, law, fused)
        return Affine(A, mean - product(A, law.mean[:, None], fused)[:, 0], own)

    def _parts(self, f: Map, law: Law, fused: bool) -> tuple[Array, Array, Array]:
        still = jnp.zeros(f.noises, law.mean.dtype)
        mean, A = value_and_jacobian(lambda s: f.value(s, still), law.mean)
        own = jnp.zeros((len(mean), len(mean)), law.mean.dtype) if f.spread is None else f.spread(law.mean)
        if f.noises:
            G = value_and_jacobian(lambda e: f.value(law.mean, e), still)[1]
            own = own + product_transposed(G, G, fused)
        return mean, A, own


@dataclass(frozen=True)
class Sigma:
    """Weighted points of the law, carried through the map."""

    rule: PointRule

    def moments(self, f: Map, law: Law, fused: bool) -> Moments:
        """Weighted means over the points."""
        mean, B, cov, L, _ = self._parts(f, law, fused)
        return Moments(mean, cov, product_transposed(L, B, fused))

    def affine(self, f: Map, law: Law, fused: bool) -> Affine:
        """Statistical linear regression; the derivative at the mean in directions without variance."""
        mean, B, cov, L, rounding = self._parts(f, law, fused)
        still = jnp.zeros(f.noises, law.mean.dtype)
        _, J = value_and_jacobian(lambda s: f.value(s, still), law.mean)
        bent = B - product(J, L, fused)
        A = J + _right_divided(jnp.where(jnp.abs(bent) > rounding[:, None], bent, 0.0), L)
        AL = product(A, L, fused)
        Omega = cov - product_transposed(AL, AL, fused)
        return Affine(A, mean - product(A, law.mean[:, None], fused)[:, 0], 0.5 * (Omega + Omega.T))

    def _parts(self, f: Map, law: Law, fused: bool) -> tuple[Array, Array, Array, Array, Array]:
        """The mean, E[(y - mean) z'] with s = m + L z, the covariance, L, and the size of rounding in the second."""
        N, noises = len(law.mean), f.noises
        L = root(law.cov, fused)
        points = self.rule.points(N + noises)
        at, w, reach = points.at.astype(law.mean.dtype), points.mean, points.reach
        # Points run along the last axis: each entry of the memory is then one contiguous vector of them.
        if reach is not None:  # along the axes
            steps = jnp.concatenate([reach * L, jnp.zeros((N, noises), L.dtype)], axis=1)
            s = law.mean[:, None] + jnp.concatenate([jnp.zeros((N, 1), L.dtype), steps, -steps], axis=1)
        else:
            s = law.mean[:, None] + product_transposed(L, jnp.asarray(at[:, :N]), fused)
        values = jax.vmap(f.value, (-1, -1), -1)(s, jnp.asarray(at[:, N:].T))
        mean = jnp.sum(w * values, axis=1)
        off = values - mean[:, None]
        if reach is not None:
            half = N + noises
            c = (w[1] if half else 0.0) * reach
            B = c * (values[:, 1 : 1 + N] - values[:, 1 + half : 1 + half + N])
        else:
            B = product(off, w[:, None] * at[:, :N], fused)
        cov = product_transposed(points.cov * off, off, fused)
        if f.spread is not None:
            cov = cov + _mean_spread(f.spread, s, w)
        return mean, B, cov, L, ROUNDING * float(jnp.finfo(B.dtype).eps) * jnp.max(jnp.abs(values), axis=1)


def value_and_jacobian(f: Callable[[Array], Array], at: Float[Array, " n"]) -> tuple[Array, Float[Array, "k n"]]:
    """f(at) and its derivative there, in the cheaper mode."""
    n = len(at)
    size = jax.eval_shape(f, at).shape[0]
    if 4 * size < n:
        value, back = jax.vjp(f, at)
        return value, jax.vmap(back)(jnp.eye(size, dtype=at.dtype))[0]
    if not n:
        value = f(at)
        return value, jnp.zeros((len(value), 0), at.dtype)
    # Unlike `jacfwd`, the value comes out of the same pass.
    value, columns = jax.vmap(lambda v: jax.jvp(f, (at,), (v,)), -1, (None, -1))(jnp.eye(n, dtype=at.dtype))
    return value, columns


def root(P: Float[Array, "N N"], fused: bool) -> Float[Array, "N N"]:
    """Lower triangular L with L L' = P, P of any rank; see `semidefinite_root`."""
    if fused and len(P) <= UNROLLED_COLUMNS:
        return _written_out(P)
    return one_kernel(semidefinite_root, not fused)(P)


def _written_out(P: Float[Array, "N N"]) -> Float[Array, "N N"]:
    n = len(P)
    least = n * float(jnp.finfo(P.dtype).eps)
    columns: list[Array] = []
    for j in range(n):
        column = P[:, j]
        for before in columns:
            column = column - before * before[j]
        there = column[j] > least * P[j, j]
        scale = jnp.where(there, jax.lax.rsqrt(jnp.where(there, column[j], 1.0)), 0.0)
        columns.append(jnp.where(np.arange(n) >= j, column * scale, 0.0))
    return jnp.stack(columns, axis=1) if columns else P


def _right_divided(B: Float[Array, "k N"], L: Float[Array, "N N"]) -> Float[Array, "k N"]:
    """A with A L = B for a lower triangular L, zero where L has a column of zeros."""
    n = len(L)

    def column(A: Array, j: Array) -> tuple[Array, None]:
        pivot = L[j, j]
        left = B[:, j] - A @ L[:, j]
        found = jnp.where(pivot > 0, left / jnp.where(pivot > 0, pivot, 1.0), 0.0)
        return A.at[:, j].set(found), None

    return jax.lax.scan(column, jnp.zeros_like(B), jnp.arange(n), reverse=True)[0]


def _mean_spread(
    spread: Callable[[Array], Array], s: Float[Array, "N K"], w: Float[np.ndarray, " K"]
) -> Float[Array, "k k"]:
    """The weighted mean of a covariance over points; worked out once where it does not depend on them."""
    try:
        jax.eval_shape(jax.vmap(spread, -1, None), s)
    except ValueError:
        return jnp.sum(w * jax.vmap(spread, -1, -1)(s), axis=-1)
    return spread(s[:, 0])
