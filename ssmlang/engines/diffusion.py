"""Linear stochastic differential equations from one time to a later one, exactly.

    dx = (A x + b) dt + L dW,  W a Wiener process whose increments have variance dt,

is over a step h, with b held,

    x(t + h) = e^{Ah} x(t) + (int_0^h e^{As} ds) b + G e,    e ~ N(0, I),    G G' = int_0^h e^{As} L L' e^{A's} ds.

All by series of a short step and doubling: nothing is inverted, so a drift without an inverse, a noise that does not
reach every state, and no noise at all are cases like others. What is doubled is e^{Ah} - I and the means of the
integrals over the step, so that short steps lose no digits. Many steps of one drift share the terms of the series.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int

from ssmlang.engines._products import FUSED_LIMIT, product
from ssmlang.engines.semidefinite import semidefinite_root

_RADIUS = 0.5
"""Series are used where the norm of A h is at most this."""
_TERMS = 18
"""Terms of a series there: what follows is below 1e-16 of the sum."""
_LEVELS = 22
"""Doublings that a derivative goes through: a norm of A h up to 2e6."""
_WRITTEN_OUT = 3
"""Up to so many states matrices are single numbers to the compiler, which then runs along the rows of the series."""


class Discrete(NamedTuple):
    """x(t + h) = F x(t) + c + G e."""

    F: Float[Array, "n n"]
    c: Float[Array, " n"]
    G: Float[Array, "n n"]


def discretise(
    A: Float[Array, "n n"], b: Float[Array, " n"], L: Float[Array, "n d"], h: Float[Array, ""]
) -> Discrete:
    """The exact transition of dx = (A x + b) dt + L dW over a step h >= 0, the unit of time being that of A's rates.

    G is lower triangular, of whatever rank the noise has. Differentiable to any order where that rank does not change;
    functions of G G' have the right first derivatives where it does. NaN where the norm of A h is beyond 2e6 and a
    derivative is asked for.
    """
    F, phi, G = transition(A, h, L)
    return Discrete(F, phi @ b, G)


def transition(
    A: Float[Array, "n n"], h: Float[Array, ""], L: Float[Array, "n d"]
) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, "n n"]]:
    """e^{Ah}, int_0^h e^{As} ds and the lower-triangular G: what `discretise` is made of."""
    E, phi, Q = _moments(A, h, L)
    G = jnp.sqrt(h) * _root(Q) if L.shape[1] else jnp.zeros_like(A)
    return E + jnp.eye(len(A), dtype=A.dtype), h * phi, G


def gramian(A: Float[Array, "n n"], h: Float[Array, ""], L: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """int_0^h e^{As} L L' e^{A's} ds."""
    return h * _moments(A, h, L)[2] if L.shape[1] else jnp.zeros_like(A)


def exprel(x: Array) -> Array:
    """(e^x - 1) / x, and its derivatives, at zero too."""
    small = jnp.abs(x) < _RADIUS
    near, far = jnp.where(small, x, 0.0), jnp.where(small, 1.0, x)
    series = jnp.ones_like(near)
    for k in range(_TERMS, 1, -1):
        series = 1.0 + near / k * series
    return jnp.where(small, series, jnp.expm1(far) / far)


def _root(Q: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`semidefinite_root`, of a small matrix as single numbers."""
    n = len(Q)
    tolerance = n * float(jnp.finfo(Q.dtype).eps)
    if n <= _WRITTEN_OUT:
        g = [[jnp.zeros((), Q.dtype)] * n for _ in range(n)]
        for j in range(n):
            rest = [Q[i, j] - sum(g[i][k] * g[j][k] for k in range(j)) for i in range(j, n)]
            some = rest[0] > tolerance * Q[j, j]
            pivot = jnp.sqrt(jnp.where(some, rest[0], 1.0))
            for i in range(j, n):
                g[i][j] = jnp.where(some, rest[i - j] / pivot, 0.0)
        return _array(g)
    return semidefinite_root(Q)


# ------------------------------------------------------------------------------------------------------ doubling

Moments = tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, "n n"]]
"""e^{Ah} - I, and the means over the step of e^{As} and of e^{As} L L' e^{A's}; the last is empty without noise."""


@jax.custom_jvp
def _moments(A: Float[Array, "n n"], h: Float[Array, ""], L: Float[Array, "n d"]) -> Moments:
    start, levels = _short(A, h, L)

    def double(carry: tuple[Int[Array, ""], Any]) -> tuple[Int[Array, ""], Any]:
        return carry[0] + 1, _doubled(carry[1])

    out = jax.lax.while_loop(lambda carry: carry[0] < levels, double, (jnp.zeros((), levels.dtype), start))[1]
    return _finished(out)


@_moments.defjvp
def _moments_rule(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Moments, Moments]:
    return jax.jvp(_moments_counted, primals, tangents)


def _moments_counted(A: Float[Array, "n n"], h: Float[Array, ""], L: Float[Array, "n d"]) -> Moments:
    """The same with a fixed number of levels, which reverse mode can go through; those that no row needs are idle."""
    start, levels = _short(A, h, L)
    most = _largest(levels)

    def double(now: Any, level: Array) -> tuple[Any, None]:
        used = level < levels
        chosen = lambda now: jax.tree.map(lambda new, old: jnp.where(used, new, old), _doubled(now), now)
        return jax.lax.cond(level < most, chosen, lambda now: now, now), None

    out = jax.lax.scan(double, start, jnp.arange(_LEVELS, dtype=levels.dtype))[0]
    return _finished(jax.tree.map(lambda v: jnp.where(levels <= _LEVELS, v, jnp.nan), out))


@custom_vmap
def _largest(levels: Int[Array, ""]) -> Int[Array, ""]:
    """The largest over all rows that are computed at once."""
    return levels


@_largest.def_vmap
def _largest_of_rows(axis_size: int, batched: list[bool], levels: Array) -> tuple[Array, bool]:
    return _largest(jnp.max(levels) if batched[0] else levels), False


def _short(A: Float[Array, "n n"], h: Float[Array, ""], L: Float[Array, "n d"]) -> tuple[Any, Int[Array, ""]]:
    """The moments of a step h / 2^levels, over which A does not reach far."""
    size = jnp.abs(jax.lax.stop_gradient(A))
    norm = jnp.maximum(jnp.max(jnp.sum(size, axis=0), initial=0.0), jnp.max(jnp.sum(size, axis=1), initial=0.0))
    norm = jnp.where(norm > 0, norm, 1.0)
    halvings = jnp.ceil(jnp.log2(jnp.maximum(norm * jax.lax.stop_gradient(h) / _RADIUS, 1.0)))
    levels = jnp.where(jnp.isfinite(halvings), halvings, 0.0).astype(jnp.int32)
    step = norm * h * jnp.exp2(-levels.astype(A.dtype))
    unit = A / norm
    fused = len(A) <= FUSED_LIMIT

    def power(P: Array, k: Array) -> tuple[Array, Array]:
        return (product(P, unit, fused) / k,) * 2

    def spread(W: Array, k: Array) -> tuple[Array, Array]:
        half = product(unit, W, fused)
        return ((half + half.T) / (k + 1),) * 2

    # The terms are the same for every step of one drift: what remains for each step is a product with its powers.
    counts = jnp.arange(1, _TERMS + 1, dtype=A.dtype)
    eye = jnp.eye(len(A), dtype=A.dtype)
    powers = jax.lax.scan(power, eye, counts)[1]
    of_step = [step]
    for _ in range(_TERMS - 1):
        of_step.append(of_step[-1] * step)
    steps = jnp.stack(of_step)
    moments = [_series(steps, powers), eye + _series(steps, powers / (counts + 1)[:, None, None])]
    if L.shape[1]:
        Q = product(L, L.T, fused)
        moments.append(Q + _series(steps, jax.lax.scan(spread, Q, counts)[1]))
    return tuple(_open(m) for m in moments), levels


def _doubled(now: Any) -> Any:
    E, phi, *noise = now
    out = [_each(lambda e, ee: 2 * e + ee, E, _times(E, E)), _each(lambda p, ep: p + 0.5 * ep, phi, _times(E, phi))]
    for Q in noise:
        moved = _each(jnp.add, Q, _times(E, Q))
        out.append(_each(lambda q, m, me: 0.5 * (q + m + me), Q, moved, _times(moved, _transposed(E))))
    return tuple(out)


def _finished(out: Any) -> Moments:
    made = [_array(v) for v in out]
    return made[0], made[1], made[2] if len(made) > 2 else jnp.zeros((len(made[0]), 0), made[0].dtype)


# ---------------------------------------------------------------------- matrices as arrays, or as single numbers


def _open(A: Array) -> Any:
    n = len(A)
    return tuple(tuple(A[i, j] for j in range(n)) for i in range(n)) if n <= _WRITTEN_OUT else A


def _array(m: Any) -> Array:
    return m if isinstance(m, jax.Array) else jnp.stack([jnp.stack(row) for row in m])


def _each(function: Callable[..., Array], *matrices: Any) -> Any:
    """A function of single numbers, entry by entry."""
    if isinstance(matrices[0], jax.Array):
        return function(*matrices)
    return tuple(tuple(function(*entries) for entries in zip(*rows)) for rows in zip(*matrices))


def _transposed(m: Any) -> Any:
    return m.T if isinstance(m, jax.Array) else tuple(zip(*m))


def _times(A: Any, B: Any) -> Any:
    if isinstance(A, jax.Array):
        return product(A, B, len(A) <= FUSED_LIMIT)
    return tuple(tuple(reduce(jnp.add, (a * b for a, b in zip(row, column))) for column in zip(*B)) for row in A)


def _series(steps: Array, terms: Array) -> Array:
    """sum_k steps[k] terms[k]."""
    n = terms.shape[1]
    return jnp.dot(steps, terms.reshape(len(terms), n * n), precision=jax.lax.Precision.HIGHEST).reshape(n, n)
