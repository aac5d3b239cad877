"""The pass forward of a particle filter: bootstrap, guided or auxiliary, one row after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines import _first_cloud
from ssmlang.engines._proposals import Proposal, at_mode, drawn, drawn_with_prior, exact
from ssmlang.engines._swarm import (
    Moments,
    Weighted,
    begun,
    deviations,
    log_emission,
    marked,
    moved,
    normalised,
    seen,
    spread,
)  # fmt: skip
from ssmlang.engines.counters import each_row, normals
from ssmlang.engines.nonlinear import Facts, Nonlinear
from ssmlang.engines.resampling import parents

AT_ONCE = 1000
"""Particles whose proposals are worked out at once"""
SMALL = 8
"""Up to so many noises a row is the mode of a particle's quickly found"""
PILOT = 100
"""Particles by which a row is judged"""
SHARP = 0.1
"""Below this share of a pilot's effective number of particles observations are sharp."""
LEAST = 30.0
"""First-stage weights are at least exp(-30) of the largest one, so that no particle is out of reach."""


class Plan(NamedTuple):
    """How particles are moved."""

    guided: bool
    """by a law of the row's noises given its observations"""
    exact: bool
    """that law is known; else it is guessed at its mode"""
    judged: bool
    """only in rows whose observations are sharp: where it is a guess it costs more than it gains in others"""
    auxiliary: bool
    """parents are chosen by how well they predict the row"""
    sent: bool
    """row 0 comes from a law given its observations, where these are sharp"""


def plan_of(facts: Facts, proposal: str) -> Plan:
    """What a proposal is to a program."""
    asked, gaussian = proposal, facts.gaussian_emission and facts.steady_emission
    best = facts.gaussian_step and facts.noises > 0 and gaussian
    # Large counts leave few of the particles that the transition alone has moved; the law at their mode is near.
    near = facts.gaussian_step and 0 < facts.noises <= SMALL and facts.counts
    if proposal == "auto":
        # Where the noises do not enter additively the law at the mode is a wilder guess, and dear.
        proposal = "guided" if (best or near) and facts.additive else "bootstrap"
    guided = proposal == "guided" or (proposal == "auxiliary" and best)
    exact = gaussian and facts.linear_emission and facts.additive
    sent = asked != "bootstrap" and _first_cloud.can_be_sent(facts)
    return Plan(guided, exact, asked == "auto" and not exact, proposal == "auxiliary", sent)


class Row(NamedTuple):
    """What is kept of a row where moments are wanted."""

    after: Moments
    before: Moments
    observed: Moments
    definition_mean: Float[Array, " d"]
    definition_sd: Float[Array, " d"]
    ess: Float[Array, ""]
    marks: Float[Array, " k"] | None
    predicted_marks: Float[Array, " k"] | None


class Cloud(NamedTuple):
    """The particles of a row, as they are kept for the way back."""

    s: Float[Array, "N P"]
    logs: Float[Array, " P"]
    parents: Int[Array, " P"]


@dataclass(frozen=True)
class Forward:
    """The pass forward over a program, with so many particles."""

    program: Nonlinear
    particles: int
    plan: Plan
    scheme: str
    threshold: float

    def run(self, y: Float[Array, "T m"], key: Key[Array, ""], *, rows: bool = False, clouds: bool = False
            ) -> tuple[Float[Array, " T"], Row | None, Cloud | None, Float[Array, " T"]]:  # fmt: skip
        """Log-density of each row given those before it; where asked for, moments of each row and its particles; the
        effective number of particles in each."""
        first, *drawing = self._keys(key, len(y))
        start, pool, term, kept = self._first(self.begin(key), first, y[0], rows, clouds)

        def body(carry: tuple[Array, Weighted], row: tuple[Array, Array, list[Array]]) -> tuple[tuple[Array, Weighted],
                 tuple[Array, Array, tuple[Row | None, Cloud | None]]]:  # fmt: skip
            (s, pool), (t, y, drawing) = carry, row
            now, pool, term, kept = self._row(t, y, drawing, s, pool, rows, clouds)
            return (now, pool), (term, pool.ess, kept)

        _, (terms, ess, later) = jax.lax.scan(body, (start, pool), (jnp.arange(1, len(y)), y[1:], drawing))
        terms = jnp.where(self.program.exists, jnp.concatenate([term[None], terms]), -jnp.inf)
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), kept, later)
        return terms, *joined, jnp.concatenate([pool.ess[None], ess])

    def begin(self, key: Key[Array, ""]) -> Float[Array, "N P"]:
        """Row 0 before its observations."""
        own = each_row(key, jnp.zeros(1, int))
        return begun(self.program, jax.random.wrap_key_data(own[0, 0]), self.particles)

    def step(self, t: Array, y: Float[Array, " m"], before: tuple[Array, Weighted] | Array, key: Key[Array, ""],
             first: bool) -> tuple[tuple[Array, Weighted], Array, Row]:  # fmt: skip
        """One row of `run`: the particles that it leaves, its log-density, its moments. `first`: row 0, from
        particles that have seen nothing."""
        if first:
            assert isinstance(before, jax.Array)
            s, pool, term, (row, _) = self._first(before, each_row(key, t[None])[0], y, True, False)
        else:
            assert isinstance(before, tuple)
            own = each_row(key, t[None])[0]
            drawing = [jax.random.wrap_key_data(own[0]), self._seeds(own[1]), self._seeds(own[2])]
            s, pool, term, (row, _) = self._row(t, y, drawing, *before, True, False)
        assert row is not None
        return (s, pool), jnp.where(self.program.exists, term, -jnp.inf), row

    def _first(self, before: Array, own: Array, y: Float[Array, " m"], rows: bool, clouds: bool
               ) -> tuple[Array, Weighted, Array, tuple[Row | None, Cloud | None]]:  # fmt: skip
        """Row 0 from particles that have seen nothing; where these are far from the data, from others."""
        P, zero = self.particles, jnp.asarray(0)
        even = jnp.full(P, -jnp.log(float(P)))
        s, more = before, jnp.zeros(P)
        if self.plan.sent:
            s, more = _first_cloud.sent(self.program, jax.random.wrap_key_data(own[0]), own[1], y, P)
        pool, term = normalised(even + more + log_emission(self.program, zero, s, y))
        return s, pool, term, self._kept(zero, before, jnp.exp(even), s, pool, jnp.arange(P), rows, clouds)

    def _keys(self, key: Array, T: int) -> tuple[Array, Array, Array, Array]:
        """The words of row 0; parents, moves and predictions of the later rows. The same for any length."""
        rows = each_row(key, jnp.arange(T))
        keys = jax.random.wrap_key_data(rows)
        return rows[0], keys[1:, 0], self._seeds(rows[1:, 1]), self._seeds(rows[1:, 2])

    def _seeds(self, rows: Array) -> Array:
        """What `moved` draws with, from a key's words."""
        return rows if self.program.facts.gaussian_step else jax.random.wrap_key_data(rows)

    def _row(self, t: Array, y: Array, drawing: list[Array], s: Array, pool: Weighted, rows: bool, clouds: bool
             ) -> tuple[Array, Weighted, Array, tuple[Row | None, Cloud | None]]:  # fmt: skip
        program, P = self.program, self.particles
        choose, move, ahead = drawing
        guided = self.plan.guided and not self.plan.judged
        guides = self._guides(t, y, s) if guided else None
        first = self._first_stage(t, y, s, guides.log_predictive if guides is not None else None)
        if first is None:
            judged, log_sum = pool, jnp.zeros(())
        else:
            judged, log_sum = normalised(pool.logs + first)

        def chosen() -> tuple[Array, Array, Array]:
            at = parents(self.scheme, choose, judged.weights)  # type: ignore[arg-type]
            even = jnp.full(P, log_sum - jnp.log(float(P)))
            return s[:, at], even if first is None else even - first[at], at

        def left() -> tuple[Array, Array, Array]:
            return s, pool.logs, jnp.arange(P, dtype=jnp.int32)

        s, logs, at = jax.lax.cond(judged.ess < self.threshold * P, chosen, left)
        if guides is not None:
            now, more = self._sent(t, s, move, jax.tree.map(lambda a: a[at], guides))
        elif self.plan.guided:
            now, more = jax.lax.cond(
                self._sharp(t, y, s, logs, ahead),
                lambda: self._sent(t, s, move, self._guides(t, y, s)),
                lambda: (moved(program, move, t, s), jnp.zeros(P)),
            )
        else:
            now, more = moved(program, move, t, s), jnp.zeros(())
        pool, term = normalised(logs + more + log_emission(program, t, now, y))
        before = now
        if rows and self.plan.guided:
            before = moved(program, ahead, t, s)
        prior = normalised(logs)[0].weights if rows else logs
        return now, pool, term, self._kept(t, before, prior, now, pool, at, rows, clouds)

    def _guides(self, t: Array, y: Array, s: Array) -> Proposal:
        """A law of the row's noises for each particle."""
        guide = exact if self.plan.exact else at_mode
        # Second derivatives of a row for all particles at once can be more than memory holds.
        some = min(self.particles, AT_ONCE)
        return jax.lax.map(lambda s: guide(self.program, t, s, y), s.T, batch_size=some)

    def _sent(self, t: Array, s: Array, move: Array, guides: Proposal) -> tuple[Array, Array]:
        """Particles moved by their own laws, and log of prior over proposal."""
        draw, extra = (drawn, 0) if self.plan.exact else (drawn_with_prior, 1)
        e, more = jax.vmap(draw, (0, 1), (1, 0))(guides, normals(move, self.program.facts.noises + extra, s.shape[1]))
        return jax.vmap(self.program.transition, (None, 1, 1), 1)(t, s, e), more

    def _sharp(self, t: Array, y: Array, s: Array, logs: Array, seed: Array) -> Array:
        """Whether few of a pilot's particles, moved by the transition alone, would count. They are drawn apart from
        those that stay, so that the likelihood is unbiased."""
        some = np.linspace(0, self.particles - 1, min(self.particles, PILOT), dtype=int)
        few, logs = s[:, some], logs[some]
        seen = normalised(logs + log_emission(self.program, t, moved(self.program, seed, t, few), y))[0]
        return seen.ess < SHARP * normalised(logs)[0].ess

    def _first_stage(self, t: Array, y: Array, s: Array, predictive: Array | None) -> Array | None:
        """How well each particle predicts the row, in logarithms (Pitt & Shephard 1999)."""
        if not self.plan.auxiliary:
            return None
        program = self.program
        if predictive is None:
            still = jnp.zeros(program.facts.noises)
            point = lambda s: program.log_emission(t, program.transition(t, s, still), y)
            predictive = jax.vmap(point, 1)(s)
        predictive = jnp.where(jnp.isnan(predictive), -jnp.inf, predictive)
        top = jnp.max(predictive)
        return jnp.maximum(predictive, jnp.where(jnp.isfinite(top), top, 0.0) - LEAST)

    def _kept(self, t: Array, before: Array, prior: Array, now: Array, pool: Weighted, at: Array, rows: bool,
              clouds: bool) -> tuple[Row | None, Cloud | None]:  # fmt: skip
        program, n = self.program, self.program.facts.n
        row = None
        if rows:
            lets = spread(jax.vmap(program.definitions, (None, 1), 1)(t, now), pool.weights)
            row = Row(spread(now[:n], pool.weights), spread(before[:n], prior),
                      seen(program, t, before, prior, noise=True), lets.mean, deviations(lets.cov),
                      pool.ess, marked(program, now, pool.weights), marked(program, before, prior))  # fmt: skip
        return row, Cloud(now, pool.logs, at.astype(jnp.int32)) if clouds else None
