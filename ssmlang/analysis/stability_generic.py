"""Roots of one that a block has whatever its parameters are, where its polynomial is too large to be written down.

The polynomial is formed at points of large random fractions. A root of one that it has at a random point for no deeper
reason has probability below 2^-60 (Schwartz 1980, Zippel 1979).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_blocks import MAX_NUMERIC, Block, characteristic, companion
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_numbers import rough

POINTS = 3


def generic_unity(block: Block, domain: Domain) -> dict[int, int] | None:
    """By n, how often the primitive n-th roots of one are eigenvalues for every value; None where that is not known.

    Only blocks whose coefficients are polynomials in parameters that no equation binds.
    """
    symbols = sorted(block.symbols, key=str)
    values = [v for m in block.terms.values() for v in m.values()]
    bound = {s for g in domain.simplexes for s in g}
    if bound & set(symbols) or any(not v.is_polynomial(*symbols) for v in values):
        return None
    found: dict[int, int] | None = None
    source = random.Random(20)
    for _ in range(POINTS):
        point = {s: sp.Rational(source.getrandbits(64), source.getrandbits(64) | 1) for s in symbols}
        own = _unity_at(block, point)
        if own is None:
            return None
        found = own if found is None else {n: min(k, own[n]) for n, k in found.items() if n in own}
    return found


def _unity_at(block: Block, point: Mapping[sp.Symbol, sp.Rational]) -> dict[int, int] | None:
    moved = {lag: {p: v.xreplace(dict(point)) for p, v in m.items()} for lag, m in block.terms.items()}
    polynomial = characteristic(replace(block, terms=moved))
    if polynomial is None:
        return None
    found: dict[int, int] = {}
    degree = polynomial.degree()
    for n in range(1, 6 * degree + 31):
        if int(sp.totient(n)) > degree:
            continue
        factor = sp.Poly(sp.cyclotomic_poly(n, polynomial.gen), polynomial.gen)
        while polynomial.degree() >= factor.degree():
            quotient, rest = sp.div(polynomial, factor)
            if not rest.is_zero:
                break
            polynomial = quotient
            found[n] = found.get(n, 0) + 1
    return found


def jordan_index(block: Block, multiplicity: int) -> int | None:
    """The size of the largest Jordan block of the eigenvalue one: how many times its states are integrated. Three walks
    that are drawn together have two unit roots, and are integrated once. None where that is not found out.

    By exact ranks at a random point; `multiplicity`: how often one is an eigenvalue.
    """
    source = random.Random(21)
    symbols = sorted(block.symbols, key=str)
    point = {s: sp.Rational(source.getrandbits(16) + 1, source.getrandbits(16) | 1) for s in symbols}
    written = companion(block)
    rows = [[v.xreplace(point) for v in row] for row in written]
    # Numbers that are rounded have no exact rank.
    rounded = any(rough(c) for row in written for v in row for c in v.atoms(sp.Rational))
    if rounded or len(rows) > MAX_NUMERIC or any(not v.is_Rational for row in rows for v in row):
        return None
    from sympy.polys.matrices import DomainMatrix

    shifted = DomainMatrix.from_Matrix(sp.Matrix(rows) - sp.eye(len(rows))).to_field()
    power = shifted
    for index in range(1, multiplicity + 1):
        if power.rank() == len(rows) - multiplicity:
            return index
        power = power * shifted
    return None
