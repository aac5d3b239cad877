"""What in a model a Gaussian law of the states does not survive: bent sights, jumps, corners, angles that go round. No
JAX here."""

from __future__ import annotations

from collections.abc import Iterator

from ssmlang.model import expr
from ssmlang.model._numeric import PREDICATES
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model, nodes_of

CORNERS = ("abs", "maximum", "minimum", "max", "min", "relu", "interp", "where", "mod")
"""Operations whose derivative jumps."""


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
