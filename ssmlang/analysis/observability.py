"""Whether the states can be known from the observations of later rows, for all parameters that the file allows."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, asserted
from ssmlang.model.linear import LinearForm

PROPERTY = "observable"
CODE = "W602"
MOST_FINDINGS = 5
MOST_UNLESS = 6


def check(context: Context) -> list[Finding]:
    """A finding for each block that loses something, or one for the whole model; and one for each assertion."""
    form = context.form
    if not context.model.states or not isinstance(form, LinearForm) or context.model.differentials:
        return []
    if form.whole_past:
        from ssmlang.analysis.observability_own_row import seen_in_their_row

        found_in_row = seen_in_their_row(context, form)
        return _answers(context, [found_in_row], {} if found_in_row.verdict == "proved" else None)
    if context.constant is not None:
        from ssmlang.analysis.observability_constant import all_observable

        seen = all_observable(context.constant)
        if seen is not None:
            return _answers(context, [seen], {})
    system = context.system
    if system is None:
        from ssmlang.analysis.numeric_draws import companions, rank_said

        reason = f"{context.coefficients:,} coefficients are more than algebra is good for here"
        numbers = rank_said(companions(context))
        reason += f"; {numbers}" if numbers else ""
        return _answers(context, [Finding(PROPERTY, "unknown", reason)], None)
    from ssmlang.analysis.observability_findings import findings

    found, lost = findings(context, system)
    if context.data and system.varying:
        from ssmlang.analysis.excitation import check_excitation

        found = [*found, *check_excitation(context, system)]
    return _answers(context, found, lost)


def _answers(context: Context, found: list[Finding], lost: dict[str, Finding] | None) -> list[Finding]:
    """What was found, with an answer to each assertion. `lost`: the entries of states that are not known, each with the
    finding that says so; None where nothing is known of any."""
    answers = []
    lifts = {lift.name for lift in context.model.lifts}
    for text, arguments, line in asserted(context.model, "observable", "detectable"):
        if set(arguments) <= lifts:
            continue  # of a lift, the check of lifts speaks
        answers.append(_answer(context, text, arguments, line, found, lost))
    return context.in_late_rows([*found, *answers])


def _answer(
    context: Context,
    text: str,
    arguments: Sequence[str],
    line: int,
    found: list[Finding],
    lost: dict[str, Finding] | None,
) -> Finding:
    names = [n for a in arguments for n in _entries(context, a)]
    strange = [a for a in arguments if not _entries(context, a)]
    if strange:
        reason = f"{strange[0]} is no state: for a parameter, `assert identifiable({strange[0]})`"
        return Finding(text, "unknown", reason, line, asserted=True)
    if lost is None or any(f.verdict == "unknown" for f in found):
        why = next(f for f in found if f.verdict == "unknown")
        return Finding(text, "unknown", why.reason, line, details=why.details, asserted=True)
    hit = next((lost[n] for n in names if n in lost), None)
    if hit is None:
        proved = next((f for f in found if f.verdict == "proved"), None)
        reason = proved.reason if proved is not None else "nothing of it is lost"
        return Finding(text, "proved", reason, line, unless=proved.unless if proved else (), asserted=True)
    if text.startswith("detectable") and any(d.startswith("detectable") for d in hit.details):
        return Finding(text, "proved", next(d for d in hit.details if d.startswith("detectable")), line, asserted=True)
    if text.startswith("detectable") and not any(d.startswith("not detectable") for d in hit.details):
        return Finding(text, "unknown", hit.reason, line, details=hit.details, asserted=True)
    return Finding(text, "refuted", hit.reason, line, (), hit.witness, hit.fix, "E602", hit.details, True,
                   hit.headline, hit.label)  # fmt: skip


def _entries(context: Context, argument: str) -> list[str]:
    """The entries of states that an argument (`x`, `x[t]`, `x[0]`, `trend.level`) names."""
    base, _, inside = argument.replace(" ", "").partition("[")
    state = context.model.states.get(base)
    if state is None:
        return []
    names = state.entry_names()
    labels = [p for p in inside.rstrip("]").split(",") if p and not p.startswith("t")]
    return [n for n in names if n == f"{base}[{','.join(labels)}]"] if labels else names


