"""NumPyro's object for each distribution of the language.

NumPyro is imported whole before any part of it, here and everywhere: ArviZ 1.x leaves a `numpyro` in `sys.modules` that
is loaded when it is first read, and a part that is imported before that is made twice, the second without submodules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax.scipy.special import gammaln
from jaxtyping import Array, Bool, Float

from ssmlang.engines._products import symmetric
from ssmlang.lowering.evaluate import checked_root
from ssmlang.model.distributions import DISTRIBUTIONS


def _mv_normal(loc: Array, cov: Array | None = None, scale_tril: Array | None = None) -> dist.Distribution:
    return dist.MultivariateNormal(loc, covariance_matrix=cov, scale_tril=scale_tril)


class _StudentT(dist.StudentT):
    """NumPyro squares by `y**2.0`, whose third derivative at zero, as for a return of zero, is no number."""

    def log_prob(self, value: Array) -> Array:
        square = jnp.square((value - self.loc) / self.scale)
        half = 0.5 * (self.df + 1.0)
        size = gammaln(half) - gammaln(0.5 * self.df) - 0.5 * jnp.log(jnp.pi * self.df) - jnp.log(self.scale)
        return size - half * jnp.log1p(square / self.df)


_MAKE: dict[str, Callable[..., dist.Distribution]] = {
    "Normal": dist.Normal,
    "HalfNormal": dist.HalfNormal,
    "HalfCauchy": dist.HalfCauchy,
    "StudentT": _StudentT,
    "Cauchy": dist.Cauchy,
    "Laplace": dist.Laplace,
    "LogNormal": dist.LogNormal,
    "Exponential": dist.Exponential,
    "Gamma": dist.Gamma,
    "InverseGamma": dist.InverseGamma,
    "Beta": dist.Beta,
    "Uniform": dist.Uniform,
    "Dirichlet": dist.Dirichlet,
    "VonMises": dist.VonMises,
    "Poisson": dist.Poisson,
    "NegativeBinomial": dist.NegativeBinomial2,
    "Bernoulli": dist.Bernoulli,
    "Binomial": dist.Binomial,
    "Multinomial": dist.Multinomial,
    "Categorical": dist.Categorical,
    "MvNormal": _mv_normal,
}


def complete_arguments(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a law by name, defaults filled in; not a number for a covariance that is none."""
    signature = DISTRIBUTIONS[name]
    given = {a: args.get(a, signature.defaults.get(a)) for a in signature.arguments
             if a in args or a in signature.defaults}  # fmt: skip
    if "cov" in given:
        given["cov"] = jnp.where(_is_covariance(given["cov"])[..., None, None], given["cov"], jnp.nan)
    return given


def _is_covariance(cov: Float[Array, "*batch k k"]) -> Bool[Array, "*batch"]:
    """Whether it is one. Roots would be taken, and moments added, of a matrix that is none as well."""
    known = symmetric(jax.lax.stop_gradient(jnp.asarray(cov)))
    return jax.vmap(lambda cov: checked_root(cov)[1])(known.reshape(-1, *known.shape[-2:])).reshape(known.shape[:-2])


def make_alone(name: str, given: Mapping[str, Any]) -> dist.Distribution:
    """The law `name` with its arguments, of the shape that these have together."""
    return _MAKE[name](**given)


def make(name: str, args: Mapping[str, Any], shape: tuple[int, ...]) -> dist.Distribution:
    """The law `name` of a value of `shape`: batch dimensions first, then the law's own event dimensions."""
    event_ndim = DISTRIBUTIONS[name].event_ndim
    batch = shape[: len(shape) - event_ndim]
    if name == "LKJCholesky":
        concentration = jnp.broadcast_to(complete_arguments(name, args)["concentration"], batch)
        return dist.LKJCholesky(shape[-1], concentration)
    law = _MAKE[name](**complete_arguments(name, args))
    return law.expand(batch) if law.batch_shape != batch else law
