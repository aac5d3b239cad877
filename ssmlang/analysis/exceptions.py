"""Where in the parameters a system that is observable almost everywhere is not: named sets of equations.

The largest minors of what elimination leaves must all vanish at one z that is not zero. Each minor is a product of
irreducible factors: one of each must vanish, which leaves a few choices, and for each choice the resultants of the
factors that hold z are equations in the parameters alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from sympy.polys.rings import PolyElement

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.polynomials import Polynomials

MOST_CHOICES = 300
"""Partial choices that are followed before giving up."""
MOST_PRODUCTS = 60
"""Sets that one choice may come to."""
NeverZero = Callable[[PolyElement], bool]
Apart = Callable[[PolyElement, PolyElement], bool]
"""Whether two polynomials in the lag are known to share no zero, whatever the parameters are."""


@dataclass(frozen=True)
class Candidates:
    """Sets of equations (polynomials in the parameters, all zero) that may be exceptions; `complete`: there are no
    others."""

    sets: tuple[tuple[PolyElement, ...], ...]
    complete: bool


def common_zeros(
    system: Sequence[PolyElement], polynomials: Polynomials, never_zero: NeverZero, apart: Apart, budget: Budget
) -> Candidates:
    """Where polynomials in the lag and the parameters have a zero in common, the lag not being zero."""
    factored: list[list[PolyElement]] = []
    for f in system:
        budget.check()
        own = polynomials.factors(f)
        if own is None:
            return Candidates((), False)
        kept = [g for g in own if not _is_lag(g, polynomials) and not never_zero(g)]
        if not kept:
            return Candidates((), True)
        factored.append(kept)
    # Short ones first: what they make zero settles many of the others.
    weight = lambda own: (sum(len(g) for g in own) + len(own), max(len(g) for g in own))
    chosen, complete = _choices(sorted(factored, key=weight), polynomials, budget)
    found: list[tuple[PolyElement, ...]] = []
    for choice in chosen:
        budget.check()
        sets = _equations(choice, polynomials, never_zero, apart)
        complete &= sets is not None
        found += sets or []
    return Candidates(tuple(smallest(found)), complete)


def _is_lag(f: PolyElement, polynomials: Polynomials) -> bool:
    return len(f) == 1 and sum(next(iter(f.itermonoms()))[1:]) == 0


def _choices(
    factored: list[list[PolyElement]], polynomials: Polynomials, budget: Budget
) -> tuple[list[frozenset[PolyElement]], bool]:
    """The smallest sets that hold a factor of every polynomial."""
    found: list[frozenset[PolyElement]] = []
    pending: list[tuple[int, frozenset[PolyElement]]] = [(0, frozenset())]
    visited = 0
    while pending:
        budget.check()
        at, chosen = pending.pop()
        visited += 1
        if visited > MOST_CHOICES:
            return found, False
        if any(f <= chosen for f in found):
            continue
        zero = _zero_parameters(chosen)
        while at < len(factored) and any(g in chosen or _vanishes(g, zero) for g in factored[at]):
            at += 1
        if at == len(factored):
            found = [f for f in found if not chosen <= f] + [chosen]
            continue
        pending += [(at + 1, chosen | {g}) for g in reversed(factored[at])]
    return found, True


def _zero_parameters(chosen: frozenset[PolyElement]) -> set[int]:
    """Places of the generators that a choice says are zero."""
    found = set()
    for f in chosen:
        if len(f) == 1:
            (monomial,) = f.itermonoms()
            if sum(monomial) == 1:
                found.add(monomial.index(1))
    return found


def _vanishes(f: PolyElement, zero: set[int]) -> bool:
    return bool(zero) and all(any(m[i] for i in zero) for m in f.itermonoms())


def _equations(
    choice: frozenset[PolyElement], polynomials: Polynomials, never_zero: NeverZero, apart: Apart
) -> list[tuple[PolyElement, ...]] | None:
    """The sets of equations in the parameters that one choice comes to; None where they could not be formed."""
    chosen = sorted(choice, key=lambda f: (polynomials.lag_degree(f), len(f), f.terms()))
    with_lag = [f for f in chosen if polynomials.in_lag(f)]
    if any(apart(f, g) for f, g in combinations(with_lag, 2)):
        return []
    alternatives: list[list[PolyElement]] = [[f] for f in chosen if not polynomials.in_lag(f)]
    for other in with_lag[1:]:
        eliminant = polynomials.resultant(with_lag[0], other)
        if eliminant is None:
            return None
        if not eliminant:
            continue
        own = polynomials.factors(eliminant)
        if own is None:
            return None
        own = [g for g in own if not never_zero(g)]
        if not own:
            return []
        alternatives.append(own)
    if math.prod(map(len, alternatives)) > MOST_PRODUCTS:
        return None
    return [_needed(tuple(dict.fromkeys(each))) for each in product(*alternatives)] if alternatives else [()]


def _needed(equations: tuple[PolyElement, ...]) -> tuple[PolyElement, ...]:
    """Without those that hold where parameters are zero that others say are."""
    zero = _zero_parameters(frozenset(equations))
    single = lambda f: len(f) == 1 and sum(next(iter(f.itermonoms()))) == 1
    return tuple(f for f in equations if single(f) or not _vanishes(f, zero))


def smallest(sets: Sequence[tuple[PolyElement, ...]]) -> list[tuple[PolyElement, ...]]:
    """Without repetitions and without sets that lie inside of others."""
    unique = list({frozenset(s): s for s in sets}.values())
    return [s for s in unique if not any(o is not s and inside(s, o) for o in unique)]


def inside(inner: tuple[PolyElement, ...], outer: tuple[PolyElement, ...]) -> bool:
    """Whether one set of equations plainly implies another."""
    zero = _zero_parameters(frozenset(inner))
    return all(f in inner or _vanishes(f, zero) for f in outer)
