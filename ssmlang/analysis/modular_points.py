"""Random points of a finite field where given equations hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy as sp

from ssmlang.analysis.modular import Field, Impossible

TRIES = 12


def point_on(equations: Sequence[sp.Expr], field: Field, rng: np.random.Generator) -> dict[sp.Expr, int] | None:
    """Values of the symbols in some equations that make them all zero, random otherwise; None where none was found."""
    for _ in range(TRIES):
        found = _solve(list(equations), field, rng)
        if found is not None:
            return found
    return None


def _solve(equations: list[sp.Expr], field: Field, rng: np.random.Generator) -> dict[sp.Expr, int] | None:
    """A random point of the field where all equations hold, solved one after another for one symbol each."""
    field.at({})
    fixed: dict[sp.Expr, int] = {}
    halves: dict[sp.Expr, sp.Symbol] = {}
    equations = [e if e.is_Symbol else _rational(e, halves) for e in equations]
    back = {s: angle for angle, s in halves.items()}
    for e in sorted(equations, key=lambda e: len(e.free_symbols)):
        if e.is_Symbol and e not in fixed:
            fixed[e] = 0
            field.at(fixed)
            continue
        free = sorted((s for s in e.free_symbols if s not in fixed and e.is_polynomial(s)), key=str)
        if not free:
            try:
                if field.value(e):
                    return None
            except Impossible:
                return None
            continue
        degree = dict(zip(free, sp.Poly(e, *free).degree_list()))
        solved = min(free, key=lambda s: (degree[s], rng.random()))
        for s in e.free_symbols - {solved} - set(fixed):
            fixed[s] = int(rng.integers(1, field.p))
        field.at(fixed)
        try:
            own = [field.value(c) for c in sp.Poly(e, solved).all_coeffs()]
        except Impossible:
            return None
        roots = _roots(own, field.p)
        if not roots:
            return None
        fixed[solved] = roots[int(rng.integers(len(roots)))]
        field.at(fixed)
    return {back.get(s, s): v for s, v in fixed.items()}


def _rational(e: sp.Expr, halves: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    """Sines and cosines by the tangent of half the angle, which `halves` names as the field does; the numerator."""
    found = e
    for a in [a for a in sp.preorder_traversal(e) if isinstance(a, (sp.cos, sp.sin)) and not a.is_number]:
        h = halves.setdefault(sp.tan(a.args[0] / 2, evaluate=False), sp.Dummy("h"))
        found = found.xreplace({a: (1 - h**2) / (1 + h**2) if isinstance(a, sp.cos) else 2 * h / (1 + h**2)})
    return e if found is e else sp.fraction(sp.together(found))[0]


def _roots(coefficients: list[int], p: int) -> list[int]:
    while coefficients and coefficients[0] % p == 0:
        coefficients = coefficients[1:]
    if len(coefficients) < 2:
        return []
    if len(coefficients) == 2:
        return [-coefficients[1] * pow(coefficients[0], -1, p) % p]
    x = sp.Symbol("x")
    factors = sp.Poly(coefficients, x, modulus=p).factor_list()[1]
    linear = [f.all_coeffs() for f, _ in factors if f.degree() == 1]
    return [int(-c[1]) * pow(int(c[0]), -1, p) % p for c in linear]
