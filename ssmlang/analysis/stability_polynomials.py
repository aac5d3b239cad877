"""When every root of a polynomial lies inside the unit circle: as conditions on its coefficients, and at exact numbers.

A polynomial is written by its coefficients, that of the highest power first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_numbers import opaque

MAX_DEGREE = 6
"""Conditions are formed up to this degree; they are polynomials of about this degree in the coefficients."""


def is_schur(coefficients: Sequence[Fraction]) -> bool:
    """Whether every root lies strictly inside the unit circle, by the Schur-Cohn recursion in exact numbers: p is
    Schur iff |p(0)| < |leading| and (a_n p - a_0 p*) / z is (Jury 1964, section 3)."""
    p = list(coefficients)
    while p and p[0] == 0:
        p = p[1:]
    if not p:
        return False
    while len(p) > 1:
        first, last = p[0], p[-1]
        if abs(last) >= abs(first):
            return False
        p = [first * a - last * b for a, b in zip(p[:-1], reversed(p[1:]))]
        p = [a / p[0] for a in p]
    return True


def schur_conditions(coefficients: Sequence[sp.Expr]) -> list[sp.Expr]:
    """Expressions that are all positive iff every root lies inside the unit circle, for a positive leading coefficient.

    Up to degree 3 Jury's conditions, written as for an autoregression; beyond, those of Lienard and Chipart for
    (1 - s)^n p((1 + s) / (1 - s)) (Gantmacher 1959, vol. II, ch. XV, section 13): about half as many determinants as
    Schur, Cohn, Routh or Hurwitz need. Raises ValueError beyond MAX_DEGREE.
    """
    n = len(coefficients) - 1
    if n > MAX_DEGREE:
        raise ValueError(f"no conditions beyond degree {MAX_DEGREE}")
    if n == 0:
        return []
    p, back = _elements([sp.sympify(c) for c in coefficients])
    return [back(g) for g in _conditions(p, n)]


def hurwitz_conditions(coefficients: Sequence[sp.Expr]) -> list[sp.Expr]:
    """The same for every root in the left half plane: those of Lienard and Chipart. Raises ValueError too."""
    n = len(coefficients) - 1
    if n > MAX_DEGREE:
        raise ValueError(f"no conditions beyond degree {MAX_DEGREE}")
    c, back = _elements([sp.sympify(c) for c in coefficients])
    minors = [_hurwitz(c, k) for k in range(n - 1, 0, -2)]
    return [back(g) for g in [*(c[k] for k in range(n, 0, -2)), *reversed(minors)]]


def _conditions(p: list[Any], n: int) -> list[Any]:
    if n == 1:
        return [p[0] + p[1], p[0] - p[1]]
    at_one = sum(p[1:], p[0])
    at_minus_one = sum((c if k % 2 == 0 else -c for k, c in enumerate(p[1:], 1)), p[0])
    if n == 2:
        return [p[0] - p[2], p[0] + p[2], at_one, at_minus_one]
    if n == 3:
        inner = p[0] ** 2 - p[3] ** 2 - (p[0] * p[2] - p[3] * p[1])
        return [p[0] - p[3], p[0] + p[3], at_one, at_minus_one, inner]
    c = half_plane(p)
    minors = [_hurwitz(c, k) for k in range(n - 1, 0, -2)]
    return [c[0], *(c[k] for k in range(n, 0, -2)), *reversed(minors)]


def _elements(p: Sequence[sp.Expr]) -> tuple[list[Any], Callable[[Any], sp.Expr]]:
    """Coefficients as elements of a ring of polynomials, which multiply fast, and the way back."""
    names: dict[sp.Expr, sp.Symbol] = {}
    plain = [opaque(c, names) for c in p]
    symbols = sorted({s for c in plain for s in c.free_symbols}, key=str)
    shown = {v: k for k, v in names.items()}
    if not symbols or any(not c.is_polynomial(*symbols) or c.has(sp.pi, sp.E) for c in plain):
        return list(p), lambda g: sp.expand(g)
    own = sp.ring(symbols, sp.QQ)[0]
    try:
        return [own.from_expr(c) for c in plain], lambda g: g.as_expr().xreplace(shown)
    except (ValueError, sp.CoercionFailed):
        return list(p), lambda g: sp.expand(g)


def half_plane(p: Sequence[Any]) -> list[Any]:
    """Coefficients of (1 - s)^n p((1 + s) / (1 - s)), whose roots lie in the left half plane iff those of p lie in the
    unit circle."""
    basis = _bilinear(len(p) - 1)
    return [sum((c * row[i] for c, row in zip(p[1:], basis[1:])), p[0] * basis[0][i]) for i in range(len(p))]


@lru_cache
def _bilinear(n: int) -> list[list[int]]:
    """Coefficients of (1 + s)^(n-k) (1 - s)^k, highest power first, for k = 0, ..., n."""
    found = []
    for k in range(n + 1):
        row = [1]
        for sign in [1] * (n - k) + [-1] * k:
            row = [sign * a + b for a, b in zip([*row, 0], [0, *row])]
        found.append(row)
    return found


def _hurwitz(c: Sequence[Any], k: int) -> Any:
    """The leading principal minor of order k of the Hurwitz matrix."""
    n = len(c) - 1
    place = lambda i, j: 2 * j - i + 1
    entry = lambda i, j: c[place(i, j)] if 0 <= place(i, j) <= n else None

    def minor(rows: tuple[int, ...], column: int) -> Any:
        if not rows:
            return 1
        total: Any = 0
        for at, i in enumerate(rows):
            value = entry(i, column)
            if value is not None:
                term = value * minor((*rows[:at], *rows[at + 1 :]), column + 1)
                total = total + term if at % 2 == 0 else total - term
        return total

    return minor(tuple(range(k)), 0)


def is_reciprocal(coefficients: Sequence[sp.Expr]) -> bool:
    """Whether the roots come in pairs z, 1/z whatever the parameters are: then not all are inside the circle."""
    p = list(coefficients)
    return any(all(sp.expand(a - sign * b) == 0 for a, b in zip(p, reversed(p))) for sign in (1, -1))


def cyclotomic_order(coefficients: Sequence[sp.Expr]) -> int | None:
    """n where the polynomial is the n-th cyclotomic one (its roots are the primitive n-th roots of one), else None."""
    p = [sp.sympify(c) for c in coefficients]
    if not all(c.is_Integer for c in p) or p[0] != 1 or abs(p[-1]) != 1:
        return None
    z, degree = sp.Dummy("z"), len(p) - 1
    wanted = [int(c) for c in p]
    # Euler's totient of n is at least n / (e^gamma log log n + 3 / log log n): n <= 6 degree + 30 is ample.
    for n in range(1, 6 * degree + 31):
        if int(sp.totient(n)) != degree:
            continue
        if [int(c) for c in sp.cyclotomic_poly(n, z, polys=True).all_coeffs()] == wanted:
            return n
    return None
