"""Exact inference where chance moves no state: observation-driven programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._elementwise import elementwise
from ssmlang.engines._hoisted import hoisted
from ssmlang.engines._kernel import on_cpu
from ssmlang.engines._products import FUSED_LIMIT
from ssmlang.engines._slopes import with_slopes
from ssmlang.engines._written import FORWARD_LIMIT
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.nonlinear import Estimated, Facts, Law, Nonlinear
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.stepwise import Probe


@register
@dataclass(frozen=True)
class Recursion(EngineBase):
    """The states by their own equations, row after row, and the density of each observation given them.

    For programs without noise in the states and with a known start, such as GARCH, exponential smoothing with
    multiplicative errors and score-driven models: log p(y) = sum_t log p(y_t | s_t) is exact for any law of y (Cox
    1981; Hyndman, Koehler, Ord & Snyder 2008, chapter 5). All variances of states are zero. y is (T, m), NaN missing;
    derivatives in either mode.
    """

    name: ClassVar[str] = "recursion"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, continuous=True, emission_density=True, unmoved=True,
        by_row=True,
    )  # fmt: skip

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        t = jnp.arange(len(y))
        # Rows that only fill up the series stand still: what they would read is no data, and may lead anywhere.
        last = jnp.max(jnp.where(~jnp.isnan(y).all(axis=1), t, 0))
        return jax.vmap(program.log_emission)(jnp.minimum(t, last), _path(program, t, last), y)

    def log_likelihood(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log p(y); its first derivative is one pass back."""
        facts, none = program.facts, jnp.zeros(0)
        row = jnp.asarray(1), jnp.zeros(facts.N)
        small = facts.N <= FUSED_LIMIT
        moved = elementwise(hoisted(lambda t, s: program.transition(t, s, none), *row), small)
        seen = elementwise(hoisted(program.log_emission, *row, jnp.zeros(facts.m)), small)

        def run(first: Array, y: Array, last: Array) -> Array:
            def on(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
                (s, total), (t, y) = carry, row
                total = total + jnp.where(t <= last, seen(jnp.minimum(t, last), s, y), 0.0)
                return (jnp.where(t < last, moved(jnp.minimum(t + 1, last), s), s), total), None

            return jax.lax.scan(on, (first, jnp.zeros((), y.dtype)), (jnp.arange(len(y)), y))[0][1]

        last = jnp.max(jnp.where(~jnp.isnan(y).all(axis=1), jnp.arange(len(y)), 0))
        return with_slopes(run, small, FORWARD_LIMIT if small and on_cpu() else 0)(program.first(none), y, last)

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Each row, known before it is seen: moments as in `Filtered`, with variances of zero."""
        t = jnp.arange(len(y))
        s = _path(program, t, t[-1])
        found = _known(program, t, s, jax.vmap(program.observed)(t, s), jax.vmap(program.log_emission)(t, s, y))
        return found._replace(predicted_mean=found.mean, predicted_cov=found.cov)

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """The same states; as `observed_*` the mean of y_t, which is known."""
        t = jnp.arange(len(y))
        s = _path(program, t, t[-1])
        seen = jax.vmap(program.observed)(t, s)
        signal = Law(seen.mean, jnp.zeros_like(seen.cov))
        return _known(program, t, s, signal, jax.vmap(program.log_emission)(t, s, y))

    def paths(
        self, program: Nonlinear, y: Float[Array, "T m"], keys: Key[Array, " draws"]
    ) -> Float[Array, "draws T n"]:
        """The one path there is, for each key."""
        t = jnp.arange(len(y))
        path = _path(program, t, t[-1])[:, : program.facts.n]
        return jnp.broadcast_to(path, (len(keys), *path.shape))

    def begin(self, program: Nonlinear, key: None = None, probe: Probe | None = None) -> Float[Array, " N"]:
        """Row 0, as `step` takes it."""
        del key, probe
        return program.first(jnp.zeros(0))

    def step(self, program: Nonlinear, t: Int[Array, ""], y: Float[Array, " m"], before: Float[Array, " N"],
             key: None = None, *, first: bool = False) -> tuple[Float[Array, " N"], Estimated]:  # fmt: skip
        """Row t of `filter` from the memory of the row before; `first`: from that of `begin`."""
        del key
        s = before if first else program.transition(t, before, jnp.zeros(0))
        found = _known(program, t[None], s[None], jax.tree.map(lambda a: a[None], program.observed(t, s)),
                       program.log_emission(t, s, y)[None])  # fmt: skip
        found = found._replace(predicted_mean=found.mean, predicted_cov=found.cov)
        return s, jax.tree.map(lambda a: a[0], found)

    def widened(self, carried: Float[Array, " N"], at: Int[np.ndarray, " N"], values: Float[Array, " N"],
                facts: tuple[Facts, Facts]) -> Float[Array, " N"]:  # fmt: skip
        """What is carried over a memory whose entry i was entry at[i] before; where that is -1, the known values[i]."""
        del facts
        return jnp.where(at < 0, values, carried[at])


def _path(program: Nonlinear, t: Int[Array, " T"], last: Int[Array, ""]) -> Float[Array, "T N"]:
    """s_t, as it is in row `last` from there on."""
    none = jnp.zeros(0)
    first = program.first(none)

    def on(s: Array, t: Array) -> tuple[Array, Array]:
        after = jnp.where(t <= last, program.transition(jnp.minimum(t, last), s, none), s)
        return after, after

    _, later = jax.lax.scan(on, first, t[1:])
    return jnp.concatenate([first[None], later])


def _known(program: Nonlinear, t: Int[Array, " T"], s: Float[Array, "T N"], seen: Law, terms: Float[Array, " T"]
           ) -> Estimated:  # fmt: skip
    n = program.facts.n
    lets = jax.vmap(program.definitions)(t, s)
    return Estimated(s[:, :n], jnp.zeros((len(s), n, n)), seen.mean, seen.cov, terms, definition_mean=lets,
                     definition_sd=jnp.zeros_like(lets))  # fmt: skip
