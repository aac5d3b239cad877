"""Signs of polynomials over the domain of parameters, decided exactly where they can be.

The domain is mapped to boxes: a stationary group to its partial autocorrelations in (-1, 1), an interval to (0, 1), a
half line to (0, oo), the real line to two half lines and 0. A polynomial whose Bernstein coefficients over a box are
all >= 0, and not all 0, is positive inside of it (Garloff, "Convergent bounds for the range of multivariate
polynomials", 1986); boxes are halved where that does not decide. A sign is refuted by a point of the domain where it
fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import sympy as sp

from ssmlang.analysis.stability_domain import Domain, closure, from_partial, sample
from ssmlang.analysis.stability_numbers import REAL, bounds, opaque, rational

MAX_VARIABLES = 5
MAX_COEFFICIENTS = 4_000
MAX_DEPTH = 7
MAX_BOXES = 200
MAX_LINES = 3
"""Real lines are cut at 0, each into three parts: at most so many of them."""


@dataclass(frozen=True)
class Sign:
    """positive: True where it is > 0 everywhere, False where it is not at `witness`, None where neither is known."""

    positive: bool | None
    witness: Mapping[sp.Symbol, sp.Expr] | None = None


@dataclass(frozen=True)
class _Piece:
    """Parameters as expressions of box variables: `unit` in (0, 1), `half` in (0, oo)."""

    values: Mapping[sp.Symbol, sp.Expr]
    unit: tuple[sp.Symbol, ...]
    half: tuple[sp.Symbol, ...]


def positive(g: sp.Expr, domain: Domain, symbols: Iterable[sp.Symbol] = ()) -> Sign:
    """Whether an expression of parameters is positive wherever they may be; a witness has values for `symbols` too."""
    g = sp.sympify(g)
    if g.is_number:
        known = bool(g.is_positive) if g.is_positive is not None else g.evalf(40) > 0
        return Sign(True) if known else Sign(False, {})
    found = counterexample(g, domain, symbols)
    if found is not None:
        return Sign(False, found)
    if _factored(g, domain):
        return Sign(True)
    return Sign(None)


def _factored(g: sp.Expr, domain: Domain) -> bool:
    """Proof factor by factor: an even number of negative ones, the others positive."""
    top, bottom = sp.fraction(sp.together(g))
    negative = 0
    for part in (top, bottom):
        constant, factors = sp.factor_list(part)
        if constant.is_zero:
            return False
        negative += bool(constant.evalf(30) < 0)
        for base, power in factors:
            if _bernstein(base, domain):
                continue
            if _bernstein(-base, domain):
                negative += int(power)
            elif power % 2 or not _nowhere_zero(base):
                return _bernstein(sp.expand(top * bottom), domain)
    return negative % 2 == 0


def _nowhere_zero(base: sp.Expr) -> bool:
    return base.is_nonzero is True


# ------------------------------------------------------------------------------------------------- refutation


def counterexample(g: sp.Expr, domain: Domain, symbols: Iterable[sp.Symbol] = ()
                   ) -> dict[sp.Symbol, sp.Expr] | None:  # fmt: skip
    """A point of the domain where g <= 0, checked with exact numbers."""
    symbols = sorted({*g.free_symbols, *symbols}, key=str)
    best: tuple[float, dict[sp.Symbol, sp.Expr]] | None = None
    for point in sample(symbols, domain):
        value = g.xreplace(point)
        number = value if value.is_Rational else value.evalf(40)
        if not number.is_real:
            continue
        wrong = number <= 0 if number.is_Rational else number < -sp.Float(10) ** -25
        if wrong and domain.holds(point):
            # Of several, the one whose numbers are the easiest to read.
            cost = sum(len(str(v)) + abs(float(v)) / 100 for v in point.values())
            if best is None or cost < best[0]:
                best = (cost, point)
    return None if best is None else best[1]


# ------------------------------------------------------------------------------------------------- proof


def _pieces(symbols: Sequence[sp.Symbol], domain: Domain) -> Iterator[_Piece]:
    wanted = closure(symbols, domain)
    grouped = {s for g in domain.stationary for s in g if g[0] in wanted}
    lines = [s for s in wanted if s not in grouped and s not in domain.intervals]
    if len(lines) > MAX_LINES:
        return
    for signs in product((1, -1, 0), repeat=len(lines)):
        values: dict[sp.Symbol, sp.Expr] = {}
        unit: list[sp.Symbol] = []
        half: list[sp.Symbol] = []
        for group in domain.stationary:
            if group[0] in wanted:
                own = [sp.Dummy(f"u{i}") for i in range(len(group))]
                unit += own
                values.update(zip(group, from_partial([2 * u - 1 for u in own])))
        for s in wanted:
            if s in values:
                continue
            new = sp.Dummy(s.name)
            if s in lines:
                sign = signs[lines.index(s)]
                values[s] = sign * new
                half += [new] if sign else []
                continue
            low, high = (e.xreplace(values) for e in domain.intervals[s])
            if low.is_finite is not False and high.is_finite is not False:
                unit.append(new)
                values[s] = low + (high - low) * new
            elif low.is_finite is not False:
                half.append(new)
                values[s] = low + new
            elif high.is_finite is not False:
                half.append(new)
                values[s] = high - new
            else:
                return
        yield _Piece(values, tuple(unit), tuple(half))


def _bernstein(g: sp.Expr, domain: Domain) -> bool:
    """Whether g is proved positive; False says nothing."""
    if g.is_number:
        return bool(g.evalf(30) > 0)
    top, bottom = sp.fraction(sp.together(g))
    g = top if bottom.is_number and bottom > 0 else sp.expand(top * bottom)
    g, extra = generalised(g, domain)
    wider = replace(domain, intervals={**domain.intervals, **{s: ends for s, (ends, _) in extra.items()}})
    closed = {s for s, (_, is_closed) in extra.items() if is_closed}
    seen = False
    for piece in _pieces(sorted(g.free_symbols, key=str), wider):
        seen = True
        moved = sp.expand(g.xreplace(dict(piece.values)))
        faces = frozenset(v for s in closed for v in piece.values.get(s, sp.Integer(0)).free_symbols)
        if not _positive_on(moved, [*piece.unit, *piece.half], len(piece.unit), faces):
            return False
    return seen


def generalised(g: sp.Expr, domain: Domain
                ) -> tuple[sp.Expr, dict[sp.Symbol, tuple[tuple[sp.Expr, sp.Expr], bool]]]:  # fmt: skip
    """g with what is no polynomial replaced by symbols with intervals (open, or closed)."""
    names: dict[sp.Expr, sp.Symbol] = {}
    changed = sp.expand(opaque(g, names))
    extra = {s: bounds(e, domain.intervals) for e, s in names.items()}
    return changed, {s: v for s, v in extra.items() if v[0] != REAL}


def _positive_on(g: sp.Expr, variables: Sequence[sp.Symbol], units: int, faces: frozenset[sp.Symbol]) -> bool:
    """Positivity of a polynomial for variables[:units] in (0, 1), at 0 and 1 too for `faces`, the rest in (0, oo)."""
    used = [v for v in variables if g.has(v)]
    if not used:
        return bool(g.is_number and g.evalf(30) > 0)
    if len(used) > MAX_VARIABLES:
        return False
    poly = sp.Poly(g, *used)
    degrees = [poly.degree(v) for v in used]
    if math.prod(d + 1 for d in degrees) > MAX_COEFFICIENTS or poly.free_symbols_in_domain:
        return False
    table = np.full([d + 1 for d in degrees], Fraction(0), dtype=object)
    for powers, coefficient in poly.terms():
        table[powers] = rational(coefficient)
    for axis, v in enumerate(used):
        if v in variables[:units]:
            table = _to_bernstein(table, axis)
    half = np.array([v not in variables[:units] for v in used])
    inner = np.array([[v in faces, v in faces] for v in used])
    budget = [MAX_BOXES]
    return _boxes(table, half, inner, 0, budget)


def _to_bernstein(table: np.ndarray, axis: int) -> np.ndarray:
    d = table.shape[axis] - 1
    matrix = np.array([[Fraction(math.comb(i, j), math.comb(d, j)) if j <= i else Fraction(0) for j in range(d + 1)]
                       for i in range(d + 1)], dtype=object)  # fmt: skip
    return np.moveaxis(np.tensordot(matrix, table, (1, axis)), 0, axis)


def _boxes(table: np.ndarray, half: np.ndarray, inner: np.ndarray, depth: int, budget: list[int]) -> bool:
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        return False
    if _faces_positive(table, inner):
        return True
    axes = [a for a in range(table.ndim) if table.shape[a] > 1]
    if not axes or any(v < 0 for v in _corners(table, half)):
        return False
    axis = axes[depth % len(axes)]
    halves = _split_half_line(table, axis) if half[axis] else _split_unit(table, axis)
    for side, (part, is_half) in enumerate(halves):
        own_half, own_inner = half.copy(), inner.copy()
        own_half[axis] = is_half
        own_inner[axis, 1 - side] = True
        if not _boxes(part, own_half, own_inner, depth + 1, budget):
            return False
    return True


def _faces_positive(table: np.ndarray, inner: np.ndarray) -> bool:
    """Positive inside, and on those faces that belong to the box."""
    choices = [[slice(None), *([0] if low else []), *([-1] if high else [])] for low, high in inner]
    for face in product(*choices):
        chosen: Any = table[face]  # type: ignore[index]
        part = np.ravel(chosen) if isinstance(chosen, np.ndarray) else [chosen]
        if min(part) < 0 or not max(part) > 0:
            return False
    return True


def _corners(table: np.ndarray, half: np.ndarray) -> list[Fraction]:
    """Values at the corners, of half lines the near end."""
    return [table[c] for c in product(*([0] if h else [0, -1] for h in half))]


def _split_unit(table: np.ndarray, axis: int) -> list[tuple[np.ndarray, bool]]:
    """De Casteljau at 1/2."""
    work = np.moveaxis(table, axis, 0)
    d = len(work) - 1
    left, right = [work[0]], [work[-1]]
    for _ in range(d):
        work = (work[:-1] + work[1:]) * Fraction(1, 2)
        left.append(work[0])
        right.append(work[-1])
    back = lambda parts: np.moveaxis(np.array(parts, dtype=object).reshape((d + 1, *left[0].shape)
                                     if hasattr(left[0], "shape") else (d + 1,)), 0, axis)  # fmt: skip
    return [(back(left), False), (back(right[::-1]), False)]


def _split_half_line(table: np.ndarray, axis: int) -> list[tuple[np.ndarray, bool]]:
    """(0, 1), in Bernstein form, and 1 + (0, oo)."""
    d = table.shape[axis] - 1
    shift = np.array([[Fraction(math.comb(j, i)) if j >= i else Fraction(0) for j in range(d + 1)]
                      for i in range(d + 1)], dtype=object)  # fmt: skip
    moved = np.moveaxis(np.tensordot(shift, table, (1, axis)), 0, axis)
    return [(_to_bernstein(table, axis), False), (moved, True)]

