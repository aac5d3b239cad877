"""How far a filter that carries one Gaussian is from Bayes' rule, row by row, given the law that it predicts."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float
from scipy.special import ndtri
from scipy.stats import qmc

from ssmlang.engines.nonlinear import Nonlinear, Passing
from ssmlang.engines.semidefinite import semidefinite_root

POINTS = 256
"""Points of the law of a row ahead of its observations, a power of two"""


class Misfit(NamedTuple):
    """Of each row: the filter's log-density less the mean density over points, the largest distance of its means from
    the weighted ones in units of its standard deviations, and how many points the weight rests on."""

    evidence: Float[Array, " T"]
    shift: Float[Array, " T"]
    ess: Float[Array, " T"]


def misfit(program: Nonlinear, y: Float[Array, "T m"], found: Passing) -> Misfit:
    """Points of each row's predicted law are weighted by the observations' own density: what a filter should find
    there (importance sampling from the prior, with a low-discrepancy sequence). Of a program whose memory is the state.
    """
    n = program.facts.n
    u = ndtri(qmc.Sobol(n, scramble=True, seed=0).random(POINTS)) if n else np.zeros((POINTS, 0))
    at = jnp.asarray(u, found.mean.dtype)

    def row(t: Array, y: Array, ahead: Array, P: Array, mean: Array, cov: Array, term: Array) -> Misfit:
        s = ahead + at @ semidefinite_root(P).T
        logs = jax.vmap(lambda s: program.log_emission(t, s, y))(s)
        logs = jnp.where(jnp.isnan(logs), -jnp.inf, logs)
        total = logsumexp(logs)
        weight = jnp.exp(logs - total)
        sd = jnp.sqrt(jnp.diagonal(cov))
        off = jnp.where(sd > 0, (weight @ s - mean) / jnp.where(sd > 0, sd, 1.0), 0.0)
        seen = jnp.any(~jnp.isnan(y))
        drawn = jnp.where(seen & jnp.isfinite(total), 1 / jnp.sum(weight**2), 0.0)
        return Misfit(term - total + float(np.log(POINTS)), jnp.max(jnp.abs(off), initial=0.0), drawn)

    return jax.vmap(row)(jnp.arange(len(y)), y, *found)
