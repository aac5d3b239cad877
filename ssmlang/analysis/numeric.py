"""A linear program's matrices in double precision, at parameter values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssmlang.analysis.values import Read, evaluate_all
from ssmlang.model.linear import LinearForm
from ssmlang.model.rows import Rows

EVENTUALLY = 10**6
"""The row at which a program that differs in its first rows alone is looked at."""


@dataclass(frozen=True)
class NumericSystem:
    """x[t] = a + sum_k A[k] x[t-k] + sum_j G[j] e[t-j],  y[t] = d + sum_k C[k] x[t-k] + sum_j D[j] e[t-j].

    Arrays (n, n), (n, r), (m, n), (m, r) by lag; e are independent standard normals.
    """

    A: Mapping[int, np.ndarray]
    G: Mapping[int, np.ndarray]
    C: Mapping[int, np.ndarray]
    D: Mapping[int, np.ndarray]
    a: np.ndarray
    d: np.ndarray
    r: int

    @property
    def n(self) -> int:
        return len(self.a)

    @property
    def m(self) -> int:
        return len(self.d)

    @cached_property
    def order(self) -> int:
        """Rows of states and of noises that a companion form holds."""
        lags = [1, *self.A, *(k + 1 for k in self.C)]
        return max(lags)

    @cached_property
    def noise_order(self) -> int:
        return max([0, *self.G, *self.D])

    @cached_property
    def companion(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(F, H, L, M): z[t] = F z[t-1] + L e[t], y[t] = H z[t] + M e[t], where z stacks x[t], ..., x[t-p+1] and, where
        a later row reads them, e[t], ..., e[t-q+1]. Then e[t] in y is read through z and M is zero there."""
        n, m, r, p, q = self.n, self.m, self.r, self.order, self.noise_order
        size = p * n + q * r
        F, H = np.zeros((size, size)), np.zeros((m, size))
        L, M = np.zeros((size, r)), np.zeros((m, r))
        for k, block in self.A.items():
            F[:n, (k - 1) * n : k * n] = block
        for k, block in self.C.items():
            H[:, k * n : (k + 1) * n] = block
        F[n : p * n, : (p - 1) * n] = np.eye((p - 1) * n)
        for j, block in self.G.items():
            if j:
                F[:n, p * n + (j - 1) * r : p * n + j * r] = block
            else:
                L[:n] = block
        for j, block in self.D.items():
            if q and j < q:
                H[:, p * n + j * r : p * n + (j + 1) * r] += block
            elif j == 0:
                M += block
        if q:
            L[p * n : p * n + r] = np.eye(r)
            F[p * n + r :, p * n : size - r] = np.eye((q - 1) * r)
            if q in self.D:
                # The oldest noise is one that an emission reads: it takes one more row.
                return self._deeper()
        return F, H, L, M

    def _deeper(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        padded = dict(self.G)
        padded[self.noise_order + 1] = np.zeros((self.n, self.r))
        return NumericSystem(self.A, padded, self.C, self.D, self.a, self.d, self.r).companion


def numeric_system(
    form: LinearForm, point: Mapping[str, np.ndarray], row: int | None = None, read: Read | None = None
) -> NumericSystem:
    """The matrices of a linear form of finite order. Raises values.Unreadable where they read what is not given."""
    row = EVENTUALLY if row is None else row
    s = form.stacking

    def terms(rows: Rows, kind: str, shape: tuple[int, int]) -> dict[int, np.ndarray]:
        wanted = {lag: m for (k, lag), m in rows.terms.items() if k == kind}
        values = evaluate_all([m.values for m in wanted.values()], point, row, read)
        found = {}
        for (lag, m), v in zip(wanted.items(), values):
            matrix = np.zeros(shape)
            matrix[m.rows, m.cols] = v
            found[lag] = matrix
        return found

    n, m, r = s.n, s.m, s.r
    a, d = (_offset(rows, point, row, read) for rows in (form.transition, form.emission))
    return NumericSystem(
        terms(form.transition, "x", (n, n)), terms(form.transition, "e", (n, r)), terms(form.emission, "x", (m, n)),
        terms(form.emission, "e", (m, r)), a, d, r,
    )  # fmt: skip


def _offset(rows: Rows, point: Mapping[str, np.ndarray], row: int, read: Read | None) -> np.ndarray:
    """The constant; NaN where it reads a series that is not given."""
    from ssmlang.analysis.values import Unreadable

    try:
        return np.asarray(evaluate_all([rows.constant], point, row, read)[0], float)
    except Unreadable:
        return np.full(rows.size, np.nan)
