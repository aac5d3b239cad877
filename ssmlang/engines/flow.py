"""Stochastic differential equations that are not linear, from one time to a later one, in short steps.

    dx = f(x) dt + G(x) dW,  in the sense of Ito

A short step h takes the drift by Runge and Kutta's rule of order 4, the noise by Taylor's terms: with constant G those
of strong order 1.5 (Kloeden & Platen 1992, section 10.4), which see the double integral of the noise too; with a G that
depends on x Milstein's, of strong order 1 where the columns of G commute, of weak order 1 elsewhere. Where the noise is
small the error is that of the drift (Milstein & Tretyakov 1997), and a drift alone is a matter of few steps. Drift and
diffusion are differentiated by JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Field = Callable[[Float[Array, " n"]], Float[Array, " n"]]
Diffusion = Callable[[Float[Array, " n"]], Float[Array, "n w"]]


class Increments(NamedTuple):
    """Of the Wiener process over a step: dW, and int (W - W_0) ds."""

    dW: Float[Array, " w"]
    dZ: Float[Array, " w"]


def increments(e: Float[Array, "2 w"], h: Float[Array, ""]) -> Increments:
    """From standard normal numbers."""
    root = jnp.sqrt(h)
    return Increments(root * e[0], h * root * (0.5 * e[0] + e[1] / jnp.sqrt(12.0)))


def joined(first: Increments, second: Increments, h: Float[Array, ""]) -> Increments:
    """Of two steps of length h in a row."""
    return Increments(first.dW + second.dW, first.dZ + second.dZ + h * first.dW)


def flow(
    f: Field,
    G: Diffusion,
    x: Float[Array, " n"],
    h: Float[Array, ""],
    e: Float[Array, "K 2 w"],
    additive: bool,
) -> Float[Array, " n"]:
    """x after a time h in K steps, with standard normal numbers e. `additive`: G does not depend on x."""
    short = h / len(e)
    move = lambda x, e: (step(f, G, x, short, increments(e, short), additive), None)
    return jax.lax.scan(move, x, e)[0]


_AHEAD, _WEIGHT = (0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
"""Of the classical rule of Runge and Kutta: how far ahead along the last slope the next is taken, and its weight."""


def step(
    f: Field, G: Diffusion, x: Float[Array, " n"], h: Float[Array, ""], noise: Increments, additive: bool
) -> Float[Array, " n"]:
    """x after one short step."""
    dW, dZ = noise
    g = G(x)
    slope, moved = jnp.zeros_like(x), x + g @ dW
    for ahead, weight in zip(_AHEAD, _WEIGHT):
        slope = f(x + ahead * h * slope)
        moved = moved + weight * h * slope
    if additive:
        along = lambda v: jax.jvp(f, (x,), (v,))[1]
        second = lambda v: jax.jvp(lambda x: jax.jvp(f, (x,), (v,))[1], (x,), (v,))[1]
        curved = jnp.sum(jax.vmap(second, in_axes=1)(g), axis=0) if g.shape[1] else jnp.zeros_like(x)
        return moved + 0.25 * h * h * curved + along(g @ dZ)
    pushed = jax.jvp(lambda x: G(x) @ dW, (x,), (g @ dW,))[1]
    own = lambda j: jax.jvp(lambda x: G(x)[:, j], (x,), (g[:, j],))[1]
    expected = jnp.sum(jax.vmap(own)(jnp.arange(g.shape[1])), axis=0)
    return moved + 0.5 * (pushed - h * expected)


Rate = Callable[["GaussianLaw"], "GaussianLaw"]


class GaussianLaw(NamedTuple):
    """Mean and covariance."""

    m: Float[Array, " n"]
    P: Float[Array, "n n"]


def moments(
    f: Field, G: Diffusion, x: Float[Array, " n"], h: Float[Array, ""], steps: int, additive: bool = False
) -> GaussianLaw:
    """Mean and covariance of x after a time h: the moment equations to second order,

        m' = f + tr(P f'') / 2,    P' = J P + P J' + G G' + tr(P (G G')'') / 2    (J the Jacobian of f at m)

    by Runge and Kutta's rule in so many steps (Jazwinski 1970, section 9.3; Maybeck 1982, section 12.3). Exact for a
    drift of second degree under a Gaussian law. `additive`: G does not depend on x.
    """
    return marched(moment_rate(f, G, len(x), additive), GaussianLaw(x, jnp.zeros((len(x), len(x)), x.dtype)), h, steps)


def moment_rate(f: Field, G: Diffusion, n: int, additive: bool) -> Rate:
    """The right-hand side of the moment equations of n states. `additive`: G does not depend on x."""

    def rate(law: GaussianLaw) -> GaussianLaw:
        m, P = law

        def twice(of: Callable[[Array], Array]) -> tuple[Array, Array]:
            """The derivatives along each row of P, (n, ...), and tr(P of'') / 2."""
            pair = lambda p, e: jax.jvp(lambda x: jax.jvp(of, (x,), (p,))[1], (m,), (e,))
            along, bent = jax.vmap(pair)(P, jnp.eye(n, dtype=P.dtype))
            return along, 0.5 * jnp.sum(bent, axis=0)

        spread = lambda x: G(x) @ G(x).T
        moved, curved = twice(f)
        own = spread(m) if additive else spread(m) + twice(spread)[1]
        return GaussianLaw(f(m) + curved, moved + moved.T + own)

    return rate


def marched(rate: Rate, law: GaussianLaw, h: Float[Array, ""], steps: int | Int[Array, ""]) -> GaussianLaw:
    """A law a time h later, by Runge and Kutta's rule of order 4 in so many steps; forward only where these are traced.

    The four evaluations of a step are one body of the loop: it is traced, compiled and differentiated once.
    """
    short = h / steps
    aheads, weights = (jnp.asarray(c, law.m.dtype) for c in (_AHEAD, _WEIGHT))

    def stage(i: Array, carry: tuple[GaussianLaw, GaussianLaw, GaussianLaw]) -> Any:
        law, slope, reached = carry
        along = lambda by: lambda v, k: v + by * short * k
        slope = rate(jax.tree.map(along(aheads[i % 4]), law, slope))
        reached = jax.tree.map(along(weights[i % 4]), reached, slope)
        return jax.tree.map(lambda new, old: jnp.where(i % 4 == 3, new, old), reached, law), slope, reached

    return jax.lax.fori_loop(0, 4 * steps, stage, (law, jax.tree.map(jnp.zeros_like, law), law))[0]  # type: ignore[no-any-return]
