"""Why a model is not a linear-Gaussian one, as values that become diagnostics where somebody asks for that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.source import Span
from ssmlang.model.model import Model

NONLINEAR = ("particle",)
"""Engines of the language that take what is neither linear nor Gaussian."""


@dataclass(frozen=True)
class Obstacle:
    """One thing that stands between a model and a linear-Gaussian program. Messages speak of the engine 'kalman'."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    help: str = ""
    why: str = ""
    by: tuple[str, ...] = ()
    """engines of the language that take it"""

    def diagnostic(self, engine: str = "kalman", available: Collection[str] = ()) -> Diagnostic:
        """The obstacle as an error for an engine; the help names engines that are `available` alone."""
        able = [name for name in self.by if name in available]
        help = self.help
        if able:
            help = f'use engine="{able[0]}", or engine="auto"'
        elif self.by and not help:
            help = "no engine of this version can run it; model.simulate can"
        as_tuple = lambda s: (s,) if s else ()
        message = self.message.replace("engine 'kalman'", f"engine '{engine}'")
        return Diagnostic(self.code, message, self.span, self.label, as_tuple(self.why), as_tuple(help))


def at_home(model: Model, span: Span) -> bool:
    """Whether a place is in the model's own file, not in one that a component comes from."""
    groups = (model.observations, model.definitions, model.parameters, model.states, model.inputs, model.noises)
    own = next((v.span for group in groups for v in group.values() if "." not in v.name), span)
    return own.source is span.source


def line_said(model: Model, span: Span) -> str:
    """`line 3`, and of which file where it is not the model's own."""
    line, _ = span.source.position(span.start)
    return f"line {line}" if at_home(model, span) else f"line {line} of {span.source.name}"


def not_affine(role: str, span: Span | None, label: str) -> Obstacle:
    """E304 for a transition, emission, initial law or noise."""
    noun = {"transition": "a transition that is", "emission": "an emission that is", "init": "initial laws that are",
            "noise": "noises that are", "definition": "definitions that are"}[role]  # fmt: skip
    what = "independent of the state" if role == "noise" else "affine in the state"
    return Obstacle("E304", f"engine 'kalman' needs {noun} {what}", span, label, by=NONLINEAR)


def not_gaussian(law: str, span: Span | None) -> Obstacle:
    return Obstacle("E304", "engine 'kalman' needs Gaussian laws", span, f"{law} is not Gaussian", by=NONLINEAR)


def past_noise(span: Span | None, label: str) -> Obstacle:
    hint = "make it a state, `state u` with `u[t] ~ Normal(0, s)`, and sum over that"
    return Obstacle("E306", "engine 'kalman' does not sum over the whole past of a noise", span, label, hint)


def of_kind(model: Model) -> list[Obstacle]:
    """What is no linear-Gaussian program by its declarations alone."""
    found = []
    for name in model.missing_constants:
        hint = f"give it: compile(..., constants={{{name!r}: ...}}), or --const {name}=..."
        found.append(Obstacle("E307", f"constant `{name}` has no value", None, "", hint))
    for s in model.states.values():
        if s.values is not None:
            found.append(Obstacle("E306", "engine 'kalman' needs states that are real numbers", s.span,
                                  f"{s.name} is discrete", by=("discrete",)))  # fmt: skip
    for p in model.parameters.values():
        if p.augment:
            found.append(Obstacle("E306", "engine 'kalman' takes no augmented parameter", p.span,
                                  f"{p.name} is a state on its unconstrained scale", by=("ekf",)))  # fmt: skip
    return found
