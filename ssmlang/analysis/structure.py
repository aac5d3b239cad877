"""Whether every equation is affine in states and noises, and what the priors' declarations alone say of stability."""

from __future__ import annotations

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle, line_said

PROPERTY = "linear and Gaussian"


def check(context: Context) -> list[Finding]:
    """One finding, or one for each obstacle with its line."""
    if isinstance(context.form, LinearForm):
        return [Finding(PROPERTY, "proved", "every equation is affine in states and noises, by structure")]
    return [_obstacle(o, context.model) for o in context.form]


def _obstacle(o: Obstacle, model: Model) -> Finding:
    line = o.span.source.position(o.span.start)[0] if o.span is not None else None
    where = f" ({line_said(model, o.span)})" if o.span is not None else ""
    what = f": {o.label}" if o.label else ""
    return Finding(PROPERTY, "refuted", f"{o.message}{what}{where}", line)
