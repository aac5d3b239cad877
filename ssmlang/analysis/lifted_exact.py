"""An exact lift as a linear-Gaussian model in its coordinates.

z[t] = K z[t-1] is proved without noise. With noise the mean of z[t] given the state before is used, where that closes
(E[(a x + w)^2] = a^2 x^2 + q), and what is left, z[t] - E[z[t] | x[t-1]], is uncorrelated with all that came before:
with its covariance averaged over the state's own law before any data, the filter in z is the best linear one. It is
the exact one where that noise is Gaussian and the start is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import is_zero, split
from ssmlang.analysis.closure_lift import Closure, examine
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_outputs import is_affine
from ssmlang.analysis.closure_space import Span, assembled, common
from ssmlang.analysis.closure_terms import Term
from ssmlang.analysis.lifted_model import Coordinates, Law
from ssmlang.analysis.lifted_moments import Moments
from ssmlang.analysis.lifted_nodes import Fresh, Nodes
from ssmlang.analysis.lifted_noise import Noises
from ssmlang.analysis.lifted_start import FirstRow
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Lift, Model
from ssmlang.model.obstacles import Obstacle
from ssmlang.model.support import nonzero


@dataclass(frozen=True)
class LiftedModel:
    """A model in the coordinates of a lift. `names`: theirs; `exact`: whether a filter in them is the exact one of the
    model, `reasons` why it is not."""

    model: Model
    lift: Lift
    names: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not self.reasons

    @cached_property
    def form(self) -> LinearForm | tuple[Obstacle, ...]:
        """The linear form of `model`, or what stands against it."""
        return linear_form(self.model)


class NotClosed(Exception):
    """A lift that is no exact one."""

    def __init__(self, closure: Closure) -> None:
        super().__init__()
        self.closure = closure


def lifted_exact(model: Model, lift: Lift, tick: Callable[[], None] = lambda: None) -> LiftedModel:
    """The model in the coordinates of an exact lift.

    Raises NotClosed, Unsupported where moments have no closed form, NotInTheLift for an emission that reads more.
    """
    koopman = Koopman(model, tick)
    if koopman.continuous:
        raise Unsupported("a lift of differential equations is not run in its coordinates by this version", lift.span)
    if any(p.augment for p in model.parameters.values()):
        raise Unsupported("an augmented parameter is no coordinate of a lift", lift.span)
    closure = examine(koopman, koopman.functions(lift.value))
    if not closure.closed:
        raise NotClosed(closure)
    return _Builder(model, lift, koopman, closure).lifted()


class _Builder:
    def __init__(self, model: Model, lift: Lift, koopman: Koopman, closure: Closure) -> None:
        self.model, self.lift, self.koopman = model, lift, koopman
        self.functions: Sequence[Element] = closure.functions
        fresh = Fresh(lambda key: koopman.algebra.variable(key, "known"))
        self.nodes = Nodes(model, fresh)
        self.noises = Noises(koopman, fresh)
        self.moved = [self.noises.after(f) for f in self.functions]
        self.means = [self._mean(f) for f in self.functions]
        self.own = tuple(self.noises.symbols)
        self.first = FirstRow(self.noises)

    def _mean(self, function: Element) -> Element:
        """E[function at t | state at t - 1]."""
        found = self.noises.mean_after(function)
        if found is None:
            raise Unsupported("the mean of a coordinate under its noise has no closed form", self.lift.span)
        return found

    def lifted(self) -> LiftedModel:
        coordinates = Coordinates(self.model, self.lift, self.koopman, self.functions, self.nodes)
        parts = [self._closed(m) for m in self.means]
        rest = [r for _, r in parts]
        reasons: list[str] = []
        moments = Moments(self.noises, self.nodes, self.first.mean)
        additive = self._additive(coordinates.names)
        if additive is not None and not any(rest):
            loading, names, offsets = *additive, [expr.const(0.0)] * len(parts)
        else:
            reasons.append(self._through(coordinates.names))
            loading, offsets = self._matched(moments, rest)
            names = [n for n, row in zip(coordinates.names, loading) if row]
            loading = [row or [expr.const(0.0)] * len(names) for row in loading]
        size = len(self.functions)
        matrix = {i: {j: self.nodes(c) for j, c in where.items() if j < size} for i, (where, _) in enumerate(parts)}
        shift = [expr.add(self.nodes(where[size]), o) if size in where else o
                 for (where, _), o in zip(parts, offsets)]  # fmt: skip
        mean, factor = self._start()
        reasons += self._not_gaussian_start(coordinates.names)
        law = Law(matrix, shift, loading, names, mean, factor)
        return LiftedModel(coordinates.lifted(law), self.lift, tuple(coordinates.names), tuple(reasons))

    # -------------------------------------------------------------------------------------------------- transition

    def _closed(self, mean: Element) -> tuple[dict[int, Element], Element | None]:
        """A mean one row on as a combination of the functions and the constant, and what is left over."""
        own, (image,) = common([*self.functions, self.koopman.algebra.constant(1)], [mean])
        divided = any(a is not b for a, b in zip(self.functions, own))
        where, left = Span(own).coordinates(image)
        if left and divided:
            raise Unsupported("the mean of a coordinate under its noise does not close", self.lift.span)
        return where, assembled(left) if left else None

    def _additive(self, names: Sequence[str]) -> tuple[list[list[Node]], list[str]] | None:
        """Loadings of the model's own noises, where they enter all coordinates as they are."""
        rows: list[dict[int, Element]] = []
        for moved, mean in zip(self.moved, self.means):
            row: dict[int, Element] = {}
            for term, c in split(moved - mean).items():
                if not self._alone(term, c):
                    return None
                row[term.mono[0][0]] = c
            rows.append(row)
        used = [s for s in self.own if any(s in row for row in rows)]
        words = _distinct([self.noises.names[s] for s in used])
        zero = expr.const(0.0)
        return [[self.nodes(row[s]) if s in row else zero for s in used] for row in rows], words

    def _alone(self, term: Term, c: Element) -> bool:
        """Whether a term is a standard normal times what is the same at every state."""
        single = len(term.mono) == 1 and term.mono[0][1] == 1 and not term.grow and not term.turn
        return single and term.mono[0][0] in self.noises.names and not c.moves

    def _matched(self, moments: Moments, rest: Sequence[Element | None]) -> tuple[list[list[Node]], list[Node]]:
        """A factor of the covariance of z[t] - E[z[t] | x[t-1]], averaged over x[t-1], and the means of `rest`.

        Rows that are certain are empty.
        """
        zero = self.koopman.algebra.constant(0)
        left = [r or zero for r in rest]
        second: dict[tuple[int, int], Element] = {}
        for i, (f, m, r) in enumerate(zip(self.functions, self.means, left)):
            for j in range(i + 1):
                mean = self._mean(f * self.functions[j])
                second[i, j] = mean - m * self.means[j] + r * left[j]
        moments.follow([*second.values(), *left])
        offsets = [moments.expect(r) for r in left]
        active = [i for i in range(len(left)) if not is_zero(second[i, i])]
        entries = [[moments.expect(second[max(i, j), min(i, j)]) for j in active] for i in active]
        spread = [[expr.sub(e, expr.mul(offsets[i], offsets[j])) for j, e in zip(active, row)]
                  for i, row in zip(active, entries)]  # fmt: skip
        return placed(matrix_of(spread), active, len(left)), offsets

    def _through(self, names: Sequence[str]) -> str:
        """Which coordinates noise enters in another way than by being added."""
        through = []
        for name, moved, mean in zip(names, self.moved, self.means):
            if not all(self._alone(t, c) for t, c in split(moved - mean).items()):
                through.append(name)
        listed = ", ".join(through[:4])
        return f"noise enters {listed} through the state: its moments are matched, the filter is the best linear one"

    # ------------------------------------------------------------------------------------------------------- start

    def _start(self) -> tuple[list[Node], list[list[Node]]]:
        values = [self.first.at(f) for f in self.functions]
        means = [self.first.mean(f) for f in self.functions]
        size = len(values)
        certain = [not (set(v.symbols()) & set(self.noises.names)) for v in values]
        active = [i for i in range(size) if not certain[i]]
        cov: list[list[Node]] = [[expr.const(0.0)] * len(active) for _ in active]
        for a, i in enumerate(active):
            for b, j in enumerate(active[: a + 1]):
                both = self.first.mean(self.functions[i] * self.functions[j]) - means[i] * means[j]
                cov[a][b] = cov[b][a] = self.nodes(both)
        mean = [self.nodes(m) for m in means]
        rows = placed(matrix_of(cov), active, size)
        width = max([len(r) for r in rows], default=0)
        zero = expr.const(0.0)
        return mean, [(row or [zero] * width) + [zero] * (size - width) for row in rows]

    def _not_gaussian_start(self, names: Sequence[str]) -> list[str]:
        normals = set(self.noises.names)
        curved = []
        for name, f in zip(names, self.functions):
            value = self.first.at(f)
            if is_affine(f) or not set(value.symbols()) & normals:
                continue
            linear = all(not t.grow and not t.turn and sum(e for _, e in t.mono) <= 1 for t in split(value))
            if not linear:
                curved.append(name)
        if not curved:
            return []
        return [f"the first row is uncertain, so that {', '.join(curved[:4])} is not Gaussian there: its moments are "
                "matched, and the filter is the best linear one"]  # fmt: skip


def placed(matrix: Node, active: Sequence[int], size: int) -> list[list[Node]]:
    """A factor of the covariance of the `active` coordinates, a row for each of `size`; empty where it is certain."""
    rows: list[list[Node]] = [[] for _ in range(size)]
    if not active:
        return rows
    root = expr.linalg("semidefinite_root", [matrix], matrix.shape)
    mask = nonzero(root)
    for a, i in enumerate(active):
        rows[i] = [expr.index(root, [expr.const(a), expr.const(b)]) if mask[a, b] else expr.const(0.0)
                   for b in range(len(active))]  # fmt: skip
    return rows


def matrix_of(entries: Sequence[Sequence[Node]]) -> Node:
    return expr.stack([expr.stack(list(row)) for row in entries]) if entries else expr.zeros((0, 0))


def _distinct(words: Sequence[str]) -> list[str]:
    return [w if words.count(w) == 1 else f"{w}, {i + 1}" for i, w in enumerate(words)]
