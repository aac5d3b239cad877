"""Stationary starts of states that have no stationary law, whatever the parameters are."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.stability_analysis import Analysis, Judged
from ssmlang.analysis.stability_claims import Claims
from ssmlang.analysis.stability_words import some

CODE = "W615"


def without_law(context: Context, analysis: Analysis, work: Claims) -> list[Finding]:
    """A finding for the blocks that start in a stationary law and never have one: the likelihood is zero."""
    special = {t.name: i.special for i in context.model.initials for t in i.targets}
    asked = lambda j: all(special.get(n.split("[")[0]) == "stationary" for n in j.names)
    found = [j for j in analysis.judged if j.inside is False and work.never(j) and asked(j)]
    if not found:
        return []
    name = work.named(found)
    reason = f"no values allowed give a stationary law, and without one the likelihood is zero: {_why(work, found)}"
    return [Finding(f"stationary start of {name}", "refuted", reason, context.line_of(found[0].names[0]), code=CODE,
                    fix=_fix(found), headline=f"{name} starts in a law that does not exist",
                    label="has no stationary law", span_of=found[0].names[0])]  # fmt: skip


def _why(work: Claims, found: Sequence[Judged]) -> str:
    if len(found) == 1:
        return work.why_never(found[0])
    return "; ".join(f"{work.named([j])}: {work.why_never(j)}" for j in found[:4])


def _fix(found: Sequence[Judged]) -> str:
    names = some(list(dict.fromkeys(n.split("[")[0] for j in found for n in j.names)))
    return f"start {names}, and what reads {'it' if ' ' not in names else 'them'}, by a law of your own or Diffuse()"
