"""What keeps a stable state from being stationary: moments that differ from row to row."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.analysis.context import Context
from ssmlang.analysis.stability_analysis import Analysis
from ssmlang.model import expr
from ssmlang.model.entries import entry
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm


def moving_moments(context: Context, own: Sequence[int], analysis: Analysis) -> str | None:
    """What moves the mean or the noise of these entries or of those they read, from row to row; None: nothing does."""
    form = context.form
    if not isinstance(form, LinearForm):
        return None
    names = analysis.dynamics.names
    for i in sorted({i for j in analysis.of(own) for i in j.block.entries}):
        if i >= form.stacking.n:
            continue
        mover = _mover(entry(form.transition.constant, i))
        if mover is not None:
            return f"the mean of {names[i]} moves with {mover}"
        for (kind, _), m in form.transition.terms.items():
            if kind != "e":
                continue
            for k in [k for k, row in enumerate(m.rows.tolist()) if row == i]:
                mover = _mover(entry(m.values, k))
                if mover is not None:
                    return f"the noise of {names[i]} moves with {mover}"
    return None


def _mover(node: Node) -> str | None:
    """The row number, or the first input or observation that a value reads."""
    for n in expr.walk([node]):
        if n.op == "time":
            return "the row number t"
        if n.op == "ref" and n.attrs[0] in ("input", "obs"):
            return f"{n.attrs[1]}[t]" if not n.attrs[2] else f"{n.attrs[1]}[t-{n.attrs[2]}]"
    return None
