"""A state of one dimension on a grid: likelihood, filtered and smoothed moments by summation, in NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats


class OnGrid(NamedTuple):
    """log p(y_t | y_0..y_{t-1}) of each row, and moments of x."""

    terms: np.ndarray
    filtered: np.ndarray
    filtered_var: np.ndarray
    smoothed: np.ndarray
    smoothed_var: np.ndarray


def autoregression(
    y: np.ndarray, log_emission: Callable[[np.ndarray, float], np.ndarray], *, mean: float, phi: float, sd: float,
    first: tuple[float, float] | None = None, points: int = 1201, width: float = 8.0,
) -> OnGrid:  # fmt: skip
    """x_t = mean + phi (x_{t-1} - mean) + sd e_t, seen through `log_emission(x, y_t)`; NaN in y is missing.

    `first`: mean and sd of x_0, stationary if None. The grid spans `width` of the larger of its sd and the stationary
    one.
    """
    spread = sd / np.sqrt(1 - phi**2)
    m0, s0 = (mean, spread) if first is None else first
    reach = width * max(spread, s0)
    x = np.linspace(min(mean, m0) - reach, max(mean, m0) + reach, points)
    step = x[1] - x[0]
    move = scipy.stats.norm.pdf(x[:, None], mean + phi * (x - mean), sd) * step
    law = scipy.stats.norm.pdf(x, m0, s0)
    seen, terms, laws = [], [], []
    for t, value in enumerate(y):
        law = move @ law if t else law
        density = np.ones_like(x) if np.isnan(value) else np.exp(log_emission(x, value))
        mass = np.sum(law * density) * step
        law = law * density / mass
        seen.append(density)
        terms.append(np.log(mass))
        laws.append(law)
    back, smoothed = np.ones_like(x), [laws[-1]]
    for t in range(len(y) - 2, -1, -1):
        back = move.T @ (seen[t + 1] * back)
        both = laws[t] * back
        back = back / back.max()
        smoothed.append(both / (both.sum() * step))
    moments = lambda rows: np.array([[(m := np.sum(p * x) * step), np.sum(p * (x - m) ** 2) * step] for p in rows])
    f, s = moments(laws), moments(smoothed[::-1])
    return OnGrid(np.array(terms), f[:, 0], f[:, 1], s[:, 0], s[:, 1])


EMISSIONS: dict[str, tuple[str, Callable[[np.ndarray, float], np.ndarray]]] = {
    "volatility": ("Normal(0, exp(x[t] / 2))", lambda x, y: scipy.stats.norm.logpdf(y, 0, np.exp(x / 2))),
    "poisson": ("Poisson(exp(x[t]))", lambda x, y: scipy.stats.poisson.logpmf(y, np.exp(x))),
    "negative_binomial": (
        "NegativeBinomial(mean = exp(x[t]), concentration = 3)",
        lambda x, y: scipy.stats.nbinom.logpmf(y, 3, 3 / (3 + np.exp(x))),
    ),
    "bernoulli": ("Bernoulli(logits = x[t])", lambda x, y: y * x - np.logaddexp(0, x)),
    "binomial": (
        "Binomial(7, logits = x[t])",
        lambda x, y: scipy.stats.binom.logpmf(y, 7, 1 / (1 + np.exp(-x))),
    ),
    "student": ("StudentT(3, x[t], 0.5)", lambda x, y: scipy.stats.t.logpdf(y, 3, x, 0.5)),
}
"""Emissions of a state x by name: in the language, and as log-densities over a grid."""


def text(emission: str, first: str = "Stationary()") -> str:
    """The model of an autoregression seen so."""
    return f"""
param mean ~ Normal(0, 1)
param phi in (-1, 1) ~ Normal(0.9, 0.1)
param sd ~ HalfNormal(1)
state x
obs y
init x ~ {first}
x[t] ~ Normal(mean + phi * (x[t-1] - mean), sd)
y[t] ~ {EMISSIONS[emission][0]}
"""


PARAMS = {"mean": 0.3, "phi": 0.9, "sd": 0.4}
