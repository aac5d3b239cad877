"""Sigma u = b for a symmetric positive Sigma that is known by its products alone.

Preconditioned conjugate gradients, or L-BFGS on J(u)/2 = u'Sigma u/2 - b'u with the exact line search that a quadratic
allows (algorithm 1 of Kudre, Chang & Mehta 2026 asks for a strong Wolfe search; the exact step satisfies it, and the
gradient moves by a multiple of a product already at hand, so that neither J nor its rounding enters). Both cost one
product an iteration. When the recursion's residual has come down, the true one is formed and the rest solved for once
more: iterative refinement, so that the answer is as good as the products are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Solver = Literal["cg", "lbfgs"]
Product = Callable[[Array], Array]
ROUNDS = 2
MEMORY = 10
"""Pairs of steps and gradient changes that L-BFGS keeps."""


class Solution(NamedTuple):
    """What was found, and how good it is."""

    u: Float[Array, "T m"]
    residual: Float[Array, "T m"]
    """b - Sigma u, formed anew"""
    bound: Float[Array, ""]
    """certificate of that residual"""
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class _State(NamedTuple):
    u: Array
    r: Array
    d: Array
    size: Array
    """r'M^-1 r of the iteration before"""
    first: Array
    """and of the very first"""
    done: Array
    s: Array
    y: Array
    """past steps and what they changed in the gradient, for L-BFGS; both divided by the root of s'y"""


def solve(
    product: Product,
    precondition: Product,
    certificate: Callable[[Array], Array],
    b: Float[Array, "T m"],
    *,
    solver: Solver,
    tolerance: float,
    max_iterations: int,
) -> Solution:
    """Solve until certificate(residual) <= tolerance^2, or nothing but rounding is left.

    Not converged: more iterations than `max_iterations`, or numbers that grew beyond bounds; u is then NaN. The code
    holds one copy of the preconditioner and two of the product, for compiling them takes longer than running them.
    """
    rounding = (4.0 * float(jnp.finfo(b.dtype).eps)) ** 2
    memory = MEMORY if solver == "lbfgs" else 0
    past = jnp.zeros((memory, *b.shape), b.dtype)
    never = jnp.full((), jnp.inf, b.dtype)

    def unsettled(now: _State) -> Array:
        left = jnp.where(jnp.isinf(now.size), True, now.size > rounding * now.first)
        return (now.done < max_iterations) & left & (certificate(now.r) > tolerance**2)

    def iterate(now: _State) -> _State:
        if solver == "cg":
            z = precondition(now.r)
            size = jnp.vdot(now.r, z)
            d = z + jnp.where(jnp.isinf(now.size), 0.0, size / now.size) * now.d
        else:
            d = _two_loops(now.r, now.s, now.y, precondition)
            size = jnp.vdot(now.r, d)
        change = product(d)
        curvature = jnp.vdot(d, change)
        step = jnp.vdot(now.r, d) / curvature
        s, y = now.s, now.y
        if memory:
            scale = 1.0 / jnp.sqrt(curvature)
            s, y = (jnp.concatenate([kept[1:], (scale * new)[None]]) for kept, new in ((s, d), (y, change)))
        first = jnp.where(jnp.isinf(now.first), size, now.first)
        return _State(now.u + step * d, now.r - step * change, d, size, first, now.done + 1, s, y)

    Carry = tuple[Array, Array, Array, Array]

    def one_round(carry: Carry, _: None) -> tuple[Carry, None]:
        u, r, first, done = carry
        start = _State(u, r, jnp.zeros_like(r), never, first, done, past, past)
        end = jax.lax.while_loop(unsettled, iterate, start)
        return (end.u, b - product(end.u), end.first, end.done), None

    start = (jnp.zeros_like(b), b, never, jnp.zeros((), int))
    (u, r, _, done), _ = jax.lax.scan(one_round, start, None, length=ROUNDS)
    bound = certificate(r)
    converged = (done < max_iterations) & (bound <= max(tolerance, 1e-7) ** 2 * jnp.maximum(certificate(b), 1.0))
    return Solution(jnp.where(converged, u, jnp.nan), r, bound, done, converged)


def _two_loops(r: Array, s: Array, y: Array, precondition: Product) -> Array:
    """The inverse Hessian's estimate times r (Nocedal & Wright 2006, algorithm 7.4), from M^-1 on."""

    def down(q: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        weight = jnp.vdot(pair[0], q)
        return q - weight * pair[1], weight

    def up(d: Array, x: tuple[Array, Array, Array]) -> tuple[Array, None]:
        s, y, weight = x
        return d + s * (weight - jnp.vdot(y, d)), None

    q, weights = jax.lax.scan(down, r, (s, y), reverse=True)
    return jax.lax.scan(up, precondition(q), (s, y, weights))[0]
