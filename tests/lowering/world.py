"""Gaussian random variables as numbers plus loadings on independent standard normals.

A model written as a plain Python loop over these gives the joint law of everything in it, by no method that the
package uses.
"""

from __future__ import annotations

import numpy as np


class World:
    """Where independent standard normals come from."""

    def __init__(self) -> None:
        self.count = 0

    def normal(self, mean: object = 0.0, sd: float = 1.0) -> V:
        self.count += 1
        fresh = V(0.0, {self.count: 1.0})
        return mean + sd * fresh  # type: ignore[return-value]


class V:
    """constant + sum of loadings."""

    def __init__(self, constant: float, loadings: dict[int, float]) -> None:
        self.constant, self.loadings = float(constant), loadings

    def __add__(self, other: V | float) -> V:
        if not isinstance(other, V):
            return V(self.constant + other, self.loadings)
        total = dict(self.loadings)
        for k, v in other.loadings.items():
            total[k] = total.get(k, 0.0) + v
        return V(self.constant + other.constant, total)

    def __mul__(self, factor: float) -> V:
        return V(factor * self.constant, {k: factor * v for k, v in self.loadings.items()})

    def __neg__(self) -> V:
        return self * -1.0

    def __sub__(self, other: V | float) -> V:
        return self + -other

    __radd__, __rmul__ = __add__, __mul__


def joint(values: list[V]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a list of variables."""
    mean = np.array([v.constant for v in values])
    names = {k: i for i, k in enumerate(sorted({k for v in values for k in v.loadings}))}
    loadings = np.zeros((len(values), max(len(names), 1)))
    for i, v in enumerate(values):
        for k, c in v.loadings.items():
            loadings[i, names[k]] = c
    return mean, loadings @ loadings.T


def log_density(values: list[V], data: np.ndarray) -> float:
    """Of those entries of `data` that are not NaN."""
    data = np.asarray(data, float)
    seen = ~np.isnan(data)
    mean, cov = joint([v for v, s in zip(values, seen) if s])
    rest = data[seen] - mean
    return float(-0.5 * (rest @ np.linalg.solve(cov, rest) + np.linalg.slogdet(2 * np.pi * cov)[1]))


def conditional(wanted: list[V], values: list[V], data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of `wanted` given the entries of `data` that are not NaN."""
    data = np.asarray(data, float)
    known = [v for v, d in zip(values, data) if not np.isnan(d)]
    mean, cov = joint([*wanted, *known])
    k = len(wanted)
    gain = np.linalg.solve(cov[k:, k:], cov[k:, :k]).T
    return mean[:k] + gain @ (data[~np.isnan(data)] - mean[k:]), np.sqrt(np.diagonal(cov[:k, :k] - gain @ cov[k:, :k]))
