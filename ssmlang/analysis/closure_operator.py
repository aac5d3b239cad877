"""The matrix K of a lift that closes: its eigenvalues, block by block, and for which parameters they die out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy as sp

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_lift import Closure, constant_position
from ssmlang.analysis.closure_words import Words, text
from ssmlang.model.components import strongly_connected

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


def spectrum(matrix: sp.Matrix, closure: Closure, words: Words) -> list[Part]:
    """The eigenvalues of K: it is block triangular once coordinates that read each other stand together."""
    size = matrix.rows
    read = [(i, j) for i in range(size) for j in range(size) if matrix[i, j] != 0]
    count, labels = strongly_connected(size, read)
    constant = constant_position(closure.functions)
    found: list[Part] = []
    first = {int(label): i for i, label in reversed(list(enumerate(labels)))}
    for label in sorted(range(count), key=lambda b: first[b]):
        rows = tuple(int(i) for i in np.flatnonzero(labels == label))
        if rows == (constant,):
            found.append(Part(rows, (sp.S.One, -matrix[constant, constant]), constant=True))
        else:
            found += _parts(matrix, rows, closure, words)
    return found


def _parts(matrix: sp.Matrix, rows: tuple[int, ...], closure: Closure, words: Words) -> list[Part]:
    if len(rows) == 1:
        return [Part(rows, (sp.S.One, -matrix[rows[0], rows[0]]))]
    if len(rows) > MAX_BLOCK:
        return [Part(rows, None)]
    coefficients = [words.coefficient(c) for c in characteristic(closure, rows)]
    polynomial = sp.Add(*(c * Z**k for k, c in enumerate(reversed(coefficients))))
    numerator = sp.fraction(sp.together(polynomial))[0]
    factors = [(sp.Poly(f, Z), m) for f, m in sp.factor_list(numerator)[1] if f.has(Z)]
    return [Part(rows, tuple(f.all_coeffs()), m) for f, m in factors]


def characteristic(closure: Closure, rows: Sequence[int]) -> list[Element]:
    """The characteristic polynomial of a block of K, highest power first, in the algebra that knows that
    cos^2 + sin^2 = 1: by the Faddeev-LeVerrier recursion, which divides by whole numbers alone."""
    algebra, n = closure.koopman.algebra, len(rows)
    zero, one = algebra.constant(0), algebra.constant(1)
    block = [[closure.matrix[i].get(j, zero) for j in rows] for i in rows]
    found = [one]
    current = [[zero] * n for _ in range(n)]
    for k in range(1, n + 1):
        current = _product(block, current, zero)
        for i in range(n):
            current[i][i] = current[i][i] + found[-1]
        moved = _product(block, current, zero)
        trace = zero
        for i in range(n):
            trace = trace + moved[i][i]
        found.append(trace.scaled(Fraction(-1, k)))
    return found


def _product(a: list[list[Element]], b: list[list[Element]], zero: Element) -> list[list[Element]]:
    n = len(a)
    made = [[zero] * n for _ in range(n)]
    for i in range(n):
        for k in range(n):
            if a[i][k].terms:
                for j in range(n):
                    if b[k][j].terms:
                        made[i][j] = made[i][j] + a[i][k] * b[k][j]
    return made


def spoken(parts: Sequence[Part], continuous: bool) -> str:
    """`a, b, a^2`."""
    shown = [str(p) for p in parts if not p.constant]
    own = f", and {0 if continuous else 1} of the constant function"
    constant = own if any(p.constant for p in parts) else ""
    return ", ".join(dict.fromkeys(shown)) + constant if shown else constant.removeprefix(", and ")


def discrete(coefficients: Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
    """(z + 1)^n p((z - 1) / (z + 1)): its roots are inside the unit circle iff those of p have negative real parts."""
    n = len(coefficients) - 1
    z = sp.Dummy("z")
    whole = sp.Add(*(c * (z - 1) ** (n - k) * (z + 1) ** k for k, c in enumerate(coefficients)))
    return tuple(sp.Poly(sp.expand(whole), z).all_coeffs())
