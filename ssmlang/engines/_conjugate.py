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
    z: Array
    d: Array
    size: Array
    """r'M^-1 r"""
    done: Array
    s: Array
    y: Array
    """past steps and what they changed in the gradient, for L-BFGS; both divided by the root of s'y"""


def solve(
    product: Product,
    precondition: Product,
    certificate: Callable[[Array, Array], Array],
    b: Float[Array, "T m"],
    *,
    solver: Solver,
    tolerance: float,
    max_iterations: int,
) -> Solution:
    """Solve until certificate(residual, M^-1 residual) <= tolerance^2, or nothing but rounding is left.

    Not converged: more iterations than `max_iterations`, or numbers that grew beyond bounds; u is then NaN.
    """
    rounding = (4.0 * float(jnp.finfo(b.dtype).eps)) ** 2
    z0 = precondition(b)
    whole, least = certificate(b, z0), rounding * jnp.vdot(b, z0)
    memory = MEMORY if solver == "lbfgs" else 0
    past = jnp.zeros((memory, *b.shape), b.dtype)

    def unsettled(now: _State) -> Array:
        return (now.done < max_iterations) & (now.size > least) & (certificate(now.r, now.z) > tolerance**2)

    def iterate(now: _State) -> _State:
        change = product(now.d)
        curvature = jnp.vdot(now.d, change)
        step = jnp.vdot(now.r, now.d) / curvature
        u, r = now.u + step * now.d, now.r - step * change
        if solver == "cg":
            z = precondition(r)
            size = jnp.vdot(r, z)
            return now._replace(u=u, r=r, z=z, d=z + (size / now.size) * now.d, size=size, done=now.done + 1)
        scale = 1.0 / jnp.sqrt(curvature)
        s = jnp.concatenate([now.s[1:], (scale * now.d)[None]])
        y = jnp.concatenate([now.y[1:], (scale * change)[None]])
        z, d = _two_loops(r, s, y, precondition)
        return _State(u, r, z, d, jnp.vdot(r, z), now.done + 1, s, y)

    def one_round(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        u, r, count = carry
        z = precondition(r)
        end = jax.lax.while_loop(unsettled, iterate, _State(u, r, z, z, jnp.vdot(r, z), count, past, past))
        return (end.u, b - product(end.u), end.done), None

    start = (jnp.zeros_like(b), b, jnp.zeros((), int))
    (u, r, count), _ = jax.lax.scan(one_round, start, None, length=ROUNDS)
    bound = certificate(r, precondition(r))
    converged = (count < max_iterations) & (bound <= max(tolerance, 1e-7) ** 2 * jnp.maximum(whole, 1.0))
    return Solution(jnp.where(converged, u, jnp.nan), r, bound, count, converged)


def _two_loops(r: Array, s: Array, y: Array, precondition: Product) -> tuple[Array, Array]:
    """M^-1 r and the inverse Hessian's estimate times r (Nocedal & Wright 2006, algorithm 7.4) from M^-1."""

    def down(q: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        weight = jnp.vdot(pair[0], q)
        return q - weight * pair[1], weight

    def up(d: Array, x: tuple[Array, Array, Array]) -> tuple[Array, None]:
        s, y, weight = x
        return d + s * (weight - jnp.vdot(y, d)), None

    q, weights = jax.lax.scan(down, r, (s, y), reverse=True)
    d, _ = jax.lax.scan(up, precondition(q), (s, y, weights))
    return precondition(r), d
