"""Expectations over Gaussian noises of what a lift's functions become, exactly.

Powers by Isserlis' theorem, exponentials and waves by the characteristic function: for w ~ N(0, s^2) and a number
c = g + ih,  E[w^k e^(c w)] = e^(c^2 s^2 / 2) E[(c s^2 + w)^k].
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_terms import Poly, Term, poly
from ssmlang.analysis.lifted_nodes import Fresh
from ssmlang.analysis.scalars import Evaluator, Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key, Rows
from ssmlang.model import expr, loading, sparse
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist
from ssmlang.model.sparse import Sparse


class Noises:
    """The standard normals of a model's transitions as symbols of the algebra, and the map with them in it.

    `image`: what each symbol of the state becomes. `names`: the standard normals by symbol, in the user's words.
    Raises Unsupported for noises that are not Gaussian, and for those of earlier rows.
    """

    def __init__(self, koopman: Koopman, fresh: Fresh) -> None:
        self.koopman, self.fresh = koopman, fresh
        self.names: dict[int, str] = {}
        self._means: dict[Term, Element | None] = {}
        model = koopman.model
        reads = expr.references([g.node for g in koopman.skeleton.given.values()])
        for sort, name, lag in reads:
            if sort == "noise" and lag:
                raise Unsupported(f"a transition reads the noise {name} of an earlier row")
            if sort == "obs":
                raise Unsupported(f"a transition reads the observation {name}")
        used = {name for sort, name, _ in reads if sort == "noise"}
        self.named: dict[Key, Element] = {}
        for n in model.noises.values():
            if n.name in used and n.law is not None:
                values = self.law(n.law, n.entry_names(), lambda k: koopman.outside(k, 0))
                loc = self._evaluate(n.law.args["loc"], n.law.shape)
                for i, w in enumerate(values):
                    self.named[Key("noise", n.name, i)] = loc[i] + w
        self._own: dict[tuple[str, int], tuple[Element, bool]] = {}
        self._rows = _NoisyRows(self)

    @property
    def symbols(self) -> list[int]:
        return list(self.names)

    def image(self) -> dict[int, Element]:
        """What each symbol of the state becomes one row on."""
        found: dict[int, Element] = {}
        for number, symbol in enumerate(list(self.koopman.algebra.symbols)):
            key = symbol.key
            if symbol.kind != "state" or not isinstance(key, Key) or key.sort != "state":
                continue
            if key.lag:
                found[number] = self.koopman.state(Key(key.sort, key.name, key.entry, key.lag - 1))
            else:
                found[number] = self._rows.value(key.name, key.entry, 0)
        return found

    def after(self, function: Element) -> Element:
        """A function of the state one row on, noises included."""
        return function.compose(self.image(), self.koopman.exact.again)

    def mean_after(self, function: Element) -> Element | None:
        """The expectation of a function of the state one row on given the state before, None where it has no closed
        form. What becomes of a function without its coefficient is worked out once."""
        total = self.koopman.algebra.constant(0)
        for term, c in split(function).items():
            if term not in self._means:
                alone = Element(self.koopman.algebra, {term: Fraction(1)})
                self._means[term] = expectation(self.after(alone), self.symbols)
            found = self._means[term]
            if found is None:
                return None
            total = total + c * found
        return total

    def standard(self, name: str) -> Element:
        """A further standard normal."""
        symbol = self.koopman.algebra.variable(("standard normal", len(self.names), name), "state")
        (number,) = symbol.symbols()
        self.names[number] = name
        return symbol

    def law(self, law: Dist, names: list[str], value: Any) -> list[Element]:
        """What a Gaussian law adds to its location, entry by entry, in standard normals of its own."""
        size = int(np.prod(law.shape, dtype=np.int64))
        if law.name in ("Normal", "LogNormal"):
            scales = self._evaluate(law.args["scale"], law.shape, value)
            return [s * self.standard(names[i]) if s.terms else s for i, s in enumerate(scales)]
        if law.name != "MvNormal":
            raise Unsupported(f"{law.name} noise is not Gaussian", law.span)
        if any(sort in ("state", "noise") for sort, *_ in expr.references(list(law.args.values())[1:])):
            raise Unsupported("a covariance depends on the state", law.span)
        factor = loadings(law)
        numbered = names if factor.shape[1] == size else [f"{names[0]}, part {k + 1}" for k in range(factor.shape[1])]
        normals = [self.standard(n) for n in numbered]
        found = [self.koopman.algebra.constant(0)] * size
        for k, (i, j) in enumerate(zip(factor.rows.tolist(), factor.cols.tolist())):
            found[i] = found[i] + self.number(sparse.gather(factor.values, np.array([k]))) * normals[j]
        return found

    def number(self, node: Node) -> Element:
        """An expression of one number that reads no state, as a known symbol."""
        flat = expr.reshape(node, ())
        return self.koopman.exact.constant(float(flat.value)) if flat.value is not None else self.fresh(flat)

    def own(self, name: str, entry: int) -> tuple[Element, bool] | None:
        """The noise of an entry's own law, and whether it multiplies (as an exponential) rather than adds."""
        given = self.koopman.skeleton.given[name, entry]
        if given.law is None:
            return None
        if (name, entry) not in self._own:
            places = [k for k, g in self.koopman.skeleton.given.items() if g.law is given.law]
            places.sort(key=lambda k: self.koopman.skeleton.given[k].position)
            words = [self.koopman.skeleton.labels(n)[i] for n, i in places]
            noise = self.law(given.law, words, lambda key: self._rows.read(key))
            for place, w in zip(places, noise):
                self._own[place] = w, given.law.name == "LogNormal"
        return self._own[name, entry]

    def _evaluate(self, node: Node, shape: tuple[int, ...], value: Any = None) -> list[Element]:
        koopman = self.koopman
        value = value or (lambda k: koopman.outside(k, 0))
        leaf = koopman.skeleton.leaf(koopman.exact, value)
        return list(Evaluator(koopman.exact, leaf, koopman.tick)(expr.broadcast(node, shape)).reshape(-1))


class _NoisyRows(Rows):
    """Row 0 from the state before, each entry with the noise of its own law."""

    def __init__(self, noises: Noises) -> None:
        self.noises, koopman = noises, noises.koopman
        outside = lambda key, row: noises.named[key] if key in noises.named else koopman.outside(key, row)
        first = lambda name, entry, back: koopman.state(Key("state", name, entry, back - 1))
        super().__init__(koopman.skeleton, koopman.exact, first, outside, koopman.tick)

    def value(self, name: str, entry: int, row: int) -> Any:
        place = (name, entry, row)
        if row < 0 or place in self._known:
            return super().value(name, entry, row)
        middle = super().value(name, entry, row)
        own = self.noises.own(name, entry)
        if own is not None:
            middle = middle * own[0].exp() if own[1] else middle + own[0]
            self.settle(name, entry, row, middle)
        return middle

    def read(self, key: Key) -> Any:
        """What a scale reads at row 0."""
        return self.value(key.name, key.entry, -key.lag) if key.sort == "state" else self.outside(key, 0)


def loadings(law: Dist) -> Sparse:
    """G with G G' the covariance of a MvNormal law, all of it."""
    d = law.shape[-1]
    name = "cov" if "cov" in law.args else "scale_tril"
    size = int(np.prod(law.shape, dtype=np.int64))
    whole = expr.broadcast(law.args[name], (*law.shape[:-1], d, d))
    batch = expr.reshape(whole, (size // d, d, d))
    one = loading.factor if name == "cov" else sparse.from_matrix
    return loading.block_diagonal([one(expr.index(batch, [expr.const(i)])) for i in range(size // d)])


def gaussian(law: Dist) -> bool:
    """Whether a law is Gaussian with a scale that reads no state and no noise."""
    if law.name not in ("Normal", "MvNormal"):
        return False
    others = [node for name, node in law.args.items() if name != LOCATED[law.name]]
    return not any(sort in ("state", "noise", "augment") for sort, *_ in expr.references(others))


# ----------------------------------------------------------------------------------------------------- expectations


def expectation(element: Element, normals: list[int]) -> Element | None:
    """The mean over independent standard normals, None where it has no closed form."""
    found: Element | None = element
    for s in normals:
        if found is None:
            return None
        if s in found.symbols():
            found = _over(found, s)
    if found is not None and any(_hides(found, s) for s in normals):
        return None
    return found


def _hides(element: Element, s: int) -> bool:
    """Whether a function without an algebra reads a symbol."""
    symbols = element.algebra.symbols
    pending, seen = set(element.symbols()), set()
    while pending:
        k = pending.pop()
        if k == s:
            return True
        if k in seen:
            continue
        seen.add(k)
        symbol = symbols[k]
        inner = [*symbol.args, *([symbol.of] if symbol.of is not None else [])]
        pending |= {x for e in inner for x in e.symbols()} | ({symbol.base} if symbol.base >= 0 else set())
    return False


def _over(element: Element, s: int) -> Element | None:
    algebra = element.algebra
    total = algebra.constant(0)
    for term, c in element.terms.items():
        part = _term_over(element, term, c, s)
        if part is None:
            return None
        total = total + part
    return total


def _term_over(element: Element, term: Term, c: Fraction, s: int) -> Element | None:
    """E over a standard normal s of one term: see the head of this file."""
    algebra = element.algebra
    powers = dict(term.mono)
    k = powers.pop(s, 0)
    grow, g = _linear(element, term.grow, s)
    turn, h = _linear(element, term.turn, s)
    if g is None or h is None or k < 0:
        return None
    outer = Element(algebra, {Term(tuple(sorted(powers.items()))): c})
    if not g.terms and not h.terms:
        if k % 2:
            return algebra.constant(0)
        double = factorial(k) // (2 ** (k // 2) * factorial(k // 2))
        kept = Element(algebra, {Term(tuple(sorted(powers.items())), term.grow, term.turn, term.odd): c})
        return kept.scaled(Fraction(double))
    outer = outer * (grow + (g * g - h * h).scaled(Fraction(1, 2))).exp()
    angle = turn + g * h
    cos, sin = angle.wave(False), angle.wave(True)
    real, imaginary = algebra.constant(1), algebra.constant(0)
    powers_of_c = [(real, imaginary)]
    for _ in range(k):
        real, imaginary = real * g - imaginary * h, real * h + imaginary * g
        powers_of_c.append((real, imaginary))
    total = algebra.constant(0)
    for j in range(k // 2 + 1):
        re, im = powers_of_c[k - 2 * j]
        ways = Fraction(factorial(k), factorial(j) * factorial(k - 2 * j) * 2**j)
        value = re * sin + im * cos if term.turn and term.odd else re * cos - im * sin
        total = total + value.scaled(ways)
    return outer * total


def _linear(element: Element, p: Poly, s: int) -> tuple[Element, Element | None]:
    """A polynomial as (what reads no s) + s (the second), which is None where s has another power."""
    algebra = element.algebra
    rest: dict[Any, Fraction] = {}
    slope = algebra.constant(0)
    for mono, c in p:
        powers = dict(mono)
        e = powers.pop(s, 0)
        if e not in (0, 1):
            return algebra.constant(0), None
        inner = tuple(sorted(powers.items()))
        if e:
            slope = slope + Element(algebra, {Term(inner): c})
        else:
            rest[mono] = c
    return Element(algebra, {Term(m): c for m, c in poly(rest)}), slope
