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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array, Float

from ssmlang.engines._kernel import by_numbers, one_kernel
from ssmlang.engines._lanes import at_points
from ssmlang.engines._products import product, product_transposed, symmetric
from ssmlang.engines._sigma_points import PointRule
from ssmlang.engines._turned import kept
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
    both: Callable[[Array], tuple[Array, Array]] | None = None
    """value(s, ()) and spread(s) in one pass, where there is one; the compiler does not see that two loops are one"""


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
        A = kept(A) if len(law.mean) > UNROLLED_COLUMNS else A
        own = jnp.zeros((len(mean), len(mean)), law.mean.dtype) if f.spread is None else f.spread(law.mean)
        if f.noises:
            G = value_and_jacobian(lambda e: f.value(law.mean, e), still)[1]
            own = own + product_transposed(G, G, fused)
        return mean, A, own


@dataclass(frozen=True)
class Sigma:
    """Weighted points of the law, carried through the map."""

    rule: PointRule
    kernels: bool = True
    """Whether a root of many columns may be a native function, which members of a batch go through one by one"""

    def moments(self, f: Map, law: Law, fused: bool) -> Moments:
        """Weighted means over the points."""
        L = root(law.cov, fused, self.kernels)
        found = points_of(self.rule, f, law.mean, L, fused)
        return Moments(found.mean, self._covariance(found, fused), product_transposed(L, found.B, fused))

    def affine(self, f: Map, law: Law, fused: bool) -> Affine:
        """Statistical linear regression; the derivative at the mean in directions without variance."""
        L = root(law.cov, fused, self.kernels)
        found = points_of(self.rule, f, law.mean, L, fused)
        still = jnp.zeros(f.noises, law.mean.dtype)
        _, J = value_and_jacobian(lambda s: f.value(s, still), law.mean)
        bent = found.B - product(J, L, fused)
        rounding = ROUNDING * float(jnp.finfo(bent.dtype).eps) * jnp.max(jnp.abs(found.off), axis=1)
        rounding = rounding + ROUNDING * float(jnp.finfo(bent.dtype).eps) * jnp.abs(found.mean)
        A = J + _right_divided(jnp.where(jnp.abs(bent) > rounding[:, None], bent, 0.0), L)
        AL = product(A, L, fused)
        Omega = self._covariance(found, fused) - product_transposed(AL, AL, fused)
        return Affine(A, found.mean - product(A, law.mean[:, None], fused)[:, 0], symmetric(Omega))

    def _covariance(self, found: Carried, fused: bool) -> Float[Array, "k k"]:
        cov = product_transposed(jnp.asarray(found.weights * found.off), found.off, fused)
        return cov if found.spread is None else cov + found.spread


class Carried(NamedTuple):
    """Points carried through a map, along the last axis."""

    at: Float[Array, "N K"]
    """z of each, of the memory alone"""
    mean: Float[Array, " k"]
    off: Float[Array, "k K"]
    """what each differs from the mean by"""
    B: Float[Array, "k N"]
    """E[(y - mean) z']"""
    spread: Float[Array, "k k"] | None
    weights: Float[np.ndarray, " K"]
    """of second moments"""


def points_of(rule: PointRule, f: Map, m: Float[Array, " N"], L: Float[Array, "N N"], fused: bool) -> Carried:
    """A rule's points of s = m + L z and the noises, carried through a map."""
    N, noises = len(m), f.noises
    points = rule.points(N + noises)
    at, w, reach = points.at.astype(m.dtype).T, points.mean.astype(m.dtype), points.reach
    # Points run along the last axis: each entry of the memory is then one contiguous vector of them.
    if reach is not None:  # along the axes
        steps = jnp.concatenate([reach * L, jnp.zeros((N, noises), L.dtype)], axis=1)
        s = m[:, None] + jnp.concatenate([jnp.zeros((N, 1), L.dtype), steps, -steps], axis=1)
    else:
        s = m[:, None] + product(L, jnp.asarray(at[:N]), fused)
    values = _one_by_one(f.value, s, at[N:]) if by_numbers() else None
    if values is None and fused and N <= UNROLLED_COLUMNS:
        values = at_points(f.value, s, jnp.asarray(at[N:]))
    spread = None
    if values is None and f.both is not None and f.spread is not None and not _constant(f.spread, s):
        values, spreads = jax.vmap(f.both, -1, -1)(s)
        spread = jnp.sum(w * spreads, axis=-1)
    elif values is None:
        values = jax.vmap(f.value, (-1, -1), -1)(s, jnp.asarray(at[N:]))
    values = kept(values) if N > UNROLLED_COLUMNS else values
    mean = jnp.sum(w * values, axis=1)
    off = values - mean[:, None]
    if reach is not None:
        half = N + noises
        c = (w[1] if half else 0.0) * reach
        B = c * (values[:, 1 : 1 + N] - values[:, 1 + half : 1 + half + N])
    else:
        B = product(off, (w * at[:N]).T, fused)
    if spread is None and f.spread is not None:
        spread = _mean_spread(f.spread, s, w)
    return Carried(jnp.asarray(at[:N]), mean, off, B, spread, points.cov.astype(m.dtype))


def _one_by_one(f: Callable[..., Array], s: Float[Array, "N K"], e: Float[np.ndarray, "r K"]) -> Float[Array, "k K"]:
    """f at each of K points in turn; traced once."""
    one = jaxpr_as_fun(jax.make_jaxpr(f)(s[:, 0], jnp.asarray(e[:, 0])))
    return jnp.stack([one(s[:, k], jnp.asarray(e[:, k]))[0] for k in range(s.shape[1])], axis=1)


Linearisation = Taylor | Sigma
"""A way of linearising; hashable. `fused`: for small memories, products written element by element."""


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


def root(P: Float[Array, "N N"], fused: bool, kernels: bool = True) -> Float[Array, "N N"]:
    """Lower triangular L with L L' = P, P of any rank; see `semidefinite_root`."""
    if fused and len(P) <= UNROLLED_COLUMNS:
        return _written_out(P) if len(P) else P
    return one_kernel(semidefinite_root, kernels and not fused)(P)


@jax.custom_jvp
def _written_out(P: Float[Array, "N N"]) -> Float[Array, "N N"]:
    n, at = len(P), np.arange(len(P))
    least = n * float(jnp.finfo(P.dtype).eps) * jnp.sum(P * np.eye(n), axis=1)
    columns: list[Array] = []
    for j in range(n):
        there = P[j, j] > least[j]
        scale = jnp.where(there, jax.lax.rsqrt(jnp.where(there, P[j, j], 1.0)), 0.0)
        columns.append(jnp.where(at >= j, P[:, j] * scale, 0.0))
        if j + 1 < n:
            P = P - columns[j][:, None] * columns[j]
    return jnp.stack(columns, axis=1)


@_written_out.defjvp
def _root_rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """dL = (dP - L U) M', U the upper triangle, half its diagonal, of M dP M'; M L is the identity without the columns
    of zeros. A quarter of the operations of the recursion's own derivative."""
    (P,), (dP,) = primals, tangents
    L = _written_out(P)
    n, M = len(L), _left_inverse(L)
    turned = product_transposed(dP, M, True)
    upper = product(M, turned, True) * (np.triu(np.ones((n, n)), 1) + 0.5 * np.eye(n))
    return L, jnp.where(np.tri(n, dtype=bool), turned - product(L, upper, True), 0.0)


def _left_inverse(L: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """Of a lower triangular L with columns of zeros, by substitution: rows of zeros stand for those."""
    n = len(L)
    pivots = jnp.sum(L * np.eye(n), axis=1)
    scale = jnp.where(pivots > 0, 1.0 / jnp.where(pivots > 0, pivots, 1.0), 0.0)
    left, rows = jnp.asarray(np.eye(n), L.dtype), []
    for j in range(n):
        rows.append(left[j] * scale[j])
        if j + 1 < n:
            left = left - L[:, j][:, None] * rows[j]
    return jnp.stack(rows)


def _right_divided(B: Float[Array, "k N"], L: Float[Array, "N N"]) -> Float[Array, "k N"]:
    """A with A L = B for a lower triangular L, zero where L has a column of zeros."""
    n, at = len(L), np.arange(len(L))

    def column(A: Array, j: Array) -> tuple[Array, None]:
        pivot = L[j, j]
        left = B[:, j] - jnp.sum(A * L[:, j], axis=1)
        found = jnp.where(pivot > 0, left / jnp.where(pivot > 0, pivot, 1.0), 0.0)
        return jnp.where(at == j, found[:, None], A), None

    return jax.lax.scan(column, jnp.zeros_like(B), jnp.arange(n), reverse=True)[0]


def _mean_spread(
    spread: Callable[[Array], Array], s: Float[Array, "N K"], w: Float[np.ndarray, " K"]
) -> Float[Array, "k k"]:
    """The weighted mean of a covariance over points; worked out once where it does not depend on them."""
    return spread(s[:, 0]) if _constant(spread, s) else jnp.sum(w * jax.vmap(spread, -1, -1)(s), axis=-1)


def _constant(spread: Callable[[Array], Array], s: Float[Array, "N K"]) -> bool:
    """Whether a covariance is the same at all points."""
    try:
        jax.eval_shape(jax.vmap(spread, -1, None), s)
    except ValueError:
        return False
    return True
