"""Stochastic differential equations that are not linear, from one time to a later one, in short steps.

    dx = f(x) dt + G(x) dW,  in the sense of Ito

A short step h is Taylor's: with constant G the scheme of strong order 1.5 (Kloeden & Platen 1992, section 10.4), which
sees the double integral of the noise too; with a G that depends on x Milstein's of strong order 1 where the columns of
G commute, of weak order 1 elsewhere, its drift of second order. Drift and diffusion are differentiated by JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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


def step(
    f: Field, G: Diffusion, x: Float[Array, " n"], h: Float[Array, ""], noise: Increments, additive: bool
) -> Float[Array, " n"]:
    """x after one short step."""
    dW, dZ = noise
    g = G(x)
    rate, bent = jax.jvp(f, (x,), (f(x),))
    moved = x + h * rate + g @ dW
    along = lambda v: jax.jvp(f, (x,), (v,))[1]
    if additive:
        second = lambda v: jax.jvp(lambda x: jax.jvp(f, (x,), (v,))[1], (x,), (v,))[1]
        curved = jnp.sum(jax.vmap(second, in_axes=1)(g), axis=0) if g.shape[1] else jnp.zeros_like(x)
        return moved + 0.5 * h * h * (bent + 0.5 * curved) + along(g @ dZ)
    pushed = jax.jvp(lambda x: G(x) @ dW, (x,), (g @ dW,))[1]
    own = lambda j: jax.jvp(lambda x: G(x)[:, j], (x,), (g[:, j],))[1]
    expected = jnp.sum(jax.vmap(own)(jnp.arange(g.shape[1])), axis=0)
    return moved + 0.5 * h * h * bent + 0.5 * (pushed - h * expected)


def moments(
    f: Field, G: Diffusion, x: Float[Array, " n"], h: Float[Array, ""], steps: int
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Mean and covariance of x after a time h: the moment equations to second order,

        m' = f + tr(P f'') / 2,    P' = J P + P J' + G G' + tr(P (G G')'') / 2    (J the Jacobian of f at m)

    by Runge and Kutta's rule in so many steps (Jazwinski 1970, section 9.3; Maybeck 1982, section 12.3). Exact for a
    drift of second degree under a Gaussian law.
    """
    n = len(x)
    eye = jnp.eye(n, dtype=x.dtype)

    def curved(of: Callable[[Array], Array], m: Array, P: Array) -> Array:
        """tr(P of'') / 2."""
        second = lambda p, e: jax.jvp(lambda x: jax.jvp(of, (x,), (p,))[1], (m,), (e,))[1]
        return 0.5 * jnp.sum(jax.vmap(second)(P, eye), axis=0)

    def rate(law: tuple[Array, Array]) -> tuple[Array, Array]:
        m, P = law
        spread = lambda x: G(x) @ G(x).T
        moved = jax.vmap(lambda p: jax.jvp(f, (m,), (p,))[1])(P)
        return f(m) + curved(f, m, P), moved + moved.T + spread(m) + curved(spread, m, P)

    short = h / steps

    def move(law: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        ahead = lambda k, s: jax.tree.map(lambda a, b: a + s * short * b, law, k)
        a = rate(law)
        b = rate(ahead(a, 0.5))
        c = rate(ahead(b, 0.5))
        d = rate(ahead(c, 1.0))
        return jax.tree.map(lambda v, *k: v + short / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3]), law, a, b, c, d), None

    return jax.lax.scan(move, (x, jnp.zeros((n, n), x.dtype)), None, length=steps)[0]
