"""The checks of a model, in the order in which the report shows them. Each is `check(context) -> list[Finding]`.

A check is imported when it runs: sympy is loaded only where one needs it, JAX never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from ssmlang.analysis.asserting import unanswered
from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.model.linear import LinearForm

CHECKS = (
    "ssmlang.analysis.structure",
    "ssmlang.analysis.observability",
    "ssmlang.analysis.lie",
    "ssmlang.analysis.stability",
    "ssmlang.analysis.filter_stability",
    "ssmlang.analysis.identifiability",
    "ssmlang.analysis.information",
    "ssmlang.analysis.prior_sense",
    "ssmlang.analysis.closure",
)
"""Modules that hold a `check`."""
APPLIES: dict[str, Callable[[Context], bool]] = {
    "ssmlang.analysis.lie": lambda c: not isinstance(c.form, LinearForm) or bool(c.model.differentials),
    "ssmlang.analysis.filter_stability": lambda context: context.linear is not None,
    "ssmlang.analysis.information": lambda context: context.rows is not None,
    "ssmlang.analysis.closure": lambda context: bool(context.model.lifts),
}
"""Of checks that have nothing to say of some models, when they have: importing them takes time."""
SAID = {
    "ssmlang.analysis.structure": "linear and Gaussian",
    "ssmlang.analysis.observability": "observable",
    "ssmlang.analysis.lie": "observable",
    "ssmlang.analysis.stability": "stable",
    "ssmlang.analysis.filter_stability": "filter forgets its start",
    "ssmlang.analysis.identifiability": "parameters identified",
    "ssmlang.analysis.information": "informed by the data",
    "ssmlang.analysis.closure": "lift",
}
"""What a check that runs out of time is called in the report."""
_STATES = ("ssmlang.analysis.observability", "ssmlang.analysis.lie", "ssmlang.analysis.closure")
_DYNAMICS = ("ssmlang.analysis.stability", "ssmlang.analysis.closure")
ANSWERS = {
    "observable": _STATES,
    "detectable": _STATES,
    "stable": _DYNAMICS,
    "stationary": _DYNAMICS,
    "unit_root": _DYNAMICS,
    "identifiable": ("ssmlang.analysis.identifiability",),
}
"""By asserted property, the modules that answer it."""


def answering(context: Context) -> tuple[str, ...]:
    """The checks that a model's assertions need, and its exact lifts, which ask for a proof too."""
    wanted = {name for a in context.model.assertions for name in ANSWERS.get(a.property, CHECKS)}
    if any(lift.mode == "exact" for lift in context.model.lifts):
        wanted.add("ssmlang.analysis.closure")
    return tuple(name for name in CHECKS if name in wanted)


def run_checks(context: Context, names: Sequence[str] = CHECKS) -> list[Finding]:
    """What every check finds, or some of them; assertions that none answers are unknown."""
    found: list[Finding] = []
    for name in names:
        if not APPLIES.get(name, lambda context: True)(context):
            continue
        context.budget.restart()
        try:
            found += import_module(name).check(context)
        except OutOfTime as late:
            found.append(Finding(SAID.get(name, name.rpartition(".")[2].replace("_", " ")), "unknown", str(late)))
    return found + unanswered(context.model, found)
