"""How probable a value below the one that was seen is, under the laws of observations: for quantile residuals."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import betainc, gammaincc, ndtr

from ssmlang.lowering.densities import moments
from ssmlang.lowering.laws import complete_arguments, make_alone
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist, Values

Args = Mapping[str, Array]
WITHOUT = ("VonMises", "Dirichlet", "Multinomial")
"""Laws whose entries have no such function here: an angle has no least value, and parts of a whole have none alone."""


def cumulative(law: Dist, args: Args, x: Array, values: Values | None = None) -> tuple[Array, Array]:
    """P(Y < x) and P(Y <= x) of each entry by itself, flat; NaN where x is, and for laws that have none.

    An integer law on a range is normalised there. Of an MvNormal law each entry's marginal.
    """
    x = jnp.reshape(x, law.shape)
    if law.name in WITHOUT:
        none = jnp.full(x.size, jnp.nan)
        return none, none
    if law.name == "MvNormal":
        mean, cov = moments(law, args)
        variance = jnp.diagonal(cov) if cov.ndim == 2 else cov
        found = ndtr((x.ravel() - mean) / jnp.sqrt(variance))
        return found, found
    given = complete_arguments(law.name, args)
    if not DISTRIBUTIONS[law.name].discrete:
        found = jnp.broadcast_to(make_alone(law.name, given).cdf(x), law.shape).ravel()
        return found, found
    first = 0 if values is None or values.axis is not None or values.lower is None else values.lower
    at = x - first if law.name == "Categorical" else x
    up_to = lambda k: jnp.broadcast_to(_up_to(law.name, given, k), law.shape).ravel()
    below, through = up_to(at - 1), up_to(at)
    if values is None or values.axis is not None or law.name == "Categorical":
        return below, through
    least = up_to(jnp.full(law.shape, float(values.lower) - 1)) if values.lower else jnp.zeros(x.size)
    most = up_to(jnp.full(law.shape, float(values.upper))) if values.upper is not None else jnp.ones(x.size)
    return (below - least) / (most - least), (through - least) / (most - least)


def _up_to(name: str, given: Mapping[str, Array], k: Array) -> Array:
    """P(Y <= k) for whole numbers k."""
    there, k = k >= 0, jnp.where(k < 0, 0.0, k)
    match name:
        case "Poisson":
            found = gammaincc(k + 1.0, given["rate"])
        case "NegativeBinomial":
            c = given["concentration"]
            found = betainc(c, k + 1.0, c / (c + given["mean"]))
        case "Categorical":
            p = given["probs"] if "probs" in given else jax.nn.softmax(given["logits"], axis=-1)
            total = jnp.cumsum(jnp.broadcast_to(p, (*k.shape, p.shape[-1])), axis=-1)
            whole = jnp.clip(jnp.nan_to_num(k), 0, p.shape[-1] - 1).astype(int)
            found = jnp.take_along_axis(total, whole[..., None], axis=-1)[..., 0] / total[..., -1]
            found = jnp.where(jnp.isnan(k), jnp.nan, found)
        case _:  # Bernoulli, Binomial
            p = given["probs"] if "probs" in given else jax.nn.sigmoid(given["logits"])
            n = given["total_count"] if name == "Binomial" else 1.0
            inner = betainc(jnp.maximum(n - k, 1e-9), k + 1.0, 1.0 - p)
            found = jnp.where(k >= n, jnp.where(jnp.isnan(k), jnp.nan, 1.0), inner)
    return jnp.where(there | jnp.isnan(k), found, 0.0)
