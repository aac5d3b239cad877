"""From findings to diagnostics: refuted is a warning, refuted and asserted an error, unknown and asserted a warning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.language.allow import ANALYSIS, Allow, allowing, unused
from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.source import Source, Span
from ssmlang.model.model import Model

OF_DATA = frozenset({"W605", "W622", "W631"})
"""Warnings that depend on the data, or on how many rows there are."""


def unanswered(model: Model, found: Sequence[Finding]) -> list[Finding]:
    """A finding for each assertion that no check has spoken of."""
    known = {f.property for f in found if f.asserted}
    missing = []
    for a in model.assertions:
        text = f"{a.property}({', '.join(a.arguments)})"
        if text not in known:
            line = a.span.source.position(a.span.start)[0]
            missing.append(Finding(text, "unknown", "this version has no proof of it", line, asserted=True))
    return missing


@dataclass(frozen=True)
class Said:
    """The findings, those that comments of the file allow marked as such, what is said of the others, and which
    comments were of use."""

    findings: tuple[Finding, ...]
    diagnostics: tuple[Diagnostic, ...]
    spent: frozenset[Allow]


def said(context: Context, found: Sequence[Finding]) -> Said:
    """What the findings say to someone who reads warnings and errors alone."""
    pairs = [(f, diagnostic_of(context, f)) for f in found]
    # An assertion that fails says all that the warning about the same thing would.
    failed = {d.code[1:] for _, d in pairs if d is not None and d.severity == "error"}
    findings, diagnostics, spent = [], [], set()
    for f, d in pairs:
        if d is None or (d.severity == "warning" and d.code[1:] in failed):
            findings.append(f)
        elif (allow := _allowing(context, f, d)) is not None:
            spent.add(allow)
            findings.append(replace(f, allowed=allow.line, details=(*f.details, f"allowed on line {allow.line}")))
        else:
            findings.append(f)
            diagnostics.append(d)
    return Said(tuple(findings), tuple(diagnostics), frozenset(spent))


def _allowing(context: Context, f: Finding, d: Diagnostic) -> Allow | None:
    """What allows it where the file speaks of it, or, of an inner name of a part, in the text of the component."""
    allow = allowing(d.code, d.span)
    if allow is None and f.span_of is not None and not f.asserted:
        allow = allowing(d.code, context.declared_at(f.span_of))
    return allow


def idle(source: Source, results: Said) -> list[Diagnostic]:
    """A warning for each comment that allows what no check of the analysis found.

    What depends on the data is left alone; so is all but W601 where a check came to no answer: it may on another day.
    """
    answered = all(f.verdict != "unknown" for f in results.findings)

    def judged(code: str) -> bool:
        return code == "W601" or (answered and code[1] == ANALYSIS and code not in OF_DATA)

    return unused(source, results.spent, judged)


def diagnostic_of(context: Context, f: Finding) -> Diagnostic | None:
    if f.verdict == "proved" or (f.verdict == "unknown" and not f.asserted):
        return None
    if f.verdict == "unknown":
        return Diagnostic("W601", f"`{f.property}` is neither proved nor refuted", _span(context, f), f.label,
                          why=_whys(f), help=(f.fix,) if f.fix else ())  # fmt: skip
    code = f.code or ("E601" if f.asserted else None)
    if code is None:
        return None
    if code[0] in "EW":
        code = ("E" if f.asserted else "W") + code[1:]
    headline = f.headline or f"`{f.property}` does not hold"
    return Diagnostic(code, headline, _span(context, f), f.label, why=_whys(f), help=(f.fix,) if f.fix else ())


def _whys(f: Finding) -> tuple[str, ...]:
    """Reason and details, of an assertion the witness too; what stands beside the carets is not said again."""
    shown = (f.witness.told,) if f.asserted and f.witness is not None else ()
    return tuple(w for w in dict.fromkeys((f.reason, *f.details, *shown)) if w != f.label)


def _span(context: Context, f: Finding) -> Span | None:
    for a in context.model.assertions:
        if f.asserted and f.property == f"{a.property}({', '.join(a.arguments)})":
            return a.span
    return context.span_of(f.span_of) if f.span_of is not None else None
