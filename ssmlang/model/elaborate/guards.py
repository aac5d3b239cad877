"""What an equation reads only in rows that have so many before them, by a choice on the row: `if t > 1 then x[t-2]`."""

from __future__ import annotations

from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist

MOST_ROWS = 64
"""Lags up to which the first rows are looked at one by one."""


def guarded_by_row(law: Dist | None, value: Node | None) -> set[tuple[str, int]]:
    """(name, lag) of what an equation reads at a lag, and in none of the first `lag` rows: with the row's number in
    place of `t` choices fold, and a side that is not taken is gone."""
    nodes = [*([value] if value is not None else []), *(law.args.values() if law is not None else [])]
    if not any(n.op == "where" for n in expr.walk(nodes)) or not any(n.op == "time" for n in expr.walk(nodes)):
        return set()
    reads = {(name, lag) for _, name, lag in expr.references(nodes) if isinstance(lag, int) and 0 < lag <= MOST_ROWS}
    for row in range(max((lag for _, lag in reads), default=0)):
        at = lambda n, row=row: expr.const(row) if n.op == "time" else None
        now = {(name, lag) for _, name, lag in expr.references([expr.transform(n, at) for n in nodes])}
        reads -= {(name, lag) for name, lag in reads & now if row < lag}  # type: ignore[operator]
    return reads
