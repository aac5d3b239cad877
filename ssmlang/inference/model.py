"""The plain NumPyro model: parameters as sample sites, the states integrated out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpyro
from jax import Array

from ssmlang.inference.priors import Priors

LogLikelihood = Callable[[Mapping[str, Array]], Array]
"""The log-density of the data given the parameters on their own scale, a scalar."""


def numpyro_model(priors: Priors, log_likelihood: LogLikelihood) -> Callable[[], None]:
    """A NumPyro model of no arguments, for any kernel, guide or `Predictive` of NumPyro's.

    Each parameter is a sample site of its own name, on its own (constrained) scale; the likelihood of the data enters
    as the factor `log_likelihood`. Raises E341 if a parameter has no prior.
    """
    priors.require_proper("a NumPyro model")

    def model() -> None:
        numpyro.factor("log_likelihood", log_likelihood(parameter_sites(priors)))

    return model


def parameter_sites(priors: Priors) -> dict[str, Array]:
    """Within a NumPyro model: each parameter drawn as a sample site of its own name."""
    values: dict[str, Array] = {}
    for name, site in priors.sites.items():
        law = site.law(values)
        values[name] = numpyro.sample(name, law.to_event(len(law.batch_shape)))
    return {name: values[name] for name in priors.parameters}


def potential(priors: Priors, log_likelihood: LogLikelihood) -> Callable[[Array], Array]:
    """The negative log posterior density of the unconstrained vector, Jacobian included.

    Where the likelihood or the prior is not a number it is infinite, so that a sampler turns back.
    """

    def energy(vector: Array) -> Array:
        params, log_det, log_prior = priors.evaluate(priors.unravel(vector))
        value = -(log_likelihood(params) + log_prior + log_det)
        return jnp.where(jnp.isnan(value), jnp.inf, value)

    return energy
