"""The distributions of the language as data: names, arguments, supports. No NumPyro.

Names and arguments are NumPyro's, except `MvNormal(loc, cov)` (or `scale_tril=`), `NegativeBinomial(mean,
concentration)` and `LKJCholesky(concentration)`, whose dimension is that of what it is the law of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ValueSupport = Literal[
    "real", "positive", "unit", "interval", "circle", "simplex", "correlation_cholesky",
    "boolean", "nonnegative_integer", "bounded_integer", "multinomial", "categories",
]  # fmt: skip
"""Where a draw lies. interval: between the arguments `low` and `high`; circle: [-pi, pi); bounded_integer: 0 to
`total_count`; multinomial: counts that sum to `total_count`; categories: positions 0 to K - 1."""

ArgumentSupport = Literal[
    "real", "positive", "unit", "simplex", "nonnegative_integer", "covariance", "lower_cholesky", "logits",
]  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """One distribution.

    `arguments` in positional order, with what each may be in `argument_support` and the number of dimensions of one
    draw's argument in `argument_ndim`; `defaults` for those that may be left out; exactly one of each group of
    `alternatives` is given. `event_ndim` dimensions of a draw belong together. `has_cdf`: an interval may truncate it;
    the CDF has no derivative in the arguments `cdf_constants`, which must then be constants.
    """

    name: str
    arguments: tuple[str, ...]
    support: ValueSupport
    argument_support: Mapping[str, ArgumentSupport]
    defaults: Mapping[str, float] = field(default_factory=dict)
    alternatives: tuple[tuple[str, ...], ...] = ()
    event_ndim: int = 0
    argument_ndim: Mapping[str, int] = field(default_factory=dict)
    discrete: bool = False
    has_cdf: bool = False
    cdf_constants: frozenset[str] = frozenset()

    @property
    def optional(self) -> frozenset[str]:
        """Arguments that may be left out: those with a default and the members of alternatives."""
        return frozenset(self.defaults) | {a for group in self.alternatives for a in group}

    @property
    def positive(self) -> frozenset[str]:
        """Arguments that must be positive."""
        return frozenset(a for a in self.arguments if self.argument_support[a] == "positive")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The ends of the support of a scalar continuous law with fixed ends, else None."""
        ends = {"real": (-math.inf, math.inf), "positive": (0.0, math.inf), "unit": (0.0, 1.0),
                "circle": (-math.pi, math.pi)}  # fmt: skip
        return ends.get(self.support) if self.event_ndim == 0 else None


def _signature(
    name: str,
    support: ValueSupport,
    arguments: Mapping[str, tuple[ArgumentSupport, int] | ArgumentSupport],
    *,
    defaults: Mapping[str, float] | None = None,
    alternatives: tuple[tuple[str, ...], ...] = (),
    event_ndim: int = 0,
    discrete: bool = False,
    has_cdf: bool = False,
    cdf_constants: tuple[str, ...] = (),
) -> Signature:
    full = {a: v if isinstance(v, tuple) else (v, 0) for a, v in arguments.items()}
    return Signature(
        name, tuple(full), support, {a: v[0] for a, v in full.items()}, dict(defaults or {}), alternatives, event_ndim,
        {a: v[1] for a, v in full.items()}, discrete, has_cdf, frozenset(cdf_constants),
    )  # fmt: skip


_EITHER = (("probs", "logits"),)
_STANDARD = {"loc": 0.0, "scale": 1.0}

_TABLE = (
    _signature("Normal", "real", {"loc": "real", "scale": "positive"}, defaults=_STANDARD, has_cdf=True),
    _signature("HalfNormal", "positive", {"scale": "positive"}, defaults={"scale": 1.0}, has_cdf=True),
    _signature("HalfCauchy", "positive", {"scale": "positive"}, defaults={"scale": 1.0}, has_cdf=True),
    _signature(
        "StudentT", "real", {"df": "positive", "loc": "real", "scale": "positive"}, defaults=_STANDARD, has_cdf=True,
        cdf_constants=("df",),
    ),
    _signature("Cauchy", "real", {"loc": "real", "scale": "positive"}, defaults=_STANDARD, has_cdf=True),
    _signature("Laplace", "real", {"loc": "real", "scale": "positive"}, defaults=_STANDARD, has_cdf=True),
    _signature("LogNormal", "positive", {"loc": "real", "scale": "positive"}, defaults=_STANDARD, has_cdf=True),
    _signature("Exponential", "positive", {"rate": "positive"}, defaults={"rate": 1.0}, has_cdf=True),
    _signature(
        "Gamma", "positive", {"concentration": "positive", "rate": "positive"}, defaults={"rate": 1.0}, has_cdf=True
    ),
    _signature(
        "InverseGamma", "positive", {"concentration": "positive", "rate": "positive"}, defaults={"rate": 1.0},
        has_cdf=True,
    ),
    _signature(
        "Beta", "unit", {"concentration1": "positive", "concentration0": "positive"}, has_cdf=True,
        cdf_constants=("concentration1", "concentration0"),
    ),
    _signature(
        "Uniform", "interval", {"low": "real", "high": "real"}, defaults={"low": 0.0, "high": 1.0}, has_cdf=True
    ),
    _signature("Dirichlet", "simplex", {"concentration": ("positive", 1)}, event_ndim=1),
    _signature(
        "LKJCholesky", "correlation_cholesky", {"concentration": "positive"}, defaults={"concentration": 1.0},
        event_ndim=2,
    ),
    _signature("VonMises", "circle", {"loc": "real", "concentration": "positive"}),
    _signature("Poisson", "nonnegative_integer", {"rate": "positive"}, discrete=True),
    _signature(
        "NegativeBinomial", "nonnegative_integer", {"mean": "positive", "concentration": "positive"}, discrete=True
    ),
    _signature(
        "Bernoulli", "boolean", {"probs": "unit", "logits": "real"}, alternatives=_EITHER, discrete=True
    ),
    _signature(
        "Binomial", "bounded_integer", {"total_count": "nonnegative_integer", "probs": "unit", "logits": "real"},
        alternatives=_EITHER, discrete=True,
    ),
    _signature(
        "Multinomial", "multinomial",
        {"total_count": "nonnegative_integer", "probs": ("simplex", 1), "logits": ("logits", 1)},
        alternatives=_EITHER, event_ndim=1, discrete=True,
    ),
    _signature(
        "Categorical", "categories", {"probs": ("simplex", 1), "logits": ("logits", 1)}, alternatives=_EITHER,
        discrete=True,
    ),
    _signature(
        "MvNormal", "real", {"loc": ("real", 1), "cov": ("covariance", 2), "scale_tril": ("lower_cholesky", 2)},
        alternatives=(("cov", "scale_tril"),), event_ndim=1,
    ),
)  # fmt: skip

DISTRIBUTIONS: Mapping[str, Signature] = {s.name: s for s in _TABLE}
