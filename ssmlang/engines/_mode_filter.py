"""Filters over a general program whose rows are taken in by the mode: one by one, or as the expansion of a whole path.

A Gaussian law s = m + L u, u ~ N(0, I), meets log p(y | s) in the coordinates u: the posterior precision I + L'W L is
never singular where L is, and no covariance is inverted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Float

from ssmlang.engines._expansion import Expansion
from ssmlang.engines._riccati import Factor, log_dets
from ssmlang.engines.nonlinear import FLAT, UNDONE, Facts
from ssmlang.engines.semidefinite import positive_part, semidefinite_root
from ssmlang.engines.triangular import tria

HALVINGS = 60


class Rowwise(Protocol):
    """What is asked of a program here; see `Nonlinear`."""

    @property
    def facts(self) -> Facts: ...
    @property
    def first(self) -> Callable[[Array], Array]: ...
    @property
    def transition(self) -> Callable[[Array, Array, Array], Array]: ...
    @property
    def log_emission(self) -> Callable[[Array, Array, Array], Array]: ...


class Updated(NamedTuple):
    """A law before and after its row, as means and roots."""

    predicted: Float[Array, " N"]
    predicted_root: Float[Array, "N N"]
    mean: Float[Array, " N"]
    root: Float[Array, "N N"]


def update(program: Rowwise, t: Array, y: Array, m: Array, L: Array, iterations: int) -> tuple[Array, Array]:
    """Mode and root of the law of s = m + L u given y, by Newton steps that are halved until the density grows.

    Where the negative Hessian is not positive definite its negative part is left out, in the step and in the law.
    """
    N = L.shape[1]
    value = lambda u: program.log_emission(t, m + L @ u, y) - 0.5 * u @ u
    eps = jnp.finfo(m.dtype).eps

    def expand(u: Array) -> tuple[Array, Array]:
        gradient, push = jax.linearize(jax.grad(value), u)
        H = -jax.vmap(push)(jnp.eye(N))
        if N == 1:
            return gradient, jnp.sqrt(jnp.where(H > 0, H, 1.0))
        H = 0.5 * (H + H.T)
        root = jnp.linalg.cholesky(H)
        safe = jnp.linalg.cholesky(jnp.eye(N) + positive_part(H - jnp.eye(N)))
        return gradient, jnp.where(jnp.isnan(root).any(), safe, root)

    def iterate(now: tuple) -> tuple:
        u, old, _, done = now
        gradient, root = expand(u)
        step = cho_solve((root, True), gradient)
        gain = gradient @ step
        short = lambda a, new: ~(new >= old + 1e-4 * a * gain - 50 * eps * (1 + jnp.abs(old)))
        a, new, _ = jax.lax.while_loop(
            lambda c: short(c[0], c[1]) & (c[2] < HALVINGS),
            lambda c: (0.5 * c[0], value(u + 0.5 * c[0] * step), c[2] + 1),
            (jnp.ones((), u.dtype), value(u + step), 0),
        )
        return jnp.where(short(a, new), u, u + a * step), jnp.where(short(a, new), old, new), gain, done + 1

    u = jnp.zeros(N, m.dtype)
    start = (u, value(u), jnp.full((), jnp.inf, m.dtype), 0)
    u, _, _, _ = jax.lax.while_loop(lambda c: (c[2] > 100 * eps) & (c[3] < iterations), iterate, start)
    _, root = expand(u)
    return m + L @ u, solve_triangular(root, L.T, lower=True).T


def by_rows(program: Rowwise, y: Float[Array, "T m"], iterations: int) -> Updated:
    """The laws of each row given the data up to it."""
    f = program.facts
    e0, e = jnp.zeros(f.first_noises), jnp.zeros(f.noises)
    start, G0 = program.first(e0), jax.jacfwd(program.first)(e0)

    def take(t: Array, y: Array, m: Array, L: Array) -> Updated:
        return Updated(m, L, *update(program, t, y, m, L, iterations))

    def body(before: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], Updated]:
        t, y = row
        m, L = before
        F = jax.jacfwd(lambda s: program.transition(t, s, e))(m)
        G = jax.jacfwd(lambda e: program.transition(t, m, e))(e)
        found = take(t, y, program.transition(t, m, e), _root(bool(f.flat), F @ L, G))
        return (found.mean, found.root), found

    first = take(jnp.asarray(0), y[0], start, _root(bool(f.flat), G0))
    _, rest = jax.lax.scan(body, (first.mean, first.root), (jnp.arange(1, len(y)), y[1:]))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)


def _root(flat: bool, *parts: Array) -> Array:
    """A square root of the sum of Gramians: by reflections where variances are as wide as flat ones, beside which what
    the data tell would be lost in their squares."""
    if not flat:
        return semidefinite_root(sum((p @ p.T for p in parts[1:]), parts[0] @ parts[0].T))
    whole = jnp.concatenate(parts, axis=1)
    return tria(jnp.pad(whole, ((0, 0), (0, max(0, len(whole) - whole.shape[1])))))


def shares(x: Expansion, f: Factor, tame: Expansion, tame_f: Factor, emitted: Float[Array, " T"], e0: Array, e: Array,
           flat: int = 0) -> Float[Array, " T"]:  # fmt: skip
    """Laplace's log-likelihood row by row: of each row given those before it under the Gaussian approximation to the
    joint law, and what its emission's log-density at the mode has above the quadratic's.

    `tame`: the expansion without what may be indefinite on the way; what that leaves out of the determinant is added
    where the factorisation meets it. Exact for linear-Gaussian programs, row by row. `flat`: how many first numbers
    are; what row 0 has more on their account goes to the rows that settle them.
    """
    N = x.b.shape[1]

    def row(m: Array, L: Array, b: Array, W: Array) -> tuple[tuple[Array, Array], Array, Array]:
        """m: the mean less the mode."""
        told = jnp.eye(N) + L.T @ W @ L
        A = jnp.linalg.cholesky(told)
        c = L.T @ (b - W @ m)
        half = solve_triangular(A, c, lower=True)
        term = b @ m - 0.5 * m @ W @ m + 0.5 * half @ half - jnp.sum(jnp.log(jnp.diagonal(A)))
        root = solve_triangular(A, L.T, lower=True).T
        # Directions of which a row tells for the first time: their variances fall from those of flat ones.
        settled = UNDONE * jnp.sum(jnp.linalg.eigvalsh(told) > FLAT) if flat else jnp.zeros(())
        return (term, settled), m + root @ half, root

    def body(before: tuple[Array, Array], at: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        F, G, e, b, W = at
        m, L = before
        found, m, L = row(F @ m - G @ e, _root(bool(flat), F @ L, G), b, W)
        return (m, L), found

    first, m, L = row(-x.G0 @ e0, _root(bool(flat), x.G0), x.b[0], tame.W[0])
    _, rest = jax.lax.scan(body, (m, L), (x.F, x.G, e, x.b[1:], tame.W[1:]))
    terms, settled = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)
    # Row 0 has it all; what is never settled stays there.
    terms = terms + settled - jnp.where(jnp.arange(len(terms)) == 0, jnp.sum(settled), 0.0)
    return terms + emitted - log_dets(f) + log_dets(tame_f)
