"""Values of the data that their law cannot give, whatever the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Equation, Model

Within = Callable[[np.ndarray], np.ndarray]


def _counts(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values == np.rint(values))


WITHIN: Mapping[str, tuple[Within, str]] = {
    "nonnegative_integer": (_counts, "gives the counts 0, 1, 2, ..."),
    "bounded_integer": (_counts, "gives the counts 0, 1, 2, ..."),
    "boolean": (lambda values: (values == 0) | (values == 1), "gives 0 and 1"),
    "positive": (lambda values: values >= 0, "gives no negative number"),
    "unit": (lambda values: (values >= 0) & (values <= 1), "gives numbers between 0 and 1"),
}
"""By support of a law: whether values lie in it, ends included, and what to say where they do not."""

STRICTLY: Mapping[str, tuple[Within, str]] = dict.fromkeys(
    ("LogNormal", "InverseGamma"), (lambda values: values > 0, "gives positive numbers")
)
"""Laws whose density is zero at the end itself."""


def check_support(model: Model, seen: Mapping[str, Float[np.ndarray, "T ..."]], label: Callable[[int], str]) -> None:
    """Raises E406, once for each observation, where a value is none that its law gives; `label` words a row."""
    problems: dict[str, Diagnostic] = {}
    for equation in model.equations:
        for name, outside in _outside(equation, seen):
            if outside.any() and name not in problems:
                row = int(np.flatnonzero(outside.any(axis=1))[0])
                entry = int(np.flatnonzero(outside[row])[0])
                problems[name] = _problem(equation, name, seen[name], row, entry, label, int(outside.sum()))
    if problems:
        raise SsmError(list(problems.values()))


def _outside(
    equation: Equation, seen: Mapping[str, Float[np.ndarray, "T ..."]]
) -> Iterator[tuple[str, Bool[np.ndarray, "T size"]]]:
    """By name of an observation: which of the entries that an equation gives have a value that it cannot give."""
    if equation.role != "emission" or equation.law is None:
        return
    within = _within(equation.law.name)
    if within is None or equation.law.event_ndim:
        return
    for target in equation.targets:
        values = seen[target.name].reshape(len(seen[target.name]), -1)
        given = np.zeros(values.shape[1], bool)
        given[list(target.entries)] = True
        yield target.name, given & ~np.isnan(values) & ~within[0](values)


def _within(law: str) -> tuple[Within, str] | None:
    return STRICTLY.get(law) or WITHIN.get(DISTRIBUTIONS[law].support)


def _problem(
    equation: Equation, name: str, values: Float[np.ndarray, "T ..."], row: int, entry: int,
    label: Callable[[int], str], count: int,
) -> Diagnostic:  # fmt: skip
    assert equation.law is not None
    law = equation.law.name
    within = _within(law)
    assert within is not None
    value = values.reshape(len(values), -1)[row, entry]
    return Diagnostic(
        "E406", f"`{name}` is {value:g} at {label(row)}, which {law} cannot give", equation.span, f"{law} {within[1]}",
        why=(f"{count} values of it are like that",) if count > 1 else (),
        help=("a missing value is NaN or an empty cell, never a code such as -999",),
    )  # fmt: skip
