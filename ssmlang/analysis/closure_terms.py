"""Terms of exponential-trigonometric polynomials: x^a * exp(P) * cos(Q) or sin(Q), and their products.

P and Q are polynomials. Terms of distinct (a, P, +-Q) are linearly independent over the numbers, which is what makes
comparing coefficients a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

Mono = tuple[tuple[int, int], ...]
"""Powers of symbols, by increasing symbol: ((symbol, exponent), ...); exponents may be negative."""
Poly = tuple[tuple[Mono, Fraction], ...]
"""A polynomial in canonical order, without zeros."""


@dataclass(frozen=True, slots=True)
class Term:
    """x^mono * exp(grow) * wave(turn); `odd`: the wave is a sine, else a cosine; without `turn` it is 1."""

    mono: Mono = ()
    grow: Poly = ()
    turn: Poly = ()
    odd: bool = False


ONE = Term()
HALF = Fraction(1, 2)


def times(a: Mono, b: Mono) -> Mono:
    """The product of two monomials."""
    if not a or not b:
        return a or b
    powers = dict(a)
    for symbol, exponent in b:
        powers[symbol] = powers.get(symbol, 0) + exponent
    return tuple(sorted((s, e) for s, e in powers.items() if e))


def poly(terms: Mapping[Mono, Fraction]) -> Poly:
    """A polynomial in canonical order."""
    return tuple(sorted((m, c) for m, c in terms.items() if c))


def plus(a: Poly, b: Poly, sign: int = 1) -> Poly:
    """a + b, or a - b."""
    if not b:
        return a
    found = dict(a)
    for m, c in b:
        found[m] = found.get(m, Fraction(0)) + sign * c
    return poly(found)


def minus(a: Poly) -> Poly:
    return tuple((m, -c) for m, c in a)


def wave(mono: Mono, grow: Poly, turn: Poly, odd: bool, factor: Fraction) -> tuple[Term, Fraction] | None:
    """The term with its angle's sign settled; None where it is zero."""
    if not turn:
        return None if odd else (Term(mono, grow), factor)
    if turn[-1][1] < 0:
        return Term(mono, grow, minus(turn), odd), -factor if odd else factor
    return Term(mono, grow, turn, odd), factor


def product(a: Term, b: Term) -> list[tuple[Term, Fraction]]:
    """The product of two terms: waves by cos A cos B = (cos(A - B) + cos(A + B)) / 2 and its kin."""
    mono, grow = times(a.mono, b.mono), plus(a.grow, b.grow)
    one = Fraction(1)
    if not a.turn or not b.turn:
        turned = a if a.turn else b
        return [(Term(mono, grow, turned.turn, turned.odd), one)]
    add, less = plus(a.turn, b.turn), plus(a.turn, b.turn, -1)
    if a.odd and b.odd:
        parts = [wave(mono, grow, less, False, HALF), wave(mono, grow, add, False, -HALF)]
    elif not a.odd and not b.odd:
        parts = [wave(mono, grow, less, False, HALF), wave(mono, grow, add, False, HALF)]
    elif a.odd:
        parts = [wave(mono, grow, add, True, HALF), wave(mono, grow, less, True, HALF)]
    else:
        parts = [wave(mono, grow, add, True, HALF), wave(mono, grow, less, True, -HALF)]
    return [p for p in parts if p is not None]


def symbols_of(term: Term) -> set[int]:
    """The symbols that a term reads."""
    monos: Iterable[Mono] = [term.mono, *(m for m, _ in term.grow), *(m for m, _ in term.turn)]
    return {symbol for m in monos for symbol, _ in m}
