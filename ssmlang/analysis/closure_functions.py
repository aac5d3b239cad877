"""The operations of expressions on exact elements, and elements as sympy expressions for people to read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from ssmlang.analysis.closure_algebra import Algebra, Element
from ssmlang.analysis.closure_terms import HALF, Poly, Term, poly, symbols_of, wave
from ssmlang.analysis.exact import exact
from ssmlang.analysis.scalars import PLAIN, Unsupported

_EXTREMES = {"maximum": max, "minimum": min}
PI = "pi"
MOST_WRITTEN = 2_000
"""Symbols of one function that is written out."""


class Exact:
    """`scalars.Arithmetic` over elements. `rounded`: a constant was met that is known to double precision only."""

    def __init__(self, algebra: Algebra) -> None:
        self.algebra = algebra
        self.rounded = False

    def constant(self, value: Any) -> Element:
        if isinstance(value, (bool, int)):
            return self.algebra.constant(int(value))
        if value != value or value in (float("inf"), float("-inf")):
            raise Unsupported(f"the number {value} has no exact algebra")
        return self._meant(exact(float(value)))

    def _meant(self, number: sp.Expr) -> Element:
        """A fraction, a root of one, a multiple of pi, or a cosine of a fraction of the circle."""
        algebra = self.algebra
        if number.is_Rational:
            found = Fraction(int(number.p), int(number.q))
            self.rounded = self.rounded or found.denominator > 10**12
            return algebra.constant(found)
        coefficient, rest = number.as_coeff_Mul()
        by = Fraction(int(coefficient.p), int(coefficient.q))
        if rest == sp.pi:
            return algebra.variable(PI, "known", positive=True).scaled(by)
        if rest.is_Pow and rest.exp == sp.Rational(1, 2) and rest.base.is_Rational:
            return self._meant(rest.base).log().scaled(HALF).exp().scaled(by)
        if rest.func == sp.cos:
            return self._meant(sp.expand(rest.args[0])).wave(False).scaled(by)
        raise Unsupported(f"the number {number} has no exact algebra")

    def unary(self, op: str, x: Element) -> Element:
        one = self.algebra.constant(1)
        match op:
            case "neg":
                return -x
            case "exp":
                return x.exp()
            case "expm1":
                return x.exp() - one
            case "log":
                return x.log()
            case "log1p":
                return (one + x).log()
            case "sqrt":
                return x.to_power(self.algebra.constant(HALF))
            case "sin" | "cos":
                return x.wave(op == "sin")
            case "tan":
                return x.wave(True) * x.wave(False).inverse()
            case "tanh":
                return one - (x.scaled(Fraction(2)).exp() + one).inverse().scaled(Fraction(2))
            case "sigmoid":
                return ((-x).exp() + one).inverse()
            case "softplus":
                return (x.exp() + one).log()
            case "logit":
                return x.log() - (one - x).log()
            case "abs" if len(x.terms) == 1 and symbols_of(next(iter(x.terms))) <= self.algebra.positive:
                ((term, c),) = x.terms.items()
                if not term.turn:
                    return Element(self.algebra, {term: abs(c)})
        return self.algebra.opaque(op, x)

    def binary(self, op: str, a: Element, b: Element) -> Element:
        if op in PLAIN:
            return PLAIN[op](a, b)  # type: ignore[no-any-return]
        if op == "div":
            return a * b.inverse()
        if op == "pow":
            return a.to_power(b)
        if op in _EXTREMES and a.number is not None and b.number is not None:
            return self.algebra.constant(_EXTREMES[op](a.number, b.number))
        return self.algebra.opaque(op, a, b)

    def where(self, test: Any, then: Element, otherwise: Element) -> Element:
        known = test.number
        if known is not None:
            return then if known else otherwise
        return self.algebra.opaque("where", test, then, otherwise)

    def again(self, op: str, args: Sequence[Element]) -> Element:
        """An operation by name on other arguments."""
        if len(args) == 1:
            return self.unary(op, args[0])
        return self.binary(op, args[0], args[1]) if len(args) == 2 else self.where(*args)


# ------------------------------------------------------------------------------------------------- coefficients


def split(element: Element) -> dict[Term, Element]:
    """The element as functions of the state, each with its coefficient: an element in what is known alone."""
    algebra = element.algebra
    moves = lambda mono: any(algebra.symbols[s].moves for s, _ in mono)
    found: dict[Term, dict[Term, Fraction]] = {}

    def add(function: tuple[Term, Fraction] | None, factor: tuple[Term, Fraction] | None, c: Fraction) -> None:
        if function is not None and factor is not None:
            into = found.setdefault(function[0], {})
            into[factor[0]] = into.get(factor[0], Fraction(0)) + function[1] * factor[1] * c

    for t, c in element.terms.items():
        mono = tuple(p for p in t.mono if algebra.symbols[p[0]].moves)
        known = tuple(p for p in t.mono if not algebra.symbols[p[0]].moves)
        grow, grow_known = _parted(t.grow, moves)
        turn, turn_known = _parted(t.turn, moves)
        if not turn or not turn_known:
            odd = t.odd and bool(turn)
            add(wave(mono, grow, turn, odd, Fraction(1)),
                wave(known, grow_known, turn_known, t.odd and not turn, Fraction(1)), c)  # fmt: skip
            continue
        # cos(A + B) and sin(A + B) with A the state's part of the angle and B the known one.
        for odd_state, odd_known in ((t.odd, False), (not t.odd, True)):
            sign = -1 if not t.odd and odd_known else 1
            add(wave(mono, grow, turn, odd_state, Fraction(1)),
                wave(known, grow_known, turn_known, odd_known, Fraction(sign)), c)  # fmt: skip
    made = {function: Element(algebra, terms) for function, terms in found.items()}
    return {function: e for function, e in made.items() if not is_zero(e)}


def _parted(p: Poly, moves: Callable[[Any], bool]) -> tuple[Poly, Poly]:
    state = {m: c for m, c in p if moves(m)}
    return poly(state), poly({m: c for m, c in p if m not in state})


def is_zero(element: Element) -> bool:
    """Whether an element is zero, its divisors cleared."""
    return not element.terms or not cleared([element])[0].terms


def cleared(elements: Sequence[Element], moving: bool = False) -> list[Element]:
    """The elements times one common divisor, so that no divisor (no moving one, with `moving`) is left in any."""
    if not elements:
        return []
    algebra = elements[0].algebra
    done = list(elements)
    for _ in range(8):
        powers: dict[int, int] = {}
        for t in (t for e in done for t in e.terms):
            for s, exponent in t.mono:
                symbol = algebra.symbols[s]
                if symbol.kind == "divisor" and exponent < 0 and (symbol.moves or not moving):
                    powers[s] = min(powers.get(s, 0), exponent)
        if not powers:
            return done
        for s, exponent in powers.items():
            by = algebra.power_of(s, -exponent)
            done = [e * by for e in done]
    raise Unsupported("divisions within divisions are too deep for exact work")


# ------------------------------------------------------------------------------------------------- for reading


def to_sympy(element: Element, name: Callable[[Hashable], sp.Expr], left: list[int] | None = None) -> sp.Expr:
    """The element as a sympy expression; `name` gives that of a state's entry or a known number.

    Raises Unsupported where functions within functions make it too long to be written; `left`: how many more may come.
    """
    algebra = element.algebra
    left = [MOST_WRITTEN] if left is None else left
    functions: dict[str, Any] = {"abs": sp.Abs, "maximum": sp.Max, "minimum": sp.Min, "asin": sp.asin, "acos": sp.acos,
                                 "atan": sp.atan, "atan2": sp.atan2, "pow": sp.Pow}  # fmt: skip

    def of(s: int) -> sp.Expr:
        symbol = algebra.symbols[s]
        left[0] -= 1
        if left[0] < 0:
            raise Unsupported("functions within functions are too deep to be written")
        if symbol.kind in ("state", "known"):
            return sp.pi if symbol.key == PI else name(symbol.key)
        if symbol.kind == "divisor":
            assert symbol.of is not None
            return to_sympy(symbol.of, name, left)
        if symbol.kind == "log":
            return sp.log(sp.Integer(symbol.number)) if symbol.number else sp.log(of(symbol.base))
        if symbol.kind == "size":
            return sp.Abs(of(symbol.base))
        args = [to_sympy(a, name, left) for a in symbol.args]
        return args[0] if symbol.op == "itself" else functions.get(symbol.op, sp.Function(symbol.op))(*args)

    def product_of(mono: Iterable[tuple[int, int]]) -> sp.Expr:
        return sp.Mul(*(of(s) ** e for s, e in mono))

    def sum_of(p: Poly) -> sp.Expr:
        return sp.Add(*(sp.Rational(c.numerator, c.denominator) * product_of(m) for m, c in p))

    parts = []
    for t, c in element.terms.items():
        part = sp.Rational(c.numerator, c.denominator) * product_of(t.mono)
        if t.grow:
            part *= sp.exp(sum_of(t.grow))
        if t.turn:
            part *= (sp.sin if t.odd else sp.cos)(sum_of(t.turn))
        parts.append(part)
    return sp.Add(*parts)
