"""A model's skeleton as an exact map (or vector field) on functions of its state: phi goes to phi after one row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ssmlang.analysis.closure_algebra import Algebra, Element
from ssmlang.analysis.closure_functions import Exact
from ssmlang.analysis.scalars import Evaluator, Unsupported
from ssmlang.analysis.skeleton import Key, Rows, Skeleton, constant_noise
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Model


class Koopman:
    """The operator of a model on functions of its state, without noise.

    Functions are elements in the entries of the state at the earlier of two rows: key lag 0 is that row, lag 1 the one
    before. In discrete time `after(phi)` is phi at the next row; in continuous time it is the rate of change of phi.
    Raises Unsupported where the model has no skeleton.
    """

    def __init__(self, model: Model, tick: Callable[[], None] = lambda: None) -> None:
        self.model, self.tick = model, tick
        self.algebra = Algebra(tick)
        self.exact = Exact(self.algebra)
        self.skeleton = Skeleton(model)
        self.continuous = self.skeleton.continuous
        self.noises: set[str] = set()
        self._middle = constant_noise(model)
        self._rows = self._rows_of({})

    # ------------------------------------------------------------------------------------------------- what is read

    def state(self, key: Key) -> Element:
        return self.algebra.variable(key, "state")

    def known(self, key: Key) -> Element:
        """A parameter, an input, data, the row number."""
        positive = False
        if key.sort == "param":
            low = self.model.parameters[key.name].support.lower
            positive = low is not None and low.value is not None and bool(np.all(np.asarray(low.value) >= 0))
        return self.algebra.variable(key, "known", positive)

    def outside(self, key: Key, row: int) -> Element:
        """What is no entry of the state at its own row: parameters, inputs, data; noises at their middle."""
        if key.sort == "augment":
            return self.state(Key("augment", key.name, key.entry))
        if key.sort == "noise":
            middle = self._middle[key.name]
            if middle is None:
                raise Unsupported(f"the noise {key.name} has no middle")
            whole = Evaluator(self.exact, self.skeleton.leaf(self.exact, lambda k: self.outside(k, row)))(middle)
            return whole.reshape(-1)[key.entry]  # type: ignore[no-any-return]
        if key.sort == "increment":
            return self.exact.constant(1 if key.name == "dt" else 0)
        return self.known(key)

    def _rows_of(self, noise: dict[Key, Element]) -> Rows:
        """Row 0 from the state before; `noise` replaces the middle of noises at row 0."""
        outside = lambda key, row: noise.get(key) or self.outside(key, row)
        first = lambda name, entry, back: self.state(Key("state", name, entry, back - 1))
        return Rows(self.skeleton, self.exact, first, outside, self.tick)

    # ------------------------------------------------------------------------------------------------- the map

    @cached_property
    def memory(self) -> int:
        return self.skeleton.memory

    @cached_property
    def coordinates(self) -> dict[Key, Element]:
        """The entries of the state at a row, as functions."""
        return {k: self.state(k) for k in self.skeleton.entries}

    @cached_property
    def image(self) -> dict[Key, Element]:
        """Each entry one row on (or its rate of change), by entry. Raises Unsupported."""
        found: dict[Key, Element] = {}
        for key in self.skeleton.entries:
            self.tick()
            if key.sort == "augment":
                found[key] = self.algebra.constant(0) if self.continuous else self.state(key)
            elif self.continuous:
                given = self.skeleton.increments[key.name, key.entry]
                found[key] = self._drift(given.node).reshape(-1)[given.position]
            else:
                found[key] = self._rows.value(key.name, key.entry, 0)
        return found

    def _drift(self, node: Node) -> np.ndarray:
        def value(key: Key) -> Any:
            if key.sort == "state":
                return self.state(Key("state", key.name, key.entry, key.lag - 1))
            return self.outside(key, 0)

        return Evaluator(self.exact, self.skeleton.leaf(self.exact, value), self.tick)(node)

    def functions(self, node: Node) -> list[Element]:
        """A vector of functions of the state as elements, at the earlier row. Raises Unsupported."""

        def value(key: Key) -> Element:
            if key.sort == "state":
                return self.state(key)
            if key.sort == "augment":
                return self.state(Key("augment", key.name, key.entry))
            if key.sort == "param":
                return self.known(key)
            noun = {"noise": "a noise", "input": "an input", "obs": "an observation"}.get(key.sort, "the row number")
            raise Unsupported(f"a lift is of states and parameters; this reads {noun}")

        return list(Evaluator(self.exact, self.skeleton.leaf(self.exact, value), self.tick)(node).reshape(-1))

    def after(self, function: Element) -> Element:
        """The function one row on; in continuous time its rate of change. Raises Unsupported."""
        if not self.continuous:
            return function.compose(self._images(function), self.exact.again)
        total = self.algebra.constant(0)
        for key, rate in self.image.items():
            (number,) = self.state(key).symbols()
            slope = function.diff(number)
            if slope.terms:
                total = total + slope * rate
        return total

    def _images(self, function: Element) -> dict[int, Element]:
        """What each symbol of the state becomes: an entry its transition, a delay the delay before."""
        image: dict[int, Element] = {}
        for number, symbol in enumerate(list(self.algebra.symbols)):
            if symbol.kind == "state" and isinstance(symbol.key, Key):
                key = symbol.key
                back = Key(key.sort, key.name, key.entry, key.lag - 1)
                image[number] = self.state(back) if key.lag else self.image[key]
        return image

    # ------------------------------------------------------------------------------------------------- noise

    def with_noise(self) -> tuple[dict[int, Element], dict[int, Element]]:
        """Images of the symbols of the state with noise in them, and by symbol of a noise its standard deviation.

        Raises Unsupported for noises that are not independent Gaussian ones.
        """
        sds: dict[int, Element] = {}
        noise: dict[Key, Element] = {}
        value = lambda key: self.outside(key, 0) if key.sort != "state" else self._rows.first(
            key.name, key.entry, key.lag)  # fmt: skip
        evaluate = Evaluator(self.exact, self.skeleton.leaf(self.exact, value), self.tick)

        def fresh(key: Key, law: Any, position: int) -> Element:
            if law.name != "Normal":
                raise Unsupported(f"{law.name} noise is not a set of independent Gaussian ones")
            scale = np.broadcast_to(evaluate(law.args["scale"]), law.shape).reshape(-1)[position]
            symbol = self.algebra.variable(("noise", key), "state")
            if scale.terms:
                (number,) = symbol.symbols()
                sds[number] = scale
            return symbol if scale.terms else self.algebra.constant(0)

        for n in self.model.noises.values():
            for i, lag in np.ndindex(n.size, self.memory + 1):
                key = Key("noise", n.name, i, lag)
                noise[key] = self.outside(key, 0) + fresh(key, n.law, i)
        rows = self._rows_of(noise)
        for (name, entry), given in self.skeleton.given.items():
            if given.law is not None:
                if given.law.name == "LogNormal":
                    raise Unsupported("LogNormal noise multiplies what it joins")
                own = fresh(Key("state", name, entry), given.law, given.position)
                rows.settle(name, entry, 0, rows.value(name, entry, 0) + own)
        image: dict[int, Element] = {}
        for number, symbol in enumerate(list(self.algebra.symbols)):
            if symbol.kind == "state" and isinstance(symbol.key, Key):
                key = symbol.key
                if key.lag:
                    image[number] = self.state(Key(key.sort, key.name, key.entry, key.lag - 1))
                elif key.sort == "state":
                    image[number] = rows.value(key.name, key.entry, 0)
        return image, sds

    def diffusion(self) -> list[dict[int, Element]]:
        """In continuous time, by independent Wiener process: what it multiplies in each entry, by symbol."""
        found: dict[object, dict[int, Element]] = {}
        for (name, entry), given in self.skeleton.increments.items():
            (number,) = self.state(Key("state", name, entry)).symbols()
            sources = {n.attrs[1]: n.size for n in expr.walk([given.node])
                       if n.op == "ref" and n.attrs[0] == "increment" and n.attrs[1] != "dt"}  # fmt: skip
            for source, size in sources.items():
                for i in range(size):
                    load = self._increment(given.node, source, i).reshape(-1)[given.position]
                    if load.terms:
                        # `dW` is fresh for each equation, `dW[a]` shared by its name.
                        wiener = (source, i) if source != "dW" else (source, i, given.span)
                        found.setdefault(wiener, {})[number] = load
        return list(found.values())

    def _increment(self, node: Node, source: str, which: int) -> np.ndarray:
        def value(key: Key) -> Any:
            if key.sort == "state":
                return self.state(Key("state", key.name, key.entry, key.lag - 1))
            if key.sort == "increment":
                return self.exact.constant(int(key.name == source and key.entry == which))
            return self.outside(key, 0)

        return Evaluator(self.exact, self.skeleton.leaf(self.exact, value), self.tick)(node)
