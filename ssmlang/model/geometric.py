"""Differential equations of what grows in proportion to itself: d(s) = a s dt + s b dW, whose step is exact.

By Ito's formula log s moves by (a - |b|^2 / 2) dt + b dW, so that s is multiplied by the exponential of a normal number
(Oksendal 2003, example 5.1.1): it keeps its sign whatever the step, which no Gaussian step does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, Noise, StochasticDifferential
from ssmlang.model.rows import matvec
from ssmlang.model.sparse import Sparse

_MOVING = ("state", "noise", "obs", "augment")


def geometric(
    d: StochasticDifferential, model: Model, drift: Node, loadings: Mapping[str, Sparse], h: Node
) -> tuple[Equation, Noise] | None:
    """The transition over a time `h` of such an equation, given its drift and what its increments are multiplied with,
    and the noise that it reads. None of any other equation, or where another shares an increment with it or reads its
    state within the step."""
    name, entries = d.target.name, np.array(d.target.entries)
    own = {("state", name), *(("increment", n) for n in loadings if n.startswith("dW["))}
    for other in model.differentials:
        if other is not d and any((s, n) in own for s, n, _ in expr.references([other.value])):
            return None
    rate = _share(drift, name, entries)
    columns: dict[tuple[str, int], int] = {}
    parts = []
    for increment, m in loadings.items():
        share = _share(m.values, name, entries[m.rows])
        if share is None:
            return None
        parts.append((m.rows, np.array([columns.setdefault((increment, int(j)), len(columns)) for j in m.cols]), share))
    if rate is None or not parts:
        return None
    size, width, span = len(entries), len(columns), d.span
    b = sparse.add([sparse.build((size, width), *part) for part in parts])
    noise = Noise(f"increments of {name} in continuous time", (width,), (None,), span, None,
                  Dist("Normal", {"loc": expr.const(0.0), "scale": expr.const(1.0)}, (width,), 0, span))  # fmt: skip
    variance = matvec(b.map(lambda v: expr.mul(v, v)), expr.const(np.ones(width)))
    drift = expr.sub(rate, expr.mul(expr.const(0.5), variance))
    pushed = matvec(b, expr.ref("noise", noise.name, 0, (width,), (None,)))
    grown = expr.add(expr.mul(drift, h), expr.mul(expr.unary("sqrt", h), pushed))
    state = model.states[name]
    before = sparse.gather(sparse.flat(expr.ref("state", name, 1, state.shape, state.axes)), entries)
    value = expr.mul(before, expr.unary("exp", grown))
    return Equation("transition", (d.target,), span, value=value.at(span)), noise


def _share(node: Node, name: str, entries: np.ndarray) -> Node | None:
    """What each entry of an expression is in proportion to its own entry of the state; None where one is anything
    else."""
    form = Interpreter(lambda sort, *_: sort in _MOVING)(node)
    if not isinstance(form, Affine) or not sparse.flat(form.constant).is_zero or set(form.terms) - {("state", name, 1)}:
        return None
    m = form.terms.get(("state", name, 1), sparse.empty((node.size, 1)))
    if not np.array_equal(m.cols, entries[m.rows]):
        return None
    own = Sparse((node.size, 1), m.rows, np.zeros(m.nnz, int), m.values)
    return own.values if own.nnz == node.size else expr.reshape(own.dense, (node.size,))
