"""The check of stability: what each block of states does by itself, and what is asserted of it."""

from __future__ import annotations

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, asserted
from ssmlang.analysis.stability_analysis import Analysis, analyse
from ssmlang.analysis.stability_claims import Claims
from ssmlang.analysis.stability_constant import analyse_constant
from ssmlang.analysis.stability_domain import Domain

MAX_GROUPS = 8
"""Findings that nobody asked for, beyond which they are put together."""


def check(context: Context) -> list[Finding]:
    """Findings of what the states do: stable with its region, unit roots, undamped and explosive modes."""
    claims = asserted(context.model, "stable", "stationary", "unit_root")
    wanted = [c for c in claims if not all(a in _lifts(context) for a in c[1])]
    if not context.model.states or (not wanted and all(s.values is not None for s in context.model.states.values())):
        return []
    found = _analysis(context)
    if isinstance(found, str):
        return [Finding(text, "unknown", found, line, asserted=True) for text, _, line in wanted]
    try:
        work = Claims(context, found)
        made = [work.asserted(text, args, line) for text, args, line in wanted]
        spoken = {b for text, args, _ in wanted for b in found.own(work.entries(args))}
        return made + _unasked(work, found, spoken)
    except OutOfTime as late:
        return [Finding(text, "unknown", str(late), line, asserted=True) for text, _, line in wanted]


def _analysis(context: Context) -> Analysis | str:
    if context.constant is not None:
        settled = analyse_constant(context.constant)
        if settled is not None:
            return settled
    from ssmlang.analysis.stability_dynamics import dynamics_of

    dynamics = dynamics_of(context)
    if isinstance(dynamics, str):
        return dynamics
    supports = context.supports
    return analyse(dynamics, Domain(supports.intervals, supports.stationary, supports.simplexes), context.budget)


def _lifts(context: Context) -> set[str]:
    return {lift.name for lift in context.model.lifts}


def _unasked(work: Claims, found: Analysis, spoken: set[int]) -> list[Finding]:
    """A finding for each group of blocks alike that no assertion is about; what is not linear is left out."""
    groups: dict[object, list[int]] = {}
    for b, j in enumerate(found.judged):
        if b in spoken or j.opaque:
            continue
        places = tuple((f.place, f.order, f.multiplicity) for f in j.factors) if j.factors is not None else None
        bases = tuple(dict.fromkeys(n.split("[")[0] for n in j.names))
        groups.setdefault((bases, places, found.integrated[b]), []).append(b)
    made = [work.plain([found.judged[b] for b in own]) for own in groups.values()]
    if len(made) <= MAX_GROUPS:
        return made
    rest = made[MAX_GROUPS - 1 :]
    worst = next((f for v in ("refuted", "unknown") for f in rest if f.verdict == v), rest[0])
    text = f"{len(rest)} further blocks: " + "; ".join(f"{f.property} {f.verdict}" for f in rest[:20])
    return [*made[: MAX_GROUPS - 1], Finding("the other states", worst.verdict, text)]

