"""Importance sampling around the Gaussian approximation at the mode: the likelihood without bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from ssmlang.engines import _riccati as riccati
from ssmlang.engines._antithetic import Balance
from ssmlang.engines._expansion import log_emissions, log_joint, open_up
from ssmlang.engines._mode import Fit, fit
from ssmlang.engines._path_draws import Drawn, draw
from ssmlang.engines._refined import refined
from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.laplace import filtered, terms_of
from ssmlang.engines.nonlinear import Estimated, Nonlinear
from ssmlang.engines.requirements import Requirements

LARGEST = 1e6
"""What a row's share of the logarithm of the mean weight is kept within."""


@register
@dataclass(frozen=True)
class Importance(EngineBase):
    """p(y) as the mean weight of paths drawn from the Gaussian law near their mode (Shephard & Pitt 1997; Durbin &
    Koopman 1997; 2012, chapter 11). The mean is p(y) itself for any number of samples; its logarithm falls short by
    half the weights' relative variance over their number. Exact, with any samples, where the program is linear and
    Gaussian.

    The draws depend on the key alone: with one key the likelihood is a smooth function of the parameters, and its
    derivative is the exact one of what is computed. `smooth` gives weighted moments of the paths, with the effective
    number of them; `filter` gives the moments of `Laplace.filter`, which need no draws, and this likelihood.
    NaN in y is a missing value.
    """

    samples: int = 128
    """Paths, rounded up to whole groups"""
    antithetic: Balance = "both"
    """Whether draws come in groups balanced in location and scale (fours), in location (pairs), or alone"""
    corrected: bool = False
    """Whether to add what the logarithm of the mean weight is expected to fall short by, estimated from the weights:
    the log-likelihood is then nearly without bias, and the likelihood no longer"""
    rounds: int = 3
    """How often the Gaussian law is moved from the mode to where paths drawn from it weigh more alike (`_refined`),
    where the states move linearly; elsewhere it stays at the mode"""
    iterations: int = 100
    """Newton steps to the mode at most"""

    name: ClassVar[str] = "importance"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True,
        emission_density=True, curved=True, diffuse=True, random=True, normal_noise=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError("samples: at least 1")

    def log_likelihood(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Float[Array, ""]:  # type: ignore[override]
        """The logarithm of the mean weight."""
        return self.judged(program, y, key)[0]

    def judged(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
               ) -> tuple[Float[Array, ""], Float[Array, " one"]]:  # fmt: skip
        """`log_likelihood`, and the effective number of paths."""
        found, drawn = self._draw(program, y, key)
        value = jnp.sum(found.joint - riccati.log_dets(found.f)) + self._log_mean(drawn.weight[-1])
        return jnp.where(program.exists, value, -jnp.inf), _ess(drawn.weight[-1:])

    def log_likelihood_terms(  # type: ignore[override]
        self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]
    ) -> Float[Array, " T"]:
        """Laplace's share of each row, and how the mean weight changes with it; they sum to `log_likelihood`."""
        world, numbers = open_up(program, y)
        found, drawn = self._draw(program, y, key)
        return self._terms(program, found, drawn, log_emissions(world, numbers, found.path.s))

    def filter(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """`Laplace.filter` with the likelihood and the effective number of paths of this engine."""
        world, numbers = open_up(program, y)
        found, drawn = self._draw(program, y, key)
        terms = self._terms(program, found, drawn, log_emissions(world, numbers, found.path.s))
        return filtered(_rounded(program), y, self.iterations, terms)._replace(ess=_ess(drawn.weight))

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"], key: Key[Array, ""]) -> Estimated:
        """Weighted moments of the paths; `paths` are drawn from them by their weights."""
        world, numbers = open_up(program, y)
        key, again = jax.random.split(key)
        found, drawn = self._draw(program, y, key)
        terms = self._terms(program, found, drawn, log_emissions(world, numbers, found.path.s))
        n, T = program.facts.n, len(y)
        s = drawn.s.reshape(T, -1, program.facts.N)
        log_weight = drawn.weight[-1].ravel()
        weight = jax.nn.softmax(log_weight)

        def weighted(values: Float[Array, "T S k"]) -> tuple[Array, Array]:
            mean = jnp.einsum("s,tsk->tk", weight, values)
            away = values - mean[:, None]
            return mean, jnp.einsum("s,tsi,tsj->tij", weight, away, away)

        t = jnp.arange(T)
        every = lambda f: jax.vmap(lambda t, s: jax.vmap(lambda s: f(t, s))(s))(t, s)
        mean, cov = weighted(s[..., :n])
        signal, spread = weighted(every(lambda t, s: program.observed(t, s).mean))
        lets, lets_cov = weighted(every(program.definitions))
        sd = jnp.sqrt(jnp.diagonal(lets_cov, axis1=1, axis2=2))
        chosen = jax.random.categorical(again, log_weight, shape=log_weight.shape)
        paths = jnp.moveaxis(s[:, chosen, :n], 1, 0)
        return Estimated(mean, cov, signal, spread, terms, definition_mean=lets, definition_sd=sd,
                         ess=_ess(drawn.weight), paths=paths)  # fmt: skip

    def _draw(self, program: Nonlinear, y: Array, key: Array) -> tuple[Fit, Drawn]:
        world, numbers = open_up(program, y)
        near = open_up(_rounded(program), y) if program.log_emission_rounded is not None else (world, numbers)
        found = fit(*near, self.iterations)
        if world.facts.linear and self.rounds:
            found = refined(*near, found, self.rounds)
        if program.log_emission_rounded is not None:
            found = found._replace(joint=log_joint(world, numbers, found.path))
        return found, draw(world, numbers, found, key, self.samples, self.antithetic)

    def _log_mean(self, weight: Float[Array, "groups k"]) -> Float[Array, ""]:
        """Logarithm of the mean weight."""
        value = logsumexp(weight) - jnp.log(weight.size)
        if not self.corrected or len(weight) < 2:
            return value
        each = jnp.mean(jnp.exp(weight - value), axis=1)
        return value + 0.5 * jnp.var(each, ddof=1) / len(each)

    def _terms(self, program: Nonlinear, found: Fit, drawn: Drawn, emitted: Array) -> Array:
        means = jax.vmap(self._log_mean)(drawn.weight)
        # How the rows share it is ours to say: quadratics far from the mode may promise any number on the way, beside
        # which the sum would be lost.
        means = means.at[:-1].set(jnp.clip(jnp.nan_to_num(means[:-1]), -LARGEST, LARGEST))
        return terms_of(program, found, emitted) + jnp.diff(means, prepend=0.0)


def _rounded(program: Nonlinear) -> Nonlinear:
    """The program that a Gaussian law is found by: weights are those of the observations' own law."""
    rounded = program.log_emission_rounded
    return program if rounded is None else replace(program, log_emission=rounded)


def _ess(weight: Float[Array, "T groups k"]) -> Float[Array, " T"]:
    """How many equally weighted paths are worth as much: (sum of weights)^2 / sum of squared weights."""
    flat = weight.reshape(len(weight), -1)
    return jnp.exp(2 * logsumexp(flat, axis=1) - logsumexp(2 * flat, axis=1))
