"""Laplace's approximation: Gaussian at the most probable path, for observations of any law."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines import _riccati as riccati
from ssmlang.engines import _scalar_mode as scalar
from ssmlang.engines._expansion import Numbers, World, log_emissions, open_up, tamed
from ssmlang.engines._gaussian_means import mean_of, moments
from ssmlang.engines._mode import Fit, fit
from ssmlang.engines._mode_filter import by_rows, shares
from ssmlang.engines._path_draws import draw
from ssmlang.engines.base import EngineBase, Known, register
from ssmlang.engines.nonlinear import FLAT, Estimated, Nonlinear
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.semidefinite import semidefinite_root


@register
@dataclass(frozen=True)
class Laplace(EngineBase):
    """The Gaussian law at the mode of the states given all data, and Laplace's formula for the likelihood:

        log p(y) = log p(y | e*) + log p(e*) - 1/2 log det H + constants,

    e* being the most probable standard normal numbers that drive the program and H the negative Hessian of the log
    joint density in them (Durbin & Koopman 2012, chapter 10; Shephard & Pitt 1997; Skaug & Fournier 2006). Exact
    where the program is linear and Gaussian. Where the states move linearly the mode is that of the states. The
    derivative of the likelihood goes through the mode. NaN in y is a missing value.

    `smooth` gives the mode and the inverse of H; `filter` takes each row in by a mode of its own, given the rows before
    it. Moments of functions of the states are means over those Gaussian laws.
    """

    iterations: int = 100
    """Newton steps at most; where they do not reach the mode, results are NaN"""
    once: bool = False
    """Whether the likelihood is differentiated once and in reverse mode at most, which has a shorter way where the
    state is one number that moves linearly"""

    name: ClassVar[str] = "laplace"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True,
        emission_density=True, curved=True, diffuse=True,
    )  # fmt: skip

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """With the quicker derivative, where that will do."""
        del known
        return replace(self, once=adjoint)

    def log_likelihood(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Laplace's approximation of the log-density of y."""
        world, numbers = open_up(program, y)
        if not scalar.fits(world):
            value = _formula(world, numbers, self.iterations)
        else:
            value = (_scalar_once if self.once else _scalar)(world, numbers, self.iterations)
        return jnp.where(program.exists, value, -jnp.inf)

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Its share of each row: see `shares`; they sum to `log_likelihood`."""
        world, numbers = open_up(program, y)
        found = fit(world, numbers, self.iterations)
        return terms_of(program, found, log_emissions(world, numbers, found.path.s))

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Moments of each row given the data up to it, and one step ahead."""
        return filtered(program, y, self.iterations, self.log_likelihood_terms(program, y))

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Mode and covariance of each row given all of y."""
        world, numbers = open_up(program, y)
        found = fit(world, numbers, self.iterations)
        n = program.facts.n
        cov = riccati.covariances(found.x, found.f)
        root = jax.vmap(semidefinite_root)(cov)
        t = jnp.arange(len(y))
        through = lambda f: jax.vmap(lambda t, m, L: moments(lambda s: f(t, s), m, L))(t, found.path.s, root)
        signal, spread = through(lambda t, s: program.observed(t, s).mean)
        lets, lets_cov = through(program.definitions)
        terms = terms_of(program, found, log_emissions(world, numbers, found.path.s))
        return Estimated(found.path.s[:, :n], cov[:, :n, :n], signal, spread, terms, definition_mean=lets,
                         definition_sd=_sd(lets_cov))  # fmt: skip

    def paths(
        self, program: Nonlinear, y: Float[Array, "T m"], keys: Key[Array, " draws"]
    ) -> Float[Array, "draws T n"]:
        """A draw of the path x_0..x_{T-1} for each key: of the Gaussian law of the noises at their mode, through the
        program's own transitions. Where the states move linearly that is the law whose moments `smooth` gives."""
        world, numbers = open_up(program, y)
        found = fit(world, numbers, self.iterations)
        one = lambda key: draw(world, numbers, found, key, 1, "none").s[:, 0, 0, : program.facts.n]
        return jax.vmap(one)(keys)


def _formula(world: World, numbers: Numbers, iterations: int) -> Float[Array, ""]:
    found = fit(world, numbers, iterations)
    return jnp.sum(found.joint - riccati.log_dets(found.f))


def _scalar_once(world: World, numbers: Numbers, iterations: int) -> Float[Array, ""]:
    emission, (rows, _, _) = scalar.emission_of(world, numbers), scalar.rows_of(world, numbers)
    return scalar.log_likelihood(emission.function, rows, emission.numbers, iterations)


@partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def _scalar(world: World, numbers: Numbers, iterations: int) -> Float[Array, ""]:
    """The value by the short way, derivatives of any order by the long one."""
    return _scalar_once(world, numbers, iterations)


@_scalar.defjvp
def _scalar_rule(world: World, iterations: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return jax.jvp(lambda numbers: _formula(world, numbers, iterations), primals, tangents)


def terms_of(program: Nonlinear, found: Fit, emitted: Float[Array, " T"]) -> Float[Array, " T"]:
    """Laplace's log-likelihood row by row."""
    tame = tamed(found.x)
    terms = shares(found.x, found.f, tame, riccati.factor(tame), emitted, found.path.e.first, found.path.e.later,
                   program.facts.flat)  # fmt: skip
    return jnp.where(program.exists, terms, -jnp.inf)


def filtered(program: Nonlinear, y: Float[Array, "T m"], iterations: int, terms: Float[Array, " T"]) -> Estimated:
    """Moments by a mode for each row."""
    n = program.facts.n
    laws = by_rows(program, y, iterations)
    t = jnp.arange(len(y))

    def ahead(t: Array, m: Array, L: Array) -> tuple[Array, Array]:
        mean, cov = moments(lambda s: program.observed(t, s).mean, m, L)
        return unbounded(mean, cov + mean_of(lambda s: program.observed(t, s).cov, m, L))

    seen, seen_cov = jax.vmap(ahead)(t, laws.predicted, laws.predicted_root)
    after = jax.vmap(lambda t, m, L: moments(lambda s: program.definitions(t, s), m, L))
    lets, lets_cov = jax.vmap(unbounded)(*after(t, laws.mean, laws.root))
    square = lambda L: (L @ jnp.swapaxes(L, 1, 2))[:, :n, :n]
    cov, ahead_cov, sd = square(laws.root), square(laws.predicted_root), _sd(lets_cov)
    found = Estimated(laws.mean[:, :n], cov, seen, seen_cov, terms, laws.predicted[:, :n], ahead_cov, lets, sd)
    if not program.facts.flat:
        return found

    # Where a state is still as wide as a flat start its variance is infinite; so is that of what reads it, whose mean
    # is taken at the means of the states.
    def wide(cov: Array) -> tuple[Array, Array]:
        flat = jnp.sqrt(jnp.diagonal(cov, axis1=1, axis2=2)) > FLAT / 100
        shown = jnp.where(flat[:, :, None] | flat[:, None, :], 0.0, cov)
        return jnp.where(flat[:, :, None] & jnp.eye(cov.shape[1], dtype=bool), jnp.inf, shown), flat.any(axis=1)

    cov, unsettled = wide(cov)
    ahead_cov, blind = wide(ahead_cov)
    plain = jax.vmap(lambda t, s: program.observed(t, s).mean)(t, laws.predicted)
    blind = blind[:, None] & ~(jnp.diagonal(seen_cov, axis1=1, axis2=2) < (FLAT / 100) ** 2)
    endless = jnp.where(jnp.eye(plain.shape[1], dtype=bool) & blind[:, None], jnp.inf, 0.0)
    return found._replace(
        cov=cov, predicted_cov=ahead_cov,
        observed_mean=jnp.where(blind, plain, seen),
        observed_cov=jnp.where(blind[:, :, None] | blind[:, None], endless, seen_cov),
        definition_mean=jnp.where(unsettled[:, None], jax.vmap(program.definitions)(t, laws.mean), lets),
        definition_sd=jnp.where(unsettled[:, None], jnp.inf, sd),
    )  # fmt: skip


def unbounded(mean: Array, cov: Array) -> tuple[Array, Array]:
    """Moments of which some are beyond all numbers, such as those of exp(x) where x is as wide as a vague start: these
    have infinite variances, and no covariances with others."""
    beyond = jnp.isinf(mean) | jnp.isinf(jnp.diagonal(cov))
    apart = beyond[:, None] | beyond[None, :]
    return mean, jnp.where(apart, jnp.where(jnp.diag(beyond), jnp.inf, 0.0), cov)


def _sd(cov: Array) -> Array:
    return jnp.sqrt(jnp.maximum(jnp.diagonal(cov, axis1=-2, axis2=-1), 0.0))
