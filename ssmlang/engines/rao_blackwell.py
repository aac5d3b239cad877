"""The Rao-Blackwellised particle filter: a part of the state is sampled, the rest has its exact law given that part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._backward import drawn_from
from ssmlang.engines._conditional_filter import Carried, Forward, estimated, mixture
from ssmlang.engines._conditional_kalman import Particle
from ssmlang.engines._conditional_smooth import along
from ssmlang.engines._swarm import deviations, marked
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.engines.nonlinear import Estimated, Law
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.resampling import SCHEMES, Scheme


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
        random=True, part_linear=True, by_row=True,
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
        return self._forward(program).run(y, key, lambda row: row.term)

    def log_likelihood(  # type: ignore[override]
        self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Log of an unbiased estimate of the density of what was observed."""
        return jnp.sum(self.log_likelihood_terms(program, y, key))

    def judged(self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]
               ) -> tuple[Float[Array, ""], Float[Array, " T"]]:  # fmt: skip
        """`log_likelihood`, and the effective number of particles in each row."""
        terms, ess = self._forward(program).run(y, key, lambda row: (row.term, row.pool.ess))
        return jnp.sum(terms), ess

    def filter(self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Filtered and one-step-ahead moments of each row, and the effective number of particles."""
        found: Estimated = self._forward(program).run(y, key, lambda row: estimated(program, row))
        return found

    def smooth(self, program: ConditionallyLinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Moments of each row given all of y, and paths drawn."""
        line = lambda row: (row.term, _Line(row.after.s, row.parents, row.pool.logs))
        terms, lines = self._forward(program).run(y, key, line)
        choose, draw = jax.random.split(jax.random.fold_in(key, len(y)))
        last = drawn_from(choose, jnp.exp(lines.logs[-1]), self.trajectories)
        _, paths = jax.lax.scan(lambda at, row: (row.parents[at], row.s[at]), last, lines, reverse=True)
        keys = jax.random.split(draw, self.trajectories)
        found = jax.vmap(lambda path, key: along(program, path, y, key), (1, 0), 1)(paths, keys)
        n, alike, whole = program.program.facts.n, jnp.full(self.trajectories, 1 / self.trajectories), program.program

        def row(t: Array, particles: Particle) -> tuple[Law, Law, Law]:
            return (mixture(program, lambda s: s[:n], particles, alike),
                    mixture(program, lambda s: whole.observed(t, s).mean, particles, alike),
                    mixture(program, lambda s: whole.definitions(t, s), particles, alike))  # fmt: skip

        state, signal, lets = jax.vmap(row)(jnp.arange(len(y)), found.particles)
        return Estimated(
            state.mean, state.cov, signal.mean, signal.cov, terms, definition_mean=lets.mean,
            definition_sd=deviations(lets.cov), paths=jnp.moveaxis(found.drawn[..., :n], 1, 0),
            marks=None if whole.marks is None else jax.vmap(lambda s: marked(whole, s.T, alike))(paths),
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------- row by row

    def begin(self, program: ConditionallyLinear, key: Key[Array, ""], probe: Any = None) -> Particle:
        """Row 0 before its observations, as `step` takes it."""
        del probe
        return self._forward(program).begin(key)

    def step(self, program: ConditionallyLinear, t: Int[Array, ""], y: Float[Array, " m"], before: Particle | Carried,
             key: Key[Array, ""], *, first: bool = False) -> tuple[Carried, Estimated]:  # fmt: skip
        """Row t of `filter` from the particles that the row before it left; `first`: from those of `begin`."""
        forward = self._forward(program)
        if isinstance(before, Particle):
            assert first
            row = forward.first(y, before)
        else:
            row = forward.row(t, y, before, key)
        return (row.after, row.pool), estimated(program, row)

    def _forward(self, program: ConditionallyLinear) -> Forward:
        return Forward(program, self.particles, self.resampling, self.threshold)
