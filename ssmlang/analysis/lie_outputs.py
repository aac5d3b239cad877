"""What the observations of successive rows say of the first state: iterated outputs, or Lie derivatives.

An observation is its law: every argument of it that depends on the state is an output (a volatility is seen through the
scale of a return). A state is what rows up to the first hold, delays included, with the parameters that are learned as
states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ssmlang.analysis.scalars import Arithmetic, Evaluator, Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key, Rows, Skeleton, constant_noise
from ssmlang.model import expr
from ssmlang.model.model import Equation, Model, nodes_of

LAST_ROW = 1_000
"""Rows are far from the start, where programs that treat the first ones differently have settled."""


class Outputs:
    """The outputs of a model over any kind of number. Raises Unsupported where there is no skeleton."""

    def __init__(self, model: Model, tick: Callable[[], None] = lambda: None) -> None:
        self.model, self.tick = model, tick
        self.skeleton = Skeleton(model)
        self.continuous = self.skeleton.continuous
        self.emissions = [e for e in model.equations if e.role == "emission"]
        self._middle = constant_noise(model)

    @cached_property
    def keys(self) -> list[Key]:
        """The entries of the state; lag k is k rows before the first row."""
        depth = dict.fromkeys(self.model.states, 1)
        here = expr.references(n for e in self.emissions for n in nodes_of(e))
        before = expr.references(g.node for g in self.skeleton.given.values())
        for extra, read in ((1, here), (0, before)):
            for sort, name, lag in read:
                if isinstance(lag, str):
                    raise Unsupported("an observation reads a whole past")
                if sort == "state":
                    depth[name] = max(depth[name], lag + extra)
        deepest = max(depth.values(), default=1)
        if self.continuous and deepest > 1:
            raise Unsupported("delays in continuous time have no Lie derivatives")
        found: list[Key] = []
        for lag in range(deepest):
            entries = [k for k in self.skeleton.entries if k.sort == "state" and depth[k.name] > lag]
            found += [Key(k.sort, k.name, k.entry, lag) for k in entries]
        return found + [k for k in self.skeleton.entries if k.sort == "augment"]

    def name(self, key: Key) -> str:
        """`x[0]`, `u[t-1]`, `rho`."""
        if key.sort == "augment" or key.lag:
            return self.skeleton.written(key)
        return self.skeleton.labels(key.name)[key.entry]

    # ------------------------------------------------------------------------------------------------- row by row

    def rows(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
             ) -> Iterator[list[Any]]:  # fmt: skip
        """The outputs of the first row and of those after it, for ever; `known` gives parameters, and inputs and data
        by row."""
        outside = self._outside(arithmetic, state, known)
        first = lambda name, entry, back: state[Key("state", name, entry, back - 1)]
        rows = Rows(self.skeleton, arithmetic, first, outside, self.tick)
        row = -1
        while True:
            yield [v for e in self.emissions for v in self._emitted(e, rows.at(row), arithmetic, rows, row)]
            row += 1

    def following(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
                  ) -> dict[Key, Any]:  # fmt: skip
        """The state one row on; in continuous time the rates of change."""
        if self.continuous:
            return self.rates(arithmetic, state, known)
        first = lambda name, entry, back: state[Key("state", name, entry, back - 1)]
        rows = Rows(self.skeleton, arithmetic, first, self._outside(arithmetic, state, known), self.tick)
        found = dict(state)
        for key in self.keys:
            if key.sort == "state":
                back = Key("state", key.name, key.entry, key.lag - 1)
                found[key] = state[back] if key.lag else rows.value(key.name, key.entry, 0)
        return found

    def _outside(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
                 ) -> Callable[[Key, int], Any]:  # fmt: skip
        def outside(key: Key, row: int) -> Any:
            if key.sort == "augment":
                return state[Key("augment", key.name, key.entry)]
            if key.sort == "noise":
                return self._noise_middle(key, arithmetic, lambda k: outside(k, row))
            if key.sort == "time":
                return arithmetic.constant(LAST_ROW + row)
            if key.sort == "increment":
                return arithmetic.constant(int(key.name == "dt"))
            return known(key, row - key.lag)

        return outside

    def _noise_middle(self, key: Key, arithmetic: Arithmetic, read: Callable[[Key], Any]) -> Any:
        middle = self._middle[key.name]
        if middle is None:
            raise Unsupported(f"the noise {key.name} has no middle")
        whole = Evaluator(arithmetic, self.skeleton.leaf(arithmetic, read))(middle)
        return whole.reshape(-1)[key.entry]

    def _emitted(self, e: Equation, evaluate: Evaluator, arithmetic: Arithmetic, rows: Rows, row: int) -> list[Any]:
        """The outputs of one emission: the arguments of its law, or its middle and the sizes of its noises."""
        if e.law is None:
            assert e.value is not None
            middle = list(evaluate(e.value).reshape(-1))
            return middle + self._spread(e, middle, arithmetic, rows, row)
        found: list[Any] = []
        for name, node in e.law.args.items():
            value = evaluate(node)
            if name == "logits" and node.ndim:
                # Logits are known up to what is added to all of them.
                last = value[..., -1:]
                value = np.array(value[..., :-1], object) - last
            found += list(np.asarray(value, object).reshape(-1))
        return found

    def _spread(self, e: Equation, middle: list[Any], arithmetic: Arithmetic, rows: Rows, row: int) -> list[Any]:
        """Covariances of y = f(x) + sum of g_k(x) w_k, by noises one at a time (they are affine in an emission that
        any engine reads)."""
        assert e.value is not None
        names = {name for sort, name, lag in expr.references([e.value]) if sort == "noise" and lag == 0}
        columns = []
        for noise in [Key("noise", n, i) for n in sorted(names) for i in range(self.model.noises[n].size)]:

            def read(key: Key, noise: Key = noise) -> Any:
                if key.sort == "state":
                    return rows.value(key.name, key.entry, row - key.lag)
                value = rows.outside(key, row)
                return arithmetic.binary("add", value, arithmetic.constant(1)) if key == noise else value

            moved = Evaluator(arithmetic, self.skeleton.leaf(arithmetic, read), self.tick)(e.value).reshape(-1)
            columns.append([arithmetic.binary("sub", a, b) for a, b in zip(moved, middle)])
        pairs = [(i, j) for i in range(len(middle)) for j in range(i + 1)] if columns else []
        return [_total(arithmetic, [c[i] * c[j] for c in columns]) for i, j in pairs]

    @cached_property
    def noisy(self) -> dict[Key, Any]:
        """The entries (without lag) that noise moves, each with what gives its scale: the nodes of a law of its own
        with the position in them, or None where it shares noises with others."""
        found: dict[Key, Any] = {}
        for (name, entry), given in {**self.skeleton.given, **self.skeleton.increments}.items():
            shared = any(sort == "noise" or (sort == "increment" and inner != "dt")
                         for sort, inner, _ in expr.references([given.node]))  # fmt: skip
            law = given.law
            if shared or (law is not None and law.name in ("MvNormal", "LogNormal")):
                found[Key("state", name, entry)] = None
            elif law is not None:
                others = {k: expr.broadcast(v, law.shape) for k, v in law.args.items() if k != LOCATED.get(law.name)}
                if not all(v.is_zero for v in others.values()):
                    found[Key("state", name, entry)] = (law.name, tuple(others.items()), given.position)
        for p in self.model.parameters.values():
            if p.augment and p.walk is not None and not p.walk.is_zero:
                walk = expr.broadcast(p.walk, p.shape)
                found |= {Key("augment", p.name, i): ("walk", (("scale", walk),), i) for i in range(p.size)}
        return found

    def scale(
        self, key: Key, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
    ) -> Any:
        """The scale of an entry's own noise one row on, with the kind of its law; None without noise. Raises
        Unsupported for noises that entries share."""
        if key not in self.noisy:
            return None
        if self.noisy[key] is None:
            raise Unsupported("noises are shared")
        kind, nodes, position = self.noisy[key]
        first = lambda name, entry, back: state[Key("state", name, entry, back - 1)]
        rows = Rows(self.skeleton, arithmetic, first, self._outside(arithmetic, state, known), self.tick)
        return kind, [(name, rows.at(0)(node).reshape(-1)[position]) for name, node in nodes]

    def spreads(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
                ) -> list[Any]:  # fmt: skip
        """What the laws of the transitions depend on beside their middles: scales, and factors of named noises."""
        outside = self._outside(arithmetic, state, known)
        first = lambda name, entry, back: state[Key("state", name, entry, back - 1)]
        rows = Rows(self.skeleton, arithmetic, first, outside, self.tick)
        found: list[Any] = []
        for e in self.model.equations:
            if e.role != "transition":
                continue
            if e.law is not None:
                others = [node for name, node in e.law.args.items() if name != LOCATED.get(e.law.name)]
                found += [v for node in others for v in rows.at(0)(node).reshape(-1)]
            elif e.value is not None:
                found += self._spread(e, list(rows.at(0)(e.value).reshape(-1)), arithmetic, rows, 0)
        for d in self.model.differentials:
            for source in {n.attrs[1] for n in expr.walk([d.value]) if n.op == "ref" and n.attrs[0] == "increment"}:
                one = lambda k, source=source: (
                    state[Key("state", k.name, k.entry, k.lag - 1)] if k.sort == "state"
                    else arithmetic.constant(int(k.name == source)) if k.sort == "increment" else outside(k, 0)
                )  # fmt: skip
                if source != "dt":
                    leaf = self.skeleton.leaf(arithmetic, one)
                    found += list(Evaluator(arithmetic, leaf, self.tick)(d.value).reshape(-1))
        return found

    # --------------------------------------------------------------------------------------------- continuous time

    def rates(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]
              ) -> dict[Key, Any]:  # fmt: skip
        """The rate of change of each entry."""
        outside = self._outside(arithmetic, state, known)
        value = lambda k: state[Key("state", k.name, k.entry, k.lag - 1)] if k.sort == "state" else outside(k, 0)
        evaluate = Evaluator(arithmetic, self.skeleton.leaf(arithmetic, value), self.tick)
        given = self.skeleton.increments
        zero = arithmetic.constant(0)
        found = {}
        for key in self.keys:
            source = given.get((key.name, key.entry)) if key.sort == "state" else None
            found[key] = evaluate(source.node).reshape(-1)[source.position] if source is not None else zero
        return found

    def now(self, arithmetic: Arithmetic, state: Mapping[Key, Any], known: Callable[[Key, int], Any]) -> list[Any]:
        """The outputs at a state."""
        return next(self.rows(arithmetic, state, known))


def _total(arithmetic: Arithmetic, terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = arithmetic.binary("add", total, term)
    return total
