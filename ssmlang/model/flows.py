"""Differential equations that are not linear, as transitions from row to row: a `flow`, in short steps of its noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.differentials import drift_of, loadings_of, step_of
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, Noise, Target

NOISE = "increments in continuous time"
"""What the noise of the steps is called; no name of a file has a blank."""


def flowing(model: Model, steps: int, *, gaussian: bool = False) -> Model:
    """The model with its differential equations as equations of their states, in so many steps from row to row.

    `gaussian`: each row is drawn from the Gaussian law of the mean and covariance that the moment equations give, for
    engines that work with moments; else by the noise of every step.
    """
    if not model.differentials:
        return model
    targets = [d.target for d in model.differentials]
    sizes = [len(t.entries) for t in targets]
    first = np.cumsum([0, *sizes])
    drift = expr.concat([sparse.flat(drift_of(d)) for d in model.differentials])
    columns: dict[tuple[str, int], int] = {}
    parts = []
    for k, d in enumerate(model.differentials):
        for name, m in loadings_of(d).items():
            own = name if name.startswith("dW[") else f"{k}:{name}"
            at = np.array([columns.setdefault((own, int(j)), len(columns)) for j in m.cols])
            parts.append((m.rows + first[k], at, m.values))
    n, w = int(first[-1]), max(len(columns), 1)
    loadings = [sparse.build((n, w), *part) for part in parts]
    diffusion = sparse.add(loadings).dense if loadings else expr.zeros((n, w))
    before = [sparse.gather(sparse.flat(_before(model, t)), np.array(t.entries)) for t in targets]
    shape = (steps, 2, w)
    span = model.differentials[0].span
    entries = tuple((t.name, t.entries) for t in targets)
    if gaussian:
        law = expr.flow_law(expr.concat(before), step_of(model), steps, drift, diffusion, entries)
        mean, root = expr.index(law, [expr.const(0)]), expr.index(law, [expr.const(np.arange(1, n + 1))])
        args = {"loc": mean, "scale_tril": root}
        made = Equation("transition", tuple(targets), span, law=Dist("MvNormal", args, (n,), 1, span))
        return replace(model, equations=(made, *model.equations), differentials=())
    noise = Noise(NOISE, shape, (None,) * 3, span, None,
                  Dist("Normal", {"loc": expr.const(0.0), "scale": expr.const(1.0)}, shape, 0, span))  # fmt: skip
    value = expr.flow(expr.concat(before), step_of(model), expr.ref("noise", NOISE, 0, shape, (None,) * 3), drift,
                      diffusion, entries)  # fmt: skip
    made = Equation("transition", tuple(targets), span, value=value.at(span))
    return replace(model, equations=(made, *model.equations), noises={**model.noises, NOISE: noise}, differentials=())


def _before(model: Model, target: Target) -> Node:
    state = model.states[target.name]
    return expr.ref("state", state.name, 1, state.shape, state.axes)
