"""Domain of parameters: intervals, ends that read other parameters, stationary groups; exact points inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_numbers import rational
from ssmlang.analysis.stability_polynomials import is_schur

SAMPLES = 60
PLAIN = (0, 1, -1, 2)
"""Numbers at which an expression may be on an edge."""


@dataclass(frozen=True)
class Domain:
    """Where parameters live: open intervals, whose ends may read other parameters (without a circle); groups of
    coefficients of a stationary autoregression; groups that are positive and sum to one. A symbol in none is real."""

    intervals: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]] = field(default_factory=dict)
    stationary: tuple[tuple[sp.Symbol, ...], ...] = ()
    simplexes: tuple[tuple[sp.Symbol, ...], ...] = ()
    tick: Callable[[], None] = field(default=lambda: None, compare=False)
    """called between steps of long work; it may raise"""
    sampled: dict[tuple[sp.Symbol, ...], list[dict[sp.Symbol, sp.Expr]]] = field(default_factory=dict, compare=False)
    """points that were drawn"""

    def holds(self, point: Mapping[sp.Symbol, sp.Rational]) -> bool:
        """Whether a point of exact numbers lies inside."""
        for symbol, (low, high) in self.intervals.items():
            if symbol in point and not (low.xreplace(dict(point)) < point[symbol] < high.xreplace(dict(point))):
                return False
        if any(sum(point[s] for s in g) != 1 for g in self.simplexes if all(s in point for s in g)):
            return False
        groups = [g for g in self.stationary if all(s in point for s in g)]
        return all(is_schur([Fraction(1), *(-rational(point[s]) for s in g)]) for g in groups)


def sample(symbols: Sequence[sp.Symbol], domain: Domain) -> list[dict[sp.Symbol, sp.Expr]]:
    """Points of exact numbers inside the domain, near its ends too; the same ones for the same symbols."""
    wanted = closure(symbols, domain)
    key = tuple(wanted)
    if key not in domain.sampled:
        domain.sampled[key] = list(_sample(wanted, domain))
    return domain.sampled[key]


def _sample(wanted: Sequence[sp.Symbol], domain: Domain, count: int = SAMPLES) -> Iterator[dict[sp.Symbol, sp.Expr]]:
    rng = np.random.default_rng(0)
    for plain in PLAIN:
        moved = {s: sp.Integer(plain) for s in wanted}
        if domain.holds(moved):
            yield moved
    nodes = [sp.Rational(n, 100) for n in (50, 10, 90, 1, 99, 30, 70)]
    for k in range(count):
        if k < len(nodes):
            draws = {s: nodes[k] for s in wanted}
        else:
            draws = {s: sp.Rational(int(rng.integers(1, 100)), 100) for s in wanted}
        point = _placed(wanted, draws, domain)
        if point is not None:
            yield {s: point[s] for s in wanted}


def closure(symbols: Iterable[sp.Symbol], domain: Domain) -> list[sp.Symbol]:
    """The symbols with those that their ends read and the others of their groups, in an order of definition."""
    found: list[sp.Symbol] = []

    def visit(s: sp.Symbol) -> None:
        if s in found:
            return
        for end in domain.intervals.get(s, ()):
            for other in sorted(end.free_symbols, key=str):
                visit(other)
        if s not in found:
            found.append(s)
        for group in (*domain.stationary, *domain.simplexes):
            if s in group:
                for other in group:
                    visit(other)

    for s in symbols:
        visit(s)
    return found


def _placed(wanted: Sequence[sp.Symbol], draws: Mapping[sp.Symbol, sp.Rational], domain: Domain
            ) -> dict[sp.Symbol, sp.Expr] | None:  # fmt: skip
    """The point with these coordinates in (0, 1), each along its own support."""
    point: dict[sp.Symbol, sp.Expr] = {}
    for group in domain.stationary:
        if group[0] in wanted:
            coefficients = from_partial([2 * draws[s] - 1 for s in group])
            point.update(zip(group, coefficients))
    for group in domain.simplexes:
        if group[0] in wanted:
            total = sum(draws[s] for s in group)
            point.update({s: draws[s] / total for s in group})
    for s in wanted:
        if s in point:
            continue
        u = draws[s]
        if s not in domain.intervals:
            point[s] = _anywhere(u)
            continue
        low, high = (e if e.is_number else e.xreplace(point) for e in domain.intervals[s])
        if not low < high:
            return None
        if low.is_finite and high.is_finite:
            value = low + (high - low) * u
        elif low.is_finite:
            value = low + u / (1 - u)
        elif high.is_finite:
            value = high - u / (1 - u)
        else:
            value = _anywhere(u)
        point[s] = sp.Rational(str(value)) if value.is_Float else value
    return point


def _anywhere(u: sp.Rational) -> sp.Rational:
    """A real number for one in (0, 1): most within (-2, 2), some up to 20."""
    spread = 2 * u - 1
    return 2 * spread if abs(10 * spread.p) < 9 * spread.q else 20 * spread


def from_partial(partial: Sequence[sp.Expr]) -> list[sp.Expr]:
    """Coefficients phi[1..p] of the autoregression with these partial autocorrelations (Durbin-Levinson); every
    stationary one has them in (-1, 1) (Barndorff-Nielsen & Schou, 1973)."""
    phi: list[sp.Expr] = []
    for r in partial:
        phi = [sp.expand(a - r * b) for a, b in zip(phi, reversed(phi))] + [sp.sympify(r)]
    return phi
