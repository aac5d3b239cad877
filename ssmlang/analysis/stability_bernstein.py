"""Positivity of polynomials on boxes by Bernstein coefficients, in exact fractions.

A polynomial whose Bernstein coefficients over a box are all >= 0, and not all 0, is positive inside of it (Garloff,
"Convergent bounds for the range of multivariate polynomials", 1986). Boxes are halved where that does not decide. On a
half line (0, oo) the coefficients themselves do the same, and it is cut at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

MAX_COEFFICIENTS = 4_000
MAX_DEPTH = 7
MAX_BOXES = 200


@dataclass(frozen=True)
class Side:
    """One variable: the interval (low, high), an end None where there is none. `closed`: the ends belong to it."""

    low: Fraction | None
    high: Fraction | None
    closed: bool = False


def positive_on(table: np.ndarray, sides: Sequence[Side], tick: Callable[[], None] = lambda: None) -> bool:
    """Whether the polynomial with coefficients `table` (an axis a variable, by rising powers) is proved positive on the
    product of `sides`. A whole line is cut at 0. False says nothing."""
    if table.size > MAX_COEFFICIENTS:
        return False
    for axis, side in enumerate(sides):
        if side.low is None and side.high is None and table.shape[axis] > 1:
            parts = [Side(Fraction(0), None), Side(None, Fraction(0))]
            others = lambda s, axis=axis: [*sides[:axis], s, *sides[axis + 1 :]]
            at_zero = np.take(table, [0], axis)
            return all(positive_on(t, others(s), tick) for t, s in
                       [(table, parts[0]), (table, parts[1]), (at_zero, parts[0])])  # fmt: skip
    half = np.zeros(table.ndim, bool)
    for axis, side in enumerate(sides):
        if table.shape[axis] == 1:
            continue
        if side.low is not None and side.high is not None:
            table = _to_bernstein(_moved(table, axis, side.low, side.high - side.low), axis)
        elif side.low is not None:
            table, half[axis] = _moved(table, axis, side.low, Fraction(1)), True
        else:
            assert side.high is not None
            table, half[axis] = _moved(table, axis, side.high, Fraction(-1)), True
    inner = np.array([[s.closed, s.closed] for s in sides])
    return _boxes(table, half, inner, 0, [MAX_BOXES], tick)


def _apply(matrix: list[list[Fraction]], table: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(np.tensordot(np.array(matrix, dtype=object), table, (1, axis)), 0, axis)


def _moved(table: np.ndarray, axis: int, first: Fraction, width: Fraction) -> np.ndarray:
    """In u, where x = first + width u."""
    if first == 0 and width == 1:
        return table
    d = table.shape[axis]
    entry = lambda i, j: math.comb(j, i) * first ** (j - i) * width**i if j >= i else Fraction(0)
    rows = [[entry(i, j) for j in range(d)] for i in range(d)]
    return _apply(rows, table, axis)


def _to_bernstein(table: np.ndarray, axis: int) -> np.ndarray:
    d = table.shape[axis] - 1
    rows = [[Fraction(math.comb(i, j), math.comb(d, j)) if j <= i else Fraction(0) for j in range(d + 1)]
            for i in range(d + 1)]  # fmt: skip
    return _apply(rows, table, axis)


def _boxes(table: np.ndarray, half: np.ndarray, inner: np.ndarray, depth: int, left: list[int],
           tick: Callable[[], None]) -> bool:  # fmt: skip
    tick()
    left[0] -= 1
    if left[0] < 0 or depth > MAX_DEPTH:
        return False
    if _faces_positive(table, inner):
        return True
    axes = [a for a in range(table.ndim) if table.shape[a] > 1]
    if not axes or any(v < 0 for v in _corners(table, half)):
        return False
    axis = axes[depth % len(axes)]
    halves = _split_half_line(table, axis) if half[axis] else _split_unit(table, axis)
    for side, (part, is_half) in enumerate(halves):
        own_half, own_inner = half.copy(), inner.copy()
        own_half[axis] = is_half
        own_inner[axis, 1 - side] = True
        if not _boxes(part, own_half, own_inner, depth + 1, left, tick):
            return False
    return True


def _faces_positive(table: np.ndarray, inner: np.ndarray) -> bool:
    """Positive inside, and on those faces that belong to the box."""
    choices = [[slice(None), *([0] if low else []), *([-1] if high else [])] for low, high in inner]
    for face in product(*choices):
        chosen: Any = table[face]  # type: ignore[index]
        part = np.ravel(chosen) if isinstance(chosen, np.ndarray) else [chosen]
        if min(part) < 0 or not max(part) > 0:
            return False
    return True


def _corners(table: np.ndarray, half: np.ndarray) -> list[Fraction]:
    """Values at the corners, of half lines the near end."""
    return [table[c] for c in product(*([0] if h else [0, -1] for h in half))]


def _split_unit(table: np.ndarray, axis: int) -> list[tuple[np.ndarray, bool]]:
    """De Casteljau at 1/2."""
    work = np.moveaxis(table, axis, 0)
    left, right = [work[:1]], [work[-1:]]
    for _ in range(len(work) - 1):
        work = (work[:-1] + work[1:]) * Fraction(1, 2)
        left.append(work[:1])
        right.append(work[-1:])
    back = lambda parts: np.moveaxis(np.concatenate(parts), 0, axis)
    return [(back(left), False), (back(right[::-1]), False)]


def _split_half_line(table: np.ndarray, axis: int) -> list[tuple[np.ndarray, bool]]:
    """(0, 1), in Bernstein form, and 1 + (0, oo)."""
    return [(_to_bernstein(table, axis), False), (_moved(table, axis, Fraction(1), Fraction(1)), True)]
