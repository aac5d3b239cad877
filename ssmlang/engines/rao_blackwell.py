"""The Rao-Blackwellised particle filter: a part of the state is sampled, the rest has its exact law given that part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._backward import drawn_from
from ssmlang.engines._conditional_kalman import Particle, begun, moved, spread_through, updated
from ssmlang.engines._conditional_smooth import along
from ssmlang.engines._swarm import Weighted, deviations, normalised, spread
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.engines.nonlinear import Estimated, Law
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.resampling import SCHEMES, Scheme, parents


class _Row(NamedTuple):
    """What a row leaves: its term, effective number of particles, and moments of x, y and definitions."""

    term: Array
    ess: Array
    after: Law
    before: Law
    observed: Law
    definitions: Law


class _Line(NamedTuple):
    """What a row leaves for the way back, particles first."""

    s: Float[Array, "P N"]
    parents: Array
    logs: Array


@register
@dataclass(frozen=True)
class RaoBlackwell(EngineBase):
    """Particles of the states that are not linear, each with a Kalman filter over those that are.

    Which these are is found from the equations. The likelihood is unbiased, and varies less than that of `particle`.
    Smoothing follows the lines of descent of the last row's particles, the linear part by its exact smoother given each
    line. Doucet, de Freitas, Murphy & Russell (2000); Schon, Gustafsson & Nordlund (2005).
    """

    particles: int = 500
    resampling: Scheme = "systematic"
    threshold: float = 0.5
    """Particles are resampled where their effective number is below this share of them"""
    trajectories: int = 200
    """Lines of descent that the smoother goes back along"""

    name: ClassVar[str] = "rao_blackwell"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, gradients=False, exact=False, emission_density=True,
        random=True, part_linear=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in ("particles", "trajectories"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}={getattr(self, name)}: at least 2")
        if self.resampling not in SCHEMES:
            raise ValueError(f"resampling={self.resampling!r}: one of {', '.join(SCHEMES)}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold}: a share between 0 and 1")

    def log_likelihood_terms(  # type: ignore[override]
        self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        return self._run(program, y, key, lambda row, line: row().term)

    def log_likelihood(  # type: ignore[override]
        self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Log of an unbiased estimate of the density of what was observed."""
        return jnp.sum(self.log_likelihood_terms(program, y, key))

    def filter(self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Filtered and one-step-ahead moments of each row, and the effective number of particles."""
        row = self._run(program, y, key, lambda row, line: row(True))
        return Estimated(row.after.mean, row.after.cov, row.observed.mean, row.observed.cov, row.term, row.before.mean,
                         row.before.cov, row.definitions.mean, deviations(row.definitions.cov), row.ess)  # fmt: skip

    def smooth(self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Moments of each row given all of y, and paths drawn."""
        terms, lines = self._run(program, y, key, lambda row, line: (row().term, line))
        choose, draw = jax.random.split(jax.random.fold_in(key, len(y)))
        last = drawn_from(choose, jnp.exp(lines.logs[-1]), self.trajectories)
        _, paths = jax.lax.scan(lambda at, row: (row.parents[at], row.s[at]), last, lines, reverse=True)
        keys = jax.random.split(draw, self.trajectories)
        found = jax.vmap(lambda path, key: along(program, path, y, key), (1, 0), 1)(paths, keys)
        n, alike, whole = program.program.facts.n, jnp.full(self.trajectories, 1 / self.trajectories), program.program

        def row(t: Array, particles: Particle) -> tuple[Law, Law, Law]:
            return (_mixture(program, lambda s: s[:n], particles, alike),
                    _mixture(program, lambda s: whole.observed(t, s).mean, particles, alike),
                    _mixture(program, lambda s: whole.definitions(t, s), particles, alike))  # fmt: skip

        state, signal, lets = jax.vmap(row)(jnp.arange(len(y)), found.particles)
        return Estimated(
            state.mean, state.cov, signal.mean, signal.cov, terms, definition_mean=lets.mean,
            definition_sd=deviations(lets.cov), paths=jnp.moveaxis(found.drawn[..., :n], 1, 0),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ forward

    def _run(self, given: ConditionallyLinear, y: Array, key: Array, told: Callable[..., Any]) -> Any:
        """The pass forward; what is `told` of each row, stacked."""
        program, count = given.program, self.particles
        keys = jax.vmap(lambda t: jax.random.split(jax.random.fold_in(key, t)))(jnp.arange(len(y)))
        even = jnp.full(count, -jnp.log(float(count)))

        def told_of(t: Array, ahead: Particle, prior: Array, pool: Weighted, after: Particle, term: Array, at: Array
                    ) -> Any:  # fmt: skip
            def row(moments: bool = False) -> _Row:
                blank = Law(jnp.zeros(0), jnp.zeros((0, 0)))
                if not moments:
                    return _Row(term, pool.ess, blank, blank, blank, blank)
                n, weights = program.facts.n, normalised(prior)[0].weights
                state = lambda s: s[:n]
                seen = _mixture(given, lambda s: program.observed(t, s).mean, ahead, weights)
                noise = jax.vmap(lambda s: program.observed(t, s).cov)(ahead.s)
                return _Row(term, pool.ess, _mixture(given, state, after, pool.weights),
                            _mixture(given, state, ahead, weights),
                            Law(seen.mean, seen.cov + jnp.einsum("pij,p->ij", noise, weights)),
                            _mixture(given, lambda s: program.definitions(t, s), after, pool.weights))  # fmt: skip

            return told(row, _Line(after.s, at, pool.logs))

        def weighed(t: Array, y: Array, ahead: Particle, logs: Array) -> tuple[Particle, Weighted, Array]:
            after, more = jax.vmap(lambda p: updated(given, t, p, y))(ahead)
            pool, term = normalised(logs + more)
            return after, pool, jnp.where(program.exists, term, -jnp.inf)

        zero = jnp.asarray(0)
        ahead = jax.vmap(lambda key: begun(given, program.sample_first(key)))(jax.random.split(keys[0, 1], count))
        after, pool, term = weighed(zero, y[0], ahead, even)
        first = told_of(zero, ahead, even, pool, after, term, jnp.arange(count, dtype=jnp.int32))

        def body(carry: tuple[Particle, Weighted], row: tuple[Array, Array, Array]) -> tuple[Any, Any]:
            (before, pool), (t, y, keys) = carry, row

            def chosen() -> tuple[Particle, Array, Array]:
                at = parents(self.resampling, keys[0], pool.weights)
                return jax.tree.map(lambda a: a[at], before), even, at

            def left() -> tuple[Particle, Array, Array]:
                return before, pool.logs, jnp.arange(count, dtype=jnp.int32)

            before, logs, at = jax.lax.cond(pool.ess < self.threshold * count, chosen, left)
            ahead = jax.vmap(lambda key, p: moved(given, t, p, program.sample(key, t, p.s)).ahead)(
                jax.random.split(keys[1], count), before)  # fmt: skip
            after, pool, term = weighed(t, y, ahead, logs)
            return (after, pool), told_of(t, ahead, logs, pool, after, term, at)

        _, later = jax.lax.scan(body, (after, pool), (jnp.arange(1, len(y)), y[1:], keys[1:]))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)


def _mixture(given: ConditionallyLinear, f: Any, particles: Particle, weights: Array) -> Law:
    """Moments of a function of the memory over weighted particles."""
    each = jax.vmap(lambda p: spread_through(given, f, p))(particles)
    between = spread(each.mean.T, weights)
    return Law(between.mean, between.cov + jnp.einsum("pij,p->ij", each.cov, weights))
