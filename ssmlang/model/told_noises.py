"""Noises that an observation and the states of the next row share, as in stochastic volatility with leverage.

Given the state, an observation y = a(x) + B(x) w that is affine in such a Gaussian noise has a density, and the law of
w given the state and y is Gaussian too. The states of the next row can read that, so that w need not be remembered. No
JAX here.
"""

from __future__ import annotations

from ssmlang.model import expr
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model, nodes_of

GAUSSIAN = ("Normal", "MvNormal")


def told_noises(model: Model) -> tuple[str, ...]:
    """Names of the noises that observations read in their own row and states in the next, and nothing else does."""
    if model.differentials or any(_nodes_read(d.value, "noise") for d in model.definitions.values()):
        return ()
    emissions = [e for e in model.equations if e.role == "emission"]
    fed_back = {n for e in model.equations for s, n, _ in expr.references(nodes_of(e)) if s == "obs"}
    found: list[str] = []
    for v in model.noises.values():
        if v.law is None or v.law.name not in GAUSSIAN:
            continue
        by: set[tuple[str, int | str]] = set()
        by |= {(str(e.role), lag) for e in model.equations for s, n, lag in expr.references(nodes_of(e))
               if s == "noise" and n == v.name}  # fmt: skip
        by |= {("first", lag) for i in model.initials if i.law is not None or i.value is not None
               for s, n, lag in expr.references([*_values(i.law), *([i.value] if i.value is not None else [])])
               if s == "noise" and n == v.name}  # fmt: skip
        if by == {("emission", 0), ("transition", 1)}:
            found.append(v.name)
    told = set(found)
    for e in emissions:
        fed = any(t.name in fed_back for t in e.targets)
        if _reads(nodes_of(e), told) and (fed or not gaussian_in_noises(e, model)):
            return ()
    return tuple(found) if not any(_chained(e) for e in emissions) else ()


def scaled_by_states(e: Equation, model: Model) -> bool:
    """Whether an observation without a law of its own is a noise times something that moves with the states."""
    if e.law is not None or e.value is None:
        return False
    form = Interpreter(lambda sort, name, lag: sort == "noise" and lag == 0)(e.value)
    return isinstance(form, Affine) and any(_nodes_read(v.values, "state") for v in form.terms.values())


def _values(law: object) -> list[Node]:
    return list(getattr(law, "args", {}).values())


def _nodes_read(node: Node | None, sort: str) -> bool:
    return node is not None and any(s == sort for s, _, _ in expr.references([node]))


def _reads(nodes: list[Node], names: set[str]) -> bool:
    return any(s == "noise" and n in names for s, n, _ in expr.references(nodes))


def gaussian_in_noises(e: Equation, model: Model) -> bool:
    """Whether an emission is Gaussian and affine in all noises that it reads."""
    if e.law is not None and e.law.name not in GAUSSIAN:
        return False
    centre = e.value if e.law is None else e.law.args.get("loc")
    rest = [] if e.law is None else [a for k, a in e.law.args.items() if k != "loc"]
    noise = lambda sort, name, lag: sort == "noise"
    laws = [model.noises[n].law for s, n, _ in expr.references(nodes_of(e)) if s == "noise"]
    if any(law is None or law.name not in GAUSSIAN for law in laws) or _reads(rest, set(model.noises)):
        return False
    return centre is not None and isinstance(Interpreter(noise)(centre), Affine)


def _chained(e: Equation) -> bool:
    return any(s == "obs" and lag == 0 for s, _, lag in expr.references(nodes_of(e)))
