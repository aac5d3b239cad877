"""The equations of the states' means, as they stand and entry by entry. No sympy here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.analysis.skeleton import LOCATED
from ssmlang.model import expr
from ssmlang.model.affine import Affine
from ssmlang.model.entries import entry
from ssmlang.model.model import Dist, Equation, Model
from ssmlang.model.reading import Reader

MAX_SPLIT = 8
MAX_NODES = 400
"""Vector equations of more entries or operations are not taken apart."""


def nothing_linear(model: Model) -> bool:
    """Whether no entry of a state is a linear recursion, so that there is nothing to say of any.

    Nor is there where a constant has no value.
    """
    if model.missing_constants:
        return True
    if model.differentials:
        return False
    flat = skeleton(model)
    transitions = [e for e in model.equations if e.role == "transition"]
    for f, source in zip(flat.equations, transitions):
        if opaque(model, source) is not None:
            continue
        for part in entries(f, flat):
            assert part.value is not None
            if isinstance(Reader(flat).affine(part.value, "transition"), Affine):
                return False
    return True


def entries(e: Equation, flat: Model) -> list[Equation]:
    """The equation itself, or, where it is not affine as a whole, one for each entry: some of them may be."""
    assert e.value is not None
    size = sum(len(t.entries) for t in e.targets)
    if isinstance(Reader(flat).affine(e.value, "transition"), Affine) or size != e.value.size or size > MAX_SPLIT:
        return [e]
    if sum(1 for _ in expr.walk([e.value])) > MAX_NODES:
        return [e]
    places = [replace(t, entries=(i,)) for t in e.targets for i in t.entries]
    return [replace(e, targets=(t,), value=expr.reshape(entry(e.value, k), (1,))) for k, t in enumerate(places)]


def spread_of(e: Equation) -> dict[str, expr.Node]:
    """The arguments of a law that are not its middle."""
    return {k: v for k, v in e.law.args.items() if k != "loc"} if e.law is not None else {}


def opaque(model: Model, e: Equation) -> str | None:
    """Why the mean of an equation is no linear recursion, by what it is rather than by its algebra."""
    states = [model.states[t.name] for t in e.targets if t.name in model.states]
    if any(v.values is not None for v in states):
        return "it is discrete"
    if any(v.order is None for v in states):
        return "it reads its whole past"
    if e.law is not None and e.law.name not in LOCATED:
        return f"it is drawn from {e.law.name}, which is no mean plus noise"
    node = e.value if e.value is not None else e.law.args[LOCATED[e.law.name]]  # type: ignore[union-attr]
    for sort, name, _ in expr.references([node]):
        if sort == "augment":
            return f"it reads {name}, which is learned as a state"
        if sort == "state" and model.states[name].values is not None:
            return f"it reads {name}, which is discrete"
    return None


def skeleton(model: Model) -> Model:
    """The transitions alone, each as the value of its mean; named noises as standard normals."""
    equations = []
    for e in model.equations:
        if e.role != "transition":
            continue
        value = e.value
        if value is None:
            assert e.law is not None
            middle = e.law.args.get(LOCATED.get(e.law.name, "loc"), expr.const(0.0))
            size = sum(len(t.entries) for t in e.targets)
            shape = e.law.shape if int(np.prod(e.law.shape, dtype=int)) == size else (size,)
            value = expr.broadcast(middle, shape) if e.law.name in LOCATED else expr.zeros(shape)
        equations.append(replace(e, law=None, value=value))
    standard = {n: replace(v, law=Dist("Normal", {"loc": expr.const(0.0), "scale": expr.const(1.0)}, v.shape, 0))
                for n, v in model.noises.items()}  # fmt: skip
    return replace(model, equations=tuple(equations), initials=(), noises=standard, lifts=(), assertions=(),
                   differentials=())  # fmt: skip
