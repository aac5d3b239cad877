"""What in a model a Gaussian law of the states does not survive: bent sights, jumps, corners, angles that go round. No
JAX here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssmlang.model import expr
from ssmlang.model._numeric import PREDICATES
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model, nodes_of

CORNERS = ("abs", "maximum", "minimum", "max", "min", "relu", "interp", "where", "mod")
"""Operations whose derivative jumps."""

POSITIVE = ("add", "mul", "div", "sum", "prod", "max", "min", "minimum", "broadcast", "reshape", "transpose", "stack",
            "concat")  # fmt: skip
"""Operations of what is never negative that give nothing negative."""


def _moving(sort: str, name: str, lag: int | str) -> bool:
    del name, lag
    return sort in ("state", "noise", "augment")


def _reads_states(node: Node) -> bool:
    return any(sort == "state" for sort, *_ in expr.references([node]))


def _centre(e: Equation) -> Node | None:
    return e.value if e.law is None else e.law.args.get("loc")


def bent_sights(model: Model) -> tuple[str, ...]:
    """Names of observations whose location is not affine in what moves."""
    seen = [(e, _centre(e)) for e in model.equations if e.role == "emission"]
    form = Interpreter(_moving)
    bent = (e for e, centre in seen if centre is not None and not isinstance(form(centre), Affine))
    return tuple(dict.fromkeys(t.name for e in bent for t in e.targets))


def jumping(model: Model) -> tuple[str, ...]:
    """Names of states whose equations choose by where a state is, or wrap it round."""
    moved = [e for e in model.equations if e.role == "transition"]
    return tuple(dict.fromkeys(t.name for e in moved if any(_chosen(e)) for t in e.targets))


def _chosen(e: Equation) -> Iterator[bool]:
    for node in expr.walk(nodes_of(e)):
        if node.op in PREDICATES or node.op == "mod":
            yield _reads_states(node)


def cornered(model: Model) -> bool:
    """Whether a derivative of an equation in the states jumps somewhere."""
    nodes = expr.walk([n for e in model.equations for n in nodes_of(e)])
    return any(n.op in CORNERS and _reads_states(n) for n in nodes)


def limited(model: Model) -> tuple[str, ...]:
    """Names of observations whose location is a logarithm or a root of what moves and may not be positive: points of a
    Gaussian law fall where it has no value."""
    found = []
    for e in model.equations:
        centre = _centre(e) if e.role == "emission" else None
        for node in expr.walk([] if centre is None else [centre]):
            root = node.op in ("log", "sqrt") or (node.op == "pow" and not _whole(node.args[1]))
            if root and _reads_states(node.args[0]) and not _never_negative(node.args[0]):
                found += [t.name for t in e.targets]
    return tuple(dict.fromkeys(found))


def _whole(node: Node) -> bool:
    return node.value is not None and bool(np.all(node.value == np.round(node.value)))


def _never_negative(node: Node) -> bool:
    """Whether an expression is at least zero by its form; what reads no state is taken to be so."""
    if node.value is not None:
        return bool((node.value >= 0).all())
    args = node.args
    if node.op in ("exp", "abs", "sigmoid", "softplus", "relu", "sqrt", "normal_cdf"):
        return True
    if node.op == "pow":
        even = args[1].value is not None and bool(np.all(args[1].value % 2 == 0))
        return even or _never_negative(args[0])
    if node.op == "maximum":
        return any(map(_never_negative, args))
    if node.op == "mul" and args[0] is args[1]:
        return True
    return not _reads_states(node) or (node.op in POSITIVE and all(map(_never_negative, args)))


def rounding(model: Model) -> tuple[str, ...]:
    """Names of observations on the circle that are about a state itself, which may go round unseen."""
    form = Interpreter(_moving)
    found = []
    for e in model.equations:
        if e.role == "emission" and e.law is not None and e.law.name == "VonMises":
            centre = e.law.args["loc"]
            if _reads_states(centre) and isinstance(form(centre), Affine):
                found += [t.name for t in e.targets]
    return tuple(dict.fromkeys(found))
