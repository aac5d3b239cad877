"""Why a model is not a linear-Gaussian one, as values that become diagnostics where somebody asks for that."""

from __future__ import annotations

from dataclasses import dataclass

from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.source import Span
from ssmlang.model.model import Model

NONLINEAR_HELP = 'use engine="particle", or engine="auto"'


@dataclass(frozen=True)
class Obstacle:
    """One thing that stands between a model and a linear-Gaussian program of finite order."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    help: str = ""
    why: str = ""

    def diagnostic(self) -> Diagnostic:
        """The obstacle as an error."""
        as_tuple = lambda s: (s,) if s else ()
        return Diagnostic(self.code, self.message, self.span, self.label, as_tuple(self.why), as_tuple(self.help))


def not_affine(role: str, span: Span | None, label: str) -> Obstacle:
    """E304 for a transition, emission, initial law or noise."""
    noun = {"transition": "a transition that is", "emission": "an emission that is", "init": "initial laws that are",
            "noise": "noises that are", "definition": "definitions that are"}[role]  # fmt: skip
    what = "independent of the state" if role == "noise" else "affine in the state"
    return Obstacle("E304", f"engine 'kalman' needs {noun} {what}", span, label, NONLINEAR_HELP)


def not_gaussian(law: str, span: Span | None) -> Obstacle:
    return Obstacle("E304", "engine 'kalman' needs Gaussian laws", span, f"{law} is not Gaussian", NONLINEAR_HELP)


def whole_past(span: Span | None, label: str) -> Obstacle:
    return Obstacle("E306", "engine 'kalman' needs a state of finite order", span, label, 'use engine="dual"')


def of_kind(model: Model) -> list[Obstacle]:
    """What is no linear-Gaussian program by its declarations alone."""
    found = []
    for name in model.missing_constants:
        hint = f"give it: compile(..., constants={{{name!r}: ...}}), or --const {name}=..."
        found.append(Obstacle("E307", f"constant `{name}` has no value", None, "", hint))
    for s in model.states.values():
        if s.values is not None:
            found.append(Obstacle("E306", "engine 'kalman' needs states that are real numbers", s.span,
                                  f"{s.name} is discrete", 'use engine="discrete"'))  # fmt: skip
    for p in model.parameters.values():
        if p.augment:
            found.append(Obstacle("E306", "engine 'kalman' takes no augmented parameter", p.span,
                                  f"{p.name} is a state on its unconstrained scale", 'use engine="ekf"'))  # fmt: skip
    for d in model.differentials:
        message = "engine 'kalman' does not discretise differential equations in this version"
        hint = "write the transition from row to row, `x[t] ~ Normal(...)`"
        found.append(Obstacle("E306", message, d.span, "is in continuous time", hint))
    return found
