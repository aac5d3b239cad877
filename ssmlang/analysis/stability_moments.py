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
    names = analysis.dynamics.names
    if not isinstance(form, LinearForm):
        return _by_equation(context, {names[i].split("[")[0] for j in analysis.of(own) for i in j.block.entries})
    entries = sorted({i for j in analysis.of(own) for i in j.block.entries if i < form.stacking.n})
    # The exact step from row to row reads dt whatever the equation does: what moves is asked of the equation itself.
    flowing = {d.target.name for d in context.model.differentials}
    flows = [i for i in entries if names[i].split("[")[0] in flowing]
    mover = _by_equation(context, {names[i].split("[")[0] for i in flows}) if flows else None
    if mover is not None:
        return mover
    for i in entries:
        if i in flows:
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


def starts_stationary(context: Context, own: Sequence[int]) -> bool:
    """Whether these entries are drawn from their stationary law in the first row."""
    group = context.form.stationary if isinstance(context.form, LinearForm) else None
    if group is not None:
        return set(own) <= set(group.entries.tolist())
    given = {t.name for i in context.model.initials if i.special == "stationary" for t in i.targets}
    return not isinstance(context.form, LinearForm) and set(context.model.states) <= given


def _by_equation(context: Context, series: set[str]) -> str | None:
    """The same where a model is not linear: anything that the equations of these series read."""
    model = context.model
    for e in model.equations:
        name = next((t.name for t in e.targets if t.name in series), None)
        nodes = [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []
        mover = next((m for n in nodes if (m := _mover(n)) is not None), None) if name else None
        if mover is not None:
            return f"the law of {name} moves with {mover}"
    for d in model.differentials:
        mover = _mover(d.value) if d.target.name in series else None
        if mover is not None:
            return f"the law of {d.target.name} moves with {mover}"
    return None


def _mover(node: Node) -> str | None:
    """The row number, or the first input or observation that a value reads."""
    for n in expr.walk([node]):
        if n.op == "time":
            return "the row number t"
        if n.op == "ref" and n.attrs[0] in ("input", "obs"):
            return f"{n.attrs[1]}[t]" if not n.attrs[2] else f"{n.attrs[1]}[t-{n.attrs[2]}]"
    return None
