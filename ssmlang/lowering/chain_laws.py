"""Log-densities of laws entry by entry, with probabilities that may be exactly zero or one.

NumPyro keeps probabilities away from zero and one, by as much as the precision. Here what cannot be has -inf, and
derivatives there are zero: chains are made of such zeros (a bird that is dead is never seen).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.laws import complete_arguments, make
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist, Values

Args = Mapping[str, Array]
MOST_VALUES = 4096


def entry_log_density(law: Dist, args: Args, x: Array, values: Values | None = None) -> Array:
    """The log-density of each entry of x (C order), of law.shape and flat; 0 where x is NaN, which is missing.

    What is drawn jointly has its joint density at the first of its entries, that of the entries that are there. An
    integer law is normalised on the range of `values`; a value beyond it, or outside of the law's support, has -inf.
    """
    x = jnp.reshape(x, law.shape)
    given = complete_arguments(law.name, args)
    if law.event_ndim:
        return _joint(law, given, x)
    seen, unknown = ~jnp.isnan(x), _unknown(law, given)
    first = _first(values) if law.name == "Categorical" else 0
    if DISTRIBUTIONS[law.name].discrete:
        found = _mass(law, given, jnp.where(seen, x - first, 0.0))
        low, high = values.ends if values is not None else (-np.inf, np.inf)
        found = found - _log_total(law, given, values)
        found = jnp.where((x < low) | (x > high), -jnp.inf, found)
    else:
        inside = seen & _inside(law, given, x)
        found = make(law.name, given, law.shape).log_prob(jnp.where(inside, x, _some(law, given)))
        found = jnp.where(inside, found, -jnp.inf)
    # An argument that is not a number leaves none, whatever becomes of it in comparisons.
    return jnp.where(seen, jnp.where(unknown, jnp.nan, found), 0.0).ravel()


def _unknown(law: Dist, given: Args) -> Array:
    """Where an argument is NaN, of the shape of independent draws."""
    found = jnp.zeros(law.shape[: len(law.shape) - law.event_ndim], bool)
    for name, value in given.items():
        nan = jnp.isnan(jnp.asarray(value, float))
        for _ in range(min(DISTRIBUTIONS[law.name].argument_ndim[name], nan.ndim)):
            nan = nan.any(-1)
        found = found | nan
    return found


def _log(p: Array) -> Array:
    """log(p), -inf at zero with derivative zero; NaN stays."""
    positive = p > 0
    nothing = jnp.where(jnp.isnan(p), jnp.nan, -jnp.inf)
    return jnp.where(positive, jnp.log(jnp.where(positive, p, 1.0)), nothing)


def _times_log(x: Array, p: Array) -> Array:
    """x log(p), 0 where x is."""
    log = _log(p)
    return jnp.where(x == 0, 0.0, x * jnp.where(x == 0, 0.0, log))


def _mass(law: Dist, given: Args, x: Array) -> Array:
    """log p(x) of a law of single whole numbers, x with law.shape last; -inf outside of the support."""
    shape = jnp.broadcast_shapes(x.shape, law.shape)
    x = jnp.broadcast_to(x, shape)
    legal = (x >= 0) & (x == jnp.floor(x))
    x = jnp.where(legal, x, 0.0)
    match law.name:
        case "Categorical":
            logs = _log(given["probs"]) if "probs" in given else jax.nn.log_softmax(given["logits"], axis=-1)
            K = logs.shape[-1]
            logs = jnp.broadcast_to(logs, (*shape, K))
            at = jnp.clip(x, 0, K - 1).astype(int)
            found = jnp.take_along_axis(logs, at[..., None], axis=-1)[..., 0]
            legal &= x < K
        case "Bernoulli":
            found = _binomial(given, x, jnp.ones(()))
            legal &= x <= 1
        case "Binomial":
            n = given["total_count"]
            legal &= x <= n
            x = jnp.where(legal, x, 0.0)
            found = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0) + _binomial(given, x, n)
        case "Poisson":
            found = _times_log(x, given["rate"]) - given["rate"] - gammaln(x + 1.0)
        case "NegativeBinomial":
            none = given["mean"] <= 0
            safe = {**given, "mean": jnp.where(none, 1.0, given["mean"])}
            found = jnp.where(none, jnp.where(x == 0, 0.0, -jnp.inf), make(law.name, safe, law.shape).log_prob(x))
        case _:
            raise ValueError(f"{law.name} is no law of single whole numbers")
    return jnp.where(legal, found, -jnp.inf)


def _binomial(given: Args, x: Array, n: Array) -> Array:
    """x log(p) + (n - x) log(1 - p)."""
    if "probs" in given:
        return _times_log(x, given["probs"]) + _times_log(n - x, 1.0 - given["probs"])
    return x * given["logits"] - n * jax.nn.softplus(given["logits"])


def _log_total(law: Dist, given: Args, values: Values | None) -> Array:
    """The log-probability of the range that a law is truncated to."""
    if values is None or values.axis is not None or law.name == "Categorical":
        return jnp.zeros(())
    low, high = values.lower or 0, values.upper
    top = 1 if law.name == "Bernoulli" else np.inf
    if low <= 0 and (high is None or high >= top):
        return jnp.zeros(())
    if high is None or high - max(low, 0) >= MOST_VALUES:
        raise SsmError(Diagnostic(
            "E348", f"{law.name} cannot be truncated to a range of more than {MOST_VALUES} values", law.span,
            "is summed value by value", help=("give a smaller range, or from 0 on without an upper end",),
        ))  # fmt: skip
    every = jnp.arange(max(low, 0), high + 1.0).reshape(-1, *(1,) * len(law.shape))
    logs = _mass(law, given, every)
    top_ = jnp.max(logs, axis=0)
    top_ = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top_), top_, 0.0))
    return _log(jnp.sum(jnp.exp(logs - top_), axis=0)) + top_


def _first(values: Values | None) -> int:
    return 0 if values is None or values.axis is not None or values.lower is None else values.lower


def _inside(law: Dist, given: Args, x: Array) -> Array:
    match DISTRIBUTIONS[law.name].support:
        case "positive":
            return x >= 0
        case "unit":
            return (x >= 0) & (x <= 1)
        case "interval":
            return (x >= given["low"]) & (x <= given["high"])
    return jnp.ones(x.shape, bool)


def _some(law: Dist, given: Args) -> Array | float:
    """A legal value, to stand where there is none."""
    if DISTRIBUTIONS[law.name].support == "interval":
        return 0.5 * (given["low"] + given["high"])
    return {"positive": 1.0, "unit": 0.5}.get(DISTRIBUTIONS[law.name].support, 0.0)


# --------------------------------------------------------------------------------------------------- joint laws


def _joint(law: Dist, given: Args, x: Array) -> Array:
    lead, k = law.shape[:-1], law.shape[-1]
    rows = x.reshape(-1, k)
    one: Any = {"MvNormal": _mv_normal, "Multinomial": _multinomial, "Dirichlet": _dirichlet}[law.name]
    wide = {}
    for name, value in given.items():
        own = {"loc": (k,), "cov": (k, k), "scale_tril": (k, k), "total_count": ()}.get(name, (k,))
        wide[name] = jnp.broadcast_to(value, (*lead, *own)).reshape(-1, *own)
    unknown = _unknown(law, given).reshape(-1) & ~jnp.isnan(rows).all(axis=1)
    found = jnp.where(unknown, jnp.nan, jax.vmap(one)(wide, rows))
    return jnp.zeros((len(rows), k)).at[:, 0].set(found).ravel()


def _mv_normal(given: Args, x: Array) -> Array:
    if "scale_tril" in given:
        L = jnp.tril(given["scale_tril"])
        cov = L @ L.T
    else:
        cov = given["cov"]
    seen = ~jnp.isnan(x)
    L = jnp.linalg.cholesky(jnp.where(seen[:, None] & seen[None, :], cov, jnp.eye(len(x))))
    rest = jnp.where(seen, x - given["loc"], 0.0)
    white = jax.scipy.linalg.solve_triangular(L, rest, lower=True)
    logs = jnp.where(seen, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0)
    return -0.5 * jnp.sum(white**2) - jnp.sum(logs)


def _multinomial(given: Args, x: Array) -> Array:
    """Counts that are missing are one further category: the rest of the total."""
    p = given["probs"] if "probs" in given else jax.nn.softmax(given["logits"])
    seen, n = ~jnp.isnan(x), given["total_count"]
    count = jnp.where(seen, x, 0.0)
    rest, share = n - jnp.sum(count), jnp.sum(jnp.where(seen, 0.0, p))
    legal = jnp.all((count >= 0) & (count == jnp.floor(count))) & jnp.where(jnp.all(seen), rest == 0, rest >= 0)
    rest = jnp.where(legal, rest, 0.0)
    count = jnp.where(legal, count, 0.0)
    found = gammaln(n + 1.0) - jnp.sum(gammaln(count + 1.0)) - gammaln(rest + 1.0)
    found += jnp.sum(_times_log(count, p)) + _times_log(rest, share)
    return jnp.where(jnp.any(seen), jnp.where(legal, found, -jnp.inf), 0.0)


def _dirichlet(given: Args, x: Array) -> Array:
    """Shares that are missing are one share: the rest."""
    a, seen = given["concentration"], ~jnp.isnan(x)
    share = jnp.where(seen, x, 0.0)
    rest, more = 1.0 - jnp.sum(share), jnp.sum(jnp.where(seen, 0.0, a))
    missing = ~jnp.all(seen)
    legal = jnp.all(share >= 0) & jnp.where(missing, rest >= 0, jnp.abs(rest) < 1e-6)
    inner = jnp.where(seen & legal, x, 0.5)
    found = gammaln(jnp.sum(a)) + jnp.sum(jnp.where(seen, (a - 1.0) * jnp.log(inner) - gammaln(a), 0.0))
    left = jnp.where(missing & legal, rest, 0.5)
    safe = jnp.where(missing, more, 1.0)
    found += jnp.where(missing, (safe - 1.0) * jnp.log(left) - gammaln(safe), 0.0)
    return jnp.where(jnp.any(seen), jnp.where(legal, found, -jnp.inf), 0.0)
