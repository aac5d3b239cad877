"""The probability that a scalar law gives to an interval, in logarithms, exact in both tails and differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.scipy import special


def _log_difference(larger: Array, smaller: Array) -> Array:
    """log(exp(larger) - exp(smaller)), with finite gradients where `smaller` is -inf."""
    nothing = jnp.isneginf(smaller)
    gap = jnp.where(nothing, -1.0, smaller - larger)
    return larger + jnp.where(nothing, 0.0, jnp.log(-jnp.expm1(gap)))


def _log_ndtr(z: Array) -> Array:
    inside = jnp.isfinite(z)
    return jnp.where(inside, special.log_ndtr(jnp.where(inside, z, 0.0)), jnp.where(z > 0, 0.0, -jnp.inf))


def _mirrored(low: Array, high: Array) -> tuple[Array, Array]:
    """The interval or its mirror image, whichever lies further left: a symmetric law gives both the same mass."""
    flip = low > 0
    return jnp.where(flip, -high, low), jnp.where(flip, -low, high)


def _standard_normal(low: Array, high: Array) -> Array:
    low, high = _mirrored(low, high)
    return _log_difference(_log_ndtr(high), _log_ndtr(low))


def _standard_cauchy(low: Array, high: Array) -> Array:
    # arctan(high) - arctan(low) as one arctangent, which keeps its digits when both are large.
    def finite(x: Array) -> Array:
        return jnp.where(jnp.isfinite(x), x, 0.0)

    a, b = finite(low), finite(high)
    both = jnp.arctan2(b - a, 1 + a * b)
    to_right = jnp.arctan2(1.0, a)
    to_left = jnp.arctan2(1.0, -b)
    angle = jnp.where(jnp.isposinf(high), jnp.where(jnp.isneginf(low), jnp.pi, to_right),
                      jnp.where(jnp.isneginf(low), to_left, both))  # fmt: skip
    return jnp.log(angle / jnp.pi)


def _standard_laplace(low: Array, high: Array) -> Array:
    low, high = _mirrored(low, high)

    def log_cdf(z: Array) -> Array:
        left, right = jnp.where(z < 0, z, 0.0), jnp.where(z < 0, 0.0, z)
        return jnp.where(z < 0, jnp.where(jnp.isneginf(z), -jnp.inf, left) - jnp.log(2.0),
                         jnp.log1p(-0.5 * jnp.exp(-jnp.where(jnp.isposinf(z), 800.0, right))))  # fmt: skip

    return _log_difference(log_cdf(high), log_cdf(low))


def _standard_student(df: Array, low: Array, high: Array) -> Array:
    low, high = _mirrored(low, high)

    def cdf(z: Array) -> Array:
        inside = jnp.isfinite(z)
        z = jnp.where(inside, z, jnp.where(z > 0, 1e150, -1e150))
        tail = 0.5 * special.betainc(0.5 * df, 0.5, df / (df + z * z))
        return jnp.where(z > 0, 1.0 - tail, tail)

    return jnp.log(cdf(high) - cdf(low))


def _gamma(concentration: Array, rate: Array, low: Array, high: Array) -> Array:
    endless = jnp.isposinf(high)
    a, b_finite = jnp.maximum(low, 0.0) * rate, jnp.where(endless, 1.0, high) * rate
    left = jnp.where(endless, 1.0, special.gammainc(concentration, b_finite)) - special.gammainc(concentration, a)
    right = special.gammaincc(concentration, a) - jnp.where(endless, 0.0, special.gammaincc(concentration, b_finite))
    # Beyond the mean the upper tails are the small numbers, and their difference keeps its digits.
    return jnp.log(jnp.where(a > concentration, right, left))


def _inverse_gamma(concentration: Array, rate: Array, low: Array, high: Array) -> Array:
    low = jnp.maximum(low, 0.0)
    endless, from_zero = jnp.isposinf(high), low == 0
    reciprocal_low = jnp.where(endless, 0.0, 1.0 / jnp.where(endless, 1.0, high))
    reciprocal_high = jnp.where(from_zero, jnp.inf, 1.0 / jnp.where(from_zero, 1.0, low))
    return _gamma(concentration, rate, reciprocal_low, reciprocal_high)


def _beta(concentration1: Array, concentration0: Array, low: Array, high: Array) -> Array:
    a, b = jnp.maximum(low, 0.0), jnp.minimum(high, 1.0)
    left = special.betainc(concentration1, concentration0, b) - special.betainc(concentration1, concentration0, a)
    right = special.betainc(concentration0, concentration1, 1 - a) - special.betainc(
        concentration0, concentration1, 1 - b
    )
    return jnp.log(jnp.where(a > concentration1 / (concentration1 + concentration0), right, left))


def _exponential(rate: Array, low: Array, high: Array) -> Array:
    low = jnp.maximum(low, 0.0)
    endless = jnp.isposinf(high)
    width = jnp.where(endless, 1.0, high - low)
    return -rate * low + jnp.where(endless, 0.0, jnp.log(-jnp.expm1(-rate * width)))


def _log_of(x: Array) -> Array:
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), -jnp.inf)


def _standardise(x: Array, p: Mapping[str, Any]) -> Array:
    # An infinite end stays as it is: through the division it would give the scale a derivative of 0 * inf.
    inside = jnp.isfinite(x)
    return jnp.where(inside, (jnp.where(inside, x, 0.0) - p.get("loc", 0.0)) / p["scale"], x)


Mass = Callable[[Mapping[str, Any], Array, Array], Array]


def _scaled(standard: Callable[[Array, Array], Array]) -> Mass:
    return lambda p, low, high: standard(_standardise(low, p), _standardise(high, p))


def _folded(standard: Callable[[Array, Array], Array]) -> Mass:
    return lambda p, low, high: jnp.log(2.0) + standard(_standardise(jnp.maximum(low, 0.0), p), _standardise(high, p))


LOG_MASS: dict[str, Mass] = {
    "Normal": _scaled(_standard_normal),
    "Cauchy": _scaled(_standard_cauchy),
    "Laplace": _scaled(_standard_laplace),
    "StudentT": lambda p, low, high: _standard_student(p["df"], _standardise(low, p), _standardise(high, p)),
    "HalfNormal": _folded(_standard_normal),
    "HalfCauchy": _folded(_standard_cauchy),
    "LogNormal": lambda p, low, high: _standard_normal(_standardise(_log_of(low), p), _standardise(_log_of(high), p)),
    "Exponential": lambda p, low, high: _exponential(p["rate"], low, high),
    "Gamma": lambda p, low, high: _gamma(p["concentration"], p["rate"], low, high),
    "InverseGamma": lambda p, low, high: _inverse_gamma(p["concentration"], p["rate"], low, high),
    "Beta": lambda p, low, high: _beta(p["concentration1"], p["concentration0"], low, high),
    "Uniform": lambda p, low, high: jnp.log(
        (jnp.minimum(high, p["high"]) - jnp.maximum(low, p["low"])) / (p["high"] - p["low"])
    ),
}


def log_mass(name: str, args: Mapping[str, Any], low: Any, high: Any) -> Array:
    """log P(low < X < high) of the law `name`; arguments and ends broadcast, ends may be infinite."""
    dtype = jnp.result_type(float)
    ends = [jnp.asarray(e, dtype) for e in (low, high)]
    # betainc and gammainc want their arguments in one shape.
    values = jnp.broadcast_arrays(*(jnp.asarray(v, dtype) for v in args.values()), *ends)
    return LOG_MASS[name](dict(zip(args, values)), values[-2], values[-1])


