"""The pass forward of a Rao-Blackwellised particle filter, one row after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._conditional_kalman import Particle, begun, moved, spread_through, updated
from ssmlang.engines._swarm import Weighted, deviations, marked, normalised, spread
from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.engines.nonlinear import Estimated, Law
from ssmlang.engines.resampling import Scheme, parents

Carried = tuple[Particle, Weighted]


class Taken(NamedTuple):
    """A row: its number, its particles before their observations and with which weights, after them, their log-density,
    and the particles that they come from."""

    t: Array
    ahead: Particle
    prior: Array
    pool: Weighted
    after: Particle
    term: Array
    parents: Array


@dataclass(frozen=True)
class Forward:
    """The pass over a program, with so many particles."""

    given: ConditionallyLinear
    particles: int
    scheme: Scheme
    threshold: float

    def run(self, y: Float[Array, "T m"], key: Key[Array, ""], told: Callable[[Taken], Any]) -> Any:
        """What is `told` of each row, stacked."""
        first = self.first(y[0], self.begin(key))

        def body(before: Carried, row: tuple[Array, Array]) -> tuple[Carried, Any]:
            taken = self.row(*row, before, key)
            return (taken.after, taken.pool), told(taken)

        _, later = jax.lax.scan(body, (first.after, first.pool), (jnp.arange(1, len(y)), y[1:]))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), told(first), later)

    def begin(self, key: Key[Array, ""]) -> Particle:
        """Row 0 before its observations."""
        own = jax.random.split(jax.random.fold_in(key, 0))[1]
        begin = lambda key: begun(self.given, self.given.program.sample_first(key))
        return jax.vmap(begin)(jax.random.split(own, self.particles))

    def first(self, y: Float[Array, " m"], ahead: Particle) -> Taken:
        """Row 0."""
        return self._taken(jnp.asarray(0), y, ahead, self._even, jnp.arange(self.particles, dtype=jnp.int32))

    def row(self, t: Array, y: Float[Array, " m"], before: Carried, key: Key[Array, ""]) -> Taken:
        """Row t."""
        (particles, pool), (choose, move) = before, jax.random.split(jax.random.fold_in(key, t))

        def chosen() -> tuple[Particle, Array, Array]:
            at = parents(self.scheme, choose, pool.weights)
            return jax.tree.map(lambda a: a[at], particles), self._even, at

        def left() -> tuple[Particle, Array, Array]:
            return particles, pool.logs, jnp.arange(self.particles, dtype=jnp.int32)

        particles, logs, at = jax.lax.cond(pool.ess < self.threshold * self.particles, chosen, left)
        one = lambda key, p: moved(self.given, t, p, self.given.program.sample(key, t, p.s)).ahead
        return self._taken(t, y, jax.vmap(one)(jax.random.split(move, self.particles), particles), logs, at)

    @property
    def _even(self) -> Array:
        return jnp.full(self.particles, -jnp.log(float(self.particles)))

    def _taken(self, t: Array, y: Array, ahead: Particle, logs: Array, at: Array) -> Taken:
        after, more = jax.vmap(lambda p: updated(self.given, t, p, y))(ahead)
        pool, term = normalised(logs + more)
        return Taken(t, ahead, logs, pool, after, jnp.where(self.given.program.exists, term, -jnp.inf), at)


def estimated(given: ConditionallyLinear, row: Taken) -> Estimated:
    """Moments of one row."""
    program, n = given.program, given.program.facts.n
    weights = normalised(row.prior)[0].weights
    state = lambda s: s[:n]
    seen = mixture(given, lambda s: program.observed(row.t, s).mean, row.ahead, weights)
    noise = jax.vmap(lambda s: program.observed(row.t, s).cov)(row.ahead.s)
    after, before = mixture(given, state, row.after, row.pool.weights), mixture(given, state, row.ahead, weights)
    lets = mixture(given, lambda s: program.definitions(row.t, s), row.after, row.pool.weights)
    return Estimated(after.mean, after.cov, seen.mean, seen.cov + jnp.einsum("pij,p->ij", noise, weights), row.term,
                     before.mean, before.cov, lets.mean, deviations(lets.cov), row.pool.ess,
                     marks=marked(program, row.after.s.T, row.pool.weights),
                     predicted_marks=marked(program, row.ahead.s.T, weights))  # fmt: skip


def mixture(given: ConditionallyLinear, f: Any, particles: Particle, weights: Array) -> Law:
    """Moments of a function of the memory over weighted particles."""
    each = jax.vmap(lambda p: spread_through(given, f, p))(particles)
    between = spread(each.mean.T, weights)
    return Law(between.mean, between.cov + jnp.einsum("pij,p->ij", each.cov, weights))
