"""Discrete states that start from their stationary law, rewritten as states that start from a law of their own.

A chain whose chances read its own last value and parameters alone has the law pi with pi = pi M, M its matrix of
chances: an expression of the parameters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, State


def started(model: Model) -> Model:
    """The model with `init s ~ Stationary()` of discrete states as `init s ~ Categorical(pi)`, where `pi` is known."""
    initials = tuple(_started(model, i) for i in model.initials)
    return model if initials == tuple(model.initials) else replace(model, initials=initials)


def unstarted(model: Model) -> list[InitialEquation]:
    """Stationary starts of discrete states that `started` leaves as they are."""
    return [i for i in started(model).initials if i.special == "stationary"
            and any(t.name in model.states and model.states[t.name].values is not None for t in i.targets)]  # fmt: skip


def _started(model: Model, initial: InitialEquation) -> InitialEquation:
    state = model.states.get(initial.targets[0].name)
    if initial.special != "stationary" or len(initial.targets) != 1 or state is None or initial.targets[0].row != 0:
        return initial
    chances = _chances(model, state)
    if chances is None:
        return initial
    law = Dist("Categorical", {"probs": _stationary(chances)}, (), 0, initial.span)
    return replace(initial, law=law, special=None)


def _chances(model: Model, state: State) -> Node | None:
    """(K, K): of each value after each, where these depend on parameters and the last value alone."""
    equation = _equation(model, state)
    if equation is None or equation.law is None or equation.law.name != "Categorical" or state.shape:
        return None
    reads = expr.references(equation.law.args.values())
    moves = any(n.op == "time" for n in expr.walk(list(equation.law.args.values())))
    if moves or reads - {("state", state.name, 1)} or state.values is None or state.values.axis is None:
        return None
    name, node = next(iter(equation.law.args.items()))
    size = len(state.values.axis.labels)

    def after(value: int) -> Node:
        known = lambda n: expr.const(np.asarray(value), domain=n.domain) if n.op == "ref" else None
        return expr.transform(node, known)

    rows = expr.stack([after(k) for k in range(size)])
    return rows if name == "probs" else expr.linalg("softmax", [rows], rows.shape)


def _equation(model: Model, state: State) -> Equation | None:
    own = [e for e in model.equations if e.role == "transition" and any(t.name == state.name for t in e.targets)]
    return own[0] if len(own) == 1 else None


def _stationary(chances: Node) -> Node:
    """pi (M - I) = 0 with one of its equations replaced by the sum of pi, which is one."""
    size = chances.shape[0]
    change = expr.binary("sub", expr.transpose(chances), expr.const(np.eye(size)))
    keep = expr.const(np.arange(size)[:, None] < size - 1)
    system = expr.where(keep, change, expr.const(np.ones((size, size))))
    last = expr.const((np.arange(size) == size - 1).astype(float)[:, None])
    found = expr.linalg("solve", [system, last], (size, 1))
    return expr.reshape(found, (size,))
