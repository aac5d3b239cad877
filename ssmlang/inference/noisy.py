"""Posteriors whose likelihood is estimated: the target of methods that need its value alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ssmlang.inference.priors import Priors

NoisyLikelihood = Callable[[Mapping[str, Array], Any, Array], Array]
"""An estimate of log p(data | params) whose exponential is without bias, from parameters, data and a key."""


class Target:
    """The log posterior density of the unconstrained vector, in two parts.

    Andrieu & Roberts (2009): with an estimate of the likelihood that is without bias in its place, and kept with the
    point it was made at, a Metropolis chain still has the posterior as its law.
    """

    def __init__(self, priors: Priors, log_likelihood: NoisyLikelihood) -> None:
        self.priors, self.log_likelihood = priors, log_likelihood

    def prior(self, z: Array) -> Array:
        """The log prior density, Jacobian included; -inf where it is not a number."""
        _, log_det, log_prior = self.priors.evaluate(self.priors.unravel(z))
        return _number(log_det + log_prior)

    def likelihood(self, z: Array, data: Any, key: Array) -> Array:
        """The estimate; -inf where it is not a number."""
        return _number(self.log_likelihood(self.params(z), data, key))

    def params(self, z: Array) -> dict[str, Array]:
        """The parameters on their own scale."""
        return self.priors.constrain(self.priors.unravel(z))[0]

    def replicates(self, z: Array, data: Any, keys: Array) -> Array:
        """Estimates at one point, one after another."""
        return jax.lax.map(lambda key: self.likelihood(z, data, key), keys)

    def of_points(self, points: Array, data: Any, key: Array) -> tuple[Array, Array]:
        """(prior, likelihood) of several points, one after another."""
        keys = jax.random.split(key, len(points))
        each = lambda pair: (self.prior(pair[0]), self.likelihood(pair[0], data, pair[1]))
        return jax.lax.map(each, (points, keys))


def _number(x: Array) -> Array:
    return jnp.where(jnp.isnan(x), -jnp.inf, x)
