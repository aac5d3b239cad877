"""The joint law of the first rows of the observations, with its derivatives in the parameters, over a ring.

Each state and observation is written as a constant, loadings on a basis of random numbers (the values of stationary
states, the standard normals of the initial laws and of each row) and loadings on flat initial coordinates. Mean and
covariance of the stacked observations then say all that data of that length can say (a Gaussian law is its two
moments); the flat coordinates are unknown numbers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssmlang.analysis.identifiability_blocks import Part, parts
from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_rings import Ring, Unsupported
from ssmlang.analysis.identifiability_stationary import autocovariances, responses
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.rows import Rows
from ssmlang.model.sparse import Sparse

Array = np.ndarray
Start = Literal["given", "free"]
"""`free`: the first rows are unknown numbers, so that what only their law tells is not counted."""
MAX_BASIS = 1200
FEW = 8
"""Directions that are not worth being told apart by block."""


@dataclass(frozen=True)
class Law:
    """Moments of the scored observations of one block, stacked: `mean` (k,), `flat` (k, q), `cov` (k, k)."""

    mean: Dual
    flat: Dual
    cov: Dual
    seen: Array
    """(k,): position of each in the stacked observations, rows * m + entry"""
    active: Array
    """The directions that the tangents are about, of all those of the point"""


@dataclass(frozen=True)
class Point:
    """Values of the parameters, in a ring and as floats, and of the series that the model is given."""

    ring: Ring
    directions: int
    params: Mapping[str, Dual]
    floats: Mapping[str, Array]
    series: Mapping[tuple[str, str], tuple[Array, Array]]
    """(sort, name) -> rows in the ring and as floats, row 0 at index `before`"""
    before: int = 0


def laws(
    model: Model,
    form: LinearForm,
    point: Point,
    steps: int,
    start: Start = "given",
    only: Sequence[Part] | None = None,
    kept: frozenset[int] | None = None,
    margins: list[Dual] | None = None,
) -> list[Law]:
    """The law of rows 0..steps-1 (those in `kept`) of each block (or of those named), with the point's directions;
    `margins` takes those of conditions (`Expressions.margins`)."""
    calculus = Calculus(point.ring, point.directions)
    expressions = Expressions(calculus, point.params, point.floats)
    values = _Values(model, form, point, calculus, expressions)
    blocks = parts(form) if only is None else only
    found = [_Block(form, values, part, steps, start).law(kept) for part in blocks]
    if margins is not None:
        margins += expressions.margins
    return found


class _Values:
    """The numbers of the form's rows at each t."""

    def __init__(self, model: Model, form: LinearForm, point: Point, calculus: Calculus, expressions: Expressions
                 ) -> None:  # fmt: skip
        self.model, self.form, self.point = model, form, point
        self.calculus, self.expressions = calculus, expressions
        self._varying: dict[str, bool] = {}
        self._known: dict[tuple[str, int, int], tuple[Dual, dict[tuple[str, int], Dual]]] = {}

    def read(self, t: int):  # type: ignore[no-untyped-def]
        def one(sort: str, name: str, lag: int) -> tuple[Dual, Array]:
            exact, floats = self.point.series[sort, name]
            row = min(max(t - lag + self.point.before, 0), len(exact) - 1)
            return Dual(exact[row]), floats[row]

        return one

    def _varies(self, which: str, system: Rows) -> bool:
        if which not in self._varying:
            self._varying[which] = expr.varies([system.constant, *(m.values for m in system.terms.values())])
        return self._varying[which]

    def active(self, part: Part, steps: int) -> Array:
        """Directions in which any number of a block moves in these rows."""
        form, d = self.form, self.calculus.directions
        if form.whole_past or d <= FEW:
            return np.arange(d)
        hit = np.zeros(d, bool)
        s = form.stacking
        early = (np.arange(form.depth)[:, None] * s.n + part.x).reshape(-1)
        own = {"transition": _inverse(part.x, s.n), "emission": _inverse(part.y, s.m),
               "first": _inverse(early, form.depth * s.n)}  # fmt: skip
        systems = {"transition": form.transition, "emission": form.emission, "first": form.first}
        if form.stationary is not None:
            systems["stationary"] = form.stationary.transition
            own["stationary"] = own["transition"][form.stationary.entries]
        for which, system in systems.items():
            once = which in ("first", "stationary") or not self._varies(which, system)
            for t in [0] if once else range(steps):
                constant, terms = self.rows(which, t)
                inside = np.flatnonzero(own[which] >= 0)
                pieces = [(constant, inside)]
                for slot, m in system.terms.items():
                    pieces.append((terms[slot], np.flatnonzero(_at(own[which], m.rows) >= 0)))
                for dual, at in pieces:
                    if dual.tangent is not None:
                        hit |= (dual.tangent[:, at] != 0).any(axis=1)
        return np.flatnonzero(hit)

    def rows(self, which: str, t: int, bound: int = 0) -> tuple[Dual, dict[tuple[str, int], Dual]]:
        """The constant and the values of each term of a system in row t."""
        form = self.form
        systems: dict[str, Rows] = {"transition": form.transition, "emission": form.emission, "first": form.first}
        if form.stationary is not None:
            systems["stationary"] = form.stationary.transition
        system = systems[which]
        key = (which, t if self._varies(which, system) else -1, bound)
        if key not in self._known:
            slots = [k for k in system.terms if bool(bound) == (k[0] in ("past", "ypast"))]
            nodes = [system.constant, *(system.terms[k].values for k in slots)]
            constant, *found = self.expressions(nodes, t, self.read(t), bound)
            self._known[key] = constant, dict(zip(slots, found))
        return self._known[key]


class _Block:
    """One block unrolled over the rows. The basis: stationary values, initial normals, the noises of each row."""

    def __init__(self, form: LinearForm, values: _Values, part: Part, steps: int, start: Start) -> None:
        self.form, self.values, self.part, self.steps, self.start = form, values, part, steps, start
        self.active = values.active(part, steps)
        self.c = Calculus(values.calculus.ring, len(self.active))
        self._sliced: dict[int, tuple[Dual, Dual]] = {}
        s = form.stacking
        self.x_at, self.y_at, self.e_at = (_inverse(at, size) for at, size in
                                           ((part.x, s.n), (part.y, s.m), (part.e, s.r)))  # fmt: skip
        self.n, self.m, self.r = len(part.x), len(part.y), len(part.e)
        self.early = max(form.transition.depth("e"), form.emission.depth("e"), form.first.depth("e"), 0)
        group = form.stationary
        self.group = np.intersect1d(group.entries, part.x) if group is not None else np.zeros(0, int)
        self.depth = form.depth
        g = len(self.group)
        first, terms = self._numbers("first", 0)
        self.stat_size = self.depth * g
        self.offset = {"one": 0, "stat": 1, "xi": 1 + self.stat_size}
        self.offset["e"] = self.offset["xi"] + len(part.xi)
        self.offset["flat"] = self.offset["e"] + (steps + self.early) * self.r
        free = self.n * self.depth if start == "free" else 0
        self.q = len(part.delta) + free
        self.columns = self.offset["flat"] + self.q
        if self.columns > MAX_BASIS:
            raise Unsupported("too large for this check")
        self._matrices: dict[tuple[str, str, int], tuple[Dual, Dual | None]] = {}
        self.x = self._first(first, terms)
        self.y: dict[int, Dual] = {}

    def _numbers(self, which: str, t: int, bound: int = 0) -> tuple[Dual, dict[tuple[str, int], Dual]]:
        """The numbers of a system's row, with this block's directions alone."""
        constant, terms = self.values.rows(which, t, bound)
        return self._slice(constant), {k: self._slice(v) for k, v in terms.items()}

    def _slice(self, whole: Dual) -> Dual:
        if whole.tangent is None or len(self.active) == len(whole.tangent):
            return whole
        if id(whole) not in self._sliced:
            tangent = whole.tangent[self.active]
            self._sliced[id(whole)] = whole, Dual(whole.value, tangent if len(self.active) else None)
        return self._sliced[id(whole)][1]

    # ---------------------------------------------------------------------------------------------- first rows

    def _first(self, constant: Dual, terms: Mapping[tuple[str, int], Dual]) -> dict[int, Dual]:
        s, part, c = self.form.stacking, self.part, self.c
        size = self.depth * self.n
        rows = (np.arange(self.depth)[:, None] * s.n + part.x).reshape(-1)
        row_at = _inverse(rows, self.depth * s.n)
        pieces, places = [c.take(constant, rows)], [np.stack([np.arange(size), np.zeros(size, int)])]
        for slot, m in self.form.first.terms.items():
            kind, lag = slot
            inside = row_at[m.rows] >= 0
            if kind == "stat":
                k, i = np.divmod(m.cols[inside], s.n)
                columns = self.offset["stat"] + k * len(self.group) + np.searchsorted(self.group, i)
            elif kind == "xi":
                columns = self.offset["xi"] + np.searchsorted(part.xi, m.cols[inside])
            elif kind == "e":
                columns = self._noise_column(-lag, self.e_at[m.cols[inside]])
            else:
                columns = self.offset["flat"] + np.searchsorted(part.delta, m.cols[inside])
            if self.start == "free" and kind != "delta":
                continue
            pieces.append(c.take(terms[slot], np.flatnonzero(inside)))
            places.append(np.stack([row_at[m.rows[inside]], columns]))
        if self.start == "free":
            pieces = pieces[1:]
            places = places[1:]
            pieces.append(c.constant(np.ones(size, int)))
            places.append(np.stack([np.arange(size), self.columns - size + np.arange(size)]))
        table = np.zeros((size, self.columns), int)
        at = np.concatenate(places, axis=1)
        table[at[0], at[1]] = np.arange(1, at.shape[1] + 1)
        whole = c.move(pieces, table)
        if self.stat_size and self.start == "given":
            mean = self._stationary_mean()
            whole = c.add(whole, self._lead(c.matmul(
                c.take(whole, (slice(None), slice(1, 1 + self.stat_size))),
                c.move([mean], np.tile(np.arange(1, len(self.group) + 1), self.depth)[:, None]),
            )))  # fmt: skip
        return {-k: c.take(whole, slice(k * self.n, (k + 1) * self.n)) for k in range(self.depth)}

    def _lead(self, column: Dual) -> Dual:
        """A column as the constant one of all."""
        table = np.zeros((column.shape[0], self.columns), int)
        table[:, 0] = np.arange(1, column.shape[0] + 1)
        return self.c.move([column], table)

    def _noise_column(self, t: int, e: Array) -> Array:
        return self.offset["e"] + (t + self.early) * self.r + e

    # ------------------------------------------------------------------------------------------------- all rows

    def law(self, kept: frozenset[int] | None = None) -> Law:
        form, m_all = self.form, self.form.stacking.m
        stacked, seen = [], []
        for t in range(self.steps):
            if t:
                self.x[t] = self._row("transition", t, self.x_at, self.n)
            self.y[t] = self._row("emission", t, self.y_at, self.m)
            scored = np.full(self.m, kept is None or t in kept)
            for marks in (form.conditioned, form.unavailable):
                if t < len(marks):
                    scored &= ~marks[t, self.part.y]
            if t < len(form.conditioned) and form.conditioned[t, self.part.y].any():
                self.y[t] = self._known_rows(t, form.conditioned[t, self.part.y])
            at = np.flatnonzero(scored)
            stacked.append(self.y[t] if len(at) == self.m else self.c.take(self.y[t], at))
            seen.append(t * m_all + self.part.y[at])
        whole = self.c.concatenate(stacked)
        flat = self.offset["flat"]
        loadings = self.c.take(whole, (slice(None), slice(1, flat)))
        return Law(self.c.take(whole, (slice(None), 0)), self.c.take(whole, (slice(None), slice(flat, None))),
                   self._covariance(loadings), np.concatenate(seen), self.active)  # fmt: skip

    def _covariance(self, loadings: Dual) -> Dual:
        """L B L' of loadings L on a basis of covariance B; its derivative is one product and that turned over."""
        ring = self.c.ring
        basis = self._basis() if self.stat_size and self.start == "given" else None
        L = loadings.value
        spread = L if basis is None else ring.matmul(L, basis.value)
        value, parts = ring.matmul(spread, L.T), []
        if loadings.tangent is not None:
            half = ring.matmul(loadings.tangent, spread.T)
            parts += [half, np.swapaxes(half, -1, -2)]
        if basis is not None and basis.tangent is not None:
            parts.append(ring.matmul(ring.matmul(L, basis.tangent), L.T))
        return Dual(value, ring.reduce(np.sum(parts, axis=0)) if parts else None)

    def _known_rows(self, t: int, mark: Array) -> Dual:
        """Observations that are conditioned on are numbers."""
        c, own = self.c, self.y[t]
        value = self._data(t)
        table = np.arange(1, own.value.size + 1).reshape(own.shape)
        table[mark] = 0
        table[mark, 0] = own.value.size + 1 + np.flatnonzero(mark)
        return c.move([own, value], table)

    def _data(self, t: int) -> Dual:
        """The data of row t as numbers, (m,)."""
        model, s = self.values.model, self.form.stacking
        read = self.values.read(t)
        whole = [self.c.take(d, np.s_[:]) if (d := read("obs", name, 0)[0]).value.ndim else d for name in s.y]
        sizes = [model.observations[name].size for name in s.y]
        flat = self.c.move(whole, np.arange(1, sum(sizes) + 1))
        return self.c.take(flat, self.part.y)

    def _row(self, which: str, t: int, own: Array, size: int) -> Dual:
        system = self.form.transition if which == "transition" else self.form.emission
        constant, terms = self._numbers(which, t)
        total = _Sum(self.c, size, self.columns)
        total.add(self._dense((which, "constant", 0), constant, own, size), slice(0, 1))
        for (kind, lag), m in system.terms.items():
            if kind in ("past", "ypast"):
                for k in range(1, t + 1):
                    values = self._numbers(which, t, k)[1][kind, lag]
                    self._add(total, (which, kind, lag), m, values, own, size, "x" if kind == "past" else "y", t - k)
            else:
                self._add(total, (which, kind, lag), m, terms[kind, lag], own, size, kind, t - lag)
        return total.dual

    def _add(self, total: _Sum, key: tuple[str, str, int], m: Sparse, values: Dual, own: Array, size: int, kind: str,
             row: int) -> None:  # fmt: skip
        matrix = self._dense(key, values, own, size, m, kind)
        if matrix is None:
            return
        if kind == "e":
            if row < -self.early:
                raise Unsupported("a noise is read too far back")
            first = self.offset["e"] + (row + self.early) * self.r
            total.add(matrix, slice(first, first + self.r))
        elif kind == "y" and row < 0:
            total.add_product(matrix, self.c.move([self._data(row)], np.arange(1, self.m + 1)[:, None]), slice(0, 1))
        else:
            source = (self.x if kind == "x" else self.y).get(row)
            if source is not None:  # a value that does not exist counts for nothing: what reads it is not scored
                total.add_product(matrix, source, slice(None))

    def _dense(self, key: tuple[str, str, int], values: Dual, own: Array, size: int, m: Sparse | None = None,
               kind: str = "") -> Dual | None:  # fmt: skip
        """The rows of this block, as a matrix (a column where `m` is None)."""
        known = self._matrices.get(key)
        if known is not None and known[0] is values:
            return known[1]
        if m is None:
            inside = np.flatnonzero(own >= 0)
            rows, cols, width = own[inside], np.zeros(len(inside), int), 1
        else:
            inside = np.flatnonzero(_at(own, m.rows) >= 0)
            width, at = {"x": (self.n, self.x_at), "y": (self.m, self.y_at), "e": (self.r, self.e_at)}[kind]
            rows, cols = own[m.rows[inside]], at[m.cols[inside]]
        found = None
        if len(inside):
            table = np.zeros((size, width), int)
            table[rows, cols] = inside + 1
            found = self.c.move([values], table)
        self._matrices[key] = values, found
        return found

    # ------------------------------------------------------------------------------------------- stationary start

    def _group_lags(self) -> tuple[Dual, dict[str, dict[int, Dual]]]:
        """Constant and coefficients, by what is read and lag, of the stationary states' own recursion."""
        c, g, group = self.c, len(self.group), self.form.stationary
        assert group is not None
        constant, terms = self._numbers("stationary", 0)
        where = _inverse(self.group, self.form.stacking.n)
        mine = where[group.entries]
        lags: dict[str, dict[int, Dual]] = {"x": {}, "e": {}}
        for (kind, lag), m in group.transition.terms.items():
            columns, width = (where, g) if kind == "x" else (self.e_at, self.r)
            inside = np.flatnonzero((mine[m.rows] >= 0) & (columns[m.cols] >= 0))
            table = np.zeros((g, width), int)
            table[mine[m.rows[inside]], columns[m.cols[inside]]] = np.arange(1, len(inside) + 1)
            lags[kind][lag] = c.move([c.take(terms[kind, lag], inside)], table)
        return c.take(constant, np.flatnonzero(mine >= 0)), lags

    def _stationary_mean(self) -> Dual:
        """(g,)"""
        c, g = self.c, len(self.group)
        constant, lags = self._group_lags()
        gain = c.constant(np.eye(g, dtype=int))
        for f in lags["x"].values():
            gain = c.sub(gain, f)
        column = c.move([constant], np.arange(1, g + 1)[:, None])
        return c.take(c.matmul(c.inverse(gain), column), (slice(None), 0))

    def _basis(self) -> Dual:
        """Covariance of the basis: the identity but for the stationary values among themselves and with the noises
        that they have already met."""
        c, g = self.c, len(self.group)
        _, lags = self._group_lags()
        D = self.depth
        gammas = autocovariances(c, lags["x"], lags["e"], g, self.r, D)
        psi = responses(c, lags["x"], lags["e"], g, self.r, self.early)
        total = self.offset["flat"] - 1
        e0 = self.offset["e"] - 1
        table = np.zeros((total, total), int)
        rest = np.arange(D * g, total)
        table[rest, rest] = 1
        numbers = [c.constant(np.ones(1, int)), *gammas, *psi]
        first = np.cumsum([1, *(d.value.size for d in numbers)])
        block = lambda i, shape: (np.arange(shape[0] * shape[1]) + first[i]).reshape(shape)
        for k in range(D):
            for j in range(D):
                # Cov(x[-k], x[-j]) is Gamma(j - k), its transpose for k > j.
                b = block(1 + abs(k - j), (g, g))
                table[k * g : (k + 1) * g, j * g : (j + 1) * g] = b if j >= k else b.T
            for j in range(k, self.early + 1):
                columns = e0 + (self.early - j) * self.r + np.arange(self.r)
                b = block(1 + len(gammas) + j - k, (g, self.r))
                table[k * g : (k + 1) * g, columns] = b
                table[columns, k * g : (k + 1) * g] = b.T
        return c.move(numbers, table)


class _Sum:
    """Terms of a row of unrolled values, added in place."""

    def __init__(self, c: Calculus, size: int, columns: int) -> None:
        self.c, self.shape = c, (size, columns)
        self.value = c.ring.number(np.zeros(self.shape, int)).copy()
        self.tangent: Array | None = None

    def _slopes(self) -> Array:
        if self.tangent is None:
            self.tangent = np.zeros((self.c.directions, *self.shape), self.value.dtype)
        return self.tangent

    def add(self, matrix: Dual | None, columns: slice) -> None:
        if matrix is not None:
            self.value[:, columns] += matrix.value
            if matrix.tangent is not None:
                self._slopes()[:, :, columns] += matrix.tangent

    def add_product(self, matrix: Dual, source: Dual, columns: slice) -> None:
        ring = self.c.ring
        self.value[:, columns] += ring.matmul(matrix.value, source.value)
        if matrix.tangent is not None:
            self._slopes()[:, :, columns] += ring.matmul(matrix.tangent, source.value)
        if source.tangent is not None:
            self._slopes()[:, :, columns] += ring.matmul(matrix.value, source.tangent)

    @property
    def dual(self) -> Dual:
        """Sums of residues stay far below 2^63 until they are reduced here."""
        ring = self.c.ring
        return Dual(ring.reduce(self.value), None if self.tangent is None else ring.reduce(self.tangent))


def _inverse(at: Array, size: int) -> Array:
    found = np.full(size, -1)
    found[at] = np.arange(len(at))
    return found


def _at(places: Array, rows: Array) -> Array:
    """Places of rows; -1 for rows beyond (definitions of an emission)."""
    return np.concatenate([places, [-1]])[np.minimum(rows, len(places))]
