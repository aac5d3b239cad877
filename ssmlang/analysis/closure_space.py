"""Spaces of functions of the state: what lies in the span of a dictionary, with its coordinates, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import cleared, is_zero, split
from ssmlang.analysis.closure_terms import Term

Vector = dict[Term, Element]


@dataclass
class _Row:
    pivot: Term
    values: Vector
    combination: dict[int, Element]


class Span:
    """The span of functions, over whatever depends on no state. All are first multiplied by what they divide by."""

    def __init__(self, functions: Sequence[Element]) -> None:
        self.algebra = functions[0].algebra
        self.count = 0
        self.rows: list[_Row] = []
        self.redundant: list[int] = []
        for function in functions:
            self.add(function)

    def add(self, function: Element) -> bool:
        """Add a function; False where it is a combination of those before it."""
        j = self.count
        self.count += 1
        values, combination = self._reduced(split(function))
        if not values:
            self.redundant.append(j)
            return False
        # A row says: values = function j - (a combination of the functions before it).
        combination = {k: -c for k, c in combination.items()}
        combination[j] = self.algebra.constant(1)
        self.rows.append(_Row(_pivot(values), values, combination))
        return True

    def coordinates(self, target: Element) -> tuple[dict[int, Element], Vector]:
        """Coefficients of the functions by position, and what is left over, as functions with coefficients."""
        rest, found = self._reduced(split(target))
        return {j: c for j, c in found.items() if not is_zero(c)}, rest

    def _reduced(self, values: Vector) -> tuple[Vector, dict[int, Element]]:
        rest = dict(values)
        combination: dict[int, Element] = {}
        for row in self.rows:
            self.algebra.tick()
            if row.pivot not in rest:
                continue
            by = rest[row.pivot]
            lead = row.values[row.pivot]
            by = by.scaled(1 / lead.number) if lead.number is not None else by * lead.inverse()
            for function, c in row.values.items():
                left = rest.get(function, self.algebra.constant(0)) - by * c
                if function == row.pivot or is_zero(left):
                    rest.pop(function, None)
                else:
                    rest[function] = left
            for j, c in row.combination.items():
                combination[j] = combination.get(j, self.algebra.constant(0)) + by * c
        return rest, combination


def _pivot(values: Vector) -> Term:
    """A function with a plain number before it where there is one, of the highest degree."""
    rank = lambda item: (item[1].number is not None, degree(item[0]), repr(item[0]))
    return max(values.items(), key=rank)[0]


def degree(function: Term) -> int:
    """The total degree of a function of the state, a wave or exponential counting as the number before its argument."""
    powers = sum(abs(e) for _, e in function.mono)
    inner = [sum(abs(e) for _, e in m) * max(1, int(abs(c))) for p in (function.grow, function.turn) for m, c in p]
    return powers + sum(inner)


def common(functions: Sequence[Element], images: Sequence[Element]) -> tuple[list[Element], list[Element]]:
    """Functions and images multiplied by one common divisor, so that comparing terms decides."""
    together = cleared([*functions, *images], moving=True)
    return together[: len(functions)], together[len(functions) :]


def assembled(parts: Vector) -> Element:
    """Functions with coefficients as one element."""
    items = list(parts.items())
    algebra = items[0][1].algebra
    total = algebra.constant(0)
    for function, c in items:
        total = total + Element(algebra, {function: Fraction(1)}) * c
    return total
