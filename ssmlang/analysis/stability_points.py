"""Parameter points for numeric work: one typical of the prior, and how likely a property is under it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.context import Context
from ssmlang.analysis.draws import coefficients, partial_autocorrelations
from ssmlang.analysis.stability_analysis import Judged
from ssmlang.analysis.stability_numbers import values_at

DRAWS = 1_000
FEW_DRAWS = 200
"""Where a draw is costly, and for medians."""
LARGE = 60
"""The largest companion matrix whose eigenvalues are taken at every draw."""


@dataclass(frozen=True)
class Probability:
    """Of a property under the prior, by Monte Carlo: `hits` of `draws`."""

    hits: int
    draws: int

    @property
    def value(self) -> float:
        return self.hits / self.draws

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.value * (1 - self.value) / self.draws)

    def __str__(self) -> str:
        if self.hits in (0, self.draws):
            # The upper end of a 95% interval after no hit in n draws is 3/n.
            end = 3 / self.draws
            none = f"0 (below {end:.2g}: at none of {self.draws:,} prior draws)"
            return none if not self.hits else f"1 (above {1 - end:.4g}: at all {self.draws:,} prior draws)"
        return f"{self.value:.3f} +- {self.error:.3f} ({self.draws:,} prior draws)"


def count_of(context: Context) -> int:
    """How many prior draws a check of this model takes."""
    entries = sum(p.size for p in context.model.parameters.values())
    return DRAWS if entries <= 40 else FEW_DRAWS


def prior_median(context: Context) -> dict[str, np.ndarray]:
    """A point in the middle of the prior: medians of the entries; of stationary coefficients, of their partial
    autocorrelations; of vectors that sum to one and of correlations, the mean. It exists where a mean does not."""
    draws = context.draws(FEW_DRAWS)
    found = {}
    for p in context.model.parameters.values():
        values = np.stack([d[p.name] for d in draws])
        if p.support.kind == "stationary":
            rows = values.reshape(len(values), -1, p.shape[-1] if p.shape else 1)
            partial = np.array([[partial_autocorrelations(row) for row in one] for one in rows])
            found[p.name] = np.array([coefficients(r) for r in np.median(partial, axis=0)]).reshape(p.shape)
        elif p.support.kind == "simplex":
            found[p.name] = values.mean(axis=0)
        elif p.support.kind == "correlation_cholesky":
            mean = values.mean(axis=0)
            found[p.name] = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
        else:
            found[p.name] = np.median(values, axis=0)
    return found


def symbol_draws(context: Context) -> tuple[dict[sp.Symbol, np.ndarray], int]:
    """Prior draws by symbol, and how many."""
    draws = context.draws(count_of(context))
    found: dict[sp.Symbol, np.ndarray] = {}
    for name, symbols in context.symbols.items():
        values = np.stack([d[name] for d in draws]).reshape(len(draws), -1)
        for k, s in enumerate(symbols.reshape(-1)):
            if isinstance(s, sp.Symbol):
                found[s] = values[:, k]
    return found, len(draws)


def radii(judged: Judged, draws: Mapping[sp.Symbol, np.ndarray], count: int) -> np.ndarray | None:
    """(count,): the spectral radius of a block at each draw; None where it cannot be computed."""
    block = judged.block
    s, p = len(block.entries), max(block.order, 1)
    if judged.opaque or s * p > LARGE:
        return None
    places = [(lag, i, j, v) for lag, m in block.terms.items() for (i, j), v in m.items()]
    values = values_at([v for *_, v in places], draws, count)
    if values is None:
        return None
    matrix = np.zeros((count, s * p, s * p))
    matrix[:, s:, : s * (p - 1)] = np.eye(s * (p - 1))
    for k, (lag, i, j, _) in enumerate(places):
        matrix[:, i, (lag - 1) * s + j] = values[:, k]
    if not np.isfinite(matrix).all():
        return None
    eigenvalues = np.linalg.eigvals(matrix)
    return (np.exp(eigenvalues.real) if judged.continuous else np.abs(eigenvalues)).max(axis=1)


def probability_inside(found: Sequence[Judged], context: Context) -> tuple[Probability, np.ndarray] | None:
    """The prior probability that all roots of these blocks lie inside the circle, and the largest modulus at each draw.

    Blocks that are proved either way are taken at their proof, those of one form together.
    """
    draws, count = symbol_draws(context)
    largest = np.zeros(count)
    for j in found:
        if j.inside:
            continue
        own = radii(j, draws, count)
        if own is None:
            return None
        largest = np.maximum(largest, own)
    return Probability(int((largest < 1).sum()), count), largest
