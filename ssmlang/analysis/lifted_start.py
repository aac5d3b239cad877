"""The law of the first row as functions of standard normals, and exact means of functions of it."""

from __future__ import annotations

from typing import Any

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.lifted_noise import Noises, expectation
from ssmlang.analysis.scalars import Evaluator, Unsupported, filled
from ssmlang.analysis.skeleton import Key
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import InitialEquation


class FirstRow:
    """What the state's entries are in row 0 (and before). Raises Unsupported for laws that are neither Gaussian nor
    LogNormal."""

    def __init__(self, noises: Noises) -> None:
        self.noises, self.koopman = noises, noises.koopman
        self._given: dict[tuple[str, int, int], tuple[InitialEquation, int]] = {}
        for i in self.koopman.model.initials:
            position = 0
            for target in i.targets:
                for entry in target.entries:
                    self._given[target.name, entry, target.row] = i, position
                    position += 1
        self._values: dict[tuple[str, int, int], Element] = {}
        self._laws: dict[int, list[Element]] = {}
        self._open: set[tuple[str, int, int]] = set()

    def mean(self, function: Element) -> Element:
        """The expectation of a function of the state in row 0."""
        found = expectation(self.at(function), self.noises.symbols)
        if found is None:
            raise Unsupported("a moment of the first row has no closed form")
        return found

    def at(self, function: Element) -> Element:
        """A function of the state in row 0, in standard normals."""
        return function.compose(self._image(function, 0), self.koopman.exact.again)

    def _image(self, function: Element, row: int) -> dict[int, Element]:
        algebra = self.koopman.algebra
        image: dict[int, Element] = {}
        pending = set(function.symbols())
        seen: set[int] = set()
        while pending:
            number = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            symbol = algebra.symbols[number]
            if symbol.kind == "state" and isinstance(symbol.key, Key) and symbol.key.sort == "state":
                key = symbol.key
                image[number] = self.value(key.name, key.entry, row - key.lag)
            inner = [*symbol.args, *([symbol.of] if symbol.of is not None else [])]
            pending |= {s for e in inner for s in e.symbols()} | ({symbol.base} if symbol.base >= 0 else set())
        return image

    def value(self, name: str, entry: int, row: int) -> Element:
        """A state's entry at a row up to 0."""
        place = (name, entry, row)
        if place not in self._values:
            if place in self._open:
                raise Unsupported(f"the first row of {name} reads itself")
            self._open.add(place)
            self._values[place] = self._value(*place)
            self._open.discard(place)
        return self._values[place]

    def _value(self, name: str, entry: int, row: int) -> Element:
        given = self._given.get((name, entry, row))
        if given is not None:
            return self._initial(*given)
        if row < 0:
            raise Unsupported(f"{name} has no initial value at t = {row}")
        state = self.koopman.state(Key("state", name, entry))
        return self.noises.after(state).compose(
            self._image(self.noises.after(state), row - 1), self.koopman.exact.again)  # fmt: skip

    def _initial(self, i: InitialEquation, position: int) -> Element:
        if i.special is not None:
            raise Unsupported(f"the first row is {i.special.capitalize()}()", i.span)
        if id(i) not in self._laws:
            if i.law is None:
                assert i.value is not None
                self._laws[id(i)] = list(self._evaluate(i.value))
            elif i.law.name in ("Normal", "MvNormal", "LogNormal"):
                names = [f"{t.name} in row {t.row}" for t in i.targets for _ in t.entries]
                loc = self._evaluate(expr.broadcast(i.law.args["loc"], i.law.shape))
                noise = self.noises.law(i.law, names, self._read)
                values = [m + w for m, w in zip(loc, noise)]
                self._laws[id(i)] = [v.exp() for v in values] if i.law.name == "LogNormal" else values
            else:
                raise Unsupported(f"the first row of {i.targets[0].name} is {i.law.name}, not Gaussian", i.span)
        return self._laws[id(i)][position]

    def _evaluate(self, node: Node) -> Any:
        koopman = self.koopman
        leaf = koopman.skeleton.leaf(koopman.exact, self._read)
        return filled((node.size,), list(Evaluator(koopman.exact, leaf, koopman.tick)(node).reshape(-1)))

    def _read(self, key: Key) -> Any:
        if key.sort == "state":
            return self.value(key.name, key.entry, -key.lag)
        return self.koopman.outside(key, 0)
