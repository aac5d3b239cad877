"""States that read their whole past: what the observations of their own row tell of them.

Such a state has no memory of fixed size whose rank could be looked at. But where the emission's matrix of a row has
full column rank, the values of that row are known from its observations once the noises are.
"""

from __future__ import annotations

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm

ROWS, DRAWS = 24, 5
MOST_STATES = 200
ROUNDING = 1e-9


def seen_in_their_row(context: Context, form: LinearForm) -> Finding:
    """Whether the observations of a row tell all states of that row, at draws from the prior."""
    span = form.whole_past[0]
    line = span.source.position(span.start)[0] if span is not None else None
    unknown = lambda why: Finding("observable", "unknown", f"a sum over the whole past has no finite state whose rank "
                                                           f"could be looked at, and {why}", line)  # fmt: skip
    own = form.emission.terms.get(("x", 0))
    n, m = form.stacking.n, form.stacking.m
    if own is None or n > MOST_STATES:
        return unknown("its own row is not observed" if own is None else f"{n:,} entries are too many")
    varies = expr.varies([own.values])
    if any(node.op == "ref" for node in expr.walk([own.values])):
        return unknown("what is seen of its own row changes with inputs or observations")
    blind: set[int] = set()
    for draw in context.draws(DRAWS):
        for t in range(ROWS if varies else 1):
            try:
                values = evaluate(own.values, draw, t).reshape(-1)
            except Unreadable as trouble:
                return unknown(f"what is seen of it reads {trouble}")
            C = np.zeros((m, n))
            np.add.at(C, (own.rows, own.cols), values)
            sizes = np.linalg.svd(C / max(np.abs(C).max(initial=0.0), 1e-300), compute_uv=False)
            if int((sizes > ROUNDING).sum()) < n:
                blind.add(t)
    if not blind:
        names = " and ".join(context.model.observations)
        where = "where the coefficients of a row do not vanish" if varies else "for almost all parameters"
        reason = f"every state can be known from {names} of its own row, {where}"
        looked = f"at {DRAWS} prior draws" + (f", in each of the first {ROWS} rows" if varies else "")
        return Finding("observable", "proved", reason, details=(f"seen in double precision too {looked}",))
    return unknown("the observations of a row do not tell all states of that row")
