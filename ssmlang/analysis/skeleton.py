"""The skeleton of a model: what its equations say once every noise is at its middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ssmlang.analysis.scalars import Arithmetic, Evaluator, Unsupported, filled
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model

LOCATED = {"Normal": "loc", "StudentT": "loc", "Laplace": "loc", "Cauchy": "loc", "MvNormal": "loc"}
"""Laws of the form middle plus noise, and the argument that is the middle."""


@dataclass(frozen=True)
class Key:
    """A single number that expressions read: sort state, noise, obs or input at row t - lag; param, augment; time."""

    sort: str
    name: str = ""
    entry: int = 0
    lag: int = 0


@dataclass(frozen=True)
class Given:
    """What one entry of a state is: a node and the position in it; `law` where noise is added to that middle."""

    node: Node
    position: int
    law: Dist | None
    span: Span


class Skeleton:
    """The transition of each entry and the increments of those in continuous time, by entry.

    Raises Unsupported where a state has no noise-free form (discrete ones, sums over the whole past).
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        learned = [p for p in model.parameters.values() if p.augment]
        self.entries = [Key("state", s.name, i) for s in model.states.values() for i in range(s.size)]
        self.entries += [Key("augment", p.name, i) for p in learned for i in range(p.size)]
        for s in model.states.values():
            if s.values is not None:
                raise Unsupported(f"{s.name} is discrete", s.span)
            if s.order is None:
                raise Unsupported(f"{s.name} reads its whole past", s.span)
        for name in model.missing_constants:
            raise Unsupported(f"constant `{name}` has no value")
        self.given: dict[tuple[str, int], Given] = {}
        for e in model.equations:
            if e.role == "transition":
                self._place(e)
        self.increments: dict[tuple[str, int], Given] = {}
        for d in model.differentials:
            for position, entry in enumerate(d.target.entries):
                self.increments[d.target.name, entry] = Given(d.value, position, None, d.span)

    def _place(self, e: Equation) -> None:
        places = [(t.name, i) for t in e.targets for i in t.entries]
        node, law = e.value, None
        if e.law is not None:
            law = e.law
            if law.name == "LogNormal":
                node = expr.unary("exp", expr.broadcast(law.args["loc"], law.shape), law.args["loc"].span)
            elif law.name in LOCATED:
                node = expr.broadcast(law.args[LOCATED[law.name]], law.shape)
            else:
                raise Unsupported(f"{places[0][0]} is drawn from {law.name}, which is no middle plus noise", e.span)
        assert node is not None
        for position, place in enumerate(places):
            self.given[place] = Given(node, position, law, e.span)

    @cached_property
    def memory(self) -> int:
        """How many past rows the state at a row is made of: 1, or more where something reads further back."""
        items = [g.node for g in self.given.values()]
        lags = [lag for sort, _, lag in expr.references(items) if sort in ("state", "noise") and isinstance(lag, int)]
        return max(1, *lags) if lags else 1

    @property
    def continuous(self) -> bool:
        """Whether every state follows a differential equation. Raises Unsupported where some do and some do not."""
        if not self.increments:
            return False
        if self.given:
            raise Unsupported("some states are in continuous time and some are not")
        return True

    def written(self, key: Key, lag: int | None = None) -> str:
        """As a person writes it at row t - lag: `x[t-1, 0]`, `angle[t]`, `phi[2]`, `t`."""
        if key.sort == "time":
            return "t"
        label = self.labels(key.name)[key.entry]
        if key.sort in ("param", "augment"):
            return label
        back = key.lag if lag is None else lag
        row = "t" if back == 0 else f"t-{back}"
        inner = label[len(key.name) + 1 : -1].replace(",", ", ")
        return f"{key.name}[{row}, {inner}]" if inner else f"{key.name}[{row}]"

    def labels(self, name: str) -> list[str]:
        """The names of the entries of a variable: `x[0]`, `angle`."""
        if name not in self._labels:
            m = self.model
            variable: Any = {**m.states, **m.parameters, **m.inputs, **m.noises, **m.observations}[name]
            self._labels[name] = variable.entry_names()
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, list[str]]:
        return {}

    # ------------------------------------------------------------------------------------------ over any number

    def leaf(self, arithmetic: Arithmetic, value: Callable[[Key], Any], shift: int = 0) -> Callable[[Node], np.ndarray]:
        """The meaning of leaves from that of single numbers; everything is read `shift` rows further back."""

        def read(node: Node) -> np.ndarray:
            if node.op == "time":
                back = value(Key("time"))
                now = back if not shift else arithmetic.binary("sub", back, arithmetic.constant(shift))
                return filled((), [now])
            if node.op == "param":
                keys = [Key("param", node.attrs[0], i) for i in range(node.size)]
            elif node.op == "augment":
                keys = [Key("augment", node.attrs[0], i) for i in range(node.size)]
            elif node.op == "ref":
                sort, name, lag = node.attrs
                if not isinstance(lag, int):
                    raise Unsupported(f"the whole past of {name} has no exact algebra")
                keys = [Key(sort, name, i, lag + shift) for i in range(node.size)]
            else:
                raise Unsupported("a sum over the whole past has no exact algebra")
            return filled(node.shape, [value(k) for k in keys])

        return read


class Rows:
    """Values at successive rows, each from its own equation, over one kind of number.

    `outside(key)` gives what is no state of the skeleton: parameters, inputs, noises, data; `first(name, entry, back)`
    the states before the first row. Row numbers count from the first row that is computed.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        arithmetic: Arithmetic,
        first: Callable[[str, int, int], Any],
        outside: Callable[[Key, int], Any],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.skeleton, self.arithmetic, self.first, self.outside, self.tick = (
            skeleton, arithmetic, first, outside, tick,
        )  # fmt: skip
        self._known: dict[tuple[str, int, int], Any] = {}
        self._at: dict[int, Evaluator] = {}
        self._open: set[tuple[str, int, int]] = set()

    def value(self, name: str, entry: int, row: int) -> Any:
        """A state's entry at a row; rows before 0 are the first values."""
        if row < 0:
            return self.first(name, entry, -row)
        place = (name, entry, row)
        if place not in self._known:
            given = self.skeleton.given[name, entry]
            self._open.add(place)
            # What reads its own row may meet entries that are still open: nothing of that is kept.
            own = any(sort == "state" and lag == 0 for sort, _, lag in expr.references([given.node]))
            evaluator = Evaluator(self.arithmetic, self._leaf(row), self.tick) if own else self.at(row)
            whole = evaluator(given.node)
            self._open.discard(place)
            self._known[place] = whole.reshape(-1)[given.position]
        return self._known[place]

    def settle(self, name: str, entry: int, row: int, value: Any) -> None:
        """Give a state's entry a value of its own: what the equation says, and noise besides."""
        self._known[name, entry, row] = value

    def at(self, row: int) -> Evaluator:
        """Expressions as they are at a row."""
        if row not in self._at:
            self._at[row] = Evaluator(self.arithmetic, self._leaf(row), self.tick)
        return self._at[row]

    def _leaf(self, row: int) -> Callable[[Node], np.ndarray]:
        def value(key: Key) -> Any:
            if key.sort == "state":
                place = (key.name, key.entry, row - key.lag)
                # An equation may read entries of its own state at its own row that another equation gives.
                return None if place in self._open else self.value(*place)
            return self.outside(key, row)

        return self.skeleton.leaf(self.arithmetic, value)


def constant_noise(model: Model) -> Mapping[str, Node | None]:
    """The middle of each named noise (None: a law without one)."""
    found: dict[str, Node | None] = {}
    for noise in model.noises.values():
        law = noise.law
        known = law is not None and law.name in LOCATED
        found[noise.name] = expr.broadcast(law.args[LOCATED[law.name]], law.shape) if known and law else None
    return found
