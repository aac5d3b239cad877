"""Which engines can run a model, and why: requirements are checked before anything runs. No JAX here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle

PURPOSE = {
    "kalman": "exact for linear-Gaussian programs of finite order: covariance form, element-wise updates",
    "square_root": "exact, factored covariances: safe in single precision",
    "parallel": "exact, logarithmic depth in time: for GPUs and long series",
    "dual": "exact for programs that read their whole past",
    "growing": "exact Kalman filter on the growing state",
    "batch": "exact, the joint Gaussian of all rows",
    "wiener_hopf": "exact, causal block Cholesky",
    "banded": "exact, block-banded precision",
    "ekf": "linearises by derivatives",
    "iekf": "linearises by derivatives, iterated",
    "ukf": "linearises by sigma points",
    "cubature": "linearises by cubature",
    "gauss_hermite": "linearises by Gauss-Hermite quadrature",
    "ipls": "iterated posterior linearisation",
    "laplace": "Gaussian at the mode, for non-Gaussian emissions",
    "importance": "unbiased, around a Gaussian approximation",
    "dual_ekf": "states and augmented parameters in two filters",
    "particle": "weighted samples, for any program",
    "rao_blackwell": "samples of a part, exact in the rest",
    "discrete": "exact for discrete states",
    "imm": "Gaussian mixture for switching linear programs",
    "latent": "samples states and parameters together",
    "amortized": "a trained network",
}
"""Every engine of the language by name, with what it is for."""
AVAILABLE = ("kalman",)
"""The engines of this version, in the order in which `auto` prefers them."""


@dataclass(frozen=True)
class Verdict:
    """One engine for one model: whether it can run it, and the reasons."""

    engine: str
    usable: bool
    reason: str
    obstacles: tuple[Obstacle, ...] = ()


@dataclass(frozen=True)
class Advice:
    """What `auto` takes, and why not each of the others. Prints as text."""

    model: str
    chosen: str | None
    verdicts: tuple[Verdict, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "engine": self.chosen,
            "engines": [{"engine": v.engine, "usable": v.usable, "reason": v.reason} for v in self.verdicts],
        }

    def __str__(self) -> str:
        head = f"engine: {self.chosen}" if self.chosen else "engine: none of this version can run this model"
        width = max(len(v.engine) for v in self.verdicts)
        rows = [
            f"  {v.engine:<{width}}  {'yes' if v.usable else 'no '}  {v.reason}"
            for v in self.verdicts
            if v.usable or v.obstacles
        ]
        later = [v.engine for v in self.verdicts if not v.usable and not v.obstacles]
        rest = [f"  not in this version: {', '.join(later)}"] if later else []
        return "\n".join([head, *rows, *rest])

    __repr__ = __str__


def advise(model: Model, form: LinearForm | tuple[Obstacle, ...] | None = None) -> Advice:
    """Judge every engine for a model."""
    form = linear_form(model) if form is None else form
    if isinstance(form, LinearForm):
        kalman = Verdict("kalman", True, "linear, Gaussian, of finite order: exact, states integrated out")
    else:
        first = form[0]
        kalman = Verdict("kalman", False, _short(first), form)
    others = tuple(Verdict(name, False, "not in this version") for name in PURPOSE if name not in AVAILABLE)
    return Advice(model.name, "kalman" if kalman.usable else None, (kalman, *others))


def _short(obstacle: Obstacle) -> str:
    place = ""
    if obstacle.span is not None:
        line, _ = obstacle.span.source.position(obstacle.span.start)
        place = f"line {line}: "
    return place + (obstacle.label or obstacle.message)


def check_name(engine: str) -> None:
    """Raise E301 for a name that is no engine."""
    if engine != "auto" and engine not in PURPOSE:
        close = suggest(engine, ["auto", *PURPOSE])
        raise SsmError(
            Diagnostic(
                "E301",
                f"unknown engine '{engine}'",
                help=(f"did you mean '{close}'?",) if close else (f"one of {', '.join(PURPOSE)}",),
            )
        )


def choose(model: Model, engine: str, form: LinearForm | tuple[Obstacle, ...]) -> str:
    """The name of the engine to run; raises E301 (unknown), E302 (not in this version), E304 ... (not fit)."""
    check_name(engine)
    if engine != "auto" and engine not in AVAILABLE:
        usable = advise(model, form).chosen
        raise SsmError(
            Diagnostic(
                "E302",
                f"engine '{engine}' is not in this version",
                help=(f"engine='{usable}' runs this model",) if usable else (),
            )
        )
    if isinstance(form, LinearForm):
        return "kalman"
    if engine == "auto":
        reasons = tuple(f"{name}: {_short(form[0])}" for name in AVAILABLE)
        head = Diagnostic(
            "E303",
            f"no engine of this version can run model '{model.name}'",
            why=reasons,
            help=("it parses, checks and simulates; ssmlang info shows what it is made of",),
        )
        raise SsmError((head, *(replace(o.diagnostic(), help=()) for o in form)))
    raise SsmError([o.diagnostic() for o in form])
