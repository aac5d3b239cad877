"""Which sides of a model's conditions some rows show.

A step at row 170 and a threshold that no number crossed look, in twelve rows, like parameters that do nothing.
Checks that look at finitely many rows ask here how far to look, and whether all sides of `if`, `max`, ... were seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ssmlang.analysis.values import Read, Unreadable, evaluate_all, one
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Model, nodes_of

Array = np.ndarray
HORIZON = 1000
"""Rows within which a function of the row number is expected to change, where the data's length is not known."""
COMPARED = {"lt", "le", "gt", "ge", "eq", "ne", "maximum", "minimum"}
AT_ZERO = {"abs", "relu"}


def of_row_alone(nodes: Sequence[Node]) -> list[Node]:
    """The expressions that read the row number and nothing else that varies or is unknown."""
    clock: dict[int, bool] = {}
    for n in expr.walk(nodes):
        closed = all(a.value is not None or clock[id(a)] for a in n.args)
        reads = n.op == "time" or any(clock[id(a)] for a in n.args)
        clock[id(n)] = n.value is None and n.op != "past_sum" and reads and closed
    return [n for n in expr.walk(nodes) if clock[id(n)]]


def turns(nodes: Sequence[Node], rows: int | None = None) -> list[int]:
    """Rows at which a function of the row number first differs from its value in row 0, within `rows` (HORIZON).

    A season has turned in row 1, a step at row 170 in row 170.
    """
    waiting = of_row_alone(nodes)
    first: dict[int, Array] = {}
    found = []
    for t in range(rows if rows is not None else HORIZON):
        if not waiting:
            break
        done: dict[int, Array] = {}
        with np.errstate(all="ignore"):
            for n in expr.walk(waiting):
                done[id(n)] = one(n, [done[id(a)] for a in n.args], {}, t, None)
        first = first or done
        still = [n for n in waiting if np.array_equal(done[id(n)], first[id(n)], equal_nan=True)]
        if len(still) < len(waiting):
            found.append(t)
        waiting = still
    return found


def rows_until_typical(columns: Array) -> int:
    """The fewest first rows (rows, k) over which each column varies half as much as over all of them.

    A dummy that is 1 in rows 170 and 171 alone is not known from its first hundred zeros.
    """
    needed = 0
    for column in np.nan_to_num(np.asarray(columns, float)).T:
        count = np.arange(1, len(column) + 1)
        centred = column - column.mean()
        mean = np.cumsum(centred) / count
        spread = np.sqrt(np.maximum(np.cumsum(centred**2) / count - mean**2, 0))
        if spread[-1] > 1e-12 * max(np.abs(column).max(), 1e-300):
            needed = max(needed, int(np.argmax(spread >= spread[-1] / 2)) + 1)
    return needed


def one_sided(nodes: Sequence[Node], params: Mapping[str, Array], rows: Sequence[tuple[int, Read]]) -> Node | None:
    """A condition that reads something beside the row number, and of which these rows show one side alone.

    `rows`: row numbers, each with what reads the series there.
    """
    clocks = {id(n) for n in of_row_alone(nodes)}
    for n in expr.walk(nodes):
        if n.value is not None or id(n) in clocks or n.op not in COMPARED | AT_ZERO:
            continue
        seen: set[bool] = set()
        for t, read in rows:
            try:
                args = evaluate_all(list(n.args), params, t, read)
            except Unreadable:
                return n
            seen |= set(np.unique(_side(n.op, args)).tolist())
            if len(seen) == 2:
                break
        else:
            return n
    return None


def compared(nodes: Sequence[Node]) -> set[tuple[str, str]]:
    """(sort, name) of the series that conditions read."""
    conditions = [n for n in expr.walk(nodes) if n.op in COMPARED | AT_ZERO]
    return {(sort, name) for sort, name, _ in expr.references(conditions)}


def parameters_compared(nodes: Sequence[Node]) -> set[str]:
    """Parameters that conditions read: what they do is not seen in derivatives."""
    return expr.parameters([n for n in expr.walk(nodes) if n.op in COMPARED | AT_ZERO])


def in_conditions(model: Model) -> set[str]:
    """Parameters that conditions of the equations and first laws read."""
    return parameters_compared([n for each in (model.equations, model.initials) for e in each for n in nodes_of(e)])


def _side(op: str, args: Sequence[Array]) -> Array:
    if op in AT_ZERO:
        return np.asarray(args[0] >= 0)
    if op in ("eq", "ne"):
        return np.asarray(args[0] == args[1])
    return np.asarray(args[0] < args[1] if op in ("lt", "ge") else args[0] <= args[1])
