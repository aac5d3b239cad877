"""From findings to diagnostics: refuted is a warning, refuted and asserted an error, unknown and asserted a warning."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.source import Span
from ssmlang.model.model import Model


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


def diagnostics(context: Context, found: Sequence[Finding]) -> tuple[Diagnostic, ...]:
    """What the findings say to someone who reads warnings and errors alone."""
    made = [d for f in found if (d := _diagnostic(context, f)) is not None]
    # An assertion that fails says all that the warning about the same thing would.
    failed = {d.code[1:] for d in made if d.severity == "error"}
    return tuple(d for d in made if not (d.severity == "warning" and d.code[1:] in failed))


def _diagnostic(context: Context, f: Finding) -> Diagnostic | None:
    if f.verdict == "proved" or (f.verdict == "unknown" and not f.asserted):
        return None
    if f.verdict == "unknown":
        return Diagnostic("W601", f"`{f.property}` is neither proved nor refuted", _span(context, f), f.label,
                          why=(f.reason, *f.details), help=(f.fix,) if f.fix else ())  # fmt: skip
    code = f.code or ("E601" if f.asserted else None)
    if code is None:
        return None
    if code[0] in "EW":
        code = ("E" if f.asserted else "W") + code[1:]
    headline = f.headline or f"`{f.property}` does not hold"
    why = tuple(dict.fromkeys((f.reason, *f.details)))
    return Diagnostic(code, headline, _span(context, f), f.label, why=why, help=(f.fix,) if f.fix else ())


def _span(context: Context, f: Finding) -> Span | None:
    for a in context.model.assertions:
        if f.asserted and f.property == f"{a.property}({', '.join(a.arguments)})":
            return a.span
    return context.span_of(f.span_of) if f.span_of is not None else None
