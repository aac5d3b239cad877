"""A model in the coordinates of a lift: an ordinary model whose states are those coordinates, linear and Gaussian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Span, common
from ssmlang.analysis.lifted_nodes import Nodes
from ssmlang.analysis.lifted_noise import gaussian
from ssmlang.analysis.scalars import Evaluator, Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key
from ssmlang.language.source import Span as Place
from ssmlang.model import expr
from ssmlang.model.entries import entry
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.model import (
    Definition,
    Dist,
    Equation,
    InitialEquation,
    InitialTarget,
    Lift,
    Model,
    Noise,
    State,
    Target,
)  # fmt: skip

_Item = TypeVar("_Item", Equation, InitialEquation)


class NotInTheLift(Exception):
    """An emission that is no combination of a lift's functions. `rest`: what it reads besides."""

    def __init__(self, name: str, rest: Element | None, reason: str, span: Place | None) -> None:
        super().__init__(reason)
        self.name, self.rest, self.reason, self.span = name, rest, reason, span


@dataclass(frozen=True)
class Law:
    """z[t] = K z[t-1] + offset + loading @ (standard normals), and z[0] ~ N(mean, factor factor').

    K: row -> column -> coefficient; offset: a coefficient a row; loading and factor: entries a row, constants zero
    where there is none. `noises`: what the standard normals are called.
    """

    matrix: Mapping[int, Mapping[int, Node]]
    offset: Sequence[Node]
    loading: Sequence[Sequence[Node]]
    noises: Sequence[str]
    mean: Sequence[Node]
    factor: Sequence[Sequence[Node]]


class Coordinates:
    """The coordinates of a lift as states of a model of their own.

    One that is an entry of a state keeps that entry's name, `x[0]`; the others are `z[2]`.
    """

    def __init__(self, model: Model, lift: Lift, koopman: Koopman, functions: Sequence[Element], nodes: Nodes) -> None:
        self.model, self.lift, self.koopman, self.nodes = model, lift, koopman, nodes
        self.functions = list(functions)
        own = [self._entry(f) for f in self.functions]
        self.names = [koopman.skeleton.labels(k.name)[k.entry] if k is not None and own.index(k) == j else
                      f"{lift.name}[{j}]" for j, k in enumerate(own)]  # fmt: skip
        self.place = {k: j for j, k in reversed(list(enumerate(own))) if k is not None}

    def _entry(self, f: Element) -> Key | None:
        if len(f.terms) != 1:
            return None
        ((term, c),) = f.terms.items()
        if c != 1 or term.grow or term.turn or len(term.mono) != 1 or term.mono[0][1] != 1:
            return None
        symbol = self.koopman.algebra.symbols[term.mono[0][0]]
        key = symbol.key
        return key if symbol.kind == "state" and isinstance(key, Key) and key.sort == "state" and not key.lag else None

    def read(self, j: int, lag: int = 0) -> Node:
        """Coordinate j, so many rows back."""
        return expr.ref("state", self.names[j], lag, (), ())

    def combination(self, parts: Mapping[int, Node], lag: int) -> Node:
        """A sum of coordinates with coefficients."""
        total: Node = expr.const(0.0)
        for j, c in parts.items():
            total = expr.add(total, expr.mul(c, self.read(j, lag)))
        return total

    # --------------------------------------------------------------------------------------------------- the model

    def lifted(self, law: Law) -> Model:
        """The model in these coordinates. Raises NotInTheLift for an emission that is not affine in them."""
        m, span = self.model, self.lift.span
        states = {n: State(n, (), (), span, None, None, 1, 1) for n in self.names}
        taken = {n: f"noise of {n}" for n in law.noises}
        one = expr.const(1.0)
        noises = {v: Noise(v, (), (), span, None, Dist("Normal", {"loc": expr.const(0.0), "scale": one}, (), 0, span))
                  for v in taken.values()}  # fmt: skip
        emitted = {name for e in m.equations if e.role == "emission" for name in self._noises_of(e)}
        noises |= {n: m.noises[n] for n in m.noises if n in emitted}
        equations = [self._transition(i, law, taken) for i in range(len(self.names))]
        equations += [self._emission(e) for e in m.equations if e.role == "emission"]
        first = (self._emission(i) for i in m.initials if i.targets[0].name in m.observations)
        return replace(
            m, states=states, noises=noises, definitions=self._definitions(), equations=tuple(equations),
            initials=(self._start(law), *first), differentials=(), lifts=(), assertions=(),
        )  # fmt: skip

    def _transition(self, i: int, law: Law, taken: Mapping[str, str]) -> Equation:
        value = expr.add(law.offset[i], self.combination(law.matrix.get(i, {}), 1))
        for name, g in zip(law.noises, law.loading[i]):
            value = expr.add(value, expr.mul(g, expr.ref("noise", taken[name], 0, (), ())))
        return Equation("transition", (Target(self.names[i], (0,)),), self.lift.span, value=value)

    def _start(self, law: Law) -> InitialEquation:
        targets = tuple(InitialTarget(n, 0, (0,)) for n in self.names)
        mean, span = expr.stack(list(law.mean)), self.lift.span
        factor = expr.stack([expr.stack(list(row)) for row in law.factor])
        if factor.is_zero:
            return InitialEquation(targets, span, value=mean)
        joint = Dist("MvNormal", {"loc": mean, "scale_tril": factor}, mean.shape, 1, span)
        return InitialEquation(targets, span, joint)

    @staticmethod
    def _noises_of(e: Equation) -> set[str]:
        nodes = [*([e.value] if e.value is not None else []), *(e.law.args.values() if e.law is not None else ())]
        return {name for sort, name, _ in expr.references(nodes) if sort == "noise"}

    # ------------------------------------------------------------------------------------------------- what reads z

    def _emission(self, e: _Item) -> _Item:
        """An emission, or the initial law of an observation, with what it reads of the state in coordinates."""
        names = ", ".join(dict.fromkeys(t.name for t in e.targets))
        if e.law is None:
            if e.value is None:
                return e
            return replace(e, value=self.affine(e.value, names))
        if not gaussian(e.law):
            located = e.law.name in ("Normal", "MvNormal")
            reason = "its scale depends on the state" if located else f"{e.law.name} is not Gaussian"
            raise NotInTheLift(names, None, reason, e.law.span or e.span)
        where = LOCATED[e.law.name]
        loc = self.affine(expr.broadcast(e.law.args[where], e.law.shape), names)
        return replace(e, law=replace(e.law, args={**e.law.args, where: loc}))

    def affine(self, node: Node, name: str) -> Node:
        """An expression of the state and of noises as an affine one of the coordinates. Raises NotInTheLift."""
        noises: dict[Key, Element] = {}
        transition = {n for g in self.koopman.skeleton.given.values() for s, n, _ in expr.references([g.node])
                      if s == "noise"}  # fmt: skip

        def value(key: Key) -> Any:
            if key.sort == "state":
                return self.koopman.state(key)
            if key.sort == "noise":
                if key.name in transition:
                    raise Unsupported(f"it reads the noise {key.name}, as the state does")
                return noises.setdefault(key, self.koopman.algebra.variable(("noise of data", key), "state"))
            return self.koopman.known(key)

        exact, skeleton = self.koopman.exact, self.koopman.skeleton
        try:
            outputs = list(Evaluator(exact, skeleton.leaf(exact, value), self.koopman.tick)(node).reshape(-1))
            basis = [*self.functions, self.koopman.algebra.constant(1), *noises.values()]
            own, others = common(basis, outputs)
            span = Span(own)
            made = []
            for output in others:
                where, rest = span.coordinates(output)
                if rest:
                    raise NotInTheLift(name, output, "", node.span)
                made.append(self._written(where, list(noises)))
        except (Unsupported, ExprError) as trouble:
            reason = trouble.reason if isinstance(trouble, Unsupported) else trouble.message
            raise NotInTheLift(name, None, reason, getattr(trouble, "span", None) or node.span) from None
        return expr.reshape(expr.stack(made), node.shape, node.axes) if node.shape else made[0]

    def _written(self, where: Mapping[int, Element], noises: Sequence[Key]) -> Node:
        n = len(self.functions)
        coefficients = {j: self.nodes(c) for j, c in where.items()}
        total = expr.add(coefficients.get(n, expr.const(0.0)),
                         self.combination({j: c for j, c in coefficients.items() if j < n}, 0))  # fmt: skip
        for k, key in enumerate(noises):
            if n + 1 + k in coefficients:
                noise = self.model.noises[key.name]
                whole = expr.ref("noise", key.name, key.lag, noise.shape, noise.axes)
                total = expr.add(total, expr.mul(coefficients[n + 1 + k], entry(whole, key.entry)))
        return total

    def _definitions(self) -> dict[str, Definition]:
        """Definitions that the coordinates tell of: affine ones exactly, others as functions of the states in z."""
        found = {}
        for name, d in self.model.definitions.items():
            if not d.series or d.value is None:
                found[name] = d
                continue
            try:
                found[name] = replace(d, value=self.affine(d.value, name))
            except NotInTheLift:
                through = self._through_states(d.value)
                if through is not None:
                    found[name] = replace(d, value=through)
        return found

    def _through_states(self, value: Node) -> Node | None:
        """The expression with states read from the coordinates that they are; None where one is no coordinate."""
        reads = expr.references([value])
        if any(sort == "noise" or (sort == "state" and not isinstance(lag, int)) for sort, _, lag in reads):
            return None
        needed = {(name, i) for sort, name, _ in reads if sort == "state" for i in range(self.model.states[name].size)}
        if any(Key("state", *place) not in self.place for place in needed):
            return None

        def leaf(node: Node) -> Node | None:
            if node.op != "ref" or node.attrs[0] != "state":
                return None
            _, name, lag = node.attrs
            entries = [self.read(self.place[Key("state", name, i)], lag) for i in range(node.size)]
            return expr.reshape(expr.stack(entries), node.shape, node.axes) if node.shape else entries[0]

        whole = expr.transform(value, leaf)
        # Entry by entry, so that only those coordinates are read that are needed.
        entries = [entry(whole, i) for i in range(whole.size)]
        return expr.reshape(expr.stack(entries), whole.shape, whole.axes) if whole.shape else entries[0]
