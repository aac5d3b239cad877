"""Paths drawn from the Gaussian approximation at the mode, and what each weighs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float, Key

from ssmlang.engines._antithetic import Balance, normals
from ssmlang.engines._expansion import Numbers, World, costates, log_emissions
from ssmlang.engines._mode import Fit

BEYOND = 1e30
"""A path this far from the mode has run away, as a cubic drift lets it: nothing that was seen is likely there. It has
no weight, and goes on at the mode, so that no number overflows."""


class Drawn(NamedTuple):
    """Draws in groups of k; `weight`: of each row, log of target over proposal of the path up to it, less the same for
    the mode, the quadratic approximation standing for the rows to come. The last row's is the weight of the path."""

    s: Float[Array, "T groups k N"]
    weight: Float[Array, "T groups k"]


def draw(world: World, numbers: Numbers, at: Fit, key: Key[Array, ""], draws: int, balance: Balance) -> Drawn:
    """Paths of noises e_t = e*_t - K_t (s_{t-1} - s*_{t-1}) + R_t^-T u_t, u ~ N(0, I), J_t = R_t R_t'.

    The noises' density is known exactly, whatever the transition does with them: target and proposal are laws of the
    noises, and no density of the states is needed.
    """
    r0, T = len(at.path.e.first), len(at.path.s)
    r = at.path.e.later.shape[1]
    u = normals(key, r0 + (T - 1) * r, draws, balance)
    groups, k, _ = u.shape
    u0, rest = u[..., :r0], jnp.moveaxis(u[..., r0:].reshape(groups, k, T - 1, r), 2, 0)
    flat = lambda u: u.reshape(groups * k, u.shape[-1])  # u may have no noises
    lower = lambda root, u: solve_triangular(root, flat(u).T, lower=True, trans=1).T.reshape(u.shape)
    e0, e = lower(at.f.root0, u0), jax.vmap(lower)(at.f.root, rest)
    found = _linear if world.facts.linear else _general
    return found(world, numbers, at, (e0, e), (u0, rest))


def _linear(world: World, numbers: Numbers, at: Fit, e: tuple[Array, Array], u: tuple[Array, Array]) -> Drawn:
    """Where states move linearly a path's weight is what its emissions have above their quadratics."""
    del u
    x = at.x

    def on(d: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        A, G, e = row
        d = d @ A.T + e @ G.T
        return d, d

    start = e[0] @ x.G0.T
    _, rest = jax.lax.scan(on, start, (x.F - x.G @ at.f.K, x.G, e[1]))
    d = jnp.concatenate([start[None], rest])
    s = at.path.s[:, None, None, :] + d
    over = _emitted(world, numbers, s) - log_emissions(world, numbers, at.path.s)[:, None, None]
    bent = jnp.einsum("tgki,tij,tgkj->tgk", d, x.W, d)
    over = over - jnp.einsum("ti,tgki->tgk", x.b, d) + 0.5 * bent
    return Drawn(s, jnp.cumsum(over, axis=0))


def _general(world: World, numbers: Numbers, at: Fit, e: tuple[Array, Array], u: tuple[Array, Array]) -> Drawn:
    mode, x = at.path, at.x
    move = lambda t, s, e: world.transition(t, s, e, *numbers.transition)
    every = lambda f: jax.vmap(jax.vmap(f))

    def on(now: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        (s, gone), (t, old, still, K, new, e) = now, row
        e = still + e - (s - old) @ K.T
        s = every(lambda s, e: move(t, s, e))(s, e)
        gone = gone | ~jnp.all(jnp.abs(s - new) < BEYOND, axis=-1)
        s, e = jnp.where(gone[..., None], new, s), jnp.where(gone[..., None], still, e)
        return (s, gone), (s, e, gone)

    e0 = mode.e.first + e[0]
    start = every(lambda e: world.first(e, *numbers.first))(e0)
    rows = (jnp.arange(1, len(mode.s)), mode.s[:-1], mode.e.later, at.f.K, mode.s[1:], e[1])
    here = jnp.zeros(start.shape[:2], bool)
    _, (rest, later, gone) = jax.lax.scan(on, (start, here), rows)
    s, gone = jnp.concatenate([start[None], rest]), jnp.concatenate([here[None], gone])
    gone = gone & jnp.isfinite(jnp.sum(mode.s))  # where no mode was found nothing is a number
    squares = lambda e, u, star: -0.5 * jnp.sum(e**2, -1) + 0.5 * jnp.sum(u**2, -1) + 0.5 * jnp.sum(star**2, -1)
    own = squares(later, u[1], mode.e.later[:, None, None, :])
    own = jnp.concatenate([squares(e0, u[0], mode.e.first)[None], own])
    own = own + _emitted(world, numbers, s) - log_emissions(world, numbers, mode.s)[:, None, None]
    d = s - mode.s[:, None, None, :]
    # What the rows to come are worth at s_t, to second order; nothing at the last row.
    ahead, Pi = costates(x.b, x.F) - x.b, at.f.Pi - x.W
    to_come = jnp.einsum("ti,tgki->tgk", ahead, d) - 0.5 * jnp.einsum("tgki,tij,tgkj->tgk", d, Pi, d)
    return Drawn(s, jnp.where(gone, -jnp.inf, jnp.cumsum(own, axis=0) + to_come))


def _emitted(world: World, numbers: Numbers, s: Float[Array, "T groups k N"]) -> Float[Array, "T groups k"]:
    one = lambda s: log_emissions(world, numbers, s)
    return jax.vmap(jax.vmap(one, 1, 1), 1, 1)(s)
