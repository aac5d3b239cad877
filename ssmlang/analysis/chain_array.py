"""Chains that never meet, an entry of one discrete state each, whose observations have finitely many outcomes.

Chances may change with the row number: the tables are those of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssmlang.analysis.chain import FINITE, TRIES, arguments_of, labels_within
from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals, plausible, residues
from ssmlang.analysis.identifiability_rank import random_field
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Ring
from ssmlang.analysis.identifiability_rings import Unsupported as NotFollowed
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model import expr
from ssmlang.model.chains import chain_form
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, State, nodes_of

Array = np.ndarray


@dataclass(frozen=True)
class Row:
    """One row of all chains: `step` (n, K, K) from row label to column label, `seen` by chain the (K, outcomes) of each
    observation entry that reads it."""

    step: Dual
    seen: tuple[tuple[Dual, ...], ...]


@dataclass(frozen=True)
class Tables:
    """The tables at a point of the parameters, row by row, and what they are made with."""

    calculus: Calculus
    start: Dual
    """(n, K): the chances of row 0"""
    rows: tuple[Row, ...]


class Chains:
    """The chains of a model. Raises Unsupported, with the reason in the user's terms, of a model that is none."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = _only_state(model)
        self.labels = labels_within(self.state)
        self.steps = [e for e in model.equations if e.role == "transition"]
        self.emissions = [e for e in model.equations if e.role == "emission"]
        for e in self.steps:
            if e.law is None or e.law.name != "Categorical":
                raise Unsupported(f"{e.targets[0].name} has no Categorical law", e.span)
            self._reads_only_itself(e, 1)
        for e in self.emissions:
            if e.law is None or e.law.name not in FINITE:
                raise Unsupported(f"{e.targets[0].name} has more outcomes than are gone through", e.span)
            self._reads_only_itself(e, 0)
        self._starts()
        form = chain_form(model)
        if isinstance(form, tuple):
            raise Unsupported(f"{form[0].message}: {form[0].label}", form[0].span)
        meeting = next((c for c in form.components if len(c.entries) > 1), None)
        if meeting is not None:
            names = self.state.entry_names()
            one, other = (names[i] for i in meeting.entries[:2])
            raise Unsupported(f"{one} and {other} meet: chains that never do are followed", self.state.span)
        self.observed = {c.entries[0]: c.observations for c in form.components if c.entries}
        """By chain, the observation entries that read it, numbered in the order of the file."""

    def _reads_only_itself(self, e: Equation, lag: int) -> None:
        for sort, name, back in expr.references(nodes_of(e)):
            if sort != "state" or back != lag:
                what = {"state": f"{name} of another row", "obs": f"{name} too"}.get(sort, name)
                raise Unsupported(f"the law of {e.targets[0].name} reads {what}, which is not followed here", e.span)

    def _starts(self) -> None:
        name = self.state.name
        own = [i for i in self.model.initials if any(t.name == name for t in i.targets)]
        for i in own:
            if i.special == "diffuse" or any(t.row for t in i.targets) or (i.law and i.law.name != "Categorical"):
                raise Unsupported(f"the first {name} has no Categorical law", i.span)
        given = sum(len(t.entries) for i in own for t in i.targets)
        if given != self.state.size:
            raise Unsupported(f"some of the first {name} come from the transition", self.state.span)
        self.initials = own

    @property
    def size(self) -> int:
        return len(self.labels)

    @cached_property
    def varying(self) -> bool:
        """Whether a law changes with the row number."""
        return any(n.op == "time" for n in expr.walk(n for e in self.model.equations for n in nodes_of(e)))

    @cached_property
    def coords(self) -> list[Coordinate]:
        """The parameters that any of the laws reads."""
        items: list[Equation | InitialEquation] = [*self.model.equations, *self.initials]
        nodes = [n for e in items for n in nodes_of(e)]
        return coordinates(self.model, sorted(expr.parameters(nodes)))

    @cached_property
    def read(self) -> list[str]:
        return list(dict.fromkeys(k.parameter for k in self.coords))

    def exact(self, seed: int, rows: int) -> tuple[dict[str, Array], Tables]:
        """Residues of the parameters at a random point, and the tables of the first rows with derivatives in all
        coordinates."""
        for attempt in range(TRIES):
            ring, random = random_field(seed + 1000 * attempt)
            try:
                values = residues(self.model, ring, random, self.read)
                return values, self.at(values, ring, rows)
            except NoRoot:
                continue
        raise Unsupported("no random point has the square roots that the model takes")

    def numeric(self, values: Mapping[str, Array], rows: int) -> Tables:
        """The tables in double precision."""
        return self.at({n: np.asarray(values[n], float) for n in self.read}, Reals(), rows)

    def at(self, values: Mapping[str, Array], ring: Ring, rows: int) -> Tables:
        calculus = Calculus(ring, max(len(self.coords), 1))
        floats = plausible(self.model, 5) if ring.exact else {**plausible(self.model, 5), **values}
        expressions = Expressions(calculus, duals(self.model, calculus, values, self.coords), floats)
        try:
            made = []
            for t in range(rows if self.varying else 1):
                made.append(self._row(expressions, t + 1, t))
            made += made[-1:] * (rows - len(made))
            return Tables(calculus, self._start(expressions, made[0].step), tuple(made))
        except NotFollowed as trouble:
            raise Unsupported(str(trouble)) from trouble

    def _row(self, expressions: Expressions, to: int, seen_in: int) -> Row:
        """The step to a row, and what is seen in another."""
        step = self._gathered(expressions, self.steps, {self.state.name: 0}, to)
        starts, total = {}, 0
        for o in self.model.observations.values():
            starts[o.name] = total
            total += o.size
        seen = self._gathered(expressions, self.emissions, starts, seen_in)
        c = expressions.calculus
        whole = _stack(c, [step[i] for i in range(self.state.size)])
        return Row(whole, tuple(tuple(seen[j] for j in self.observed.get(i, ())) for i in range(self.state.size)))

    def _gathered(self, expressions: Expressions, equations: Sequence[Equation], starts: Mapping[str, int], t: int
                  ) -> dict[int, Dual]:  # fmt: skip
        """By target entry, the chances (K, outcomes) of its law for each label of the chain that it reads."""
        c, found = expressions.calculus, {}
        for e in equations:
            assert e.law is not None
            places = [starts[target.name] + i for target in e.targets for i in target.entries]
            by_label = [self._chances(expressions, e.law, k, t, len(places)) for k in range(self.size)]
            for i, place in enumerate(places):
                found[place] = _stack(c, [c.take(one, (np.asarray(i),)) for one in by_label])
        return found

    def _chances(self, expressions: Expressions, law: Dist, label: int, t: int, count: int) -> Dual:
        """(targets, outcomes) where all chains have one label."""
        value = np.full(self.state.shape, label)
        number = expressions.calculus.constant(value)
        [chances] = expressions(_chances_of(law), t, lambda sort, name, lag: (number, value))[:1]
        return _spread(expressions.calculus, law, chances, count)

    def _start(self, expressions: Expressions, step: Dual) -> Dual:
        c, n, size = expressions.calculus, self.state.size, self.size
        found: dict[int, Dual] = {}
        for i in self.initials:
            entries = [k for t in i.targets for k in t.entries]
            if i.special == "stationary":
                made = _stationary(c, c.take(step, (np.asarray(entries),)))
            elif i.law is not None:
                made = _spread(c, i.law, expressions(_chances_of(i.law), 0)[0], len(entries))
            else:
                assert i.value is not None
                expressions([i.value], 0)
                at = np.broadcast_to(np.asarray(expressions.beside[0], int).reshape(-1), (len(entries),))
                made = c.constant(at[:, None] == np.arange(size))
            found.update((k, c.take(made, (np.asarray(j),))) for j, k in enumerate(entries))
        return _stack(c, [found[k] for k in range(n)])


def _only_state(model: Model) -> State:
    if model.missing_constants:
        name = model.missing_constants[0]
        raise Unsupported(f"the constant {name} has no value: give it, as in --const {name}=...")
    discrete = [s for s in model.states.values() if s.values is not None]
    others = [s.name for s in model.states.values() if s.values is None]
    others += [p.name for p in model.parameters.values() if p.augment]
    one = discrete[0]
    if others:
        raise Unsupported(f"{one.name} is discrete and {others[0]} is not: both together are not followed", one.span)
    if len(discrete) > 1:
        raise Unsupported(f"{one.name} and {discrete[1].name} are both discrete: chains of one state are followed",
                          one.span)  # fmt: skip
    if one.values is not None and one.values.axis is None and (one.values.lower != 0 or one.values.upper is None):
        raise Unsupported(f"{one.name} is a count: chains of labels are followed", one.span)
    if one.order is None or one.order > 1:
        raise Unsupported(f"{one.name} reads more than its last row: chains of order one are followed", one.span)
    return one


def _chances_of(law: Dist) -> list[Node]:
    """The chances of a law with finitely many outcomes, as they stand in the file or from logits."""
    if law.name == "Bernoulli" and "logits" in law.args:
        return [expr.unary("sigmoid", law.args["logits"])]
    return arguments_of(law)


def _spread(c: Calculus, law: Dist, chances: Dual, count: int) -> Dual:
    """(targets, outcomes) of chances that may be shared by all targets; of a Bernoulli law, those of zero and one."""
    if law.name == "Bernoulli":
        places = np.broadcast_to(np.arange(1, chances.value.size + 1).reshape(-1), (count,))
        one = c.move([chances], places[:, None])
        zero = c.sub(c.constant(np.ones((count, 1), int)), one)
        own = np.arange(1, count + 1)[:, None]
        return c.move([zero, one], np.concatenate([own, own + count], axis=1))
    last = chances.shape[-1]
    places = np.arange(1, chances.value.size + 1).reshape(-1, last)
    return c.move([chances], np.broadcast_to(places, (count, last)))


def _stack(c: Calculus, parts: Sequence[Dual]) -> Dual:
    shape, flat, size = parts[0].shape, list(parts), parts[0].value.size
    places = np.arange(1, size * len(parts) + 1).reshape(len(parts), *shape)
    return c.move(flat, places)


def _stationary(c: Calculus, step: Dual) -> Dual:
    """(n, K): the chances that a step leaves as they are, p (I - P + 1 1') = 1'."""
    found = []
    size = step.shape[-1]
    for i in range(step.shape[0]):
        own = c.sub(c.constant(np.eye(size, dtype=int) + 1), c.take(step, (np.asarray(i),)))
        row = c.matmul(c.constant(np.ones((1, size), int)), c.inverse(own))
        found.append(Dual(row.value[0], None if row.tangent is None else row.tangent[:, 0]))
    return _stack(c, found)
