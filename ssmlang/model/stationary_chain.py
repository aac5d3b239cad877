"""Discrete states that start from their stationary law, rewritten as states that start from a law of their own.

A chain whose chances read its own last value and parameters alone (of several entries each its own) has the law pi with
pi = pi M, M its matrix of chances: an expression of the parameters.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.model import expr
from ssmlang.model.dependence import Dependence
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, State


def started(model: Model) -> Model:
    """The model with `init s ~ Stationary()` of discrete states as `init s ~ Categorical(pi)`, where `pi` is known."""
    initials = tuple(i for given in model.initials for i in _started(model, given))
    return model if initials == tuple(model.initials) else replace(model, initials=initials)


def unstarted(model: Model) -> list[InitialEquation]:
    """Stationary starts of discrete states that `started` leaves as they are."""
    return [i for i in started(model).initials if i.special == "stationary"
            and any(t.name in model.states and model.states[t.name].values is not None for t in i.targets)]  # fmt: skip


def _started(model: Model, initial: InitialEquation) -> list[InitialEquation]:
    if initial.special != "stationary":
        return [initial]
    made, rest = [], []
    for target in initial.targets:
        state = model.states.get(target.name)
        chances = None if state is None or target.row != 0 else _chances(model, state)
        if state is None or chances is None:
            rest.append(target)
            continue
        law = Dist("Categorical", {"probs": _stationary(chances, state)}, state.shape, 0, initial.span)
        made.append(replace(initial, targets=(target,), law=law, special=None))
    return [*made, *([replace(initial, targets=tuple(rest))] if rest and made else [initial] if rest else [])]


def _chances(model: Model, state: State) -> Node | None:
    """(K, size, K): of each value of an entry after each of its own, where these depend on parameters and that last
    value alone."""
    equation, values = _equation(model, state), state.values
    if equation is None or equation.law is None or equation.law.name not in ("Categorical", "Bernoulli"):
        return None
    reads = expr.references(equation.law.args.values())
    moves = any(n.op == "time" for n in expr.walk(list(equation.law.args.values())))
    if moves or reads - {("state", state.name, 1)} or values is None or not np.isfinite(np.ptp(values.ends)):
        return None
    first, size = int(values.ends[0]), int(np.ptp(values.ends)) + 1
    probs = _probabilities(equation.law)
    if probs.shape[-1] != size or (equation.law.name == "Bernoulli" and first != 0):
        return None
    probs = expr.broadcast(probs, (*state.shape, size))
    own = Dependence("state", [state.name])(probs).reshape(state.size, size)
    if any(reads - {(state.name, i, 1)} for i, row in enumerate(own) for reads in row):
        return None

    def after(value: int) -> Node:
        known = lambda n: expr.const(np.full(n.shape, value), domain=n.domain) if n.op == "ref" else None
        return expr.reshape(expr.transform(probs, known), (state.size, size))

    return expr.stack([after(first + k) for k in range(size)])


def _probabilities(law: Dist) -> Node:
    """(..., K): of the values of a categorical or binary law."""
    name, node = next(iter(law.args.items()))
    if law.name == "Categorical":
        return node if name == "probs" else expr.linalg("softmax", [node], node.shape)
    p = node if name == "probs" else expr.unary("sigmoid", node)
    one = expr.reshape(p, (*p.shape, 1))
    return expr.concat([expr.sub(expr.const(1.0), one), one], p.ndim)


def _equation(model: Model, state: State) -> Equation | None:
    own = [e for e in model.equations if e.role == "transition" and any(t.name == state.name for t in e.targets)]
    whole = len(own) == 1 and [(t.name, t.entries) for t in own[0].targets] == [(state.name, tuple(range(state.size)))]
    return own[0] if whole else None


def _stationary(chances: Node, state: State) -> Node:
    """pi (M - I) = 0 with one of its equations replaced by the sum of pi, which is one; of each entry."""
    size, count = chances.shape[0], state.size
    i, to, of = np.meshgrid(np.arange(count), np.arange(size), np.arange(size), indexing="ij")
    moved = expr.index(chances, [expr.const(v) for v in (of, i, to)])  # (entry, to, from)
    change = expr.sub(moved, expr.const(np.broadcast_to(np.eye(size), moved.shape)))
    keep = expr.const(np.broadcast_to(np.arange(size)[:, None] < size - 1, moved.shape))
    system = expr.where(keep, change, expr.const(np.ones(moved.shape)))
    last = np.broadcast_to((np.arange(size) == size - 1).astype(float)[:, None], (count, size, 1))
    found = expr.linalg("solve", [system, expr.const(last)], (count, size, 1))
    return expr.reshape(found, (*state.shape, size))
