"""A model of one Markov chain that is seen through its labels' laws: its tables at exact and plausible parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals, plausible, residues
from ssmlang.analysis.identifiability_rank import random_field
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Ring
from ssmlang.analysis.identifiability_rings import Unsupported as NotFollowed
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, State

Array = np.ndarray
FINITE = frozenset(["Bernoulli", "Categorical"])
"""Families whose laws are vectors of chances."""
INDEPENDENT = frozenset(["Normal", "LogNormal", "Poisson", "Exponential", "Cauchy"])
"""Families of which different laws are linearly independent (Teicher 1961 and 1963, Yakowitz and Spragins 1968)."""
MOST_LABELS = 12
TRIES = 40


@dataclass(frozen=True)
class Tables:
    """At one point of the parameters: `step` (K, K) from row label to column label, `start` (K,) of row 0 (None: the
    stationary law), `seen` for each observation by its equation the arguments of its law, (K, ...) each."""

    step: Dual
    start: Dual | None
    seen: tuple[tuple[Dual, ...], ...]


class Chain:
    """One scalar discrete state whose chances and whose observations' laws are the same in every row.

    Raises Unsupported, with the reason in the user's terms, of another model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = _only_state(model)
        self.labels = labels_within(self.state)
        steps = [e for e in model.equations if e.role == "transition"]
        self.emissions = [e for e in model.equations if e.role == "emission"]
        if len(steps) != 1 or steps[0].law is None or steps[0].law.name != "Categorical" or not self.emissions:
            raise Unsupported(f"{self.state.name} is no chain of one Categorical law", self.state.span)
        self.law: Dist = steps[0].law
        self._same_in_every_row(steps[0], 1)
        for e in self.emissions:
            if e.law is None:
                raise Unsupported(f"{e.targets[0].name} is given without a law", e.span)
            self._same_in_every_row(e, 0)
        self.initial = next((i for i in model.initials if any(t.name == self.state.name for t in i.targets)), None)
        start = self.initial
        if start is None or start.special == "diffuse" or (start.law is not None and start.law.name != "Categorical"):
            raise Unsupported(f"the first {self.state.name} has no Categorical law", self.state.span)

    def _same_in_every_row(self, e: Equation, lag: int) -> None:
        nodes = list(e.law.args.values()) if e.law is not None else []
        if any(n.op in ("time", "past_sum") for n in expr.walk(nodes)):
            raise Unsupported(f"the law of {e.targets[0].name} changes with the row number", e.span)
        for sort, name, back in expr.references(nodes):
            if sort != "state" or back != lag:
                what = {"state": f"{name} of another row", "obs": f"{name} too"}.get(sort, name)
                raise Unsupported(f"the law of {e.targets[0].name} reads {what}, which is not followed here", e.span)

    @property
    def size(self) -> int:
        return len(self.labels)

    @cached_property
    def coords(self) -> list[Coordinate]:
        """The parameters that any of the laws reads."""
        laws = [self.law, *(e.law for e in self.emissions if e.law is not None)]
        nodes = [n for law in laws for n in law.args.values()]
        if self.initial is not None:
            nodes += list(self.initial.law.args.values()) if self.initial.law is not None else []
            nodes += [self.initial.value] if self.initial.value is not None else []
        return coordinates(self.model, sorted(expr.parameters(nodes)))

    @cached_property
    def read(self) -> list[str]:
        return list(dict.fromkeys(k.parameter for k in self.coords))

    def exact(self, seed: int) -> tuple[dict[str, Array], Tables, Ring]:
        """Residues of the parameters at a random point, the tables there with derivatives in all coordinates, and the
        field that they are in."""
        for attempt in range(TRIES):
            ring, random = random_field(seed + 1000 * attempt)
            try:
                values = residues(self.model, ring, random, self.read)
                return values, self.at(values, ring), ring
            except NoRoot:
                continue
        raise Unsupported("no random point has the square roots that the model takes")

    def numeric(self, values: Mapping[str, Array]) -> Tables:
        """The tables in double precision."""
        return self.at({n: np.asarray(values[n], float) for n in self.read}, Reals())

    def at(self, values: Mapping[str, Array], ring: Ring) -> Tables:
        """The tables at a point."""
        try:
            return self._at(values, ring)
        except NotFollowed as trouble:
            raise Unsupported(str(trouble)) from trouble

    def _at(self, values: Mapping[str, Array], ring: Ring) -> Tables:
        calculus = Calculus(ring, max(len(self.coords), 1))
        floats = plausible(self.model, 5) if ring.exact else {**plausible(self.model, 5), **values}
        expressions = Expressions(calculus, duals(self.model, calculus, values, self.coords), floats)
        by_label = lambda law: [self._at_label(expressions, arguments_of(law), k) for k in range(self.size)]
        stacked = lambda rows: tuple(_stack(calculus, [r[i] for r in rows]) for i in range(len(rows[0])))
        (step,) = stacked(by_label(self.law))
        start = None
        if self.initial is not None and self.initial.law is not None:
            (start,) = expressions(arguments_of(self.initial.law), 0)
        elif self.initial is not None and self.initial.value is not None:
            at = int(np.asarray(self.initial.value.value).reshape(())) if self.initial.value.value is not None else 0
            start = calculus.constant(np.arange(self.size) == at)
        return Tables(step, start, tuple(stacked(by_label(e.law)) for e in self.emissions if e.law is not None))

    def _at_label(self, expressions: Expressions, nodes: Sequence[Node], label: int) -> list[Dual]:
        value = np.asarray(label)
        number = expressions.calculus.constant(value)
        return expressions(nodes, 1, lambda sort, name, lag: (number, value))


def labels_within(state: State) -> list[str]:
    """The labels of a discrete state. Raises Unsupported where they are too many."""
    values = state.values
    assert values is not None
    labels = [str(v) for v in (values.axis.labels if values.axis else range(int(values.upper or 0) + 1))]
    if len(labels) > MOST_LABELS:
        raise Unsupported(f"{state.name} has {len(labels)} values, more than this check takes", state.span)
    return labels


def _only_state(model: Model) -> State:
    if model.missing_constants:
        raise Unsupported(f"the constant {model.missing_constants[0]} has no value")
    discrete = [s for s in model.states.values() if s.values is not None]
    others = [s for s in model.states.values() if s.values is None]
    one = discrete[0]
    if others or any(p.augment for p in model.parameters.values()):
        beside = others[0].name if others else next(p.name for p in model.parameters.values() if p.augment)
        raise Unsupported(f"{one.name} is discrete and {beside} is not: both together are not followed", one.span)
    if len(discrete) > 1:
        raise Unsupported(f"{one.name} and {discrete[1].name} are both discrete: one chain is followed", one.span)
    if one.size != 1:
        raise Unsupported(f"{one.name} stands for {one.size:,} chains: one alone is followed", one.span)
    if one.values is not None and one.values.axis is None and (one.values.lower != 0 or one.values.upper is None):
        raise Unsupported(f"{one.name} is a count: chains of labels are followed", one.span)
    if one.order is None or one.order > 1:
        raise Unsupported(f"{one.name} reads more than its last row: chains of order one are followed", one.span)
    return one


def arguments_of(law: Dist) -> list[Node]:
    """The arguments of a law, chances in place of logits, which count up to a common shift."""
    if law.name in ("Categorical", "Multinomial") and "logits" in law.args:
        logits = law.args["logits"]
        chances = expr.linalg("softmax", [logits], logits.shape, logits.axes)
        return [chances, *(n for k, n in law.args.items() if k != "logits")]
    return [expr.broadcast(n, law.shape) if n.size == 1 and law.event_ndim == 0 and law.name != "Categorical" else n
            for n in law.args.values()]  # fmt: skip


def _stack(calculus: Calculus, parts: Sequence[Dual]) -> Dual:
    shape = parts[0].shape
    flat = [calculus.move([p], np.arange(1, p.value.size + 1).reshape(1, -1)) for p in parts]
    whole = calculus.concatenate(flat)
    return calculus.move([whole], np.arange(1, whole.value.size + 1).reshape(len(parts), *shape))
