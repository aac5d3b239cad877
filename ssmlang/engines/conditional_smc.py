"""Conditional sequential Monte Carlo with ancestor sampling: a Markov kernel on paths of the states.

Lindsten, Jordan & Schon (2014), algorithm 2: particles as of a bootstrap filter, one of which is the path at hand,
whose past is drawn anew in each row. The law of the states given the data is left as it is, whatever the number of
particles.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines.nonlinear import Nonlinear


def renewed(program: Nonlinear, y: Float[Array, "T m"], path: Float[Array, "T N"], key: Key[Array, ""], particles: int
            ) -> Float[Array, "T N"]:  # fmt: skip
    """A new path of memories given the data, from the one at hand; where `facts.density`."""
    steps = len(y)
    key, first, last = jax.random.split(key, 3)
    fresh = jax.vmap(program.sample_first)(jax.random.split(first, particles - 1))
    s = jnp.concatenate([fresh, path[:1]])
    weights = jax.vmap(lambda s: program.log_emission(jnp.asarray(0), s, y[0]))(s)

    def body(carry: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        s, weights = carry
        t, y, reference, key = row
        parents, moves, own = jax.random.split(key, 3)
        ancestors = _drawn(parents, weights, particles - 1)
        moved = _moved(program, moves, t, s[ancestors])
        back = weights + jax.vmap(lambda before: program.log_transition(t, before, reference))(s)
        parent = jax.random.categorical(own, _number(back))
        now = jnp.concatenate([moved, program.joined(s[parent], reference)[None]])
        after = jax.vmap(lambda s: program.log_emission(t, s, y))(now)
        return (now, _number(after)), (now, jnp.append(ancestors, parent))

    rows = (jnp.arange(1, steps), y[1:], path[1:], jax.random.split(key, steps - 1))
    (_, weights), (later, parents) = jax.lax.scan(body, (s, _number(weights)), rows)
    chosen = jax.random.categorical(last, weights)

    def back(chosen: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        now, parents = row
        return parents[chosen], now[chosen]

    first_chosen, rest = jax.lax.scan(back, chosen, (later, parents), reverse=True)
    return jnp.concatenate([s[first_chosen][None], rest])


def drawn_ahead(program: Nonlinear, steps: int, key: Key[Array, ""]) -> Float[Array, "T N"]:
    """A path of memories from the program alone, as if nothing had been observed."""
    first, key = jax.random.split(key)
    s = program.sample_first(first)

    def body(s: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        after = program.sample(row[1], row[0], s)
        return after, after

    _, later = jax.lax.scan(body, s, (jnp.arange(1, steps), jax.random.split(key, steps - 1)))
    return jnp.concatenate([s[None], later])


def _moved(program: Nonlinear, key: Key[Array, ""], t: Array, s: Float[Array, "P N"]) -> Float[Array, "P N"]:
    if program.facts.gaussian_step:
        e = jax.random.normal(key, (len(s), program.facts.noises))
        return jax.vmap(program.transition, (None, 0, 0))(t, s, e)
    return jax.vmap(program.sample, (0, None, 0))(jax.random.split(key, len(s)), t, s)


def _drawn(key: Key[Array, ""], weights: Float[Array, " P"], count: int) -> Int[Array, " count"]:
    """Multinomial resampling by the distribution function."""
    total = jnp.cumsum(jax.nn.softmax(weights))
    at = jax.random.uniform(key, (count,)) * total[-1]
    return jnp.minimum(jnp.searchsorted(total, at, method="compare_all"), len(weights) - 1)


def _number(weights: Float[Array, " P"]) -> Float[Array, " P"]:
    """Weights that are no number are zero; of weights that are all zero, all are alike."""
    weights = jnp.where(jnp.isnan(weights), -jnp.inf, weights)
    return jnp.where(jnp.isneginf(weights).all(), 0.0, weights)
