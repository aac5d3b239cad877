"""What an eigenvalue means for a series, in numbers and words: unit root, period, half-life, doubling time."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

ON_CIRCLE = 1e-9
"""Numeric moduli are told from one by more than this."""


@dataclass(frozen=True)
class Mode:
    """One eigenvalue of a transition from row to row."""

    value: complex

    @property
    def modulus(self) -> float:
        return abs(self.value)

    @property
    def kind(self) -> Literal["stable", "marginal", "explosive"]:
        if abs(self.modulus - 1) <= ON_CIRCLE:
            return "marginal"
        return "stable" if self.modulus < 1 else "explosive"

    @property
    def period(self) -> float | None:
        """Rows a turn: 2 for a negative real value, None for a positive one."""
        angle = abs(cmath.phase(self.value))
        if angle <= 1e-7 or self.modulus == 0:
            return None
        return 2 * math.pi / angle

    @property
    def half_life(self) -> float | None:
        """Rows until half is left, of a mode that decays."""
        return math.log(0.5) / math.log(self.modulus) if 0 < self.modulus < 1 - ON_CIRCLE else None

    @property
    def doubling_time(self) -> float | None:
        """Rows until twice as much, of a mode that grows."""
        return math.log(2) / math.log(self.modulus) if self.modulus > 1 + ON_CIRCLE else None

    def describe(self) -> str:
        """In words, such as "turns once in 20 rows, half-life 6.6 rows"."""
        period = self.period
        turn = "" if period is None else f"turns once in {figure(period)} rows"
        if period is not None and abs(period - 2) < 1e-7:
            turn = "changes sign every row"
        if self.kind == "marginal":
            if period is None:
                return "has a unit root at frequency zero"
            return f"has a unit root at period {figure(period)}" if rational_period(period) else f"{turn}, undamped"
        if self.kind == "explosive":
            percent, doubling = figure(100 * (self.modulus - 1)), rows_of(self.doubling_time or 0)
            grows = f"grows by {percent}% a row, doubling in {doubling}"
            return f"{turn} and {grows}" if turn else grows
        if self.modulus < 1e-12:
            return "gone after a finite number of rows"
        half = self.half_life or 0
        left = f"half-life {rows_of(half)}" if half >= 1 else "more than halved every row"
        return f"{turn}, {left}" if turn else left


def rows_of(count: float) -> str:
    """So many rows, in words."""
    shown = figure(count)
    return f"{shown} row{'' if shown == '1' else 's'}"


def modes(matrix: np.ndarray) -> tuple[Mode, ...]:
    """The modes of z[t] = matrix z[t-1], one of each conjugate pair, the slowest to die first."""
    return of_roots(np.linalg.eigvals(np.asarray(matrix, float)))


def of_roots(roots: Iterable[complex]) -> tuple[Mode, ...]:
    """One mode for each real root and each conjugate pair, by falling modulus."""
    kept = [Mode(complex(r)) for r in roots if complex(r).imag >= -1e-12]
    return tuple(sorted(kept, key=lambda m: (-round(m.modulus, 9), -(m.period or math.inf))))


def rational_period(period: float) -> Fraction | None:
    """The period as a fraction of a few rows, where it is one: the root is then a root of one."""
    near = Fraction(period).limit_denominator(60)
    return near if abs(float(near) - period) < 1e-7 * period and near < 1000 else None


def figure(x: float) -> str:
    """A number in three or so figures: 12, 2.4, 0.035, 1.2e+06."""
    near = rational_period(x) if x > 0 else None
    if near is not None and near.denominator == 1:
        return str(near.numerator)
    return f"{x:.3g}" if abs(x) < 1e4 else f"{x:.2g}"


def periods_of_unity(n: int) -> list[Fraction]:
    """Periods, longest first, of the primitive n-th roots of one: n/k for k < n/2 without a common divisor."""
    return [Fraction(n, k) for k in range(1, max(n // 2, 1) + 1) if math.gcd(n, k) == 1]


def spoken_periods(periods: Sequence[Fraction]) -> str:
    """`12`, `12 and 6`, `12, 6 and 12/5`."""
    words = [str(p.numerator) if p.denominator == 1 else f"{figure(float(p))}" for p in periods]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
