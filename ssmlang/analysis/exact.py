"""The exact number that was meant by a double: a fraction, a root of a fraction, a cosine of a fraction of the circle.

Constants of a model are folded in double precision (`cos(2*pi/12)` is 0.8660254037844387 by the time it is a matrix
entry); algebra needs the number itself. A number is recognised where it agrees to the last bits with a simple one.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from ssmlang.analysis.algebra import sp

MOST_TURNS = 800
"""Cosines of k/n of the circle are recognised up to this n."""
SMALL = 64
ROUNDING = 1e-15
"""What a fraction with a small denominator may be off by."""
TURNING = 3e-15
"""What a cosine may be off by, whose angle was rounded three times on the way: 2 * pi * k / n."""


@lru_cache(maxsize=4096)
def exact(value: float) -> sp.Expr:
    """The exact number that a finite double stands for; itself, as a fraction, where it stands for nothing simple."""
    if value == int(value) and abs(value) < 2**53:
        return sp.Integer(int(value))
    found = simple_fraction(value)
    if found is not None:
        return sp.Rational(found.numerator, found.denominator)
    if abs(value) < ROUNDING:
        return sp.S.Zero
    circle = _simple(value / math.pi, 400)
    if circle is not None:
        return sp.pi * sp.Rational(circle.numerator, circle.denominator)
    square = _simple(value * value, 5_000, 10)
    if square is not None:
        root = sp.sqrt(sp.Rational(square.numerator, square.denominator))
        return root if value > 0 else -root
    turned = turn_of(abs(value))
    if turned is not None and value < 0:
        return -exact(-value)
    if turned is not None:
        return sp.cos(2 * sp.pi * sp.Rational(turned.numerator, turned.denominator), evaluate=False)
    whole = Fraction(value)
    return sp.Rational(whole.numerator, whole.denominator)


def simple_fraction(value: float) -> Fraction | None:
    """A decimal of at most 12 digits, or a fraction with a small denominator."""
    text = repr(value)
    digits = text.split("e")[0].replace("-", "").replace(".", "").strip("0")
    if len(digits) <= 12:
        return Fraction(text)
    near = Fraction(value).limit_denominator(SMALL)
    return near if near and abs(float(near) - value) <= ROUNDING * max(1, abs(value)) else _simple(value, 10_000)


def turn_of(value: float) -> Fraction | None:
    """The fraction of the circle (between 0 and 1/2) whose cosine this is."""
    if not -1 < value < 1:
        return None
    near = Fraction(math.acos(value) / (2 * math.pi)).limit_denominator(MOST_TURNS)
    return near if abs(math.cos(2 * math.pi * near.numerator / near.denominator) - value) <= TURNING else None


def _simple(value: float, denominator: int, ulps: int = 2) -> Fraction | None:
    near = Fraction(value).limit_denominator(denominator)
    return near if near and abs(float(near) - value) <= ulps * math.ulp(value) else None
