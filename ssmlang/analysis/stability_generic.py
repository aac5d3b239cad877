"""Roots of one that a block has whatever its parameters are, where its polynomial is too large to be written down.

The polynomial is formed at random points of a finite field, where numbers do not grow. A root of one that it has at a
random point for no deeper reason has a probability of some degree / 2^61 (Schwartz 1980, Zippel 1979), and that at each
of three points.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_blocks import MAX_NUMERIC, Block, companion, plain
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_numbers import rough

POINTS = 3
PRIME = 2**61 - 1
MAX_SIZE = 60
"""States, their lags counted, of a block that is looked at."""


def generic_unity(block: Block, domain: Domain) -> dict[int, int] | None:
    """By n, how often the primitive n-th roots of one are eigenvalues for every value; None where that is not known.

    Only blocks whose coefficients are polynomials in parameters that no equation binds.
    """
    symbols = sorted(block.symbols, key=str)
    values = [v for m in block.terms.values() for v in m.values()]
    bound = {s for g in domain.simplexes for s in g}
    too_large = len(block.entries) * max(block.order, 1) > MAX_SIZE
    if too_large or bound & set(symbols) or any(not v.is_polynomial(*symbols) for v in values):
        return None
    found: dict[int, int] | None = None
    source = random.Random(20)
    for _ in range(POINTS):
        domain.tick()
        own = _unity_at(block, {s: sp.Integer(source.randrange(PRIME)) for s in symbols})
        if own is None:
            return None
        found = own if found is None else {n: min(k, own[n]) for n, k in found.items() if n in own}
        if not found:
            return found
    return found


def _unity_at(block: Block, point: Mapping[sp.Symbol, sp.Integer]) -> dict[int, int] | None:
    moved = {lag: {p: plain(v.xreplace(dict(point))) for p, v in m.items()} for lag, m in block.terms.items()}
    rows = companion(replace(block, terms=moved))
    if any(not v.is_Rational or v.q % PRIME == 0 for row in rows for v in row):
        return None
    polynomial = characteristic_residues([[int(v.p) * pow(int(v.q), -1, PRIME) % PRIME for v in row] for row in rows])
    found: dict[int, int] = {}
    for n, factor in _cyclotomics(len(rows)):
        while len(polynomial) >= len(factor):
            quotient, rest = _divided(polynomial, factor)
            if any(rest):
                break
            polynomial = quotient
            found[n] = found.get(n, 0) + 1
    return found


@lru_cache(maxsize=16)
def _cyclotomics(degree: int) -> list[tuple[int, list[int]]]:
    """Each n whose primitive roots of one are that few or fewer, with their polynomial (highest power first)."""
    z = sp.Dummy("z")
    orders = [n for n in range(1, 6 * degree + 31) if int(sp.totient(n)) <= degree]
    return [(n, [int(c) for c in sp.Poly(sp.cyclotomic_poly(n, z), z).all_coeffs()]) for n in orders]


def characteristic_residues(rows: list[list[int]], p: int = PRIME) -> list[int]:
    """det(z - A) modulo p, highest power first: A is brought to Hessenberg form, whose leading minors follow from each
    other (Cohen 1993, algorithm 2.2.9). n^3 steps."""
    a, n = [list(row) for row in rows], len(rows)
    for m in range(1, n - 1):
        pivot = next((i for i in range(m, n) if a[i][m - 1]), None)
        if pivot is None:
            continue
        a[m], a[pivot] = a[pivot], a[m]
        for row in a:
            row[m], row[pivot] = row[pivot], row[m]
        inverse = pow(a[m][m - 1], -1, p)
        for i in range(m + 1, n):
            factor = a[i][m - 1] * inverse % p
            if factor:
                a[i] = [(v - factor * w) % p for v, w in zip(a[i], a[m])]
                for row in a:
                    row[m] = (row[m] + factor * row[i]) % p
    minors = [[1]]
    for m in range(n):
        new = [(u - a[m][m] * v) % p for u, v in zip([*minors[m], 0], [0, *minors[m]])]
        product = 1
        for i in range(m - 1, -1, -1):
            product = product * a[i + 1][i] % p
            scale = product * a[i][m] % p
            if scale:
                pad = len(new) - len(minors[i])
                new = [(u - scale * v) % p for u, v in zip(new, [0] * pad + minors[i])]
        minors.append(new)
    return minors[n]


def _divided(a: list[int], b: list[int], p: int = PRIME) -> tuple[list[int], list[int]]:
    """Quotient and rest of polynomials modulo p (highest power first), b with a leading one."""
    rest, count = list(a), len(a) - len(b) + 1
    for i in range(count):
        c = rest[i]
        if c:
            for k, v in enumerate(b[1:], start=i + 1):
                rest[k] = (rest[k] - c * v) % p
    return rest[:count], rest[count:]


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
