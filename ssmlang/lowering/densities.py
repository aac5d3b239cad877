"""Log-densities of the laws of equations, and the moments of what engines that work with moments see of them.

Observations enter such engines by a statistic: themselves, but a category as indicators of all categories but the
first, counts of a multinomial law less the last, an angle as its cosine and sine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import gammaln, i0e, i1e

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.draws import MOST_VALUES
from ssmlang.lowering.laws import complete_arguments, make
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist, Values

Args = Mapping[str, Array]
LEGAL: Mapping[str, float] = {"positive": 1.0, "unit": 0.5, "nonnegative_integer": 1.0}
"""A value that an argument may have, by what it may be."""


def log_density(law: Dist, args: Args, x: Array, values: Values | None = None) -> Array:
    """The log-density of x under a law: what is NaN in x is left out. A scalar.

    Of an MvNormal law the marginal of what is there; of other joint laws (Dirichlet, Multinomial) a draw with any entry
    missing counts as missing. An integer law on a range is normalised there.
    """
    x = jnp.reshape(x, law.shape)
    if law.name == "MvNormal":
        return _mv_normal(law, args, x)
    missing = jnp.isnan(x)
    if law.event_ndim:
        missing = missing.any(axis=tuple(range(-law.event_ndim, 0)))
    given = _whole(complete_arguments(law.name, args))
    if law.name == "Normal":  # written out: the logarithm of a scale that is exp(...) costs nothing then
        off = (jnp.where(missing, given["loc"], x) - given["loc"]) / given["scale"]
        found = -0.5 * off**2 - jnp.log(given["scale"]) - 0.5 * math.log(2 * math.pi)
        return jnp.sum(jnp.where(missing, 0.0, found))
    given = _legal(law, given, missing)
    made = make(law.name, given, law.shape)
    event = missing[(...,) + (None,) * law.event_ndim]
    if DISTRIBUTIONS[law.name].discrete:
        first = _first(values) if law.name == "Categorical" else 0
        whole = jnp.where(event, _some(law, given, values), x).astype(int) - first
        found = _logits(law, given, made, whole) - _log_mass(law, given, made, values)
        low, high = values.ends if values is not None else (-math.inf, math.inf)
        if not law.event_ndim:
            found = jnp.where((x < low) | (x > high), -jnp.inf, found)
    else:
        found = made.log_prob(jnp.where(event, _some(law, given, values), x))
    return jnp.sum(jnp.where(missing, 0.0, found))


CORNER = 0.5
"""How far from its middle, in its scale, a Laplace law is rounded off: paths drawn by 1, 1/2 and 1/5 were worth 8, 20
and 4 alike of 1,024 over 150 rows of an autoregression seen with such a noise of a fifth of its own."""


def log_density_rounded(law: Dist, args: Args, x: Array, values: Values | None = None) -> Array:
    """`log_density`, with that of a Laplace law rounded at its middle: it bends everywhere, and has its tails."""
    if law.name != "Laplace":
        return log_density(law, args, x, values)
    x = jnp.reshape(x, law.shape)
    missing, given = jnp.isnan(x), complete_arguments(law.name, args)
    off = (jnp.where(missing, given["loc"], x) - given["loc"]) / given["scale"]
    found = -jnp.sqrt(off**2 + CORNER**2) - jnp.log(2 * given["scale"])
    return jnp.sum(jnp.where(missing, 0.0, found))


def log_mass(law: Dist, args: Args, x: Array, values: Values | None = None) -> Array:
    """Entry by entry, for a law of single entries: like `log_density`, of law.shape; none may be missing."""
    given = _whole(complete_arguments(law.name, args))
    made = make(law.name, given, law.shape)
    first = _first(values) if law.name == "Categorical" else 0
    whole = jnp.reshape(x, law.shape).astype(int) - first
    return _logits(law, given, made, whole) - _log_mass(law, given, made, values)


def statistic_size(law: Dist, args_shape: int, values: Values | None) -> int:
    """How many numbers the statistic of a draw has; `args_shape`: the last extent of the probabilities, if any."""
    del values
    size = math.prod(law.shape)
    match law.name:
        case "Categorical":
            return size * (args_shape - 1)
        case "Multinomial":
            return size // law.shape[-1] * (law.shape[-1] - 1)
        case "VonMises":
            return 2 * size
    return size


def statistic(law: Dist, x: Array, args_shape: int, values: Values | None) -> Array:
    """The statistic of a draw, flat; NaN where missing."""
    x = jnp.reshape(x, law.shape)
    match law.name:
        case "Categorical":
            hits = (x[..., None] - _first(values)) == jnp.arange(1, args_shape)
            return jnp.where(jnp.isnan(x)[..., None], jnp.nan, hits.astype(x.dtype)).ravel()
        case "Multinomial":
            return jnp.where(jnp.isnan(x).any(-1, keepdims=True), jnp.nan, x[..., :-1]).ravel()
        case "VonMises":
            return jnp.stack([jnp.cos(x), jnp.sin(x)], -1).ravel()
    return x.ravel()


def moments(law: Dist, args: Args, values: Values | None = None) -> tuple[Array, Array]:
    """Mean and covariance of the statistic: (k,), and (k,) where its entries are independent, else (k, k)."""
    given = complete_arguments(law.name, args)
    match law.name:
        case "MvNormal":
            L = given.get("scale_tril")
            cov = given["cov"] if L is None else jnp.tril(L) @ jnp.swapaxes(jnp.tril(L), -1, -2)
            return jnp.broadcast_to(given["loc"], law.shape).ravel(), _blocks(cov, law.shape)
        case "Categorical":
            p = jnp.broadcast_to(_probabilities(given), (*law.shape, _probabilities(given).shape[-1]))[..., 1:]
            return p.ravel(), _blocks(p[..., None] * jnp.eye(p.shape[-1]) - p[..., None] * p[..., None, :], p.shape)
        case "Multinomial":
            p = jnp.broadcast_to(_probabilities(given), law.shape)[..., :-1]
            total = jnp.broadcast_to(given["total_count"], law.shape[:-1])[..., None]
            cov = total[..., None] * (p[..., None] * jnp.eye(p.shape[-1]) - p[..., None] * p[..., None, :])
            return (total * p).ravel(), _blocks(cov, p.shape)
        case "Dirichlet":
            a = jnp.broadcast_to(given["concentration"], law.shape)
            total = a.sum(-1, keepdims=True)
            p = a / total
            cov = (p[..., None] * jnp.eye(p.shape[-1]) - p[..., None] * p[..., None, :]) / (total[..., None] + 1)
            return p.ravel(), _blocks(cov, law.shape)
        case "VonMises":
            return _angle(law, given)
    if DISTRIBUTIONS[law.name].discrete and _cuts(law, values):
        return _on_range(law, _whole(given), values)
    full = lambda v: jnp.broadcast_to(v, law.shape).astype(float).ravel()
    if law.name == "Binomial":  # also of a total that is no whole number: a mean itself
        p = given["probs"] if "probs" in given else jax.nn.sigmoid(given["logits"])
        return full(given["total_count"] * p), full(given["total_count"] * p * (1 - p))
    if law.name == "NegativeBinomial":  # also of a mean of zero, whose slopes NumPyro's way round lacks
        return full(given["mean"]), full(given["mean"] + given["mean"] ** 2 / given["concentration"])
    made = make(law.name, given, law.shape)
    return full(made.mean), full(made.variance)


def number_moments(law: Dist, args: Args, values: Values | None = None) -> tuple[Array, Array]:
    """Mean and covariance of a draw itself, as `moments`; of a category the moments of its position or number."""
    given = complete_arguments(law.name, args)
    if law.name == "Categorical":
        p = _probabilities(given)
        p = jnp.broadcast_to(p, (*law.shape, p.shape[-1]))
        at = jnp.arange(p.shape[-1]) + _first(values)
        mean = p @ at
        return mean.ravel(), (p @ at**2 - mean**2).ravel()
    if law.name == "Multinomial":
        p = jnp.broadcast_to(_probabilities(given), law.shape)
        total = jnp.broadcast_to(given["total_count"], law.shape[:-1])[..., None]
        cov = total[..., None] * (p[..., None] * jnp.eye(p.shape[-1]) - p[..., None] * p[..., None, :])
        return (total * p).ravel(), _blocks(cov, p.shape)
    if law.name == "VonMises":
        k = jnp.broadcast_to(given["concentration"], law.shape)
        # Of the angle about its direction; the variance is that of a normal law of the same resultant length.
        return jnp.broadcast_to(given["loc"], law.shape).ravel(), (-2 * jnp.log(i1e(k) / i0e(k))).ravel()
    return moments(law, args, values)


def _mv_normal(law: Dist, args: Args, x: Array) -> Array:
    mean, cov = moments(law, args)
    return gaussian_density(x.ravel() - mean, cov)


def gaussian_density(residual: Array, cov: Array) -> Array:
    """The log-density of a residual under N(0, cov): what is NaN in it is left out."""
    seen = ~jnp.isnan(residual)
    both = seen[:, None] & seen[None, :]
    L = jnp.linalg.cholesky(jnp.where(both, cov, jnp.eye(len(residual))))
    whitened = jax.scipy.linalg.solve_triangular(L, jnp.where(seen, residual, 0.0), lower=True)
    logs = jnp.where(seen, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0)
    return -0.5 * jnp.sum(whitened**2) - jnp.sum(logs)


def _blocks(cov: Array, shape: tuple[int, ...]) -> Array:
    """Covariances (*batch, j, j) of draws (*batch, j), as the one of all of them side by side."""
    j = shape[-1]
    cov = jnp.broadcast_to(cov, (*shape[:-1], j, j)).reshape(-1, j, j)
    if len(cov) == 1:
        return cov[0]
    return (jnp.eye(len(cov))[:, None, :, None] * cov[:, :, None, :]).reshape(len(cov) * j, len(cov) * j)


def _angle(law: Dist, given: Args) -> tuple[Array, Array]:
    k = jnp.broadcast_to(given["concentration"], law.shape)
    loc = jnp.broadcast_to(given["loc"], law.shape)
    first = i1e(k) / i0e(k)
    second = 1 - 2 * first / k  # I2 / I0
    c, s = jnp.cos(loc), jnp.sin(loc)
    mean = jnp.stack([first * c, first * s], -1)
    cc, ss, cs = 0.5 * (1 + second * (2 * c * c - 1)), 0.5 * (1 - second * (2 * c * c - 1)), second * s * c
    raw = jnp.stack([jnp.stack([cc, cs], -1), jnp.stack([cs, ss], -1)], -2)
    return mean.ravel(), _blocks(raw - mean[..., :, None] * mean[..., None, :], mean.shape)


def _on_range(law: Dist, given: Args, values: Values | None) -> tuple[Array, Array]:
    made = make(law.name, given, law.shape)
    at = _every(law, values)
    at_ = at.reshape(-1, *(1,) * len(law.shape))
    p = jax.nn.softmax(_logits(law, given, made, at_), axis=0)
    mean = jnp.sum(p * at_, axis=0)
    return mean.ravel(), (jnp.sum(p * at_**2, axis=0) - mean**2).ravel()


def _log_mass(law: Dist, given: Args, made: Any, values: Values | None) -> Array:
    """The log-probability of the range that a law is truncated to."""
    if not _cuts(law, values):
        return jnp.zeros(())
    return jax.nn.logsumexp(_logits(law, given, made, _every(law, values).reshape(-1, *(1,) * len(law.shape))), axis=0)


def _logits(law: Dist, given: Args, made: Any, at: Array) -> Array:
    """The log-probability of whole numbers, before the range is cut."""
    if law.name == "NegativeBinomial":
        # By gammaln: NumPyro's, by JAX's betaln, is right to six digits in double precision (jax 0.10).
        c, m = given["concentration"], given["mean"]
        ways = gammaln(at + c) - gammaln(at + 1.0) - gammaln(c)
        # A mean of zero gives no events for certain, a negative one no law.
        asked = (at > 0) | (m < 0)
        return ways - c * jnp.log1p(m / c) - jnp.where(asked, at * jnp.log1p(c / jnp.where(asked, m, 1.0)), 0.0)
    if law.name == "Poisson":
        rate = given["rate"]
        asked = (at > 0) | (rate < 0)
        return jnp.where(asked, at * jnp.log(jnp.where(asked, rate, 1.0)), 0.0) - gammaln(at + 1.0) - rate
    if law.name not in ("Bernoulli", "Binomial"):
        return made.log_prob(at)
    count = given["total_count"] if law.name == "Binomial" else jnp.ones(())
    possible = (at >= 0) & (at <= count)
    if "logits" in given:  # NumPyro's (0.22) have wrong slopes where the log-odds are zero, where searches begin
        at = jnp.where(possible, at, 0)
        ways = gammaln(count + 1.0) - gammaln(at + 1.0) - gammaln(count - at + 1.0)
        log = lambda times, x: -jnp.where(times > 0, times * jax.nn.softplus(jnp.where(times > 0, x, 0.0)), 0.0)
        found = ways + log(at, -given["logits"]) + log(count - at, given["logits"])
        return jnp.where(possible, found, -jnp.inf)
    return jnp.where(possible, made.log_prob(jnp.where(possible, at, 0)), -jnp.inf)


def _cuts(law: Dist, values: Values | None) -> bool:
    """Whether the range of the values may leave out some of what the law gives."""
    if values is None or values.axis is not None or law.name in ("Categorical", "Multinomial"):
        return False
    if DISTRIBUTIONS[law.name].support == "boolean" and (values.upper is None or values.upper >= 1):
        return (values.lower or 0) > 0
    return (values.lower or 0) > 0 or values.upper is not None


def _every(law: Dist, values: Values | None) -> Array:
    low, high = values.ends if values is not None else (-math.inf, math.inf)
    if math.isinf(high) or high - max(low, 0) >= MOST_VALUES:
        raise SsmError(Diagnostic(
            "E348", f"{law.name} cannot be truncated to a range of more than {MOST_VALUES} values", law.span,
            "is summed value by value", help=("give a smaller range, or from 0 on without an upper end",),
        ))  # fmt: skip
    return jnp.arange(int(max(low, 0)), int(high) + 1)


def _first(values: Values | None) -> int:
    return 0 if values is None or values.axis is not None or values.lower is None else values.lower


def _some(law: Dist, given: Args, values: Values | None) -> Array | float:
    """A legal value, to stand where one is missing."""
    if law.name == "Multinomial":
        total = jnp.broadcast_to(given["total_count"], law.shape[:-1])[..., None]
        return jnp.concatenate([total, jnp.zeros((*law.shape[:-1], law.shape[-1] - 1))], -1)
    if DISTRIBUTIONS[law.name].discrete:
        return max(0, _first(values))
    match DISTRIBUTIONS[law.name].support:
        case "interval":
            return 0.5 * (given["low"] + given["high"])
        case "simplex":
            return 1 / law.shape[-1]
    return {"positive": 1.0, "unit": 0.5}.get(DISTRIBUTIONS[law.name].support, 0.0)


def _legal(law: Dist, given: Args, missing: Array) -> dict[str, Any]:
    """Arguments, with legal ones where nothing was seen: an increment, say, is not positive before the first row, and
    what cannot be computed there would come back in derivatives."""
    if law.event_ndim:
        return dict(given)
    signature = DISTRIBUTIONS[law.name]
    plain = {n for n in given if signature.argument_ndim.get(n, 0) == 0 and signature.argument_support[n] in LEGAL}
    return {n: jnp.where(missing, LEGAL[signature.argument_support[n]], v) if n in plain else v
            for n, v in given.items()}  # fmt: skip


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """A total as the whole number that NumPyro asks for."""
    return {k: jnp.asarray(v).astype(int) if k == "total_count" else v for k, v in given.items()}


def _probabilities(args: Args) -> Array:
    return args["probs"] if "probs" in args else jax.nn.softmax(args["logits"], axis=-1)
