"""The smallest set of functions that holds given ones and closes, if one exists up to a degree.

It is the span of the functions and all their images: a set that closes and holds the functions holds those too. So
where they leave a degree, no set up to that degree closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Span, Vector, assembled, degree
from ssmlang.analysis.scalars import Unsupported

MAX_FUNCTIONS = 120


@dataclass(frozen=True)
class Search:
    """`added`: functions to add, or None where none closes up to the degree; `reason` then says what stands against
    it, `beyond` is the first function that leaves the degree."""

    added: tuple[Element, ...] | None
    reason: str = ""
    beyond: Element | None = None


def search(koopman: Koopman, functions: Sequence[Element], limit: int) -> Search:
    """The fewest functions of degree `limit` or less that close the given ones."""
    whole = _grown(koopman, functions, limit, apart=True)
    if whole.added is None or len(whole.added) < 2:
        return whole
    fewer = _grown(koopman, functions, limit, apart=False)
    if fewer.added is None or len(fewer.added) >= len(whole.added):
        return whole
    # Fewer functions, if they can be written down without the parameters.
    plain = all(c.number is not None for f in fewer.added for c in split(f).values())
    return fewer if plain else whole


def _grown(koopman: Koopman, functions: Sequence[Element], limit: int, apart: bool) -> Search:
    """Add what is left over until nothing is: each function of it by itself (`apart`), or all of it as one."""
    known = Span(functions)
    added: list[Element] = []
    waiting = list(functions)
    while waiting:
        koopman.tick()
        try:
            image = koopman.after(waiting.pop(0))
        except Unsupported as trouble:
            return Search(None, trouble.reason)
        _, rest = known.coordinates(image)
        if not rest:
            continue
        algebra = koopman.algebra
        new = [Element(algebra, {t: Fraction(1)}) for t in sorted(rest, key=lambda t: (degree(t), repr(t)))]
        if not apart:
            new = [_scaled(rest)]
        for function in new:
            if algebra.has_opaque(function):
                return Search(None, "what is left over is no sum of powers, exponentials, sines and cosines", function)
            if any(degree(t) > limit for t in function.terms):
                return Search(None, f"what is left over has a degree above {limit}", function)
            if known.count >= MAX_FUNCTIONS:
                return Search(None, f"more than {MAX_FUNCTIONS} functions would be needed", function)
            if known.add(function):
                added.append(function)
                waiting.append(function)
    return Search(tuple(added))


def _scaled(rest: Vector) -> Element:
    """The function that is left over, with 1 before its leading term where that is possible."""
    first = max(rest, key=lambda t: (degree(t), repr(t)))
    lead = rest[first]
    by = lead.inverse()
    return assembled({t: c * by for t, c in rest.items()})
