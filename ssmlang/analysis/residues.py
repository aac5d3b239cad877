"""Exact linear algebra modulo a prime: ranks, null spaces, what a linear recursion hides, and residues that are small
fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

Array = np.ndarray
PRIME = 2**31 - 1
"""The products of two residues fit 63 bits."""


def reduced(matrix: Array, p: int = PRIME) -> tuple[Array, list[int]]:
    """The reduced row echelon form, without its zero rows, and the columns of its pivots."""
    a = np.array(matrix, np.int64) % p
    pivots: list[int] = []
    row = 0
    for column in range(a.shape[1]):
        if row == len(a):
            break
        below = np.flatnonzero(a[row:, column])
        if not len(below):
            continue
        first = row + int(below[0])
        if first != row:
            a[[row, first]] = a[[first, row]]
        a[row] = a[row] * pow(int(a[row, column]), -1, p) % p
        others = np.flatnonzero(a[:, column])
        others = others[others != row]
        if len(others):
            a[others] = (a[others] - a[others, column][:, None] * a[row] % p) % p
        pivots.append(column)
        row += 1
    return a[:row], pivots


def rank(matrix: Array, p: int = PRIME) -> int:
    return len(reduced(matrix, p)[1])


def null_space(matrix: Array, p: int = PRIME) -> Array:
    """A basis of the vectors v with matrix @ v = 0, as rows (count, n), each with a one where no other has."""
    form, pivots = reduced(matrix, p)
    n = matrix.shape[1]
    taken = set(pivots)
    free = [j for j in range(n) if j not in taken]
    found = np.zeros((len(free), n), np.int64)
    for k, j in enumerate(free):
        found[k, j] = 1
        found[k, pivots] = -form[:, j] % p
    return found


def unseen(F: Array, H: Array, p: int) -> Array:
    """(d, n): a basis, in reduced form, of the states whose observations are zero for ever: the null space of H,
    H F, H F^2 and so on. `p` below 2^26, so that sums of products fit 63 bits."""
    seen = Span(F.shape[0], p)
    new = seen.extend(H)
    while len(new) and seen.size < F.shape[0]:
        new = seen.extend(new @ F % p)
    return reduced(null_space(seen.rows, p), p)[0] if seen.size else np.eye(F.shape[0], dtype=np.int64)


class Span:
    """A growing space of rows, kept in reduced echelon form so that a new row costs one product with it."""

    def __init__(self, width: int, p: int) -> None:
        self.p, self.size = p, 0
        self._rows = np.zeros((width, width), np.int64)
        self._pivots: list[int] = []

    @property
    def rows(self) -> Array:
        return self._rows[: self.size]

    def extend(self, rows: Array) -> Array:
        """Add rows; those parts of them that are new are returned."""
        first = self.size
        for row in rows:
            row = (row - row[self._pivots] @ self.rows) % self.p
            at = np.flatnonzero(row)
            if not len(at):
                continue
            pivot = int(at[0])
            row = row * pow(int(row[pivot]), -1, self.p) % self.p
            others = np.flatnonzero(self.rows[:, pivot])
            if len(others):
                self._rows[others] = (self._rows[others] - self._rows[others, pivot][:, None] * row) % self.p
            self._rows[self.size] = row
            self._pivots.append(pivot)
            self.size += 1
        return self._rows[first : self.size].copy()


def fraction(residue: int, p: int = PRIME, most: int = 1_000) -> Fraction | None:
    """The fraction with numerator and denominator of at most `most` that a residue stands for, if one does (rational
    reconstruction: Wang 1981). A random residue is such a fraction with a chance of about most^2 / p."""
    a, b, x, y = p, residue % p, 0, 1
    while b > most:
        q = a // b
        a, b, x, y = b, a - q * b, y, x - q * y
    return Fraction(b, y) if y and abs(y) <= most else None


def fractions(row: Array, p: int = PRIME, most: int = 1_000) -> list[Fraction] | None:
    """A row of residues as small fractions; None where one is none."""
    found = []
    for residue in row.tolist():
        one = fraction(int(residue), p, most)
        if one is None:
            return None
        found.append(one)
    return found
