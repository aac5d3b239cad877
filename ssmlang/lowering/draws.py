"""Draws from the laws of equations, those with labels, ranges and traced counts included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax import Array

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.laws import complete_arguments, make
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist, Values

MOST_VALUES = 4096
_GAUSSIAN = ("Normal", "MvNormal")


def is_gaussian(law: Dist | None) -> bool:
    """Whether draws of the law are made of standard normal numbers, as `gaussian` does."""
    return law is not None and law.name in _GAUSSIAN


def gaussian(law: Dist, args: Mapping[str, Array], standard: Array) -> Array:
    """A draw of a Normal or MvNormal law from standard normal numbers of its shape; a covariance may be singular."""
    given = complete_arguments(law.name, args)
    standard = standard.reshape(law.shape)
    if law.name == "Normal":
        return given["loc"] + given["scale"] * standard
    if "scale_tril" in given:
        root = jnp.tril(given["scale_tril"])
    else:  # not by Cholesky, which has no factor of a covariance of deficient rank
        values, vectors = jnp.linalg.eigh(given["cov"])
        root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[..., None, :]
    return given["loc"] + jnp.einsum("...ij,...j->...i", root, standard)


def draw(key: Array, law: Dist, args: Mapping[str, Array], values: Values | None = None) -> Array:
    """One draw of a law, of its shape, as floats; a value with labels is its position on the axis.

    An integer law is truncated to the range of `values` and normalised. NaN where an argument is NaN.
    """
    if is_gaussian(law):
        return gaussian(law, args, jax.random.normal(key, law.shape))
    given = complete_arguments(law.name, args)
    if law.name == "Multinomial":
        value = _multinomial(key, law, given)
    elif law.name == "Categorical":
        first = values.lower if values is not None and values.axis is None and values.lower is not None else 0
        value = make(law.name, given, law.shape).sample(key) + first
    elif values is not None and DISTRIBUTIONS[law.name].support in ("nonnegative_integer", "bounded_integer"):
        value = _in_range(key, law, given, values)
    else:
        value = make(law.name, _whole(given), law.shape).sample(key)
    unknown = [_any_nan(a, law, name) for name, a in given.items()]
    missing = jnp.any(jnp.stack([jnp.broadcast_to(u, law.shape) for u in unknown]), axis=0) if unknown else False
    return jnp.where(missing, jnp.nan, value.astype(float))


def _whole(args: Mapping[str, Any]) -> dict[str, Any]:
    """A total that is the number of another draw as the whole number that NumPyro's samplers index by."""
    return {k: jnp.nan_to_num(v).astype(int) if k == "total_count" else v for k, v in args.items()}


def _any_nan(argument: Any, law: Dist, name: str) -> Array:
    nan = jnp.isnan(jnp.asarray(argument, float))
    for _ in range(DISTRIBUTIONS[law.name].argument_ndim[name]):
        nan = nan.any(-1) if nan.ndim else nan
    return jnp.asarray(nan)[(...,) + (None,) * law.event_ndim] if law.event_ndim else nan


def _probabilities(args: Mapping[str, Array]) -> Array:
    return args["probs"] if "probs" in args else jax.nn.softmax(args["logits"], axis=-1)


def _multinomial(key: Array, law: Dist, args: Mapping[str, Array]) -> Array:
    # One count after another given those before it: the total may be a traced number.
    probs = jnp.broadcast_to(_probabilities(args), law.shape)
    left = jnp.broadcast_to(args["total_count"], law.shape[:-1])
    rest = jnp.ones(law.shape[:-1])
    counts = []
    for k, subkey in enumerate(jax.random.split(key, law.shape[-1])):
        last = k == law.shape[-1] - 1
        share = jnp.clip(probs[..., k] / jnp.maximum(rest, jnp.finfo(float).tiny), 0.0, 1.0)
        count = left if last else dist.BinomialProbs(share, left.astype(int)).sample(subkey).astype(left.dtype)
        counts.append(count)
        left, rest = left - count, rest - probs[..., k]
    return jnp.stack(counts, axis=-1)


def _in_range(key: Array, law: Dist, args: Mapping[str, Array], values: Values) -> Array:
    """A draw from the law as it stands; where that is outside of the range another, from the law's values within.

    Both together have the truncated law. The values are weighed, one by one, only where some draw needs it: the loop
    runs once or not at all, also for many particles side by side.
    """
    base = make(law.name, _whole(args), law.shape)
    low, high = max(values.lower or 0, 0), values.upper
    if low == 0 and high is None:
        return base.sample(key)
    if high is None or high - low >= MOST_VALUES:
        raise SsmError(Diagnostic(
            "E348", f"{law.name} cannot be truncated to a range of more than {MOST_VALUES} values", law.span,
            "is drawn from value by value", help=("give a smaller range, or from 0 on without an upper end",),
        ))  # fmt: skip
    key, again = jax.random.split(key)
    first = base.sample(key).astype(float)
    outside = (first < low) | (first > high)
    uniform = jax.random.uniform(again, law.shape)

    def within(state: tuple[Array, Array]) -> tuple[Array, Array]:
        value, start = state
        # From a number that the loop carries on: what changes in no round would be computed whether it runs or not.
        range_ = start + jnp.arange(high + 1 - low)
        at = range_.reshape(-1, *(1,) * len(law.shape))
        logits = base.log_prob(at)
        if law.name == "Binomial":
            logits = jnp.where(at <= jnp.broadcast_to(args["total_count"], law.shape), logits, -jnp.inf)
        total = jnp.cumsum(jax.nn.softmax(jax.lax.stop_gradient(logits), axis=0), axis=0)
        # Not above the last total, which rounding may leave below one.
        other = start + jnp.sum(total[:-1] < uniform * total[-1], axis=0)
        return jnp.where(outside, other, value), start + 1

    return jax.lax.while_loop(lambda state: (state[1] == low) & outside.any(), within, (first, jnp.asarray(low)))[0]
