"""Rows to come of a program whose states past observations determine: draws, from the one state that the data leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._swarm import deviations, seen, spread
from ssmlang.engines.base import EngineBase
from ssmlang.engines.nonlinear import Estimated, Nonlinear
from ssmlang.engines.recursion import Recursion


@dataclass(frozen=True)
class Ahead(EngineBase):
    """Moments of the last rows by paths drawn; those before are known, and not told.

    Observations that later rows read are part of the memory here. `rows`: how many are drawn, `back` of them in the
    data. What is seen in these is not learnt from, so that nothing of them but what states read may be.
    """

    rows: int
    back: int = 0
    trajectories: int = 1000

    name: ClassVar[str] = Recursion.name
    requires: ClassVar = Recursion.requires._replace(random=True, gradients=False)

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Zeros: nothing is learnt."""
        return jnp.zeros(len(y))

    def filter(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Moments of the rows drawn, zeros before them."""
        times, s = self._drawn(program, y, key)
        n, weights = program.facts.n, jnp.full(self.trajectories, 1 / self.trajectories)
        states = jax.vmap(lambda s: spread(s[:n], weights))(s)
        observed = jax.vmap(lambda t, s: seen(program, t, s, weights, noise=True))(times, s)
        lets = jax.vmap(lambda t, s: spread(jax.vmap(program.definitions, (None, 1), 1)(t, s), weights))(times, s)
        whole = lambda a: jnp.zeros((len(y), *a.shape[1:]), a.dtype).at[times].set(a)
        return Estimated(whole(states.mean), whole(states.cov), whole(observed.mean), whole(observed.cov),
                         jnp.zeros(len(y)), definition_mean=whole(lets.mean),
                         definition_sd=whole(deviations(lets.cov)))  # fmt: skip

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """`filter`, with the paths."""
        times, s = self._drawn(program, y, key)
        paths = jnp.moveaxis(s[:, : program.facts.n], 2, 0)
        whole = jnp.zeros((self.trajectories, len(y), program.facts.n), s.dtype).at[:, times].set(paths)
        return self.filter(program, y, key)._replace(paths=whole)

    def _drawn(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
               ) -> tuple[Int[Array, " K"], Float[Array, "K N P"]]:  # fmt: skip
        t = jnp.arange(len(y))
        last = jnp.max(jnp.where(~jnp.isnan(y).all(axis=1), t, 0)) - self.back
        one, many = jax.random.split(key)
        first = program.sample_first(one)

        def on(s: Array, t: Array) -> tuple[Array, None]:
            return jnp.where(t <= last, program.sample(one, jnp.minimum(t, last), s), s), None

        known, _ = jax.lax.scan(on, first, t[1:])
        times = last + 1 + jnp.arange(self.rows)

        def ahead(s: Array, t: Array) -> tuple[Array, Array]:
            keys = jax.random.split(jax.random.fold_in(many, t), self.trajectories)
            after = jax.vmap(program.sample, (0, None, 1), 1)(keys, t, s)
            return after, after

        _, drawn = jax.lax.scan(ahead, jnp.repeat(known[:, None], self.trajectories, axis=1), times)
        return times, drawn
