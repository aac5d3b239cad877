"""Signs of expressions over the domain of parameters, decided exactly where they can be.

A sign is proved by Bernstein coefficients on a box: intervals as they are, a stationary group by its partial
autocorrelations in (-1, 1), an interval whose ends read other parameters by its fraction in (0, 1). It is refuted by a
point of the domain where it fails, in exact numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_bernstein import MAX_COEFFICIENTS, Side, positive_on
from ssmlang.analysis.stability_domain import Domain, closure, from_partial, sample
from ssmlang.analysis.stability_numbers import bounds, opaque, rational, real_line, values_at

MAX_VARIABLES = 5
MAX_LINES = 3
"""Whole lines are cut at 0: at most so many of them."""
CANDIDATES = 5


@dataclass(frozen=True)
class Sign:
    """positive: True where it is > 0 everywhere, False where it is not at `witness`, None where neither is known."""

    positive: bool | None
    witness: Mapping[sp.Symbol, sp.Expr] | None = None


def positive(g: sp.Expr, domain: Domain, symbols: Iterable[sp.Symbol] = ()) -> Sign:
    """Whether an expression of parameters is positive wherever they may be; a witness has values for `symbols` too."""
    g = sp.sympify(g)
    if g.is_number:
        known = bool(g.is_positive) if g.is_positive is not None else g.evalf(40) > 0
        return Sign(True) if known else Sign(False, next(iter(sample(sorted(symbols, key=str), domain)), {}))
    found = counterexample(g, domain, symbols)
    if found is not None:
        return Sign(False, found)
    return Sign(True) if _proved(g, domain) else Sign(None)


def counterexample(g: sp.Expr, domain: Domain, symbols: Iterable[sp.Symbol] = ()
                   ) -> dict[sp.Symbol, sp.Expr] | None:  # fmt: skip
    """A point of the domain where g <= 0, checked with exact numbers: of several, the easiest to read."""
    points = sample(sorted({*g.free_symbols, *symbols}, key=str), domain)
    if not points:
        return None
    draws = {s: np.array([float(p[s]) for p in points]) for s in points[0]}
    numeric = values_at([g], draws, len(points))
    suspects = range(len(points)) if numeric is None else np.flatnonzero(numeric[:, 0] < 1e-9)

    def cost(k: int) -> tuple[bool, float]:
        """Rather below zero than at it; few figures, none of them large: a person should be able to check it."""
        edge = numeric is not None and bool(numeric[k, 0] > -1e-9)
        return edge, sum(len(str(v)) + abs(float(v)) / 100 for v in points[k].values())

    for k in sorted(map(int, suspects), key=cost)[: None if numeric is None else CANDIDATES]:
        domain.tick()
        point = points[k]
        value = g.xreplace(point)
        number = value if value.is_Rational else value.evalf(40)
        if not number.is_real:
            continue
        wrong = number <= 0 if number.is_Rational else number < -sp.Float(10) ** -25
        if wrong and domain.holds(point):
            return point
    return None


# ------------------------------------------------------------------------------------------------- proof


def _proved(g: sp.Expr, domain: Domain) -> bool:
    """As a whole, else factor by factor: an even number of negative ones, the others positive."""
    names: dict[sp.Expr, sp.Symbol] = {}
    plain = opaque(g, names)
    if any(e.is_Pow and e.exp == -1 for e in names):
        top, bottom = sp.fraction(sp.together(g))
        if bottom.is_number:
            return _bernstein(sp.expand(g), domain)
        return (_bernstein(top, domain) and _bernstein(bottom, domain)) or _bernstein(sp.expand(top * bottom), domain)
    if _bernstein(g, domain):
        return True
    domain.tick()
    shown = {v: k for k, v in names.items()}
    constant, factors = sp.factor_list(plain)
    if len(factors) == 1 and factors[0][1] == 1:
        return False
    negative = int(bool(constant.evalf(30) < 0))
    for base, power in factors:
        own = base.xreplace(shown)
        if _bernstein(-own, domain):
            negative += int(power)
        elif not _bernstein(own, domain):
            return False
    return negative % 2 == 0


def _bernstein(g: sp.Expr, domain: Domain) -> bool:
    """Whether g is proved positive; False says nothing."""
    if g.is_number:
        return bool(g.evalf(30) > 0)
    names: dict[sp.Expr, sp.Symbol] = {}
    g = opaque(g, names)
    extra = {s: bounds(e, domain.intervals) for e, s in names.items()}
    values, sides = _coordinates(sorted(g.free_symbols - set(extra), key=str), domain)
    for s, (ends, closed) in extra.items():
        values[s], sides[s] = s, (Side(None, None) if ends == real_line() else _side(*ends, closed))
    moved = {s: v for s, v in values.items() if v != s}
    try:
        poly = sp.Poly(g.xreplace(moved), *sorted(sides, key=str)) if sides else None
    except sp.PolynomialError:
        return False
    if poly is None or poly.free_symbols_in_domain:
        return False
    used = [v for v in poly.gens if poly.degree(v) > 0]
    lines = sum(sides[v].low is None and sides[v].high is None for v in used)
    sizes = [poly.degree(v) + 1 for v in used]
    if len(used) > MAX_VARIABLES or lines > MAX_LINES or math.prod(sizes) > MAX_COEFFICIENTS:
        return False
    if not used:
        return bool(poly.as_expr().evalf(30) > 0)
    domain.tick()
    table = np.full(sizes, Fraction(0), dtype=object)
    places = [poly.gens.index(v) for v in used]
    for powers, coefficient in poly.terms():
        table[tuple(powers[k] for k in places)] = rational(coefficient)
    return positive_on(table, [sides[v] for v in used], domain.tick)


def _coordinates(symbols: Iterable[sp.Symbol], domain: Domain
                 ) -> tuple[dict[sp.Symbol, sp.Expr], dict[sp.Symbol, Side]]:  # fmt: skip
    """Parameters as expressions of independent variables, and where these lie."""
    wanted = closure(symbols, domain)
    values: dict[sp.Symbol, sp.Expr] = {}
    sides: dict[sp.Symbol, Side] = {}
    for group in domain.stationary:
        if group[0] in wanted:
            own = [sp.Dummy("r") for _ in group]
            values.update(zip(group, from_partial(own)))
            sides.update({r: Side(Fraction(-1), Fraction(1)) for r in own})
    for s in wanted:
        if s in values:
            continue
        low, high = domain.intervals.get(s, real_line())
        if low.is_number and high.is_number:
            values[s], sides[s] = s, _side(low, high)
            continue
        low, high = low.xreplace(values), high.xreplace(values)
        new = sp.Dummy(s.name)
        if low.is_infinite is not True and high.is_infinite is not True:
            values[s], sides[new] = low + (high - low) * new, Side(Fraction(0), Fraction(1))
        elif low.is_infinite is not True:
            values[s], sides[new] = low + new, Side(Fraction(0), None)
        else:
            values[s], sides[new] = high - new, Side(Fraction(0), None)
    return values, sides


def _side(low: sp.Expr, high: sp.Expr, closed: bool = False) -> Side:
    ends = [rational(e) if e.is_finite else None for e in (low, high)]
    return Side(ends[0], ends[1], closed)
