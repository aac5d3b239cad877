"""The noises of a model as definitions, so that an engine gives their moments as it gives those of any `let`.

A noise with a name is itself; the noise of an equation `x[t] ~ Normal(loc, scale)` is what x is away from its location.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.expr import Node
from ssmlang.model.model import Definition, Dist, Equation, Model, Variable

PREFIX = "noise of "
"""What the definitions are called; no name of a file has a blank."""


@dataclass(frozen=True)
class NoiseLaw:
    """One noise: the definition that is its value, the names of its entries, and its law."""

    definition: str
    entries: tuple[str, ...]
    law: Dist
    named: bool
    """Whether the value holds the law's location too (`noise w ~ Normal(1, s)`)."""

    @property
    def loc(self) -> Node:
        """(entries,): what the value is when nothing is known of it."""
        if not self.named:
            return expr.zeros((self.size,))
        return sparse.flat(expr.broadcast(self.law.args["loc"], self.law.shape))

    @property
    def size(self) -> int:
        return len(self.entries)

    @property
    def spread(self) -> tuple[str, Node]:
        """What gives the sds, with its shape: "scale" (entries,), "cov" (B, d, d) or "scale_tril" (B, d, d)."""
        law = self.law
        if law.name == "Normal":
            return "scale", sparse.flat(expr.broadcast(law.args["scale"], law.shape))
        name, d = ("cov" if "cov" in law.args else "scale_tril"), law.shape[-1]
        whole = expr.broadcast(law.args[name], (*law.shape[:-1], d, d))
        return name, expr.reshape(whole, (self.size // d, d, d))


def with_noises(model: Model) -> tuple[Model, tuple[NoiseLaw, ...]]:
    """The model with its noises for definitions, in the place of its own, and what they are.

    Noises with names come first, then those of the equations of states and of observations, in the order of the file.
    """
    definitions: dict[str, Definition] = {}
    laws: list[NoiseLaw] = []

    def enter(name: str, entries: list[str], value: Node, law: Dist, like: Variable, named: bool) -> None:
        definitions[name] = Definition(name, value.shape, value.axes, like.span, None, value, True)
        laws.append(NoiseLaw(name, tuple(entries), law, named))

    for noise in model.noises.values():
        if noise.law is not None:
            value = expr.ref("noise", noise.name, 0, noise.shape, noise.axes)
            enter(PREFIX + noise.name, noise.entry_names(), value, noise.law, noise, True)
    for equation in model.equations:
        if equation.law is not None:
            entries, value = _own(equation, model)
            first = _variable(equation.targets[0].name, model)[1]
            enter(PREFIX + ", ".join(entries), entries, value, equation.law, first, False)
    return replace(model, definitions=definitions, assertions=()), tuple(laws)


def _own(equation: Equation, model: Model) -> tuple[list[str], Node]:
    """The entries of an equation's targets, and how far they are from their location."""
    assert equation.law is not None
    names: list[str] = []
    values: list[Node] = []
    for target in equation.targets:
        sort, variable = _variable(target.name, model)
        whole = sparse.flat(expr.ref(sort, variable.name, 0, variable.shape, variable.axes))
        values.append(sparse.gather(whole, np.array(target.entries)))
        all_names = variable.entry_names()
        names += [all_names[i] for i in target.entries]
    loc = sparse.flat(expr.broadcast(equation.law.args["loc"], equation.law.shape))
    return names, expr.sub(values[0] if len(values) == 1 else expr.concat(values), loc)


def _variable(name: str, model: Model) -> tuple[str, Variable]:
    sorts: tuple[tuple[str, Mapping[str, Variable]], ...] = (("state", model.states), ("obs", model.observations))
    return next((sort, variables[name]) for sort, variables in sorts if name in variables)
