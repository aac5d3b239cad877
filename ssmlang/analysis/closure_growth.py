"""Proofs that no finite set of functions closes: what a function becomes grows in degree without end.

Give each coordinate a weight w >= 0, and let F be the part of highest weight of a polynomial map f, of weight rho * w
in each coordinate with rho > 1 (of a vector field: of weight w + delta with delta > 0). The highest part of phi(f) is
phi's highest part in F, unless that vanishes; it does not vanish at k steps if F has a fixed point p (a vector field: a
point with F(p) = w p) where phi's highest part is not zero. Then the degrees of phi's images grow as rho^k (k * delta),
so that they are linearly independent, and no finite set of functions of any kind that holds phi closes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split, to_sympy
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_terms import Mono
from ssmlang.analysis.skeleton import Key

MAX_COORDINATES = 6
MAX_MONOMIALS = 40
STEPS = 60

Polynomials = dict[int, dict[Mono, Element]]


def grows_without_end(koopman: Koopman, function: Element) -> bool:
    """Whether it is proved that no finite set of functions that holds this one closes.

    False says nothing. Raises what the budget raises.
    """
    system = _polynomials(koopman)
    start = _polynomial(function)
    if system is None or start is None:
        return False
    reached = _reached(system, start)
    if not reached or len(reached) > MAX_COORDINATES or koopman.memory > 1:
        return False
    system = {s: system[s] for s in reached}
    if sum(len(p) for p in system.values()) > MAX_MONOMIALS:
        return False
    for weights, growth in _gradings(system, koopman.continuous):
        koopman.tick()
        top = {s: _part(p, weights, growth + weights[s] if koopman.continuous else growth * weights[s])
               for s, p in system.items()}  # fmt: skip
        highest = max(_weight(m, weights) for m in start)
        if highest > 0 and _has_point(koopman, top, _part(start, weights, highest), weights):
            return True
    return False


def _polynomial(e: Element) -> dict[Mono, Element] | None:
    """A polynomial in the entries of the state, or None."""
    found: dict[Mono, Element] = {}
    for t, c in split(e).items():
        if t.grow or t.turn or any(x < 0 or e.algebra.symbols[s].kind != "state" for s, x in t.mono):
            return None
        found[t.mono] = c
    return found


def _polynomials(koopman: Koopman) -> Polynomials | None:
    found: Polynomials = {}
    for key, image in koopman.image.items():
        (number,) = koopman.state(key).symbols()
        p = _polynomial(image)
        if p is None:
            return None
        found[number] = p
    return found


def _reached(system: Polynomials, start: dict[Mono, Element]) -> list[int]:
    """The coordinates that the function comes to read."""
    pending = [s for m in start for s, _ in m]
    reached: set[int] = set()
    while pending:
        s = pending.pop()
        if s not in system:
            return []
        if s not in reached:
            reached.add(s)
            pending += [r for m in system[s] for r, _ in m]
    return sorted(reached)


def _weight(m: Mono, weights: dict[int, float]) -> float:
    return sum(e * weights[s] for s, e in m)


def _part(p: dict[Mono, Element], weights: dict[int, float], wanted: float) -> dict[Mono, Element]:
    return {m: c for m, c in p.items() if abs(_weight(m, weights) - wanted) < 1e-9 * max(1.0, abs(wanted))}


def _gradings(system: Polynomials, continuous: bool) -> Iterator[tuple[dict[int, float], float]]:
    """Weights with their growth: the plain degree, and those that balance the equations."""
    plain = dict.fromkeys(system, 1.0)
    degrees = [_weight(m, plain) for p in system.values() for m in p]
    growth = max(degrees, default=0) - (1 if continuous else 0)
    if growth > (0 if continuous else 1):
        yield plain, growth
    balanced = _balanced_field(system) if continuous else _balanced_map(system)
    if balanced is not None:
        yield balanced


def _balanced_map(system: Polynomials) -> tuple[dict[int, float], float] | None:
    """Weights with max over the monomials of f_i of m . w = rho w_i, by iterating the left side."""
    weights = dict.fromkeys(system, 1.0)
    rho = 1.0
    for _ in range(STEPS * 4):
        raised = {s: max((_weight(m, weights) for m in p), default=0.0) for s, p in system.items()}
        rho = max(raised.values())
        if rho <= 0:
            return None
        # Averaged, so that weights that would alternate settle.
        mixed = {s: (raised[s] / rho + weights[s]) / 2 for s in raised}
        weights = {s: v / max(mixed.values()) for s, v in mixed.items()}
    raised = {s: max((_weight(m, weights) for m in p), default=0.0) for s, p in system.items()}
    fits = all(raised[s] <= rho * weights[s] * (1 + 1e-10) + 1e-12 for s in system)
    return (weights, rho) if rho > 1 + 1e-9 and fits else None


def _balanced_field(system: Polynomials) -> tuple[dict[int, float], float] | None:
    """Small whole weights with max over the monomials of f_i of m . w <= w_i + delta, of the smallest delta > 0 in
    which every equation keeps a part."""
    import itertools

    names = list(system)
    best: tuple[dict[int, float], float] | None = None
    for values in itertools.product(range(1, 4 if len(names) > 3 else 5), repeat=len(names)):
        weights = dict(zip(names, map(float, values)))
        excess = [max((_weight(m, weights) - weights[s] for m in p), default=-1.0) for s, p in system.items()]
        delta = max(excess)
        if delta > 0 and all(e == delta for e in excess) and (best is None or sum(values) < sum(best[0].values())):
            best = (weights, delta)
    return best


def _has_point(koopman: Koopman, top: Polynomials, highest: dict[Mono, Element], weights: dict[int, float]) -> bool:
    """Whether the highest part has a fixed point (a vector field: a point where it is the scaling) at which the
    function's highest part is not zero, over the complex numbers: by Hilbert's Nullstellensatz, the ideal of these
    equations is not the whole ring. Parameters are at generic values, so at almost all."""
    names = {s: sp.Symbol(f"p{s}") for s in top}
    generic = _generic(koopman)

    def expression(p: dict[Mono, Element]) -> sp.Expr:
        parts = []
        for m, c in p.items():
            value = to_sympy(c, lambda key: generic.setdefault(key, sp.Rational(3 + 2 * len(generic), 7)))
            if not value.is_Rational:
                raise ArithmeticError
            parts.append(value * sp.Mul(*(names[s] ** e for s, e in m)))
        return sp.Add(*parts)

    u = sp.Symbol("u")
    try:
        wanted = {s: sp.nsimplify(w) for s, w in weights.items()} if koopman.continuous else dict.fromkeys(weights, 1)
        equations = [expression(top[s]) - wanted[s] * names[s] for s in top]
        # Coordinates whose equation has no highest part are zero at the point.
        equations = [e for e in equations if e != 0]
        ideal = sp.groebner([*equations, 1 - u * expression(highest)], *names.values(), u, order="grevlex")
    except (ArithmeticError, sp.polys.polyerrors.PolynomialError):
        return False
    return ideal.exprs != [1]


def _generic(koopman: Koopman) -> dict[object, sp.Expr]:
    """A rational value for each known number, without a pattern."""
    found: dict[object, sp.Expr] = {}
    for number, symbol in enumerate(koopman.algebra.symbols):
        if symbol.kind == "known" and isinstance(symbol.key, Key):
            value = Fraction(10_007 + 977 * number * number, 7_919 + 31 * number)
            found[symbol.key] = sp.Rational(value.numerator, value.denominator)
    return found
