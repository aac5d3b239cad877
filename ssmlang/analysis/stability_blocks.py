"""Dynamics taken apart: states that read each other in a circle are one block, with one characteristic polynomial.

The transition is block triangular once blocks stand in the order in which they read each other, so its eigenvalues are
those of the blocks (Tarjan 1972 for the blocks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_numbers import rational, settled
from ssmlang.model.components import strongly_connected

MAX_SYMBOLIC = 8
"""The largest companion matrix with parameters in it whose characteristic polynomial is formed."""
MAX_SYMBOLS = 8
MAX_NUMERIC = 24
"""The same without parameters."""


@lru_cache(maxsize=1)
def variable() -> sp.Symbol:
    """What characteristic polynomials are polynomials in."""
    return sp.Dummy("z")


@dataclass(frozen=True)
class Dynamics:
    """x[t] = sum over lags k of terms[k] x[t-k] + what reads no state. `terms[k][i, j]`, an expression or a fraction,
    is no structural zero."""

    names: tuple[str, ...]
    terms: Mapping[int, Mapping[tuple[int, int], Any]]
    opaque: Mapping[int, str] = field(default_factory=dict)
    """entries whose equation is no linear recursion with constant coefficients, and why"""
    reads: frozenset[tuple[int, int]] = frozenset()
    """(i, j): entry i reads entry j in a way that is not in `terms`"""
    continuous: frozenset[int] = frozenset()
    """entries in continuous time, of which `terms[1]` are the coefficients of the drift"""

    @property
    def n(self) -> int:
        return len(self.names)

    @property
    def order(self) -> int:
        return max(self.terms, default=0)


@dataclass(frozen=True)
class Block:
    """Entries that read each other, and the blocks (by number) that they read."""

    entries: tuple[int, ...]
    reads: frozenset[int]
    terms: Mapping[int, Mapping[tuple[int, int], Any]]
    """coefficients within the block, by places in `entries`"""

    @property
    def order(self) -> int:
        return max((k for k, m in self.terms.items() if m), default=0)

    @property
    def symbols(self) -> set[sp.Symbol]:
        return {s for m in self.terms.values() for v in m.values() for s in getattr(v, "free_symbols", ())}


def blocks(dynamics: Dynamics) -> tuple[Block, ...]:
    """The blocks, each after those that it reads."""
    n = dynamics.n
    if not n:
        return ()
    pairs = sorted({place for m in dynamics.terms.values() for place in m} | dynamics.reads)
    count, labels = strongly_connected(n, pairs)
    order = _sorted(count, {(int(labels[i]), int(labels[j])) for i, j in pairs if labels[i] != labels[j]}, labels)
    number = {old: new for new, old in enumerate(order)}
    entries: list[list[int]] = [[] for _ in range(count)]
    for i, label in enumerate(labels):
        entries[number[int(label)]].append(i)
    reads: list[set[int]] = [set() for _ in range(count)]
    terms: list[dict[int, dict[tuple[int, int], Any]]] = [{} for _ in range(count)]
    place = {i: k for own in entries for k, i in enumerate(own)}
    for i, j in dynamics.reads:
        a, b = number[int(labels[i])], number[int(labels[j])]
        if a != b:
            reads[a].add(b)
    for lag, m in sorted(dynamics.terms.items()):
        for (i, j), value in m.items():
            a, b = number[int(labels[i])], number[int(labels[j])]
            if a == b:
                terms[a].setdefault(lag, {})[place[i], place[j]] = value
            else:
                reads[a].add(b)
    return tuple(Block(tuple(e), frozenset(r), t) for e, r, t in zip(entries, reads, terms))


def _sorted(count: int, reads: set[tuple[int, int]], labels: np.ndarray) -> list[int]:
    """Blocks after those that they read, else in the order of their first entries."""
    first = {int(label): -i for i, label in reversed(list(enumerate(labels)))}
    wanted: dict[int, set[int]] = {b: set() for b in range(count)}
    for a, b in reads:
        wanted[a].add(b)
    found: list[int] = []
    done: set[int] = set()
    for start in sorted(wanted, key=lambda b: -first[b]):
        pending = [(start, iter(sorted(wanted[start])))]
        visiting = {start}
        while pending and start not in done:
            node, rest = pending[-1]
            following = next((b for b in rest if b not in done and b not in visiting), None)
            if following is None:
                pending.pop()
                done.add(node)
                found.append(node)
            else:
                visiting.add(following)
                pending.append((following, iter(sorted(wanted[following]))))
    return found


def ancestors(found: Sequence[Block], start: Iterable[int]) -> list[int]:
    """These blocks and all that they read, directly or not, in their order."""
    reached, pending = set(start), list(start)
    while pending:
        for b in found[pending.pop()].reads - reached:
            reached.add(b)
            pending.append(b)
    return sorted(reached)


def companion(block: Block, zero: Any = None, one: Any = None) -> list[list[Any]]:
    """The block's transition of (x[t-1], ..., x[t-p]), as rows of expressions, or of numbers whose `zero` and `one` are
    given."""
    zero, one = (sp.Integer(0), sp.Integer(1)) if zero is None else (zero, one)
    s, p = len(block.entries), max(block.order, 1)
    size = s * p
    rows = [[zero] * size for _ in range(size)]
    for lag, m in block.terms.items():
        for (i, j), value in m.items():
            rows[i][(lag - 1) * s + j] = value
    for i in range(s, size):
        rows[i][i - s] = one
    return rows


def characteristic(block: Block, strip: bool = True) -> sp.Poly | None:
    """det(z^p - F_1 z^(p-1) - ... - F_p) up to a power of z, with coefficients that are polynomials in the block's
    symbols; its leading one may be another than 1 where coefficients are fractions. None where it would be too large.
    `strip`: leave that power of z out.
    """
    s, p = len(block.entries), max(block.order, 1)
    if s == 1:
        terms = {lag: m[0, 0] for lag, m in block.terms.items()}
        return _polynomial([sp.Integer(1), *(-terms.get(k, sp.Integer(0)) for k in range(1, p + 1))], strip)
    size, symbols = s * p, block.symbols
    if size > (MAX_SYMBOLIC if symbols else MAX_NUMERIC) or len(symbols) > MAX_SYMBOLS:
        return None
    matrix = [[plain(v) for v in row] for row in companion(block)]
    from sympy.polys.matrices import DomainMatrix

    whole = DomainMatrix.from_Matrix(sp.Matrix(matrix))
    coefficients = whole.charpoly()
    return _polynomial([whole.domain.to_sympy(c) for c in coefficients], strip)


def plain(e: sp.Expr) -> sp.Expr:
    """Irrational numbers as fractions of sixty digits, floating ones as the fractions they are."""
    if e.is_Rational:
        return e
    if e.is_number:
        value = rational(e)
        return sp.Rational(value.numerator, value.denominator)
    if e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer):
        return e.func(*(plain(a) for a in e.args))
    return e


def _polynomial(coefficients: Sequence[sp.Expr], strip: bool) -> sp.Poly:
    """The polynomial in z with these coefficients (highest power first), denominators and powers of z taken out."""
    atoms = {e for c in coefficients for e in c.atoms(sp.exp)}
    hidden = {e: sp.Dummy("e", positive=True) for e in atoms}
    cleared = [sp.together(plain(c).xreplace(hidden)) for c in coefficients]
    common = sp.Integer(1)
    for c in cleared:
        common = sp.lcm(common, sp.fraction(c)[1])
    if not common.is_number:
        cleared = [sp.cancel(c * common) for c in cleared]
    shown = {v: k for k, v in hidden.items()}
    settled_ones = [_settled(turned(sp.expand(c))).xreplace(shown) for c in cleared]
    while strip and len(settled_ones) > 1 and settled_ones[-1] == 0:
        settled_ones.pop()
    return sp.Poly(settled_ones, variable())


def turned(e: sp.Expr) -> sp.Expr:
    """sin(a)^2 as 1 - cos(a)^2 wherever both the sine and the cosine of an angle are there."""
    angles = {s.args[0] for s in e.atoms(sp.sin)} & {c.args[0] for c in e.atoms(sp.cos)}
    for a in angles:
        sine = sp.Dummy("s")
        poly = sp.Poly(e.xreplace({sp.sin(a): sine}), sine)
        e = sp.expand(sum((c * (1 - sp.cos(a) ** 2) ** (k // 2) * sp.sin(a) ** (k % 2)
                           for (k,), c in poly.terms()), sp.Integer(0)))  # fmt: skip
    return e


def _settled(e: sp.Expr) -> sp.Expr:
    """Long fractions that irrational numbers left where a simple one is meant: cos(a)^2 + sin(a)^2 is 1."""
    return sp.Add(*(sp.Mul(settled(c) if (c := t.as_coeff_Mul()[0]).is_Rational else c, t.as_coeff_Mul()[1])
                    for t in sp.Add.make_args(e)))  # fmt: skip
