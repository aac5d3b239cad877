"""Exact linear algebra modulo a prime: ranks, null spaces, and residues that are small fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ssmlang.analysis.lie_jets import PRIME


def reduced(matrix: np.ndarray, prime: int = PRIME) -> tuple[np.ndarray, list[int]]:
    """The reduced row echelon form, without its zero rows, and the columns of its pivots."""
    a = np.array(matrix, np.int64) % prime
    pivots: list[int] = []
    row = 0
    for column in range(a.shape[1]):
        below = np.flatnonzero(a[row:, column])
        if not len(below):
            continue
        pick = row + int(below[0])
        a[[row, pick]] = a[[pick, row]]
        a[row] = a[row] * pow(int(a[row, column]), -1, prime) % prime
        others = np.flatnonzero(a[:, column])
        others = others[others != row]
        a[others] = (a[others] - a[others, column][:, None] * a[row] % prime) % prime
        pivots.append(column)
        row += 1
        if row == len(a):
            break
    return a[:row], pivots


def rank(matrix: np.ndarray, prime: int = PRIME) -> int:
    return len(reduced(matrix, prime)[1])


def null_space(matrix: np.ndarray, prime: int = PRIME) -> np.ndarray:
    """A basis of the vectors v with matrix @ v = 0, as rows (count, n)."""
    form, pivots = reduced(matrix, prime)
    n = matrix.shape[1]
    free = [j for j in range(n) if j not in set(pivots)]
    found = np.zeros((len(free), n), np.int64)
    for k, j in enumerate(free):
        found[k, j] = 1
        found[k, pivots] = -form[:, j] % prime
    return found


def fractions_of(row: np.ndarray, prime: int = PRIME, most: int = 1_000) -> list[Fraction] | None:
    """The row as small fractions (rational reconstruction; Wang 1981), or None."""
    found = []
    for residue in row.tolist():
        fraction = _fraction(int(residue) % prime, prime, most)
        if fraction is None:
            return None
        found.append(fraction)
    return found


def _fraction(residue: int, prime: int, most: int) -> Fraction | None:
    a, b, x, y = prime, residue, 0, 1
    while b > most:
        q = a // b
        a, b, x, y = b, a - q * b, y, x - q * y
    return Fraction(b, y) if y and abs(y) <= most else None
