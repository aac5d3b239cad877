"""Why something that was simulated is not a number: which equation came out so first, and what it read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.inference.forward import nodes_of
from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model
from ssmlang.model.supports import within


def no_number(
    model: Model, drawn: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray], init: Mapping[str, np.ndarray]
) -> Diagnostic | None:
    """E448 for what is NaN in the last row of paths (draws, steps, ...), or no value of its law; None where nothing is.

    Traced back through what each equation read to where no number went in, or none came out of numbers.
    """
    impossible = _impossible(model, drawn)
    if impossible is not None:
        return impossible
    missing = {n: np.isnan(drawn[n].reshape(*drawn[n].shape[:2], -1)) for n in (*model.states, *model.observations)}
    name = next((n for n, m in missing.items() if m[:, -1].any()), None)
    if name is None:
        return None
    draw = int(np.flatnonzero(missing[name][:, -1].any(axis=1))[0])
    lost = {n: m[draw] for n, m in missing.items()}
    waiting: list[tuple[str, int]] = [(name, len(lost[name]) - 1)]
    seen: set[tuple[str, int]] = set()
    born: tuple[int, str, Span] = (waiting[0][1], name, model.equations[0].span)
    deepest = born[0] + 1
    while waiting:
        name, row = waiting.pop()
        if (name, row) in seen:
            continue
        seen.add((name, row))
        first = next((i.span for i in model.initials for t in i.targets
                      if (t.name, t.row) == (name, row) and lost[name][row][list(t.entries)].any()), None)  # fmt: skip
        if first is not None:
            born, deepest = (0, name, first), 0
            continue
        for equation in _equations(model, name, lost[name][row]):
            reads = [n for n in expr.walk(nodes_of(equation)) if n.op == "ref" and isinstance(n.attrs[2], int)]
            absent = next((a for n in reads if (a := _absent(model, n, row, equation, inputs, init))), None)
            if absent is not None:
                return absent
            read = [(n.attrs[1], row - n.attrs[2]) for n in reads if n.attrs[0] in ("state", "obs")]
            causes = [(n, r) for n, r in read if r >= 0 and lost[n][r].any() and (n, r) != (name, row)]
            waiting += causes
            if not causes and row < deepest:
                born, deepest = (row, name, equation.span), row
    return _out_of_range(*born)


def _impossible(model: Model, drawn: Mapping[str, np.ndarray]) -> Diagnostic | None:
    """The first row with a number that its law cannot give: what samplers make of an argument out of its range."""
    for equation in model.equations:
        support = within(equation.law) if equation.law is not None else None
        if support is None:
            continue
        for target in equation.targets:
            values = drawn[target.name].reshape(*drawn[target.name].shape[:2], -1)[..., list(target.entries)]
            # What is too small to be told from zero is no fault.
            rows = (~np.isnan(values) & (values != 0) & ~support.holds(values)).any(axis=(0, 2))
            if rows.any():
                return _out_of_range(int(np.argmax(rows)), target.name, equation.span)
    return None


def _equations(model: Model, name: str, lost: np.ndarray) -> list[Equation]:
    """The equations of the entries that are lost."""
    return [e for e in model.equations if any(t.name == name and lost[list(t.entries)].any() for t in e.targets)]


def _absent(
    model: Model, node: Node, row: int, equation: Equation, inputs: Mapping[str, np.ndarray],
    init: Mapping[str, np.ndarray],
) -> Diagnostic | None:  # fmt: skip
    """What is said of a value that is read and is not there, neither drawn nor given."""
    sort, name, lag = node.attrs
    if sort == "input" and (lag > row or np.isnan(np.asarray(inputs[name][row - lag], float)).any()):
        return Diagnostic("E448", f"`{name}` is missing at row {row - lag}, which is read", node.span or equation.span,
                          "needs a number there", help=(f"give `{name}` in every row: simulate(..., future=...)",),
                          )  # fmt: skip
    if sort not in ("state", "obs") or lag <= row or (name, lag) in equation.guarded:
        return None
    if _given(model, name, row - lag, init):
        return None
    return Diagnostic(
        "E448", f"`{name}` has no first value to simulate from", node.span or equation.span,
        f"at row {row} this is `{name}` at row {row - lag}",
        help=(f"give its first value{'s' if lag > 1 else ''}: simulate(..., init={{\"{name}\": ...}})",
              f"or its law in the model: init {name} ~ ..."),
    )  # fmt: skip


def _out_of_range(row: int, name: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E448", f"`{name}` is not a number at row {row}", span, "cannot be computed",
        ("an argument is out of its range there: a scale or a rate that is not positive, a probability outside "
         "[0, 1], the log of a negative number, a number that grew beyond bounds",),
        ("look at the parameters, and at what this equation reads in that row",),
    )  # fmt: skip


def _given(model: Model, name: str, row: int, init: Mapping[str, np.ndarray]) -> bool:
    """Whether something has a value at a row before the data."""
    if name in init:
        shape = {**model.states, **model.observations}[name].shape
        return init[name].shape == shape or -row < len(init[name])
    return any(
        t.name == name and (t.row == row or i.special == "stationary") for i in model.initials for t in i.targets
    )
