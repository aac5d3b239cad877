"""The pass back over stored particles: paths of the states given all data."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._particle_filter import Cloud
from ssmlang.engines.nonlinear import Nonlinear
from ssmlang.engines.resampling import running_sum

PAIRS = 1 << 20
"""Pairs of a path and a particle that are weighed at once."""


class Back(NamedTuple):
    """Rows given all data: paths drawn, each counting the same, and weighted particles."""

    paths: Float[Array, "T N M"]
    s: Float[Array, "T N P"]
    weights: Float[Array, "T P"]


def drawn_from(key: Key[Array, ""], weights: Float[Array, " P"], count: int) -> Int[Array, " count"]:
    """Independent draws of a particle's number."""
    total = running_sum(weights)
    points = jax.random.uniform(key, (count,), weights.dtype) * total[-1]
    return jnp.minimum(jnp.searchsorted(total, points), len(weights) - 1)


def backward(program: Nonlinear, clouds: Cloud, key: Key[Array, ""], count: int) -> Back:
    """Backward sampling (Godsill, Doucet & West 2004): each path meets every particle of the row before.

    The weights of a row's particles are the mean of those that the paths give them, which has less variance than the
    path's own draws.
    """
    T = len(clouds.logs)
    keys = jax.vmap(lambda t: jax.random.fold_in(key, t))(jnp.arange(T))
    weights = jnp.exp(clouds.logs[-1])
    last = clouds.s[-1][:, drawn_from(keys[-1], weights, count)]
    chunk = max(1, min(count, PAIRS // clouds.logs.shape[1]))
    chunk = next(c for c in range(chunk, 0, -1) if count % c == 0)

    def body(later: Array, row: tuple[Array, Cloud, Array]) -> tuple[Array, tuple[Array, Array]]:
        t, cloud, key = row

        def weighed(after: Array, u: Array) -> tuple[Array, Array]:
            pair = lambda s, after: program.log_transition(t + 1, s, after)
            logs = cloud.logs + jax.vmap(jax.vmap(pair, (1, None)), (None, 1))(cloud.s, after)
            logs = jnp.where(jnp.isnan(logs), -jnp.inf, logs)
            top = jnp.max(logs, axis=1, keepdims=True)
            each = jnp.exp(logs - jnp.where(jnp.isfinite(top), top, 0.0))
            total = running_sum(each)
            at = jnp.sum(total < u[:, None] * total[:, -1:], axis=1)
            return at, jnp.sum(each / total[:, -1:], axis=0)

        u = jax.random.uniform(key, (count,), cloud.logs.dtype)
        parts = jnp.moveaxis(later.reshape(later.shape[0], -1, chunk), 1, 0), u.reshape(-1, chunk)
        at, mass = jax.lax.map(lambda part: weighed(*part), parts)
        now = cloud.s[:, jnp.minimum(at.reshape(-1), cloud.s.shape[1] - 1)]
        return now, (now, mass.sum(0) / count)

    rows = (jnp.arange(T - 1), jax.tree.map(lambda a: a[:-1], clouds), keys[:-1])
    _, (paths, found) = jax.lax.scan(body, last, rows, reverse=True)
    paths = jnp.concatenate([paths, last[None]])
    return Back(_joined(program, paths), clouds.s, jnp.concatenate([found, weights[None]]))


def most_probable(program: Nonlinear, y: Float[Array, "T m"], paths: Float[Array, "T N M"]
                  ) -> Float[Array, "T n"] | None:  # fmt: skip
    """The most probable path of discrete states through the values that drawn paths have in each row (Viterbi's
    algorithm over particles: Godsill, Doucet & West 2001); None where there are others, or no density."""
    f = program.facts
    if not f.density or program.log_first is None or not set(range(f.n)) <= set(f.discrete):
        return None
    emitted = jax.vmap(lambda t, s, y: jax.vmap(program.log_emission, (None, 1, None))(t, s, y))
    seen, first = emitted(jnp.arange(len(y)), paths, y), jax.vmap(program.log_first, 1)(paths[0])
    pair = lambda t: jax.vmap(jax.vmap(lambda s, after: program.log_transition(t, s, after), (1, None)), (None, 1))

    def onward(logs: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        t, before, now, own = row
        through = logs + pair(t)(before, now)
        return jnp.max(through, axis=1) + own, jnp.argmax(through, axis=1)

    rows = (jnp.arange(1, len(y)), paths[:-1], paths[1:], seen[1:])
    logs, parents = jax.lax.scan(onward, first + seen[0], rows)
    last = jnp.argmax(logs)
    _, earlier = jax.lax.scan(lambda at, parents: (parents[at], parents[at]), last, parents, reverse=True)
    at = jnp.concatenate([earlier, last[None]])
    return jax.vmap(lambda s, i: s[: f.n, i])(paths, at)


def _joined(program: Nonlinear, paths: Float[Array, "T N M"]) -> Float[Array, "T N M"]:
    """Paths whose older rows, which definitions read, are those of the path itself."""
    if program.facts.n == program.facts.N:
        return paths

    def body(before: Array, now: Array) -> tuple[Array, Array]:
        made = jax.vmap(program.joined, 1, 1)(before, now)
        return made, made

    _, later = jax.lax.scan(body, paths[0], paths[1:])
    return jnp.concatenate([paths[:1], later])


def ancestral(clouds: Cloud, key: Key[Array, ""], count: int) -> Back:
    """The lines of descent of the last row's particles, for programs without a transition density.

    Early rows are told by few particles where resampling is frequent (Kitagawa 1996).
    """
    weights = jnp.exp(clouds.logs[-1])
    P = len(weights)

    def body(at: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        s, parents = row
        return parents[at], s[:, at]

    _, lines = jax.lax.scan(body, jnp.arange(P, dtype=jnp.int32), (clouds.s, clouds.parents), reverse=True)
    chosen = drawn_from(key, weights, count)
    return Back(lines[:, :, chosen], lines, jnp.broadcast_to(weights, clouds.logs.shape))
