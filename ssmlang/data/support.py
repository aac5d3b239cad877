"""Values of the data that their law cannot give, whatever the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.model import Equation, Model
from ssmlang.model.supports import within


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
    support = within(equation.law)
    if support is None:
        return
    for target in equation.targets:
        values = seen[target.name].reshape(len(seen[target.name]), -1)
        given = np.zeros(values.shape[1], bool)
        given[list(target.entries)] = True
        yield target.name, given & ~np.isnan(values) & ~support.holds(values)


def _problem(
    equation: Equation, name: str, values: Float[np.ndarray, "T ..."], row: int, entry: int,
    label: Callable[[int], str], count: int,
) -> Diagnostic:  # fmt: skip
    assert equation.law is not None
    law, support = equation.law.name, within(equation.law)
    assert support is not None
    value = values.reshape(len(values), -1)[row, entry]
    return Diagnostic(
        "E406", f"`{name}` is {value:g} at {label(row)}, which {law} cannot give", equation.span,
        f"{law} {support.words}",
        why=(f"{count} values of it are like that",) if count > 1 else (),
        help=("a missing value is NaN or an empty cell, never a code such as -999",),
    )  # fmt: skip
