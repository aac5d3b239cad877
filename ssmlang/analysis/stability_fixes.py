"""What to type so that a state becomes stable for every value allowed."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.context import Context
from ssmlang.analysis.stability_analysis import Judged
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_factors import Factor
from ssmlang.analysis.stability_text import informative
from ssmlang.analysis.stability_words import conditions, written
from ssmlang.model.autoregression import whose

GROWS = "give it a coefficient below one in size, if that is not meant"


def fix_for(factors: Sequence[Factor], context: Context, domain: Domain) -> str | None:
    """One line that would make these factors stable, where there is one."""
    open_ = [f for f in factors if f.place in ("depends", "unknown", "not inside") and f.symbols]
    if not open_:
        return None
    owner = context.supports.owner
    f = open_[0]
    group = [-c for c in f.coefficients[1:]]
    names = {owner[s][0] for s in group if isinstance(s, sp.Symbol) and s in owner}
    whole = [s for s in group if isinstance(s, sp.Symbol)]
    if f.degree > 1 and len(whole) == len(group) and len(names) == 1:
        p = context.model.parameters[next(iter(names))]
        places = [owner[s][1] % p.shape[-1] for s in whole] if p.shape else []
        if places == list(range(len(group))) and p.shape[-1] == len(group) and whose(context.model, p) is not None:
            return f"declare them stationary: `param {_declared(p)} in stationary ~ ...`"
    if len(f.symbols) == 1:
        (s,) = f.symbols
        if s in owner:
            found = _interval(f, s, domain) if f.degree == 1 else _by_conditions(f, s, domain)
            if found is not None:
                name = _declared(context.model.parameters[owner[s][0]])
                return f"give it an interval: `param {name} in {found} ~ ...`"
    where = conditions(informative(f))
    return f"give the parameters supports in which {', '.join(where)}" if 0 < len(where) <= 4 else None


def fix_never(found: Sequence[Judged], arguments: Sequence[str] = ()) -> str:
    """What to write where blocks are stable for no value allowed; `arguments` are those of an assertion."""
    factors = [f for j in found for f in j.factors or ()]
    if any(f.place in ("outside", "not inside") for f in factors):
        return GROWS
    if any(f.place == "circle" for f in factors) or any(n > 2 for j in found for n in j.unity):
        damped = "multiply what it reads of its own past by a damping, `param damping in (0, 1)`"
    else:
        damped = "let it fall back: `param back in (0, 1)` times what it reads of its own past"
    if any(f.place not in ("unity", "circle", "inside") for f in factors):
        return damped
    return f"if that is meant, assert `unit_root({', '.join(arguments)})` in place of this; else {damped}"


def fix_wide(names: Sequence[str]) -> str:
    """What to write where a polynomial is too large for algebra and some prior draws are unstable."""
    return f"narrow the prior of {', '.join(names)} until no draw grows, or leave the claim to the data"


def _declared(p: object) -> str:
    from ssmlang.analysis.report import _sized

    return _sized(p)


def _by_conditions(f: Factor, s: sp.Symbol, domain: Domain) -> str | None:
    """The values of one parameter for which all conditions hold, where each is linear in it."""
    low, high = domain.intervals.get(s, (-sp.oo, sp.oo))
    if not (low.is_number and high.is_number):
        return None
    for g in informative(f):
        if not g.is_polynomial(s) or sp.degree(g, s) != 1:
            return None
        slope, root = g.coeff(s, 1), -g.coeff(s, 0) / g.coeff(s, 1)
        low, high = (max(low, root), high) if slope > 0 else (low, min(high, root))
    return f"({written(low)}, {written(high)})" if low < high else None


def _interval(f: Factor, s: sp.Symbol, domain: Domain) -> str | None:
    """The values of one parameter that put the root of a linear factor inside, met with its own interval."""
    ends = []
    plain = sp.Dummy(real=True)
    for bound in (-1, 1):
        roots = sp.solve(sp.Eq((f.coefficients[0] * bound + f.coefficients[1]).xreplace({s: plain}), 0), plain)
        ends += [r for r in roots if r.is_real]
    if len(ends) != 2:
        return None
    low, high = sorted(ends)
    own = domain.intervals.get(s, (-sp.oo, sp.oo))
    if own[0].is_number:
        low = max(low, own[0])
    if own[1].is_number:
        high = min(high, own[1])
    return f"({written(low)}, {written(high)})" if low < high else None
