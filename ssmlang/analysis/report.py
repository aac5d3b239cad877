"""The Report: what was checked before any data, in the user's names and lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ssmlang.analysis.advice import Advice, advise
from ssmlang.analysis.choice import Task
from ssmlang.analysis.findings import Finding, Outcome
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.source import Source
from ssmlang.language.wrapping import columns, wrapped
from ssmlang.model.blocks import described
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle

__all__ = ["Finding", "Outcome", "Report", "report"]

SCHEMA = 1
"""The version of `Report.to_dict()`, described in docs/checks.md."""


@dataclass(frozen=True)
class Report:
    """What `model.check()` found. Prints as text, shows as HTML in a notebook; `to_dict()` is its data."""

    model: str
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]
    advice: Advice
    diagnostics: tuple[Diagnostic, ...] = ()
    _context: Any = field(default=None, repr=False, compare=False)

    @cached_property
    def matrices(self) -> Mapping[str, Any]:
        """The state-space form of a small linear program in LaTeX, by letter."""
        if self._context is None or self._context.system is None:
            return {}
        from ssmlang.analysis.latex import matrices

        return matrices(self._context.system)

    @property
    def ok(self) -> bool:
        """Whether nothing is an error and nothing asserted was refuted."""
        return not any(d.severity == "error" for d in self.diagnostics)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `ssmlang check --json` prints; the schema is in docs/checks.md."""
        from ssmlang.language.render import diagnostic_to_dict

        return {
            "schema": SCHEMA,
            "model": self.model,
            "ok": self.ok,
            "facts": list(self.facts),
            "checks": [f.to_dict() for f in self.findings],
            **{k: v for k, v in self.advice.to_dict().items() if k != "model"},
            "matrices": dict(self.matrices),
            "diagnostics": [diagnostic_to_dict(d) for d in self.diagnostics],
        }

    @property
    def body(self) -> str:
        """The report as text, without the diagnostics; on a terminal in its width."""
        width = min(max((len(f.property) for f in self.findings), default=0), 30)
        rows = [line for f in self.findings for line in _lines(f, width)]
        parts = [f"model {self.model}", *(f"  {fact}" for fact in self.facts), "checks", *rows, str(self.advice)]
        return wrapped("\n".join(parts), columns())

    def __str__(self) -> str:
        if not self.diagnostics:
            return self.body
        from ssmlang.language.render import render_text

        return "\n".join([self.body, render_text(self.diagnostics, width=columns())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from ssmlang.results.html import report_html

        return report_html(self.to_dict())


def _lines(f: Finding, width: int) -> list[str]:
    """A finding as text: its verdict with the reason, and what belongs to it further in."""
    rows = [f"  {f.property:<{width}}  {f.verdict:<8} {f.reason}"]
    further = [*(f"unless {u}" for u in f.unless), *f.details]
    if f.witness is not None:
        further.append(_told_apart(f))
    if f.fix and f.verdict != "proved":
        further.append(f"fix: {f.fix}")
    indent = " " * (width + 13)
    return rows + [indent + line for line in further]


def _told_apart(f: Finding) -> str:
    assert f.witness is not None
    return "witness: " + f.witness.told


def report(
    model: Model,
    form: LinearForm | tuple[Obstacle, ...],
    diagnostics: tuple[Diagnostic, ...] = (),
    *,
    rows: int | None = None,
    data: tuple[Any, ...] | None = None,
    seconds: float | None = None,
    source: Source | None = None,
) -> Report:
    """Everything that is known of a model before data; `rows` of them, or the bound `data` themselves, where known.

    `seconds`: processor time that each check may take (budget.SECONDS). `source`: the model's text; with it, comments
    that allow what no check finds are complained of.
    """
    from ssmlang.analysis.asserting import idle, said
    from ssmlang.analysis.budget import SECONDS, Budget
    from ssmlang.analysis.checks import run_checks
    from ssmlang.analysis.context import Context

    if rows is None and data:
        rows = max(b.steps for b in data)
    context = Context(model, form, Budget(SECONDS if seconds is None else seconds), rows, data)
    results = said(context, run_checks(context))
    facts = _facts(model)
    apart = described(form) if isinstance(form, LinearForm) else None
    if apart is not None:
        facts.append(f"in {apart}, each run as a model of its own")
    known = {(d.code, d.span) for d in diagnostics}
    found = [d for d in results.diagnostics if (d.code, d.span) not in known]
    found += [] if source is None else idle(source, results)
    return Report(model.name, tuple(facts), results.findings, advise(model, form, Task(steps=rows)),
                  (*diagnostics, *found),
                  context)  # fmt: skip


def require_assertions(
    model: Model, form: LinearForm | tuple[Obstacle, ...], diagnostics: tuple[Diagnostic, ...] = ()
) -> None:
    """Raise SsmError, with `diagnostics` too, where an assertion of the model is refuted: what compiling asks for."""
    from ssmlang.analysis.asserting import said
    from ssmlang.analysis.checks import answering, run_checks
    from ssmlang.analysis.context import Context

    context = Context(model, form)
    found = said(context, run_checks(context, answering(context))).diagnostics
    if any(d.severity == "error" for d in found):
        raise SsmError((*diagnostics, *found))


def _facts(model: Model) -> list[str]:
    counts = [
        ("parameter", model.parameters),
        ("state", model.states),
        ("observation", model.observations),
        ("input", model.inputs),
        ("noise", model.noises),
    ]
    facts = []
    for noun, variables in counts:
        if variables:
            entries = sum(v.size for v in variables.values())
            names = ", ".join(_sized(v) for v in variables.values())
            facts.append(f"{entries} {noun}{'s' if entries != 1 else ''}: {names}")
    orders = {s.name: s.order for s in model.states.values() if s.order != 1}
    for name, order in orders.items():
        reads = {None: "its whole past", 0: "none of its own rows"}.get(order, f"{order} of its own rows")
        facts.append(f"{name} reads {reads}")
    return facts


def _sized(v: Any) -> str:
    dims = [a.name if a is not None else str(n) for a, n in zip(v.axes, v.shape)]
    return v.name + (f"[{', '.join(dims)}]" if dims else "")
