"""Draws of the parameters from their prior, in NumPy: what is known of a model before data, without JAX.

Scalar laws are drawn by their quantile function between the quantiles of the declared ends, so that an interval
truncates as exactly as it does in a fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ssmlang.analysis import normal
from ssmlang.analysis.values import evaluate
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Model, Parameter

FLAT_SCALE = 3.0
"""Scale of a stand-in for a parameter without a prior: Normal, or HalfNormal beyond an end."""
TRIES = 2_000
"""Candidates for one vector of stationary coefficients before the walk inside of the region takes over."""
WALK = 300
AT_ONCE = 64
"""Draws that are made together."""

Cdf = Callable[..., Any]
_half = lambda cdf, quantile: (lambda x, *a: 2 * cdf(x, *a) - 1, lambda u, *a: quantile((1 + u) / 2, *a))
_cauchy = (lambda x: 0.5 + np.arctan(x) / np.pi, lambda u: np.tan(np.pi * (u - 0.5)))
_laplace = (
    lambda x: np.where(x < 0, 0.5 * np.exp(np.minimum(x, 0)), 1 - 0.5 * np.exp(-np.maximum(x, 0))),
    lambda u: np.where(u < 0.5, np.log(2 * u), -np.log(2 * (1 - u))),
)
_STANDARD: dict[str, tuple[Cdf, Cdf]] = {
    "Normal": (normal.cdf, normal.quantile),
    "HalfNormal": _half(normal.cdf, normal.quantile),
    "Cauchy": _cauchy,
    "HalfCauchy": _half(*_cauchy),
    "Laplace": _laplace,
}
"""Distribution and quantile functions at location 0 and scale 1."""


class PriorDraws:
    """Independent draws of all parameters of a model, augmented ones included, made as they are asked for.

    The first draws are the same however many are asked for.
    """

    def __init__(self, model: Model, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._order = drawing_order(model)
        self._made: list[dict[str, np.ndarray]] = []

    def first(self, count: int) -> list[dict[str, np.ndarray]]:
        """So many draws, each an array of the parameter's shape by name."""
        with np.errstate(all="ignore"):
            while len(self._made) < count:
                self._made += self._more()
        return self._made[:count]

    def _more(self) -> list[dict[str, np.ndarray]]:
        found: list[dict[str, np.ndarray]] = [{} for _ in range(AT_ONCE)]
        for p in self._order:
            if expr.parameters(_nodes(p)):
                for values in found:
                    values[p.name] = np.asarray(_draw(p, values, self._rng), float).reshape(p.shape)
            else:
                whole = np.asarray(_draw(p, {}, self._rng, (AT_ONCE,)), float).reshape(AT_ONCE, *p.shape)
                for values, one in zip(found, whole):
                    values[p.name] = one
        return found


def draw_priors(model: Model, count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """So many independent draws of all parameters."""
    return PriorDraws(model, seed).first(count)


def drawing_order(model: Model) -> list[Parameter]:
    """Parameters in an order in which each can be drawn: what a prior reads comes first."""
    done: dict[str, Parameter] = {}
    waiting = dict(model.parameters)
    while waiting:
        ready = [p for p in waiting.values() if expr.parameters(_nodes(p)) <= set(done)]
        for p in ready or list(waiting.values()):
            done[p.name] = p
            waiting.pop(p.name)
    return list(done.values())


def _nodes(p: Parameter) -> list[expr.Node]:
    ends = [n for n in (p.support.lower, p.support.upper) if n is not None]
    return ends + (list(p.prior.args.values()) if p.prior is not None else [])


def _draw(
    p: Parameter, values: Mapping[str, np.ndarray], rng: np.random.Generator, many: tuple[int, ...] = ()
) -> np.ndarray:
    """A draw of a parameter given those that its prior reads, or `many` of them."""
    shape = (*many, *p.shape)
    low, high = (evaluate(n, values) if n is not None else s * np.inf
                 for n, s in ((p.support.lower, -1), (p.support.upper, 1)))  # fmt: skip
    name = p.prior.name if p.prior is not None else None
    args = {k: np.asarray(evaluate(v, values), float) for k, v in (p.prior.args.items() if p.prior is not None else ())}
    if p.support.kind == "stationary":
        return _stationary(shape, p.shape, name, args, rng)
    if p.support.kind == "simplex":
        weights = rng.standard_gamma(np.broadcast_to(args.get("concentration", np.ones(1)), shape))
        return weights / weights.sum(axis=-1, keepdims=True)
    if p.support.kind == "correlation_cholesky":
        return _correlation(shape, args.get("concentration", np.ones(())), rng)
    if name == "MvNormal":
        factor = args["scale_tril"] if "scale_tril" in args else np.linalg.cholesky(args["cov"])
        z = rng.standard_normal(shape)
        return np.broadcast_to(args["loc"], shape) + np.einsum("...ij,...j->...i", factor, z)
    if name == "VonMises":
        return rng.vonmises(np.broadcast_to(args["loc"], shape), np.broadcast_to(args["concentration"], shape))
    if name is None:
        return _flat(low, high, shape, rng)
    return between(name, args, low, high, rng.uniform(size=shape))


def between(name: str, args: Mapping[str, Any], low: Any, high: Any, u: np.ndarray) -> np.ndarray:
    """Quantiles `u` of a scalar law truncated to (low, high)."""
    with np.errstate(all="ignore"):
        return _between(name, args, low, high, u)


def _between(name: str, args: Mapping[str, Any], low: Any, high: Any, u: np.ndarray) -> np.ndarray:
    cdf, quantile = law(name, args)
    ends = DISTRIBUTIONS[name].bounds
    low, high = (np.maximum(low, ends[0]), np.minimum(high, ends[1])) if ends else (low, high)
    first = np.where(np.isneginf(low), 0.0, cdf(np.where(np.isinf(low), 0.0, low)))
    last = np.where(np.isposinf(high), 1.0, cdf(np.where(np.isinf(high), 0.0, high)))
    found = quantile(first + u * (last - first))
    # Far out in a tail the quantiles of both ends round to the same number.
    lost = ~(np.isfinite(found) & (found > low) & (found < high))
    inside = np.where(np.isfinite(low), np.where(np.isfinite(high), low + u * (high - low), low + u), high - u)
    return np.where(lost & np.isfinite(inside), inside, found)


def law(name: str, args: Mapping[str, Any]) -> tuple[Cdf, Cdf]:
    """Distribution and quantile function of a scalar law of the language."""
    given = {a: args.get(a, DISTRIBUTIONS[name].defaults.get(a)) for a in DISTRIBUTIONS[name].arguments}
    loc, scale = given.get("loc", 0.0), given.get("scale", 1.0)
    moved = lambda f, g: (lambda x: f((x - loc) / scale), lambda u: loc + scale * g(u))
    if name in _STANDARD:
        if name.startswith("Half"):
            loc = 0.0
        return moved(*_STANDARD[name])
    if name == "LogNormal":
        return (lambda x: normal.cdf((np.log(np.maximum(x, 1e-300)) - loc) / scale),
                lambda u: np.exp(loc + scale * normal.quantile(u)))  # fmt: skip
    if name == "Exponential":
        return lambda x: -np.expm1(-given["rate"] * x), lambda u: -np.log1p(-u) / given["rate"]
    if name == "Uniform":
        first, width = given["low"], given["high"] - given["low"]
        return lambda x: np.clip((x - first) / width, 0, 1), lambda u: first + width * u
    from scipy import special  # takes long to import, and few models need it

    match name:
        case "StudentT":
            return moved(lambda x: special.stdtr(given["df"], x), lambda u: special.stdtrit(given["df"], u))
        case "Gamma":
            a, rate = given["concentration"], given["rate"]
            return lambda x: special.gammainc(a, rate * np.maximum(x, 0)), lambda u: special.gammaincinv(a, u) / rate
        case "InverseGamma":
            a, rate = given["concentration"], given["rate"]
            return (lambda x: special.gammaincc(a, rate / np.maximum(x, 1e-300)),
                    lambda u: rate / special.gammainccinv(a, u))  # fmt: skip
        case "Beta":
            a, b = given["concentration1"], given["concentration0"]
            return lambda x: special.betainc(a, b, np.clip(x, 0, 1)), lambda u: special.betaincinv(a, b, u)
    raise ValueError(f"no quantiles of {name}")


def _flat(low: Any, high: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    z = rng.standard_normal(shape) * FLAT_SCALE
    both = np.isfinite(low) & np.isfinite(high)
    width = np.where(both, np.asarray(high) - low, 1.0)
    return np.where(
        both, np.where(np.isfinite(low), low, 0) + width * rng.uniform(size=shape),
        np.where(np.isfinite(low), np.where(np.isfinite(low), low, 0) + np.abs(z),
                 np.where(np.isfinite(high), np.where(np.isfinite(high), high, 0) - np.abs(z), z)),
    )  # fmt: skip


def partial_autocorrelations(phi: np.ndarray) -> np.ndarray:
    """Of an autoregression phi (p,); all lie in (-1, 1) if and only if it is stationary (Barndorff-Nielsen and Schou
    1973)."""
    found: list[float] = []
    for k in range(len(phi), 0, -1):
        r = phi[k - 1]
        found.append(float(r))
        if not -1 < r < 1:
            return np.array([*found, *([np.inf] * (k - 1))])[::-1]
        phi = (phi[: k - 1] + r * phi[: k - 1][::-1]) / (1 - r * r)
    return np.array(found[::-1])


def coefficients(partial: np.ndarray) -> np.ndarray:
    """The inverse of `partial_autocorrelations` (the Durbin-Levinson recursion)."""
    phi = partial[:1]
    for r in partial[1:]:
        phi = np.append(phi - r * phi[::-1], r)
    return phi


def _stationary(
    shape: tuple[int, ...], own: tuple[int, ...], name: str | None, args: Mapping[str, Any], rng: np.random.Generator
) -> np.ndarray:
    order = own[-1] if own else 1
    rows = int(np.prod(shape)) // order
    whole = {k: np.broadcast_to(v, shape).reshape(rows, order) for k, v in args.items()}
    found = np.empty((rows, order))
    for i in range(rows):
        one = {k: v[i] for k, v in whole.items()}
        found[i] = _stationary_row(order, name, one, rng)
    return found.reshape(shape)


def _stationary_row(order: int, name: str | None, args: Mapping[str, np.ndarray], rng: np.random.Generator
                    ) -> np.ndarray:  # fmt: skip
    inside = lambda phi: bool((np.abs(partial_autocorrelations(phi)) < 1).all())
    if name is None:
        return coefficients(rng.uniform(-1, 1, order))
    quantile = law(name, args)[1]
    for _ in range(TRIES // max(order, 1)):
        phi = np.asarray(quantile(rng.uniform(size=order)))
        if inside(phi):
            return phi
    # The region is a small part of the prior: walk inside of it, one coefficient at a time, by the prior's own
    # conditional law between the ends that random proposals meet.
    phi = np.zeros(order)
    for step in range(WALK):
        k = step % order
        trial = phi.copy()
        trial[k] = np.asarray(quantile(rng.uniform(size=order)))[k]
        if inside(trial):
            phi = trial
    return phi


def _correlation(shape: tuple[int, ...], concentration: Any, rng: np.random.Generator) -> np.ndarray:
    """The Cholesky factor of an LKJ correlation matrix (the onion: Lewandowski, Kurowicka and Joe 2009)."""
    d = shape[-1]
    found = np.zeros(shape)
    found[..., 0, 0] = 1
    for i in range(1, d):
        b = rng.beta(i / 2, np.broadcast_to(concentration + (d - 1 - i) / 2, shape[:-2]))
        u = rng.standard_normal((*shape[:-2], i))
        found[..., i, :i] = np.sqrt(b)[..., None] * u / np.linalg.norm(u, axis=-1, keepdims=True)
        found[..., i, i] = np.sqrt(1 - b)
    return found
