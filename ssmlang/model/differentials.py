"""Differential equations with a linear drift and a constant diffusion, as transitions from row to row.

What is driven together, by a coefficient of a drift or by an increment, is one block; blocks of one size become one
equation. A single state has a closed form; a block of several is moved by `diffuse` of its drift matrix. Where any
member of a block is not linear the block stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter, NotAffine, spoken
from ssmlang.model.expr import Node
from ssmlang.model.geometric import geometric
from ssmlang.model.model import Dist, Equation, Model, StochasticDifferential, Target
from ssmlang.model.numbering import Numbering
from ssmlang.model.obstacles import NONLINEAR, Obstacle
from ssmlang.model.rows import matvec
from ssmlang.model.sparse import Sparse

Entry = tuple[str, int]
"""A state's name and a C-order position in it."""
_MOVING = ("state", "noise", "obs", "augment")


@dataclass(frozen=True)
class Linear:
    """dx = (A x + rest) dt + L dW of one differential equation: a row for each of its entries.

    `drift`: by state read, coefficients of it; `held`: what its rate is besides, read at the row before and held over
    the step. `noise`: by increment (its name; one of its own has the equation's number before it), the loadings.
    """

    drift: dict[str, Sparse]
    held: Node
    noise: dict[str, Sparse]


def stepped(model: Model) -> tuple[Model, tuple[Obstacle, ...]]:
    """The model with every linear block of differential equations, and every equation of what grows in proportion to
    itself, as equations from row to row, and what stands against linear ones elsewhere."""
    if not model.differentials:
        return model, ()
    driven = [(d.target.name, i) for d in model.differentials for i in d.target.entries]
    place = {entry: k for k, entry in enumerate(driven)}
    found = [_linear(d, number, place, model) for number, d in enumerate(model.differentials)]
    obstacles = [o for o in found if isinstance(o, Obstacle)]
    label = _blocks(model.differentials, found, place)
    bad = {label[place[d.target.name, d.target.entries[0]]] for d, f in zip(model.differentials, found)
           if isinstance(f, Obstacle)}  # fmt: skip
    equations, rest = [], []
    for d, f in zip(model.differentials, found):
        labels = [label[place[d.target.name, i]] for i in d.target.entries]
        if isinstance(f, Obstacle) or set(labels) & bad:
            rest.append(d)
    left = {place[d.target.name, i] for d in rest for i in d.target.entries}
    own = [k for k in range(len(driven)) if k not in left]
    if own:
        system = _System.of(model, found, driven)
        equations = system.equations([[k for k in own if label[k] == b] for b in dict.fromkeys(label[k] for k in own)])
    grown = {id(d): geometric(d, model, drift_of(d), loadings_of(d), step_of(model)) for d in rest}
    exact = [found for found in grown.values() if found is not None]
    rest = [d for d in rest if grown[id(d)] is None]
    made = replace(model, equations=(*equations, *(e for e, _ in exact), *model.equations), differentials=tuple(rest),
                   noises={**model.noises, **{n.name: n for _, n in exact}})  # fmt: skip
    return made, tuple(obstacles)


def step_of(model: Model) -> Node:
    """The time from the row before to this one."""
    if "dt" in model.inputs:
        return expr.ref("input", "dt", 0, (), ())
    return expr.const(float(np.asarray(model.constants["dt"])))


def drift_of(d: StochasticDifferential) -> Node:
    """The rate of change without noise."""

    def leaf(n: Node) -> Node | None:
        if n.op == "ref" and n.attrs[0] == "increment":
            return expr.const(np.full(n.shape, 1.0 if n.attrs[1] == "dt" else 0.0), span=n.span)
        return None

    return expr.transform(d.value, leaf)


def loadings_of(d: StochasticDifferential) -> dict[str, Sparse]:
    """By increment, what it is multiplied with, (entries, increments)."""
    form = Interpreter(lambda sort, *_: sort == "increment")(d.value)
    assert isinstance(form, Affine)
    return {name: m for (_, name, _), m in form.terms.items() if name != "dt"}


def _linear(d: StochasticDifferential, number: int, place: dict[Entry, int], model: Model) -> Linear | Obstacle:
    form = Interpreter(lambda sort, *_: sort in _MOVING)(drift_of(d))
    if isinstance(form, NotAffine):
        return Obstacle("E304", "engine 'kalman' needs a drift that is affine in the states", form.span or d.span,
                        form.reason, by=NONLINEAR)  # fmt: skip
    loadings = loadings_of(d)
    for m in loadings.values():
        read = [n for s, n, _ in expr.references([m.values]) if s in _MOVING]
        if read:
            label = f"the diffusion depends on {spoken(list(dict.fromkeys(read)))}"
            message = "engine 'kalman' needs a diffusion that does not depend on the states"
            return Obstacle("E304", message, d.span, label, by=NONLINEAR)
    drift: dict[str, Sparse] = {}
    held = sparse.flat(form.constant)
    for (sort, name, lag), m in form.terms.items():
        inside = np.array([sort == "state" and lag == 1 and (name, int(j)) in place for j in m.cols], bool)
        if inside.any():
            drift[name] = m.keep(inside)
        if not inside.all():
            assert isinstance(lag, int)
            held = expr.add(held, matvec(m.keep(~inside), _read(model, sort, name, lag)))
    own = lambda name: name if name.startswith("dW[") else f"{number}:{name}"
    return Linear(drift, held, {own(name): m for name, m in loadings.items()})


def _read(model: Model, sort: str, name: str, lag: int) -> Node:
    groups = {"state": model.states, "obs": model.observations, "noise": model.noises}
    variable = groups[sort][name]
    return sparse.flat(expr.ref(sort, name, lag, variable.shape, variable.axes))


def _blocks(differentials: Sequence[StochasticDifferential], found: Sequence[Linear | Obstacle],
            place: dict[Entry, int]) -> list[int]:  # fmt: skip
    """A label for each driven entry: that of the block it is in."""
    parent = list(range(len(place)))

    def top(k: int) -> int:
        while parent[k] != k:
            parent[k] = k = parent[parent[k]]
        return k

    def join(a: int, b: int) -> None:
        parent[max(top(a), top(b))] = min(top(a), top(b))

    shared: dict[tuple[str, int], int] = {}
    for d, f in zip(differentials, found):
        own = [place[d.target.name, i] for i in d.target.entries]
        if isinstance(f, Obstacle):
            # What an equation that is not linear reads moves within its step.
            reads = {n for s, n, lag in expr.references([d.value]) if s == "state" and lag == 1}
            names = {n for s, n, _ in expr.references([d.value]) if s == "increment" and n.startswith("dW[")}
            for k in [*own[1:], *(v for (n, _), v in place.items() if n in reads)]:
                join(own[0], k)
            for n in names:
                join(shared.setdefault((n, 0), own[0]), own[0])
            continue
        for name, m in f.drift.items():
            for i, j in zip(m.rows.tolist(), m.cols.tolist()):
                join(own[i], place[name, j])
        for name, m in f.noise.items():
            for i, j in zip(m.rows.tolist(), m.cols.tolist()):
                join(shared.setdefault((name, j), own[i]), own[i])
    return [top(k) for k in range(len(place))]


def _moves(node: Node) -> bool:
    """Whether an expression is what can differ from row to row."""
    return node.op in ("augment", "time") or (node.op == "ref" and node.attrs[0] in (*_MOVING, "input"))


@dataclass(frozen=True)
class _System:
    """All linear equations stacked: rows are the driven entries, in the order of the file."""

    model: Model
    entries: list[Entry]
    spans: list[Span]
    A: Sparse
    held: Node
    L: Sparse

    @classmethod
    def of(cls, model: Model, found: Sequence[Linear | Obstacle], entries: list[Entry]) -> _System:
        place = {entry: k for k, entry in enumerate(entries)}
        n = len(entries)
        columns: dict[tuple[str, int], int] = {}
        A, L, held, spans, first = [], [], [], [], 0
        for d, f in zip(model.differentials, found):
            size = len(d.target.entries)
            own = first + np.arange(size)
            spans += [d.span] * size
            first += size
            if isinstance(f, Obstacle):
                held.append(expr.zeros((size,)))
                continue
            held.append(f.held)
            for name, m in f.drift.items():
                at = np.array([place[name, int(j)] for j in m.cols])
                A.append(sparse.build((n, n), own[m.rows], at, m.values))
            for name, m in f.noise.items():
                at = np.array([columns.setdefault((name, int(j)), len(columns)) for j in m.cols])
                L.append((own[m.rows], at, m.values))
        width = max(len(columns), 1)
        loadings = [sparse.build((n, width), rows, cols, values) for rows, cols, values in L]
        return cls(model, entries, spans, sparse.add(A) if A else sparse.empty((n, n)), expr.concat(held),
                   sparse.add(loadings) if loadings else sparse.empty((n, width)))  # fmt: skip

    def equations(self, blocks: Sequence[list[int]]) -> list[Equation]:
        """Transitions of blocks of entries: those of one kind together."""
        kinds: dict[tuple[bool, ...], list[list[int]]] = {}
        closed = self._closed()
        moved, noisy = np.zeros(len(self.entries), bool), np.zeros(len(self.entries), bool)
        moved[self.A.rows] = True
        noisy[self.L.rows] = True
        step = step_of(self.model)
        single = [b[0] for b in blocks if len(b) == 1]
        for k in single:
            kinds.setdefault((bool(moved[k]), bool(noisy[k]), bool(closed[k])), []).append([k])
        made = []
        for (*kind, still), group in kinds.items():
            one = np.array([b[0] for b in group])
            steady = self._still()._single(one, None, *kind) if still else None
            made.append(replace(self._single(one, step, *kind), steady=steady))
        sizes: dict[tuple[bool, tuple[bool, ...]], list[list[int]]] = {}
        for b in blocks:
            if len(b) > 1:
                sizes.setdefault((bool(noisy[b].any()), tuple(closed[b].tolist())), []).append(b)
        return made + [self._several(np.array(group), step, noise, np.flatnonzero(still))
                       for (noise, still), group in sizes.items()]  # fmt: skip

    def _closed(self) -> np.ndarray:
        """Entries that nothing moves that moves from row to row, over none that they read either: their law over a long
        time is that of any step."""
        numbering = Numbering()
        any_input = lambda n: expr.ref("input", "moving", 0, n.shape, n.axes) if _moves(n) else None
        varies = lambda node: numbering(expr.transform(node, any_input)).varies
        moved = varies(self.held).reshape(-1).copy()
        for m in (self.A, self.L):
            moved[m.rows[varies(m.values).reshape(-1)]] = True
        while True:
            reached = self.A.rows[moved[self.A.cols]]
            if moved[reached].all():
                return ~moved
            moved[reached] = True

    def _single(self, at: np.ndarray, h: Node | None, moved: bool, noisy: bool) -> Equation:
        """States that nothing else of the system moves: x = e^{ah} x + h exprel(ah) (rate) + scale e. Without h over
        1 / |a|, for what is stationary under one step is so under any other."""
        rate = sparse.gather(self.held, at)
        own = self.A.take_rows(at)
        a = sparse.gather(own.values, np.arange(len(at))) if moved else None
        if h is None:
            h = expr.const(1.0) if a is None else _inverse(expr.unary("abs", a))
        x = self._before(at)
        center = x if a is None else expr.mul(expr.unary("exp", expr.mul(a, h)), x)
        if not rate.is_zero:
            gain = h if a is None else expr.mul(h, expr.unary("exprel", expr.mul(a, h)))
            center = expr.add(center, expr.mul(gain, rate))
        if not noisy:
            return self._equation(at, value=center)
        # The roots apart: that of h alone is zero at h = 0, where a derivative in `a` must be zero and not 0/0.
        sd = expr.mul(self._scale(at), expr.unary("sqrt", h))
        if a is not None:
            sd = expr.mul(sd, expr.unary("sqrt", expr.unary("exprel", expr.mul(expr.const(2.0), expr.mul(a, h)))))
        law = Dist("Normal", {"loc": center, "scale": sd}, (len(at),), 0, self.spans[at[0]])
        return self._equation(at, law=law)

    def _scale(self, at: np.ndarray) -> Node:
        """The standard deviation per root of time of single states."""
        own = self.L.take_rows(at)
        if own.nnz == len(at):
            return expr.unary("abs", sparse.gather(own.values, np.arange(len(at))))
        squares = expr.mul(own.values, own.values)
        total = sparse.build((len(at), 1), own.rows, np.zeros(own.nnz, int), squares)
        return expr.unary("sqrt", expr.reshape(total.dense, (len(at),)))

    def _several(self, at: np.ndarray, step: Node, noisy: bool, closed: np.ndarray) -> Equation:
        """Blocks (K, n) of states that move together: x = F x + Phi (rate) + G e. `closed`: which of each block are."""
        K, n = at.shape
        flat = at.reshape(-1)
        A = self._within(self.A, at, flat, n)
        L = self._loadings(at, flat)
        rate = expr.reshape(sparse.gather(self.held, flat), (K, n, 1))
        x = expr.reshape(self._before(flat), (K, n, 1))

        moved = expr.linalg("diffuse", [A, step, L], (3, K, n, n))
        F, Phi, G = (expr.index(moved, [expr.const(i)]) for i in range(3))
        made = self._blockwise(flat, F, x, Phi, rate, G if noisy else None)
        return replace(made, steady=self._still()._steady(at[:, closed])) if len(closed) else made

    def _still(self) -> _System:
        """The system with ones for what moves from row to row, for entries that read none of it."""
        still = lambda node: expr.transform(node, lambda n: expr.const(np.ones(n.shape)) if _moves(n) else None)
        A, L = (replace(m, values=still(m.values)) for m in (self.A, self.L))
        return replace(self, A=A, held=still(self.held), L=L)

    def _steady(self, at: np.ndarray) -> Equation:
        """The midpoint rule, which has the stationary law of the equation itself, whatever its step: its Lyapunov
        equation is (A P + P A' + L L') h = 0 between two inverses, which so short a step keeps from being singular."""
        K, n = at.shape
        flat = at.reshape(-1)
        A = self._within(self.A, at, flat, n)
        rate = expr.reshape(sparse.gather(self.held, flat), (K, n, 1))
        x = expr.reshape(self._before(flat), (K, n, 1))
        largest = expr.reduce("max", expr.reshape(expr.unary("abs", A), (K, n * n)), 1)
        h = expr.reshape(_inverse(expr.mul(expr.const(float(n)), largest)), (K, 1, 1))
        half = expr.mul(expr.mul(expr.const(0.5), h), A)
        eye = expr.const(np.broadcast_to(np.eye(n), (K, n, n)))
        solve = lambda b: expr.linalg("solve", [expr.sub(eye, half), b], b.shape)
        noisy = np.isin(flat, self.L.rows).any()
        W = expr.mul(expr.unary("sqrt", h), solve(self._square(self._loadings(at, flat)))) if noisy else None
        return self._blockwise(flat, solve(expr.add(eye, half)), x, expr.mul(h, solve(eye)), rate, W)

    def _blockwise(self, flat: np.ndarray, F: Node, x: Node, gain: Node, rate: Node, G: Node | None) -> Equation:
        K, n = F.shape[:2]
        center = expr.matmul(F, x)
        if not rate.is_zero:
            center = expr.add(center, expr.matmul(gain, rate))
        if G is None:
            return self._equation(flat, value=expr.reshape(center, (K * n,)))
        args = {"loc": expr.reshape(center, (K, n)), "scale_tril": G}
        return self._equation(flat, law=Dist("MvNormal", args, (K, n), 1, self.spans[flat[0]]))

    @staticmethod
    def _square(L: Node) -> Node:
        """(K, n, n) of the same covariance as loadings (K, n, d)."""
        K, n, d = L.shape
        if d > n:
            both = expr.matmul(L, expr.transpose(L))
            return expr.stack([expr.linalg("semidefinite_root", [expr.index(both, [expr.const(k)])], (n, n))
                               for k in range(K)])  # fmt: skip
        return expr.concat([L, expr.zeros((K, n, n - d))], 2) if d < n else L

    def _within(self, m: Sparse, at: np.ndarray, flat: np.ndarray, n: int) -> Node:
        """The square blocks of a matrix, (K, n, n)."""
        inside = np.full(m.shape[1], 0)
        inside[flat] = np.tile(np.arange(n), len(at))
        own = m.take_rows(flat)
        return expr.reshape(own.place(np.arange(len(flat)), inside, (len(flat), n)).dense, (len(at), n, n))

    def _loadings(self, at: np.ndarray, flat: np.ndarray) -> Node:
        """The loadings of blocks, (K, n, d), each block's increments counted from 0."""
        K, n = at.shape
        own = self.L.take_rows(flat)
        block = own.rows // n
        inside, width = np.zeros(own.nnz, int), 1
        for b in range(K):
            used, number = np.unique(own.cols[block == b], return_inverse=True)
            inside[block == b] = number
            width = max(width, len(used))
        return expr.reshape(sparse.build((K * n, width), own.rows, inside, own.values).dense, (K, n, width))

    def _before(self, at: np.ndarray) -> Node:
        """The values of entries at the row before, as one vector."""
        parts, order = [], np.empty(len(at), int)
        first = 0
        for name in dict.fromkeys(self.entries[k][0] for k in at):
            own = [i for i, k in enumerate(at) if self.entries[k][0] == name]
            state = self.model.states[name]
            whole = sparse.flat(expr.ref("state", name, 1, state.shape, state.axes))
            parts.append(sparse.gather(whole, np.array([self.entries[at[i]][1] for i in own])))
            order[own] = first + np.arange(len(own))
            first += len(own)
        return sparse.gather(expr.concat(parts), order)

    def _equation(self, at: np.ndarray, *, law: Dist | None = None, value: Node | None = None) -> Equation:
        targets: list[tuple[str, list[int]]] = []
        for k in at:
            name, entry = self.entries[k]
            if not targets or targets[-1][0] != name:
                targets.append((name, []))
            targets[-1][1].append(entry)
        made = tuple(Target(name, tuple(entries)) for name, entries in targets)
        return Equation("transition", made, self.spans[at[0]], law, value)


def _inverse(values: Node) -> Node:
    """1 / values, or 1 where they are zero."""
    zero = expr.binary("eq", values, expr.const(0.0))
    return expr.div(expr.const(1.0), expr.where(zero, expr.const(1.0), values))
