"""What is no model of discrete states alone, by its declarations and equations."""

from __future__ import annotations

from ssmlang.model import expr
from ssmlang.model.model import Equation, Model, nodes_of
from ssmlang.model.obstacles import Obstacle


def obstacles(model: Model) -> list[Obstacle]:
    """All that stands against chains."""
    found = []
    for name in model.missing_constants:
        hint = f"give it: compile(..., constants={{{name!r}: ...}}), or --const {name}=..."
        found.append(Obstacle("E307", f"constant `{name}` has no value", None, "", hint))
    for s in model.states.values():
        if s.values is None:
            found.append(Obstacle("E306", "engine 'kalman' needs discrete states", s.span, f"{s.name} is a real number",
                                  by=("kalman", "imm", "ekf", "particle")))  # fmt: skip
        elif s.values.upper is None or s.values.lower is None:
            found.append(Obstacle("E306", "engine 'kalman' needs states with finitely many values", s.span,
                                  f"{s.name} has no last value", f"give it a range: `state {s.name} in 0..100`",
                                  by=("particle",)))  # fmt: skip
    for p in model.parameters.values():
        if p.augment:
            label = f"{p.name} is a real state on its unconstrained scale"
            found.append(Obstacle("E306", "engine 'kalman' takes no augmented parameter", p.span, label,
                                  by=("particle",)))  # fmt: skip
    for d in model.differentials:
        found.append(Obstacle("E306", "engine 'kalman' takes no differential equation", d.span, "has a real state",
                              by=("kalman", "particle")))  # fmt: skip
    for e in model.equations:
        found += _against(e, model)
    return found


def _against(e: Equation, model: Model) -> list[Obstacle]:
    nodes = nodes_of(e)
    for node in expr.walk(nodes):
        if node.op == "ref" and node.attrs[0] == "noise":
            return [Obstacle("E306", "engine 'kalman' takes no named noise", node.span,
                             f"{node.attrs[1]} is a real number", "write the law of the series itself, "
                             "`y[t] ~ Normal(..., sd)`", by=("imm", "particle"))]  # fmt: skip
        if node.op == "ref" and node.attrs[0] == "state" and not isinstance(node.attrs[2], int):
            return [Obstacle("E306", "engine 'kalman' does not sum a state over its whole past", node.span,
                             f"reads all rows of {node.attrs[1]}", by=("particle",))]  # fmt: skip
    if e.role == "transition" and e.law is not None and e.law.event_ndim:
        return [Obstacle("E306", "engine 'kalman' takes laws of single discrete states", e.law.span,
                         f"{e.law.name} gives several at once", by=("particle",))]  # fmt: skip
    if e.role == "emission" and e.law is None:
        real = [t.name for t in e.targets if model.observations[t.name].values is None]
        if real:
            return [Obstacle("E306", "engine 'kalman' needs observations with a density", e.span,
                             f"{real[0]} is known exactly from the states", by=("particle",))]  # fmt: skip
    return []
