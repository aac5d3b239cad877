"""One lift: whether z[t] = K z[t-1] follows from the equations, K where it does, and what is left over where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Span, Vector, common
from ssmlang.analysis.closure_terms import Term

ROUNDING = 1e-14
"""Coefficients this small beside their neighbours are the rounding of constants known to double precision."""


@dataclass(frozen=True)
class Closure:
    """What becomes of the functions of a lift. `matrix`: row -> column -> coefficient of K; `left`: row -> what is not
    in the span, as functions with coefficients (`divided`: all of it over a common divisor); `redundant`: functions
    that are combinations of those before; `opaque`: refuting needs numbers, for some functions have no algebra;
    `rounded`: it closes to the rounding of constants."""

    koopman: Koopman
    functions: tuple[Element, ...]
    images: tuple[Element, ...]
    matrix: dict[int, dict[int, Element]]
    left: dict[int, Vector]
    redundant: tuple[int, ...] = ()
    opaque: bool = False
    rounded: bool = False
    divided: bool = False

    @property
    def closed(self) -> bool:
        return not self.left


def examine(koopman: Koopman, functions: Sequence[Element]) -> Closure:
    """Compare the functions one row on (their rates of change) with their span. Raises Unsupported."""
    images = [koopman.after(f) for f in functions]
    own, others = common(functions, images)
    span = Span(own)
    matrix: dict[int, dict[int, Element]] = {}
    left: dict[int, Vector] = {}
    rounded = False
    for i, image in enumerate(others):
        koopman.tick()
        matrix[i], rest = span.coordinates(image)
        if rest and koopman.exact.rounded and _negligible(rest, split(image)):
            rest, rounded = {}, True
        if rest:
            left[i] = rest
    algebra = koopman.algebra
    opaque = any(algebra.has_opaque(e) for e in (*functions, *images))
    divided = any(a is not b for a, b in zip(functions, own))
    return Closure(koopman, tuple(functions), tuple(images), matrix, left, tuple(span.redundant), opaque, rounded,
                   divided)  # fmt: skip


def _negligible(rest: Vector, whole: Vector) -> bool:
    size = lambda e: max((abs(float(c)) for c in e.terms.values()), default=0.0)
    scale = max((size(e) for e in whole.values()), default=0.0)
    return all(size(e) <= ROUNDING * scale for e in rest.values())


def constant_position(functions: Sequence[Element]) -> int | None:
    """The function that is the same everywhere, if the lift has one."""
    return next((i for i, f in enumerate(functions) if f.terms and not f.moves), None)


def unit(term: Term) -> bool:
    """Whether a function of the state is the constant 1."""
    return term == Term()
