"""The particle filter and smoother: weighted draws of the state, for programs of any law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._backward import ancestral, backward, most_probable
from ssmlang.engines._particle_filter import Forward, Row, plan_of
from ssmlang.engines._swarm import Weighted, deviations, marked, seen, spread
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.nonlinear import Estimated, Facts, Nonlinear
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.resampling import SCHEMES, Scheme
from ssmlang.engines.stepwise import Probe

PROPOSALS = ("auto", "bootstrap", "guided", "auxiliary")


@register
@dataclass(frozen=True)
class Particle(EngineBase):
    """Sequential Monte Carlo: particles are moved, weighted by what is observed, and resampled.

    The likelihood is unbiased: the mean of exp(log-likelihood) over keys is the likelihood itself. Smoothing is by
    backward sampling, and by lines of descent where the transition has no density. Gordon, Salmond & Smith (1993);
    Chopin & Papaspiliopoulos (2020), chapters 10 and 12.
    """

    particles: int = 1000
    proposal: Literal["auto", "bootstrap", "guided", "auxiliary"] = "auto"
    """bootstrap: by the transition alone; guided: by the row's observations too, exactly where these are linear and
    Gaussian, else by a Gaussian law at the mode, a tenth of them by the transition all the same; auxiliary: parents too
    are chosen by the observations. auto: guided where that is exact, and in rows of sharp data where it is nearly so
    (Gaussian noises, and Gaussian observations of constant scale or counts), else bootstrap"""
    resampling: Scheme = "systematic"
    threshold: float = 0.5
    """Particles are resampled where their effective number is below this share of them; 1: in every row, 0: never"""
    trajectories: int = 200
    """Paths that the smoother draws"""

    remedy: ClassVar[str] = 'proposal="bootstrap" takes any program'
    name: ClassVar[str] = "particle"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, gradients=False, exact=False, emission_density=True,
        random=True, by_row=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.particles < 2:
            raise ValueError(f"particles={self.particles}: at least 2")
        if self.trajectories < 1:
            raise ValueError(f"trajectories={self.trajectories}: at least 1")
        if self.proposal not in PROPOSALS:
            raise ValueError(f"proposal={self.proposal!r}: one of {', '.join(PROPOSALS)}")
        if self.resampling not in SCHEMES:
            raise ValueError(f"resampling={self.resampling!r}: one of {', '.join(SCHEMES)}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold}: a share between 0 and 1")

    def misfit(self, facts: Facts) -> str | None:
        """Why these options do not fit a program, in words; None where they do."""
        if self.proposal == "guided" and not (facts.gaussian_step and facts.noises):
            return "proposal='guided' needs states that are driven by Gaussian noises"
        if self.proposal == "auxiliary" and facts.discrete:
            return "proposal='auxiliary' needs states that are real numbers"
        return None

    def log_likelihood_terms(  # type: ignore[override]
        self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it: -inf where no particle can have given it."""
        return self._forward(program).run(y, key)[0]

    def log_likelihood(  # type: ignore[override]
        self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Log of an unbiased estimate of the density of what was observed."""
        return jnp.sum(self.log_likelihood_terms(program, y, key))

    def judged(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
               ) -> tuple[Float[Array, ""], Float[Array, " T"]]:  # fmt: skip
        """`log_likelihood`, and the effective number of particles in each row."""
        terms, _, _, ess = self._forward(program).run(y, key)
        return jnp.sum(terms), ess

    def filter(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Filtered and one-step-ahead moments of each row, and the effective number of particles."""
        terms, rows, _, _ = self._forward(program).run(y, key, rows=True)
        assert rows is not None
        return _estimated(terms, rows)

    def begin(self, program: Nonlinear, key: Key[Array, ""], probe: Probe | None = None) -> Float[Array, "N P"]:
        """Row 0 before its observations, as `step` takes it."""
        del probe
        return self._forward(program).begin(key)

    def step(self, program: Nonlinear, t: Int[Array, ""], y: Float[Array, " m"],
             before: Array | tuple[Array, Weighted], key: Key[Array, ""], *, first: bool = False
             ) -> tuple[tuple[Array, Weighted], Estimated]:  # fmt: skip
        """Row t of `filter` from the particles that the row before it left; `first`: from those of `begin`."""
        after, term, row = self._forward(program).step(t, y, before, key, first)
        return after, _estimated(term, row)

    def widened(self, carried: tuple[Array, Weighted], at: Int[np.ndarray, " N"], values: Float[Array, " N"],
                facts: tuple[Facts, Facts]) -> tuple[Array, Weighted]:  # fmt: skip
        """What is carried over a memory whose entry i was entry at[i] before; where that is -1, the known values[i]."""
        del facts
        s, pool = carried
        return jnp.where((at < 0)[:, None], values[:, None], s[at]), pool

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Moments of each row given all of y, and paths drawn."""
        terms, _, clouds, ess = self._forward(program).run(y, key, clouds=True)
        assert clouds is not None
        fresh, n = jax.random.fold_in(key, len(y)), program.facts.n
        if program.facts.density:
            back = backward(program, clouds, fresh, self.trajectories)
        else:
            back = ancestral(clouds, fresh, self.trajectories)
        t = jnp.arange(len(y))
        states = jax.vmap(spread)(back.s[:, :n], back.weights)
        signal = jax.vmap(lambda t, s, w: seen(program, t, s, w, noise=False))(t, back.s, back.weights)
        each = jax.vmap(jax.vmap(program.definitions, (None, 1), 1))
        if program.facts.density:
            alike = jnp.full(self.trajectories, 1 / self.trajectories)
            lets = jax.vmap(lambda x: spread(x, alike))(each(t, back.paths))
        else:
            lets = jax.vmap(spread)(each(t, back.s), back.weights)
        return Estimated(
            states.mean, states.cov, signal.mean, signal.cov, terms, definition_mean=lets.mean,
            definition_sd=deviations(lets.cov), ess=ess, paths=jnp.moveaxis(back.paths[:, :n], 2, 0),
            marks=None if program.marks is None else jax.vmap(lambda s, w: marked(program, s, w))(back.s, back.weights),
            best=most_probable(program, y, back.paths),
        )  # fmt: skip

    def _forward(self, program: Nonlinear) -> Forward:
        plan = plan_of(program.facts, self.proposal)
        return Forward(program, self.particles, plan, self.resampling, self.threshold)


def _estimated(terms: Array, rows: Row) -> Estimated:
    return Estimated(
        rows.after.mean, rows.after.cov, rows.observed.mean, rows.observed.cov, terms, rows.before.mean,
        rows.before.cov, rows.definition_mean, rows.definition_sd, rows.ess, marks=rows.marks,
        predicted_marks=rows.predicted_marks,
    )  # fmt: skip
