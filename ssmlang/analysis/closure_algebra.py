"""Exact arithmetic of exponential-trigonometric functions of states and parameters.

An element is a sum of terms (`closure_terms`) with rational coefficients. Denominators, logarithms and functions that
have no algebra are symbols of their own, each with what it stands for, so that an identity that is found holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ssmlang.analysis.closure_terms import ONE, Mono, Poly, Term, poly, product, symbols_of, wave
from ssmlang.analysis.scalars import Unsupported

MAX_TERMS = 3_000
MAX_POWER = 64


@dataclass(frozen=True, eq=False)
class Symbol:
    """state: an entry of the state; known: a parameter, an input, pi, the row; divisor: a sum that is divided by
    (`of`); log: the logarithm of another symbol (`base`) or of a prime (`number`); size: the absolute value of another
    symbol; opaque: a function without an algebra (`op`, `args`)."""

    kind: Literal["state", "known", "divisor", "log", "size", "opaque"]
    key: Hashable
    moves: bool
    """whether it depends on the state"""
    of: Element | None = None
    base: int = -1
    number: int = 0
    op: str = ""
    args: tuple[Element, ...] = ()


class Algebra:
    """The symbols of one piece of work, by number. `tick` is called in every product and may raise."""

    def __init__(self, tick: Callable[[], None] = lambda: None) -> None:
        self.symbols: list[Symbol] = []
        self._numbers: dict[Hashable, int] = {}
        self.positive: set[int] = set()
        self.tick = tick

    def number(self, symbol: Symbol) -> int:
        """The number of a symbol, entered if it is new."""
        if symbol.key not in self._numbers:
            self._numbers[symbol.key] = len(self.symbols)
            self.symbols.append(symbol)
        return self._numbers[symbol.key]

    def variable(self, key: Hashable, kind: Literal["state", "known"], positive: bool = False) -> Element:
        """A state's entry, or something known, as an element."""
        number = self.number(Symbol(kind, key, kind == "state"))
        if positive:
            self.positive.add(number)
        return self.power_of(number)

    def power_of(self, number: int, exponent: int = 1) -> Element:
        return Element(self, {Term(((number, exponent),)): Fraction(1)})

    def constant(self, value: Fraction | int) -> Element:
        return Element(self, {ONE: Fraction(value)} if value else {})

    def has_opaque(self, element: Element) -> bool:
        """Whether an element reads a function without an algebra that depends on the state, directly or not."""
        for s in element.symbols():
            symbol = self.symbols[s]
            inner = [symbol.of] if symbol.of is not None else []
            if symbol.kind in ("opaque", "size") and symbol.moves:
                return True
            if symbol.kind == "log" and symbol.base >= 0 and symbol.moves:
                inner.append(self.power_of(symbol.base))
            if any(self.has_opaque(e) for e in inner):
                return True
        return False

    def opaque(self, op: str, *args: Element) -> Element:
        """A function that has no algebra, as a symbol of its own."""
        key = (op, *(e.key for e in args))
        moves = any(e.moves for e in args)
        return self.power_of(self.number(Symbol("opaque", key, moves, op=op, args=args)))

    def _normal(self, term: Term, factor: Fraction, into: dict[Term, Fraction]) -> None:
        """Add a term in canonical form: exp(n log x) is x^n, |x|^2 is x^2, and no divisor has a positive power."""
        grow: dict[Mono, Fraction] = {}
        powers = dict(term.mono)
        changed = False
        for mono, c in term.grow:
            symbol = self.symbols[mono[0][0]] if len(mono) == 1 and mono[0][1] == 1 else None
            if symbol is None or symbol.kind != "log" or 0 <= c < 1:
                grow[mono] = c
                continue
            whole = math.floor(c)
            changed = True
            if abs(whole) > MAX_POWER:
                raise Unsupported(f"a power of {whole} is too high for exact work")
            if symbol.number:
                factor *= Fraction(symbol.number) ** whole
            else:
                powers[symbol.base] = powers.get(symbol.base, 0) + whole
            if c != whole:
                grow[mono] = c - whole
        for s in [s for s, e in powers.items() if self.symbols[s].kind == "size" and not 0 <= e <= 1]:
            base, even = self.symbols[s].base, powers[s] - powers[s] % 2
            powers[base] = powers.get(base, 0) + even
            powers[s] -= even
            changed = True
        expand = [(s, e) for s, e in powers.items() if e > 0 and self.symbols[s].kind == "divisor"]
        if changed or expand:
            for s, _ in expand:
                del powers[s]
            term = Term(tuple(sorted((s, e) for s, e in powers.items() if e)), poly(grow), term.turn, term.odd)
        if not expand:
            into[term] = into.get(term, Fraction(0)) + factor
            return
        total = Element(self, {term: factor})
        for s, e in expand:
            of = self.symbols[s].of
            assert of is not None
            total = total * of.raised(e)
        for t, c in total.terms.items():
            into[t] = into.get(t, Fraction(0)) + c


class Element:
    """A sum of terms with rational coefficients."""

    __slots__ = ("algebra", "terms")

    def __init__(self, algebra: Algebra, terms: Mapping[Term, Fraction]) -> None:
        self.algebra = algebra
        self.terms = {t: c for t, c in terms.items() if c}

    @property
    def key(self) -> Hashable:
        return frozenset(self.terms.items())

    @property
    def moves(self) -> bool:
        """Whether it depends on the state."""
        return any(self.algebra.symbols[s].moves for s in self.symbols())

    def symbols(self) -> set[int]:
        return {s for t in self.terms for s in symbols_of(t)}

    @property
    def number(self) -> Fraction | None:
        """The rational number that it is, if it is one."""
        if not self.terms:
            return Fraction(0)
        return self.terms[ONE] if len(self.terms) == 1 and ONE in self.terms else None

    # ------------------------------------------------------------------------------------------------- the ring

    def __add__(self, other: Element) -> Element:
        found = dict(self.terms)
        for t, c in other.terms.items():
            found[t] = found.get(t, Fraction(0)) + c
        return Element(self.algebra, found)

    def __neg__(self) -> Element:
        return Element(self.algebra, {t: -c for t, c in self.terms.items()})

    def __sub__(self, other: Element) -> Element:
        return self + (-other)

    def scaled(self, by: Fraction) -> Element:
        return Element(self.algebra, {t: c * by for t, c in self.terms.items()})

    def __mul__(self, other: Element) -> Element:
        if len(self.terms) * len(other.terms) > 40 * MAX_TERMS:
            raise Unsupported("the expressions grow too large for exact work")
        found: dict[Term, Fraction] = {}
        for a, x in self.terms.items():
            self.algebra.tick()
            for b, y in other.terms.items():
                for t, c in product(a, b):
                    self.algebra._normal(t, x * y * c, found)
        if len(found) > MAX_TERMS:
            raise Unsupported("the expressions grow too large for exact work")
        return Element(self.algebra, found)

    def raised(self, n: int) -> Element:
        """A whole power."""
        if n < 0:
            return self.inverse().raised(-n)
        if n > MAX_POWER:
            raise Unsupported(f"a power of {n} is too high for exact work")
        total, base = self.algebra.constant(1), self
        while n:
            if n & 1:
                total = total * base
            n >>= 1
            if n:
                base = base * base
        return total

    def inverse(self) -> Element:
        """1 / this: of one term exactly, of a sum as the power -1 of a symbol that stands for the sum."""
        if not self.terms:
            raise Unsupported("a division by zero")
        outer, rest = self._factored()
        ((term, c),) = outer.terms.items()
        down = tuple((s, -e) for s, e in term.mono)
        found: dict[Term, Fraction] = {}
        self.algebra._normal(Term(down, tuple((m, -x) for m, x in term.grow)), 1 / c, found)
        one = Element(self.algebra, found)
        if rest is None:
            return one
        symbol = self.algebra.number(Symbol("divisor", ("divisor", rest.key), rest.moves, of=rest))
        return one * self.algebra.power_of(symbol, -1)

    def _factored(self) -> tuple[Element, Element | None]:
        """One term without a wave, and the sum by which it is multiplied (None: 1)."""
        terms = list(self.terms.items())
        shared = set.intersection(*({s for s, _ in t.mono} for t, _ in terms))
        mono = tuple(sorted((s, min(dict(t.mono)[s] for t, _ in terms)) for s in shared))
        first = min(terms, key=lambda tc: (repr(tc[0].turn), tc[0].odd, repr(tc[0].grow), tc[0].mono))
        grow = first[0].grow
        outer = Element(self.algebra, {Term(mono, grow): first[1]})
        if len(terms) == 1 and not first[0].turn:
            return outer, None
        back = Term(tuple((s, -e) for s, e in mono), tuple((m, -x) for m, x in grow))
        return outer, self * Element(self.algebra, {back: 1 / first[1]})

    # ------------------------------------------------------------------------------------------------- functions

    def as_poly(self) -> Poly:
        """As a polynomial in symbols; waves and exponentials become symbols of their own."""
        found: dict[Mono, Fraction] = {}
        for t, c in self.terms.items():
            mono = t.mono
            if t.grow or t.turn:
                inner = Element(self.algebra, {Term((), t.grow, t.turn, t.odd): Fraction(1)})
                (symbol,) = self.algebra.opaque("itself", inner).symbols()
                mono = tuple(sorted([*mono, (symbol, 1)]))
            found[mono] = found.get(mono, Fraction(0)) + c
        return poly(found)

    def exp(self) -> Element:
        found: dict[Term, Fraction] = {}
        self.algebra._normal(Term((), self.as_poly()), Fraction(1), found)
        return Element(self.algebra, found)

    def wave(self, odd: bool) -> Element:
        """The sine (`odd`) or cosine."""
        found = wave((), (), self.as_poly(), odd, Fraction(1))
        return Element(self.algebra, dict([found]) if found is not None else {})

    def log(self) -> Element:
        """The logarithm, of a product as a sum: with log read as that of the absolute value, which changes nothing
        where it is defined."""
        if not self.terms:
            raise Unsupported("the logarithm of zero")
        outer, rest = self._factored()
        ((term, c),) = outer.terms.items()
        bases = list(term.mono)
        if rest is not None:
            symbol = Symbol("divisor", ("divisor", rest.key), rest.moves, of=rest)
            bases.append((self.algebra.number(symbol), 1))
        odd = [s for s, e in bases if e % 2 and s not in self.algebra.positive]
        if len(odd) == 1 and c > 0:
            # The logarithm is defined only where this symbol is positive.
            self.algebra.positive.add(odd[0])
        total = Element(self.algebra, {Term(m): x for m, x in term.grow})
        for prime, e in _primes(abs(c)).items():
            symbol = Symbol("log", ("log of", prime), False, number=prime)
            total = total + self.algebra.power_of(self.algebra.number(symbol)).scaled(Fraction(e))
        for s, e in bases:
            total = total + self.algebra.power_of(self._log_of(s)).scaled(Fraction(e))
        return total

    def _log_of(self, s: int) -> int:
        symbol, algebra = self.algebra.symbols[s], self.algebra
        if s not in algebra.positive:
            s = algebra.number(Symbol("size", ("size", s), symbol.moves, base=s))
            algebra.positive.add(s)
        return algebra.number(Symbol("log", ("log", s), symbol.moves, base=s))

    def to_power(self, exponent: Element) -> Element:
        """A power that is no whole number, by exp(exponent * log); where the base is not surely positive, opaque."""
        whole = exponent.number
        if whole is not None and whole.denominator == 1:
            return self.raised(int(whole))
        if not self.terms:
            return self
        outer, rest = self._factored()
        ((term, c),) = outer.terms.items()
        loose = [(s, e) for s, e in term.mono if s not in self.algebra.positive]
        loose += [(-1, 1)] if rest is not None else []
        if c > 0 and (not loose or (len(loose) == 1 and loose[0][1] == 1)):
            return (exponent * self.log()).exp()
        return self.algebra.opaque("pow", self, exponent)

    # ------------------------------------------------------------------------------------------------- calculus

    def diff(self, by: int) -> Element:
        """The derivative with respect to a symbol. Raises Unsupported for functions without an algebra."""
        total = self.algebra.constant(0)
        for t, c in self.terms.items():
            whole = Element(self.algebra, {t: c})
            for s, e in t.mono:
                inner = self._inner(s, by)
                if inner.terms:
                    total = total + whole * self.algebra.power_of(s, -1).scaled(Fraction(e)) * inner
            for p, sign in ((t.grow, 0), (t.turn, -1 if not t.odd else 1)):
                slope = Element(self.algebra, {Term(m): x for m, x in p}).diff(by) if p else self.algebra.constant(0)
                if slope.terms:
                    other = whole if not sign else Element(
                        self.algebra, dict([_swapped(t, c * sign)]))  # fmt: skip
                    total = total + other * slope
        return total

    def _inner(self, s: int, by: int) -> Element:
        symbol, algebra = self.algebra.symbols[s], self.algebra
        if s == by:
            return algebra.constant(1)
        if symbol.kind == "divisor":
            assert symbol.of is not None
            return symbol.of.diff(by)
        if symbol.kind == "log" and symbol.base >= 0:
            return self._inner(symbol.base, by) * algebra.power_of(symbol.base, -1)
        if symbol.kind == "size":
            return self._inner(symbol.base, by) * algebra.power_of(s) * algebra.power_of(symbol.base, -1)
        if symbol.kind == "opaque" and any(a.diff(by).terms for a in symbol.args):
            if symbol.op == "itself":
                return symbol.args[0].diff(by)
            raise Unsupported(f"`{symbol.op}` has no exact derivative here")
        return algebra.constant(0)

    def compose(self, image: Mapping[int, Element], again: Callable[[str, list[Element]], Element]) -> Element:
        """With symbols replaced; `again(op, args)` makes a function without an algebra anew."""
        made: dict[int, Element] = {}

        def of(s: int) -> Element:
            if s not in made:
                symbol = self.algebra.symbols[s]
                if s in image:
                    made[s] = image[s]
                elif not symbol.moves:
                    made[s] = self.algebra.power_of(s)
                elif symbol.kind == "divisor":
                    assert symbol.of is not None
                    made[s] = symbol.of.compose(image, again)
                elif symbol.kind == "log":
                    made[s] = of(symbol.base).log()
                elif symbol.kind == "size":
                    made[s] = again("abs", [of(symbol.base)])
                elif symbol.op == "itself":
                    made[s] = symbol.args[0].compose(image, again)
                elif symbol.kind == "opaque":
                    made[s] = again(symbol.op, [a.compose(image, again) for a in symbol.args])
                else:
                    made[s] = self.algebra.power_of(s)
            return made[s]

        def product_of(mono: Mono) -> Element:
            total = self.algebra.constant(1)
            for s, e in mono:
                total = total * of(s).raised(e)
            return total

        def sum_of(p: Poly) -> Element:
            total = self.algebra.constant(0)
            for mono, c in p:
                total = total + product_of(mono).scaled(c)
            return total

        found = self.algebra.constant(0)
        for t, c in self.terms.items():
            part = product_of(t.mono).scaled(c)
            if t.grow:
                part = part * sum_of(t.grow).exp()
            if t.turn:
                part = part * sum_of(t.turn).wave(t.odd)
            found = found + part
        return found


def _swapped(t: Term, c: Fraction) -> tuple[Term, Fraction]:
    return Term(t.mono, t.grow, t.turn, not t.odd), c


def _primes(value: Fraction) -> dict[int, int]:
    """The prime factors of a positive fraction; a large factor is kept whole."""
    found: dict[int, int] = {}
    for number, sign in ((value.numerator, 1), (value.denominator, -1)):
        p = 2
        while p * p <= number and p < 2_000:
            while number % p == 0:
                found[p] = found.get(p, 0) + sign
                number //= p
            p += 1
        if number > 1:
            found[number] = found.get(number, 0) + sign
    return {p: e for p, e in found.items() if e}

