"""Points and weights that stand for a standard normal law of n dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float


class Points(NamedTuple):
    """sum_i mean[i] g(at[i]) approximates E g(z), z ~ N(0, I); `cov` are the weights of second moments."""

    at: Float[np.ndarray, "K n"]
    mean: Float[np.ndarray, " K"]
    cov: Float[np.ndarray, " K"]
    reach: float | None = None
    """c, where the points are the origin and then c and -c along each axis"""


class PointRule(Protocol):
    """A family of points; hashable."""

    def points(self, n: int) -> Points:
        """The points in n dimensions."""
        ...


@dataclass(frozen=True)
class Unscented:
    """The origin and two points an axis, `alpha sqrt(n + kappa)` out (Julier & Uhlmann 2004; Wan & van der Merwe 2000).

    Exact for polynomials of degree three. `kappa`, where it is None: 3 - n, which gets the fourth moment along each
    axis right, but 1 at least, so that no weight is negative and no covariance indefinite.
    """

    alpha: float = 1.0
    beta: float = 0.0
    kappa: float | None = None

    def points(self, n: int) -> Points:
        kappa = max(3.0 - n, 1.0) if self.kappa is None else self.kappa
        total = self.alpha**2 * (n + kappa)
        central = 1.0 - n / total
        mean = np.full(2 * n + 1, 0.5 / total)
        cov = mean.copy()
        mean[0], cov[0] = central, central + 1.0 - self.alpha**2 + self.beta
        return Points(_axes(n, sqrt(total)), mean, cov, sqrt(total))


@dataclass(frozen=True)
class Spherical:
    """Two points an axis, sqrt(n) out, of equal weight (Arasaratnam & Haykin 2009); exact to degree three."""

    def points(self, n: int) -> Points:
        weights = np.full(2 * n + 1, 0.5 / max(n, 1))
        weights[0] = 0.0 if n else 1.0
        return Points(_axes(n, sqrt(max(n, 1))), weights, weights, sqrt(max(n, 1)))


@dataclass(frozen=True)
class Grid:
    """The product of Gauss-Hermite rules of `order` points an axis: exact to degree 2 order - 1 in each."""

    order: int = 3

    def points(self, n: int) -> Points:
        return _grid(self.order, n)


@cache
def _grid(order: int, n: int) -> Points:
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    weights = weights / weights.sum()
    mesh = np.meshgrid(*[np.arange(order)] * n, indexing="ij")
    index = np.stack([m.ravel() for m in mesh], axis=1) if n else np.zeros((1, 0), int)
    product = weights[index].prod(axis=1)
    return Points(nodes[index], product, product)


def _axes(n: int, reach: float) -> Float[np.ndarray, "K n"]:
    return reach * np.concatenate([np.zeros((1, n)), np.eye(n), -np.eye(n)])
