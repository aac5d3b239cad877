"""The range that an equation's whole numbers are truncated to, without ends that its law cannot pass."""

from __future__ import annotations

import math
from dataclasses import replace

from ssmlang.model.expr import Node, walk
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, Values


def truncation(model: Model, e: Equation | InitialEquation) -> Values | None:
    """The values of an equation's target.

    An upper end that a Binomial law's total never exceeds is left out: nothing is cut off there, and nothing has to be
    normalised. States and observations are taken to keep to their own ranges.
    """
    name = e.targets[0].name
    values = (model.states.get(name) or model.observations[name]).values
    if e.law is None or values is None or values.axis is not None or values.upper is None:
        return values
    return replace(values, upper=None) if _most(model, e.law) <= values.upper else values


def _most(model: Model, law: Dist) -> float:
    """The largest number that a law can give, as far as it is known."""
    return _bounds(model, law.args["total_count"])[1] if law.name == "Binomial" else math.inf


def _bounds(model: Model, node: Node) -> tuple[float, float]:
    """Numbers between which all entries of an expression lie."""
    found: dict[int, tuple[float, float]] = {}
    for part in walk([node]):
        found[id(part)] = _bounds_of(model, part, [found[id(a)] for a in part.args])
    return found[id(node)]


def _bounds_of(model: Model, node: Node, parts: list[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = [p[0] for p in parts], [p[1] for p in parts]
    match node.op:
        case "const" if node.value is not None:
            value = node.value.astype(float)
            return float(value.min(initial=math.inf)), float(value.max(initial=-math.inf))
        case "ref":
            sort, name, _ = node.attrs
            variable = model.states.get(name) if sort == "state" else model.observations.get(name)
            values = variable.values if variable is not None and sort in ("state", "obs") else None
            return (-math.inf, math.inf) if values is None else values.ends
        case "index" | "reshape" | "broadcast" | "transpose" | "max" | "min":
            return parts[0]
        case "concat" | "stack":
            return min(lows), max(highs)
        case "where":
            return min(lows[1:]), max(highs[1:])
        case "add":
            return sum(lows), sum(highs)
        case "sub":
            return lows[0] - highs[1], highs[0] - lows[1]
        case "minimum":
            return min(lows), min(highs)
        case "maximum":
            return max(lows), max(highs)
    return -math.inf, math.inf
