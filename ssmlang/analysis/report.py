"""The Report: what was checked before any data, in the user's names and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ssmlang.analysis.advice import Advice, advise
from ssmlang.language.diagnostics import Diagnostic
from ssmlang.model import expr
from ssmlang.model.autoregression import autoregressions
from ssmlang.model.blocks import described
from ssmlang.model.elaborate.structure import roots
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle

Outcome = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One property of a model with its verdict and the reason in one line."""

    property: str
    verdict: Outcome
    reason: str
    line: int | None = None


@dataclass(frozen=True)
class Report:
    """What `model.check()` found. Prints as text, shows as HTML in a notebook; `to_dict()` is its data."""

    model: str
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]
    advice: Advice
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is an error and nothing asserted was refuted."""
        return not any(d.severity == "error" for d in self.diagnostics)

    def to_dict(self) -> dict[str, Any]:
        from ssmlang.language.render import diagnostic_to_dict

        return {
            "model": self.model,
            "facts": list(self.facts),
            "checks": [
                {"property": f.property, "verdict": f.verdict, "reason": f.reason, "line": f.line}
                for f in self.findings
            ],
            **{k: v for k, v in self.advice.to_dict().items() if k != "model"},
            "diagnostics": [diagnostic_to_dict(d) for d in self.diagnostics],
        }

    def __str__(self) -> str:
        width = max((len(f.property) for f in self.findings), default=0)
        rows = [f"  {f.property:<{width}}  {f.verdict:<8} {f.reason}" for f in self.findings]
        parts = [f"model {self.model}", *(f"  {fact}" for fact in self.facts), "checks", *rows, str(self.advice)]
        if self.diagnostics:
            from ssmlang.language.render import render_text

            parts.append(render_text(self.diagnostics))
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from ssmlang.results.html import report_html

        return report_html(self.to_dict())


def report(model: Model, form: LinearForm | tuple[Obstacle, ...], diagnostics: tuple[Diagnostic, ...] = ()) -> Report:
    """Everything that is known of a model without data."""
    findings = [*_linearity(form), *_assertions(model)]
    facts = _facts(model)
    apart = described(form) if isinstance(form, LinearForm) else None
    if apart is not None:
        facts.append(f"in {apart}, each run as a model of its own")
    return Report(model.name, tuple(facts), tuple(findings), advise(model, form), diagnostics)


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
        facts.append(f"{name} reads {'its whole past' if order is None else f'{order} of its own rows'}")
    return facts


def _sized(v: Any) -> str:
    dims = [a.name if a is not None else str(n) for a, n in zip(v.axes, v.shape)]
    return v.name + (f"[{', '.join(dims)}]" if dims else "")


def _linearity(form: LinearForm | tuple[Obstacle, ...]) -> list[Finding]:
    if isinstance(form, LinearForm):
        return [Finding("linear and Gaussian", "proved", "every equation is affine in states and noises, by structure")]
    found = []
    for o in form:
        line = o.span.source.position(o.span.start)[0] if o.span is not None else None
        where = f" (line {line})" if line is not None else ""
        found.append(Finding("linear and Gaussian", "refuted", f"{o.message}: {o.label}{where}", line))
    return found


def _assertions(model: Model) -> list[Finding]:
    found = []
    stable = _stable_by_prior(model)
    for a in model.assertions:
        line = a.span.source.position(a.span.start)[0]
        name = f"{a.property}({', '.join(a.arguments)})"
        verdict: Outcome = "unknown"
        reason = "this version has no proof of it"
        if a.property in ("stable", "stationary") and set(a.arguments) <= stable:
            verdict, reason = "proved", "its coefficients are declared `stationary`"
        found.append(Finding(name, verdict, reason, line))
    return found


def _stable_by_prior(model: Model) -> set[str]:
    """States that read no state but themselves, with coefficients declared `stationary`."""
    found = set()
    for parameter, state in autoregressions(model).items():
        equations = [e for e in model.equations if any(t.name == state for t in e.targets)]
        read = {name for sort, name, _ in expr.references(n for e in equations for n in roots(e)) if sort == "state"}
        if read == {state} and model.parameters[parameter].support.declared:
            found.add(state)
    return found
