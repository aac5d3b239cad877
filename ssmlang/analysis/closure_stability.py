"""Whether the modes of a lift die out, for which parameters, and with what prior probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from ssmlang.analysis.closure_lift import Closure
from ssmlang.analysis.closure_operator import Part, discrete
from ssmlang.analysis.closure_words import Words
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Outcome
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_factors import Factor, judge
from ssmlang.analysis.stability_signs import positive
from ssmlang.analysis.stability_words import conditions

DRAWS = 400
DAMP = "leave such functions out of the lift, or give their states a damping; else leave the claim out"


@dataclass(frozen=True)
class Stable:
    """`said`: the region, in words that go after the eigenvalues."""

    verdict: Outcome
    said: str
    details: tuple[str, ...] = ()
    fix: str | None = None


def stable(context: Context, parts: Sequence[Part], closure: Closure, words: Words) -> Stable:
    """Whether every eigenvalue but that of the constant function dies out, under the declared supports."""
    continuous = closure.koopman.continuous
    supports = context.supports
    domain = Domain(supports.intervals, supports.stationary, supports.simplexes)
    known = set(supports.owner)
    names = words.functions(closure.functions)
    undecided: list[str] = []
    open_conditions: list[sp.Expr] = []
    for part in parts:
        if part.constant:
            continue
        context.budget.check()
        c = part.coefficients
        if c is None or any(not set(e.free_symbols) <= known or not e.is_polynomial() for e in c):
            if c is not None and _keeps(c, continuous):
                of = ", ".join(names[i] for i in part.rows[:4])
                keep = "sum to 0" if continuous else "multiply to 1 in size"
                return Stable("refuted", f"not stable: eigenvalues of {of} {keep}, so that not all die out", fix=DAMP)
            undecided.append(str(part))
            continue
        factor = judge(c, part.multiplicity, domain) if not continuous else _of_rates(c, part.multiplicity, domain)
        if factor.place == "inside":
            continue
        if factor.place in ("unity", "circle", "outside", "not inside"):
            of = ", ".join(names[i] for i in part.rows[:4])
            stays = _stays(factor.place, continuous)
            return Stable("refuted", f"not stable: eigenvalue {part} of {of} {stays}", fix=DAMP)
        if factor.place == "depends":
            open_conditions += factor.conditions
        else:
            undecided.append(str(part))
    if open_conditions:
        region = ", ".join(conditions(open_conditions))
        probability = _probability(context, parts, continuous)
        more = f", and of {', '.join(undecided)} nothing is proved" if undecided else ""
        return Stable("refuted", f"stable only where {region}{more}", probability,
                      f"give the parameters supports in which {region}")  # fmt: skip
    if undecided:
        said = f"of {', '.join(undecided)} nothing is proved"
        return Stable("unknown", said, _probability(context, parts, continuous))
    return Stable("proved", "stable for every parameter allowed")


def _keeps(c: Sequence[sp.Expr], continuous: bool) -> bool:
    """Whether the roots multiply to 1 in size (as rates, sum to 0)."""
    return bool(c[1] == 0) if continuous else sp.cancel(c[-1] / c[0]) in (1, -1)


def _of_rates(coefficients: Sequence[sp.Expr], multiplicity: int, domain: Domain) -> Factor:
    """Where the roots of a polynomial of rates lie, by Hurwitz' conditions up to degree 3; "inside" is the left half of
    the plane."""
    c = tuple(coefficients)
    if c[0].is_negative:
        c = tuple(-e for e in c)
    if not c[0].is_positive or len(c) > 4:
        return judge(discrete(coefficients), multiplicity, domain)
    wanted = [*c[1:], sp.expand(c[1] * c[2] - c[0] * c[3])] if len(c) == 4 else list(c[1:])
    symbols = {s for e in c for s in e.free_symbols}
    signs = [positive(sp.expand(g), domain, symbols) for g in wanted]
    open_ones = tuple(g for g, s in zip(wanted, signs) if not s.positive)
    if not open_ones:
        return Factor(c, multiplicity, "inside")
    if any(s.positive is False for s in signs):
        never = any(g == 0 or (s.positive is False and positive(-g, domain, symbols).positive)
                    for g, s in zip(wanted, signs))  # fmt: skip
        return Factor(c, multiplicity, "not inside" if never else "depends", conditions=open_ones)
    return Factor(c, multiplicity, "unknown", conditions=open_ones)


def _stays(place: str, continuous: bool) -> str:
    if place in ("unity", "circle"):
        return "neither grows nor dies out"
    return "grows" if place == "outside" else "does not die out"


def _probability(context: Context, parts: Sequence[Part], continuous: bool) -> tuple[str, ...]:
    """The prior probability of the region, by draws."""
    symbols = sorted({s for p in parts for e in p.coefficients or () for s in e.free_symbols}, key=str)
    if any(p.coefficients is None for p in parts) or not set(symbols) <= set(context.supports.owner):
        return ()
    functions = [sp.lambdify(symbols, list(p.coefficients or ()), "numpy") for p in parts if not p.constant]
    inside = 0
    for draw in context.draws(DRAWS):
        at = context.at(draw)
        values = [at[s] for s in symbols]
        roots = np.concatenate([np.roots(np.asarray(f(*values), float)) for f in functions])
        inside += bool((roots.real < 0).all() if continuous else (np.abs(roots) < 1).all())
    share = inside / DRAWS
    error = max((share * (1 - share) / DRAWS) ** 0.5, 1 / DRAWS)
    return (f"prior probability that it is stable: {share:.3g} (to about {error:.1g}, {DRAWS} draws)",)
