"""Koopman lifts: whether `lift z[t] = [...] exact` is one, its matrix K, and what would close it where not."""

from __future__ import annotations

import numpy as np

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.closure_lift import Closure, examine
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_words import Words
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.scalars import Unsupported
from ssmlang.language.source import Span
from ssmlang.model.entries import entry
from ssmlang.model.model import Lift
from ssmlang.model.show import show

DRAWS = 3


def check(context: Context) -> list[Finding]:
    """A finding for each lift, and for each assertion of a property of one."""
    if not context.model.lifts:
        return []
    found: list[Finding] = []
    for lift in context.model.lifts:
        context.budget.restart()
        with np.errstate(all="ignore"):
            found += _one(context, lift)
    return found


def names_of(lift: Lift) -> list[str]:
    """The functions of a lift as they are written."""
    return [show(entry(lift.value, i)) for i in range(lift.value.size)]


def _line(span: Span) -> int:
    return span.source.position(span.start)[0]


def _one(context: Context, lift: Lift) -> list[Finding]:
    from ssmlang.analysis import closure_report as report

    name = f"lift {lift.name} {lift.mode}"
    line = _line(lift.span)
    exact = lift.mode == "exact"
    unknown = lambda reason: [
        Finding(name, "unknown", reason, line, asserted=exact, span_of=lift.name, code="E501" if exact else None),
        *report.stability(context, lift, None, None),
        *report.observability(context, lift, None, lift.value.size),
    ]
    try:
        koopman = Koopman(context.model, context.budget.check)
        closure = examine(koopman, koopman.functions(lift.value))
    except Unsupported as trouble:
        place = f" (line {_line(trouble.span)}: `{trouble.span.text}`)" if trouble.span is not None else ""
        return unknown(f"{trouble.reason}{place}{_tried(context, lift)}")
    except OutOfTime as late:
        return unknown(f"the algebra {late}{_tried(context, lift)}")
    words = Words(context, koopman)
    agreed = confirmed(context, closure, lift)
    if agreed is False or (agreed is None and closure.opaque and closure.left):
        said = "closes" if closure.left else "does not close"
        return unknown(f"algebra finds no proof, and in double precision it {said} at random points")
    if closure.closed:
        return report.proved(context, lift, closure, words, line)
    return report.refuted(context, lift, closure, words, line)


def _tried(context: Context, lift: Lift) -> str:
    """What numbers say where algebra does not."""
    from ssmlang.analysis.closure_numbers import closes_numerically

    context.budget.restart()
    try:
        found = closes_numerically(context.model, lift.value, context.draws(DRAWS), context.budget.check)
    except (Unsupported, OutOfTime):
        return ""
    if found is None:
        return ""
    return f"; in double precision it {'closes' if found else 'does not close'} at random points"


def confirmed(context: Context, closure: Closure, lift: Lift) -> bool | None:
    """Whether double precision agrees, at a few prior draws; None where it does not decide."""
    from ssmlang.analysis.closure_numbers import agrees

    draws = [{k: np.asarray(v) for k, v in d.items()} for d in context.draws(DRAWS)]
    return agrees(closure, lift.value, draws)
