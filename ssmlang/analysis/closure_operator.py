"""The matrix K of a lift that closes: its eigenvalues, block by block, and for which parameters they die out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ssmlang.analysis.closure_lift import Closure, constant_position
from ssmlang.analysis.closure_words import Words, text

Z = sp.Symbol("lambda")
MAX_BLOCK = 6
"""The characteristic polynomial of a larger block is not formed."""


@dataclass(frozen=True)
class Part:
    """Eigenvalues of one irreducible block of K: an eigenvalue by itself, or the roots of a polynomial (coefficients
    highest power first; None where it is not formed). `rows`: the coordinates of the block; `constant`: the
    eigenvalue of the constant function, which says nothing of the dynamics."""

    rows: tuple[int, ...]
    coefficients: tuple[sp.Expr, ...] | None
    multiplicity: int = 1
    constant: bool = False

    @property
    def eigenvalue(self) -> sp.Expr | None:
        c = self.coefficients
        return sp.cancel(-c[1] / c[0]) if c is not None and len(c) == 2 else None

    def __str__(self) -> str:
        if self.eigenvalue is not None:
            return text(sp.factor(self.eigenvalue)) + (f" ({self.multiplicity} times)" if self.multiplicity > 1 else "")
        if self.coefficients is None:
            return f"those of a block of {len(self.rows)}"
        return f"the roots of {text(sp.Add(*(c * Z**k for k, c in enumerate(reversed(self.coefficients)))))}"


def matrix_of(closure: Closure, words: Words) -> sp.Matrix:
    """K, entries in the parameters' own symbols."""
    size = len(closure.functions)
    found = sp.zeros(size, size)
    for i, row in closure.matrix.items():
        for j, c in row.items():
            found[i, j] = words.coefficient(c)
    return found


def spectrum(matrix: sp.Matrix, closure: Closure) -> list[Part]:
    """The eigenvalues of K: it is block triangular once coordinates that read each other stand together."""
    size = matrix.rows
    pattern = csr_array(np.array([[matrix[i, j] != 0 for j in range(size)] for i in range(size)], dtype=np.int8))
    count, labels = connected_components(pattern, directed=True, connection="strong")
    constant = constant_position(closure.functions)
    found: list[Part] = []
    first = {int(label): i for i, label in reversed(list(enumerate(labels)))}
    for label in sorted(range(count), key=lambda b: first[b]):
        rows = tuple(int(i) for i in np.flatnonzero(labels == label))
        if rows == (constant,):
            found.append(Part(rows, (sp.S.One, -matrix[constant, constant]), constant=True))
        else:
            found += _parts(matrix, rows)
    return found


def _parts(matrix: sp.Matrix, rows: tuple[int, ...]) -> list[Part]:
    if len(rows) == 1:
        return [Part(rows, (sp.S.One, -matrix[rows[0], rows[0]]))]
    if len(rows) > MAX_BLOCK:
        return [Part(rows, None)]
    block = matrix.extract(list(rows), list(rows))
    polynomial = sp.together(block.charpoly(Z).as_expr())
    numerator = sp.fraction(polynomial)[0]
    if not numerator.is_polynomial():
        return [Part(rows, tuple(sp.simplify(c) for c in block.charpoly(Z).all_coeffs()))]
    factors = [(f, m) for f, m in sp.factor_list(numerator)[1] if f.has(Z)]
    return [Part(rows, tuple(sp.Poly(f, Z).all_coeffs()), m) for f, m in factors]


def spoken(parts: Sequence[Part]) -> str:
    """`a, b, a^2`."""
    shown = [str(p) for p in parts if not p.constant]
    constant = ", and 1 of the constant function" if any(p.constant for p in parts) else ""
    return ", ".join(dict.fromkeys(shown)) + constant if shown else constant.removeprefix(", and ")


def discrete(coefficients: Sequence[sp.Expr], continuous: bool) -> tuple[sp.Expr, ...]:
    """A polynomial whose roots are inside the unit circle iff those of the given one die out: itself, or in continuous
    time (z + 1)^n p((z - 1) / (z + 1))."""
    if not continuous:
        return tuple(coefficients)
    n = len(coefficients) - 1
    z = sp.Dummy("z")
    whole = sp.Add(*(c * (z - 1) ** (n - k) * (z + 1) ** k for k, c in enumerate(coefficients)))
    return tuple(sp.Poly(sp.expand(whole), z).all_coeffs())
