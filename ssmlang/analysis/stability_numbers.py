"""Fractions for irrational numbers, bounds of elementary functions, and expressions evaluated on arrays of draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from ssmlang.analysis.algebra import sp

SIMPLE = 10_000
"""Denominators up to this are simple."""
FEW = 100
"""The same for what doubles were multiplied into."""
WRITTEN = 10**12
"""A person writes no fraction with a larger denominator."""
LONG = 10**30


def settled(number: sp.Rational) -> sp.Rational:
    """A coefficient that irrational numbers of sixty digits, or doubles that stand for nothing simple, were multiplied
    into, with their rounding taken off where a simple one is meant: cos(0.3)^2 + sin(0.3)^2 is 1."""
    if number.q <= WRITTEN:
        return number
    near = Fraction(int(number.p), int(number.q)).limit_denominator(SIMPLE if number.q > LONG else FEW)
    close = abs(number - sp.Rational(near.numerator, near.denominator))
    precise = number.q > LONG and close <= sp.Rational(1, 10**40)
    return sp.Rational(near.numerator, near.denominator) if precise or (
        near.denominator <= FEW and close <= sp.Rational(4, 10**15)) else number  # fmt: skip


def rough(number: sp.Expr) -> bool:
    """Whether a number has more digits than a person writes, so that its last ones may be rounding."""
    return bool(number.is_Rational and number.q > WRITTEN)


def rational(number: sp.Expr) -> Fraction:
    """A real number as a fraction: itself, or within 1e-50 of it where it is irrational."""
    if number.is_Rational:
        return Fraction(int(number.p), int(number.q))
    value = sp.Rational(number.evalf(60) if not number.is_Float else number)
    found = Fraction(int(value.p), int(value.q))
    return Fraction(0) if abs(found) < Fraction(1, 10**40) else found


def opaque(e: sp.Expr, names: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    """e with what is no polynomial (exp(a), cos(w), a root) replaced by symbols, which `names` gathers."""
    if e.is_Symbol or e.is_number:
        return e
    if e.is_Add or e.is_Mul:
        return e.func(*(opaque(a, names) for a in e.args))
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return opaque(e.base, names) ** e.exp
    return names.setdefault(e, sp.Dummy("g", real=True))


# ------------------------------------------------------------------------------------------------- bounds

Interval = tuple["sp.Expr", "sp.Expr"]


def real_line() -> Interval:
    return -sp.oo, sp.oo


def bounds(e: sp.Expr, intervals: Mapping[sp.Symbol, Interval]) -> tuple[Interval, bool]:
    """An interval with constant ends that holds e, and whether its ends belong to it. (-oo, oo) where none is known."""
    if isinstance(e, (sp.cos, sp.sin)):
        return _wave(e, intervals)
    if isinstance(e, sp.tanh):
        return (sp.Integer(-1), sp.Integer(1)), False
    if isinstance(e, sp.exp):
        low, high = range_of(e.exp, intervals)
        return (sp.exp(low) if low.is_finite else sp.Integer(0), sp.exp(high) if high.is_finite else sp.oo), False
    if e.is_Pow:
        low, high = range_of(e.base, intervals)
        power = e.exp
        if low >= 0 and power.is_Rational:
            ends = [low**power if low.is_finite and (low > 0 or power > 0) else sp.oo,
                    high**power if high.is_finite else (sp.oo if power > 0 else sp.Integer(0))]  # fmt: skip
            return ((ends[0], ends[1]) if power > 0 else (ends[1], ends[0])), False
    if isinstance(e, sp.Abs):
        return (sp.Integer(0), sp.oo), True
    return real_line(), False


def _wave(e: sp.Expr, intervals: Mapping[sp.Symbol, Interval]) -> tuple[Interval, bool]:
    """Of a sine or cosine: what it takes at the ends of its argument's interval, and at peaks inside."""
    low, high = range_of(e.args[0], intervals)
    whole = (sp.Integer(-1), sp.Integer(1)), True
    if not (low.is_finite and high.is_finite) or float(high - low) >= 2 * math.pi:
        return whole
    first = sp.Integer(0) if isinstance(e, sp.cos) else sp.pi / 2
    peaks = [k for k in range(int(float(low - first) / math.pi) - 1, int(float(high - first) / math.pi) + 2)
             if low < first + k * sp.pi < high]  # fmt: skip
    values = [e.func(low), e.func(high), *(sp.Integer(1) if k % 2 == 0 else sp.Integer(-1) for k in peaks)]
    return (sp.Min(*values), sp.Max(*values)), bool(peaks)


def range_of(e: sp.Expr, intervals: Mapping[sp.Symbol, Interval]) -> Interval:
    """An open interval with constant ends that holds e: by interval arithmetic over sums and products."""
    if e.is_number:
        return e, e
    if e.is_Symbol:
        low, high = intervals.get(e, real_line())
        low = low if low.is_number else range_of(low, intervals)[0]
        high = high if high.is_number else range_of(high, intervals)[1]
        return low, high
    if e.is_Add:
        parts = [range_of(a, intervals) for a in e.args]
        return sp.Add(*(p[0] for p in parts)), sp.Add(*(p[1] for p in parts))
    if e.is_Mul:
        low, high = sp.Integer(1), sp.Integer(1)
        for a in e.args:
            ends = [_times(x, y) for x in (low, high) for y in range_of(a, intervals)]
            low, high = sp.Min(*ends), sp.Max(*ends)
        return low, high
    if e.is_Pow and e.exp.is_Integer and e.exp > 0 and e.exp % 2 == 0:
        low, high = range_of(e.base, intervals)
        return (sp.Min(low**e.exp, high**e.exp) if low >= 0 or high <= 0 else sp.Integer(0),
                sp.Max(low**e.exp, high**e.exp))  # fmt: skip
    return bounds(e, intervals)[0]


def _times(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    return sp.Integer(0) if x.is_zero or y.is_zero else x * y


# ------------------------------------------------------------------------------------------------- draws

_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "exp": np.exp, "log": np.log, "cos": np.cos, "sin": np.sin, "tan": np.tan, "tanh": np.tanh, "Abs": np.abs,
    "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "sign": np.sign,
}  # fmt: skip
"""By the name of sympy's class."""


def values_at(expressions: Sequence[sp.Expr], draws: Mapping[sp.Symbol, np.ndarray], count: int) -> np.ndarray | None:
    """(count, len(expressions)): the expressions at `count` draws of their symbols; None where one has no meaning."""
    memo: dict[sp.Expr, np.ndarray] = {}

    def value(e: sp.Expr) -> np.ndarray:
        if e not in memo:
            memo[e] = _value(e)
        return memo[e]

    def _value(e: sp.Expr) -> np.ndarray:
        if e.is_number:
            return np.asarray(float(e))
        if e.is_Symbol:
            return np.asarray(draws[e], float)
        args = [value(a) for a in e.args]
        if e.is_Add:
            return np.sum(np.stack(np.broadcast_arrays(*args)), axis=0)
        if e.is_Mul:
            return np.prod(np.stack(np.broadcast_arrays(*args)), axis=0)
        if e.is_Pow:
            return np.power(args[0], args[1])
        return _FUNCTIONS[type(e).__name__](*args)

    try:
        with np.errstate(all="ignore"):
            columns = [np.broadcast_to(value(e), (count,)) for e in expressions]
    except (KeyError, TypeError):
        return None
    return np.stack(columns, axis=1) if columns else np.zeros((count, 0))
