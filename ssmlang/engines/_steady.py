"""The steady covariance of rows that do not change, and the exact likelihood from it whatever the first law is.

The predicted covariance P that a row reproduces is found by doubling: with (A, C, J) what k rows make of a state that
is known exactly, C its filtered covariance and J the information that the rows hold on it, 2 k rows make

    A M A,  C + A M C A',  J + A' J M A,   M = (I + C J)^-1

(Anderson 1978; the elements of Sarkka & Garcia-Fernandez 2021, all alike). So the covariance of 2^k rows costs k steps.

A filter that starts from N(m, P0) is then one that starts from N(m + delta, P), delta ~ N(0, D), D = P0 - P, whose gain
never changes. Its standardised innovations are linear in delta, e - O delta, and with N = O'O, r = O'e

    log p(y) = log p(y | m + D rho, P) - rho' D rho / 2 - log det(I + D N) / 2,    rho = (I + N D)^-1 r

exactly, D being indefinite or not (Rosenberg 1973 and de Jong 1991 for D a covariance). The expression is stationary in
rho, so that its derivative is taken with rho fixed, and errors of rho count for little.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssmlang.engines import _row_update as row_update
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._density import SETTLED, is_settled
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import gram, product, product_transposed, row_product, symmetric
from ssmlang.engines._row_update import Settled
from ssmlang.engines._rows import Row
from ssmlang.engines.layout import Layout
from ssmlang.engines.stationary import discrete_lyapunov

DOUBLINGS = 24
"""A gain that has not settled after 2^24 rows is left to the rows."""

WIDEST, NARROWEST = 1e7, 1e-5
"""How much more, and how much less, may be unknown at first of what the data tell than in the steady state: the digits
that are lost in log det(I + D N) are those of these numbers."""


WRITTEN_OUT = 63
"""Up to so many states equations are solved by a kernel; a library's threads take longer, where another program runs
beside them a hundred times longer."""


class Steady(NamedTuple):
    """The steady predicted covariance, if there is one that rows come to from nothing; else, if numbers, without a
    meaning."""

    P: Float[Array, "N N"]
    exists: Bool[Array, ""]
    stable: Bool[Array, ""]
    """whether rows forget states without noise, too, so that there is a derivative"""


class _Element(NamedTuple):
    """What rows make of a state that is known exactly."""

    A: Float[Array, "N N"]
    C: Float[Array, "N N"]
    J: Float[Array, "N N"]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def steady(layout: Layout, row: Row) -> Steady:
    """The solution of P = A (P - P Z' S^-1 Z P) A' + Q, differentiable in the row's numbers to any order."""
    first, sound = _first(layout, row)

    Carry = tuple[Array, _Element, Array, Array, Array]

    def unsettled(carry: Carry) -> Array:
        k, _, forgotten, stable, stuck = carry
        return (k < DOUBLINGS) & ~stuck & ~(forgotten & stable)

    def double(carry: Carry) -> Carry:
        k, x, *_ = carry
        after = _doubled(layout, x)
        # What the next doubling adds to C is less than the square of A times standard deviations.
        deviations, size = jnp.sqrt(univariate.variances(after.C)), jnp.abs(after.A)
        forgotten = jnp.all(row_product(deviations, size.T, layout.fused) <= 2.0**-23 * deviations)
        stuck = is_settled(x.C, after.C) & (jnp.max(size) > 0.5 * jnp.max(jnp.abs(x.A)))
        return k + 1, after, forgotten, jnp.all(jnp.sum(size, axis=1) < 1.0), stuck

    no = jnp.zeros((), bool)
    _, end, forgotten, stable, _ = jax.lax.while_loop(unsettled, double, (jnp.zeros((), np.int32), first, no, no, no))
    P = univariate.propagated(end.C, row.top, layout) + row.Q
    return Steady(P, sound & forgotten & is_settled(P, reproduced(layout, P, row), 64 * SETTLED), stable)


@steady.defjvp
def _steady_rule(layout: Layout, primals: tuple[Row], tangents: tuple[Row]) -> tuple[Steady, Steady]:
    found = one_kernel(partial(steady, layout), layout.fused)(*primals)
    return jax.jvp(lambda row: known(layout, found, row), primals, tangents)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def known(layout: Layout, found: Steady, row: Row) -> Steady:
    """What `steady` has found, with its derivative in the row's numbers, which is that of the equation."""
    # What is no solution may be no numbers either, and would spoil derivatives that are multiplied by zero.
    exists = found.exists & found.stable
    return Steady(jnp.where(exists, found.P, row.Q), exists, exists)


@known.defjvp
def _known_rule(
    layout: Layout, primals: tuple[Steady, Row], tangents: tuple[Steady, Row]
) -> tuple[Steady, Steady]:  # fmt: skip
    P, exists, _ = same = known(layout, *primals)
    row = primals[1]
    closed = jnp.where(exists, row_update.settled(P, row, layout).A, 0.0)
    news = jax.jvp(lambda row: reproduced(layout, P, row), (row,), (tangents[1],))[1]
    none: Any = np.zeros((), jax.dtypes.float0)
    return same, Steady(discrete_lyapunov(closed, symmetric(news)), none, none)


def reproduced(layout: Layout, P: Float[Array, "N N"], row: Row) -> Float[Array, "N N"]:
    """The predicted covariance a row later."""
    s = row_update.settled(P, row, layout)
    half = product(s.V_y, s.W, layout.fused)
    return univariate.propagated(P - _square(half, layout), row.top, layout) + row.Q


def _first(layout: Layout, row: Row) -> tuple[_Element, Bool[Array, ""]]:
    """One row, and whether its observations can be told from one another."""
    fused, count = layout.fused, len(row.R)
    eye = jnp.eye(layout.size, dtype=row.Q.dtype)
    A = univariate.advance_rows(eye, row.top, layout)
    W = product(row.Z, row.Q, fused)
    S = symmetric(product_transposed(W, row.Z, fused))
    bound = 1e-12 * (jnp.sum(S * np.eye(count), axis=1) + row.R)
    X, _, w, zero = row_update.eliminated(S if row.C is None else S + row.C, row.R, jnp.ones(count, bool), bound)
    half = X * jnp.sqrt(w)[:, None]
    of_noise, of_state = product(half, W, fused), product(product(half, row.Z, fused), A, fused)
    C = row.Q - _square(of_noise, layout)
    return _Element(A - product(of_noise.T, of_state, fused), C, _square(of_state, layout)), ~jnp.any(zero)


def _doubled(layout: Layout, x: _Element) -> _Element:
    """Twice the rows."""
    A, C, J = x
    fused = layout.fused
    MC, _ = _taken_in(J, C)
    JA, AMC = product(J, A, fused), product(A, MC, fused)
    MA = A - product(MC, JA, fused)
    return _Element(
        product(A, MA, fused), C + symmetric(product_transposed(AMC, A, fused)),
        J + symmetric(product(JA.T, MA, fused)),
    )  # fmt: skip


def _taken_in(J: Float[Array, "N N"], C: Float[Array, "N N"]) -> tuple[Float[Array, "N N"], Float[Array, " N"]]:
    """(I + C J)^-1 C by observations J = sum v v' taken in one after another, and what the determinant of I + C J is
    the product of."""
    if len(J) > WRITTEN_OUT:
        factors = jax.scipy.linalg.lu_factor(jnp.eye(len(J), dtype=J.dtype) + C @ J)
        return jax.scipy.linalg.lu_solve(factors, C), jnp.abs(jnp.diagonal(factors[0]))
    return one_kernel(_one_by_one)(J, C)


def _one_by_one(J: Array, C: Array) -> tuple[Array, Array]:
    zero = len(J) * float(jnp.finfo(J.dtype).eps) * univariate.variances(J)

    def one(carry: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], Array]:
        J, C = carry
        v = J[i]  # over the root of its own entry
        there = v[i] > zero[i]
        weight = jnp.where(there, 1.0 / jnp.where(there, v[i], 1.0), 0.0)
        w = row_product(v, C)
        s = 1.0 + weight * jnp.sum(w * v)
        return (J - (weight * v)[:, None] * v, C - (w * (weight / s))[:, None] * w), s

    (_, C), s = jax.lax.scan(one, (J, C), jnp.arange(len(J), dtype=np.int32))
    return C, s


def _square(half: Float[Array, "k N"], layout: Layout) -> Float[Array, "N N"]:
    """half' half."""
    return gram(half, jnp.ones(len(half), half.dtype), layout.fused)


class Learned(NamedTuple):
    """What rows of steady gain say of the mean that they start from."""

    N: Float[Array, "N N"]
    rows: Int[Array, ""]
    """so many of them say all that is to be said, but for rounding"""


def learned(layout: Layout, s: Settled, rows: Int[Array, ""], longest: int) -> Learned:
    """N = sum_k A'^k V'V A^k over `rows` rows, of `longest` at most, A the closed loop: by doubling."""
    mul = partial(product, fused=layout.fused)
    doublings = jnp.arange(longest.bit_length(), dtype=np.int32)

    def twice(A: Array, N: Array) -> tuple[Array, Array]:
        return mul(A, A), N + symmetric(mul(A.T, mul(N, A)))

    def double(carry: tuple[Array, Array, Array, Array], _: Array) -> tuple[tuple, None]:
        def on(A: Array, N: Array, told: Array) -> tuple[Array, Array, Array, Array]:
            square, more = twice(A, N)
            return square, more, 2 * told, is_settled(N, more)

        A, N, told, done = carry
        off = lambda A, N, told: (A, N, told, done)
        return jax.lax.cond(done | (told >= rows), off, on, A, N, told), None

    def exactly(_: Array) -> Array:
        def add(carry: tuple[Array, Array, Array], j: Array) -> tuple[tuple[Array, Array, Array], None]:
            A, N, total = carry
            here = N + symmetric(mul(A.T, mul(total, A)))
            return (*twice(A, N), jnp.where((rows >> j) & 1 == 1, here, total)), None

        return jax.lax.scan(add, (s.A, N, jnp.zeros_like(N)), doublings)[0][2]

    N = _square(s.V_m, layout)
    (_, end, told, _), _ = jax.lax.scan(double, (s.A, N, jnp.ones((), np.int32), jnp.zeros((), bool)), doublings)
    return Learned(jax.lax.cond(told > rows, exactly, lambda end: end, end), told)


class Start(NamedTuple):
    """A first law beside the steady one, D the difference of their covariances."""

    half_log_det: Float[Array, ""]
    """of I + D N"""
    cov: Float[Array, "N N"]
    """D (I + N D)^-1: of the difference in the mean, given the data"""
    sound: Bool[Array, ""]
    """whether these are worked out without a loss of digits"""


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def start(layout: Layout, D: Float[Array, "N N"], N: Float[Array, "N N"]) -> Start:
    """For symmetric D and N; differentiable to any order."""
    cov, pivots = _taken_in(N, D)
    sound = jnp.all((pivots > NARROWEST) & (pivots < WIDEST))
    return Start(0.5 * jnp.sum(jnp.log(jnp.where(pivots > 0, pivots, 1.0))), symmetric(cov), sound)


@start.defjvp
def _start_rule(layout: Layout, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Start, Start]:
    found = one_kernel(partial(start, layout), layout.fused)(*primals)
    (_, N), (dD, dN) = primals, tangents
    mul, cov = partial(product, fused=layout.fused), found.cov
    left = jnp.eye(len(N), dtype=N.dtype) - mul(cov, N)
    slope = 0.5 * (jnp.sum(mul(N, left) * dD) + jnp.sum(cov * dN))
    moved = mul(mul(left, dD), left.T) - mul(mul(cov, dN), cov)
    none: Any = np.zeros((), jax.dtypes.float0)
    return found, Start(slope, moved, none)


def weights(
    layout: Layout, D: Float[Array, "N N"], N: Float[Array, "N N"], cov: Float[Array, "N N"], r: Float[Array, " N"]
) -> Float[Array, " N"]:
    """rho = (I + N D)^-1 r, once refined. cov: as of `Start`."""
    mul = partial(row_product, fused=layout.fused)
    solve = lambda b: b - mul(mul(b, cov), N)
    rho = solve(r)
    return rho + solve(r - rho - mul(mul(rho, D), N))
