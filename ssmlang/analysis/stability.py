"""The check of stability: what each block of states does by itself, and what is asserted of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, asserted
from ssmlang.analysis.stability_analysis import Analysis, analyse
from ssmlang.analysis.stability_claims import Claims
from ssmlang.analysis.stability_constant import analyse_constant
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_starts import without_law
from ssmlang.analysis.stability_words import some
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import State

Claim = tuple[str, tuple[str, ...], int]
"""An assertion: its text, its arguments, its line"""
MAX_GROUPS = 8
"""Findings that nobody asked for, beyond which they are put together."""


def check(context: Context) -> list[Finding]:
    """Findings of what the states do: stable with its region, unit roots, undamped and explosive modes."""
    claims = asserted(context.model, "stable", "stationary", "unit_root")
    wanted = [c for c in claims if not all(a in _lifts(context) for a in c[1])]
    discrete = [s for s in context.model.states.values() if s.values is not None]
    if discrete and not context.model.missing_constants:
        chains, wanted = _of_chains(context, discrete, wanted)
        if not wanted and len(discrete) == len(context.model.states):
            return chains
        return chains + context.in_late_rows(_of_numbers(context, wanted))
    return context.in_late_rows(_of_numbers(context, wanted)) if context.model.states else []


def _of_chains(
    context: Context, discrete: Sequence[State], wanted: Sequence[Claim]
) -> tuple[list[Finding], list[Claim]]:
    """What discrete states forget, answers to what is asserted of them alone, and what is asserted besides."""
    from ssmlang.analysis.chain_memory import filter_forgets, stable

    found = {s.name: stable(context, s) for s in discrete}
    answers, left = [], []
    for text, arguments, line in wanted:
        own = [found[a] for a in arguments if a in found]
        if len(own) < len(arguments) or text.startswith("unit_root"):
            left.append((text, arguments, line))
            continue
        f = next((f for v in ("refuted", "unknown") for f in own if f.verdict == v), own[0])
        first = {t.name: i.special for i in context.model.initials for t in i.targets}
        moving = text.startswith("stationary") and any(first.get(a) != "stationary" for a in arguments)
        if moving and f.verdict == "proved":
            late = "it starts elsewhere than in that law, and is stationary once its start is forgotten"
            f = replace(f, details=(*f.details, late))
        answers.append(replace(f, property=text, line=line, asserted=True,
                               code="E611" if f.verdict == "refuted" else None,
                               headline=f"`{text}` does not hold", label="depends on its start for ever"))  # fmt: skip
    spoken = {a for text, arguments, _ in wanted for a in arguments if not text.startswith("unit_root")}
    # What nobody asked for is said where there is something to say.
    unasked = [f for n, f in found.items() if n not in spoken and f.verdict != "unknown"]
    return [*answers, *unasked, *filter_forgets(context)], left


def _of_numbers(context: Context, wanted: Sequence[Claim]) -> list[Finding]:
    whole, wanted = _of_whole_past(context, wanted)
    return whole + _of_recursions(context, wanted)


def _of_whole_past(context: Context, wanted: Sequence[Claim]) -> tuple[list[Finding], list[Claim]]:
    """Of states that read their whole past and nothing else, and what is asserted besides."""
    if not isinstance(context.form, LinearForm) or not context.form.whole_past:
        return [], list(wanted)
    from ssmlang.analysis.whole_past import stable

    found = stable(context)
    answers, left = [], []
    for text, arguments, line in wanted:
        own = [f for a in arguments for n, f in found.items() if n == a or n.startswith(f"{a}[")]
        if not own or not text.startswith("stable") or any(a.split("[")[0] not in {n.split("[")[0] for n in found}
                                                           for a in arguments):  # fmt: skip
            left.append((text, arguments, line))
            continue
        f = next((f for v in ("refuted", "unknown") for f in own if f.verdict == v), own[0])
        answers.append(replace(f, property=text, line=line, asserted=True,
                               code="E611" if f.verdict == "refuted" else None,
                               headline=f"`{text}` does not hold", label="its variance grows"))  # fmt: skip
    spoken = {a for text, arguments, _ in wanted for a in arguments}
    unasked = [f for n, f in found.items() if n not in spoken and n.split("[")[0] not in spoken]
    return [*answers, *unasked], left


def _of_recursions(context: Context, wanted: Sequence[Claim]) -> list[Finding]:
    if not wanted and not isinstance(context.form, LinearForm):
        from ssmlang.analysis.stability_skeleton import nothing_linear

        if nothing_linear(context.model):
            return []
    found = _analysis(context)
    if isinstance(found, str):
        return _of_draws(context, wanted, found)
    try:
        work = Claims(context, found)
        made = [work.asserted(text, args, line) for text, args, line in wanted]
        spoken = {b for text, args, _ in wanted for b in found.own(work.entries(args))}
        return made + _unasked(work, found, spoken) + without_law(context, found, work)
    except OutOfTime as late:
        return [Finding(text, "unknown", str(late), line, asserted=True) for text, _, line in wanted]


def _of_draws(context: Context, wanted: Sequence[Claim], why: str) -> list[Finding]:
    """Unknown, with what numbers say at prior draws; unasked where they say something."""
    from ssmlang.analysis.numeric_draws import companions, radius_said

    numbers = radius_said(F for F, _ in companions(context))
    details = (numbers,) if numbers else ()
    if not wanted and numbers:
        name = some(list(context.model.states))
        return [Finding(f"stable({name})", "unknown", why, details=details)]
    return [Finding(text, "unknown", why, line, details=details, asserted=True) for text, _, line in wanted]


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

