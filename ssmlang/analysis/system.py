"""A linear program as matrices of sympy expressions: per lag, stacked over lags, in independent blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import sympy as sp

from ssmlang.analysis.symbolic import TIME, Translator
from ssmlang.model.components import connected
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.rows import Rows

Entries = Mapping[tuple[int, int], sp.Expr]
"""A sparse matrix: (row, column) -> what stands there."""


@dataclass(frozen=True)
class Companion:
    """z[t] = F z[t-1] + (noise), y[t] = H z[t] + ..., with z the rows of the states that anything reads again.

    `names`: entries of z as the user would write them at row t: `u[t]`, `u[t-1]`, and `e[t]` of a noise that a later
    row reads. `lag`: how far back each is; `entry`: which state it is a row of (-1: a noise). The first entries are the
    states of row t, in the order of the system.
    """

    F: sp.Matrix
    H: sp.Matrix
    names: tuple[str, ...]
    lag: tuple[int, ...]
    entry: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class System:
    """x[t] = a + sum_k A_k x[t-k] + sum_j G_j e[t-j],  y[t] = d + sum_k C_k x[t-k] + sum_j D_j e[t-j].

    e are independent standard normals (scales are in G and D). What observations of earlier rows add is a known number
    and left out of the matrices, as in the engines; `reads_observations` names it.
    """

    states: tuple[str, ...]
    observations: tuple[str, ...]
    noises: tuple[str, ...]
    transition: Mapping[int, Entries]
    emission: Mapping[int, Entries]
    driving: Mapping[int, Entries]
    observing: Mapping[int, Entries]
    offset: tuple[sp.Expr, ...]
    observed_offset: tuple[sp.Expr, ...]
    reads_observations: bool = False
    members: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of a block: which states, observations and noises of the whole it has, by kind "x", "y", "e"."""

    @property
    def n(self) -> int:
        return len(self.states)

    @property
    def m(self) -> int:
        return len(self.observations)

    @property
    def r(self) -> int:
        return len(self.noises)

    def A(self, lag: int = 1) -> sp.Matrix:
        return _dense(self.transition.get(lag, {}), self.n, self.n)

    def C(self, lag: int = 0) -> sp.Matrix:
        return _dense(self.emission.get(lag, {}), self.m, self.n)

    def G(self, lag: int = 0) -> sp.Matrix:
        return _dense(self.driving.get(lag, {}), self.n, self.r)

    def D(self, lag: int = 0) -> sp.Matrix:
        return _dense(self.observing.get(lag, {}), self.m, self.r)

    @cached_property
    def reads(self) -> frozenset[sp.Symbol]:
        """What makes the matrices differ from row to row: `t`, inputs, observations read otherwise than linearly."""
        values = [v for part in (self.transition, self.emission) for m in part.values() for v in m.values()]
        return frozenset(s for v in values for s in v.free_symbols if s == TIME or "[t" in s.name)

    @property
    def varying(self) -> bool:
        """Whether the matrices of states differ from row to row (offsets and scales of noises may)."""
        return bool(self.reads)

    @cached_property
    def symbols(self) -> frozenset[sp.Symbol]:
        """The parameters in the matrices of states."""
        values = [v for part in (self.transition, self.emission) for m in part.values() for v in m.values()]
        return frozenset(s for v in values for s in v.free_symbols) - self.reads

    @cached_property
    def memory(self) -> tuple[int, ...]:
        """How many rows of each state are in the companion form, at least its own."""
        found = [1] * self.n
        for lag, m in self.transition.items():
            for _, j in m:
                found[j] = max(found[j], lag)
        for lag, m in self.emission.items():
            for _, j in m:
                found[j] = max(found[j], lag + 1)
        return tuple(found)

    @cached_property
    def noise_memory(self) -> tuple[int, ...]:
        """How many rows of each noise are in the companion form: none where no later row reads it."""
        found = [0] * self.r
        for part, own in ((self.driving, 0), (self.observing, 1)):
            for lag, m in part.items():
                for _, j in m:
                    found[j] = max(found[j], lag + own if lag else 0)
        return tuple(found)

    @cached_property
    def companion(self) -> Companion:
        """The first-order form, of rows that are read again alone."""
        cells = [(0, i) for i in range(self.n)]
        deep = [(k, i) for i in range(self.n) for k in range(1, self.memory[i])]
        noisy = [(k, j) for j in range(self.r) for k in range(self.noise_memory[j])]
        place = {("x", k, i): p for p, (k, i) in enumerate([*cells, *deep])}
        place |= {("e", k, j): p + len(place) for p, (k, j) in enumerate(noisy)}
        size = len(place)
        F, H = sp.zeros(size, size), sp.zeros(self.m, size)
        for lag, m in self.transition.items():
            for (i, j), v in m.items():
                F[i, place["x", lag - 1, j]] += v
        for lag, m in self.driving.items():
            for (i, j), v in m.items():
                if lag:
                    F[i, place["e", lag - 1, j]] += v
        for kind, k, i in place:
            if k:
                F[place[kind, k, i], place[kind, k - 1, i]] = sp.S.One
        for lag, m in self.emission.items():
            for (i, j), v in m.items():
                H[i, place["x", lag, j]] += v
        for lag, m in self.observing.items():
            for (i, j), v in m.items():
                if ("e", lag, j) in place:
                    H[i, place["e", lag, j]] += v
        names = [at_row(self.states[i] if kind == "x" else self.noises[i], k) for kind, k, i in place]
        lags = tuple(k for _, k, _ in place)
        return Companion(F, H, tuple(names), lags, tuple(i if kind == "x" else -1 for kind, _, i in place))

    @cached_property
    def blocks(self) -> tuple[System, ...]:
        """Parts that share no state, observation or driving noise, as systems of their own."""
        size = self.n + self.m + self.r
        rows, cols = [], []
        for part, first, second in (
            (self.transition, 0, 0), (self.emission, self.n, 0), (self.driving, 0, self.n + self.m),
            (self.observing, self.n, self.n + self.m),
        ):  # fmt: skip
            for m in part.values():
                for i, j in m:
                    rows.append(first + i)
                    cols.append(second + j)
        labels = connected(size, np.array(rows, int), np.array(cols, int))
        found = []
        for label in dict.fromkeys(labels[: self.n + self.m].tolist()):
            at = np.flatnonzero(labels == label)
            found.append(self.part(
                [int(i) for i in at if i < self.n], [int(i) - self.n for i in at if self.n <= i < self.n + self.m],
                [int(i) - self.n - self.m for i in at if i >= self.n + self.m],
            ))  # fmt: skip
        return tuple(found)

    def part(self, x: Sequence[int], y: Sequence[int], e: Sequence[int]) -> System:
        """The system of some states, observations and noises; what it reads of others is left out."""
        ix, iy, ie = ({v: k for k, v in enumerate(at)} for at in (x, y, e))
        cut = lambda part, rows, cols: {
            lag: own for lag, m in part.items()
            if (own := {(rows[i], cols[j]): v for (i, j), v in m.items() if i in rows and j in cols})
        }  # fmt: skip
        every = {"x": tuple(range(self.n)), "y": tuple(range(self.m)), "e": tuple(range(self.r))}
        whole = self.members or every
        return System(
            tuple(self.states[i] for i in x), tuple(self.observations[i] for i in y), tuple(self.noises[i] for i in e),
            cut(self.transition, ix, ix), cut(self.emission, iy, ix), cut(self.driving, ix, ie),
            cut(self.observing, iy, ie), tuple(self.offset[i] for i in x), tuple(self.observed_offset[i] for i in y),
            self.reads_observations,
            {k: tuple(whole[k][i] for i in at) for k, at in (("x", x), ("y", y), ("e", e))},
        )  # fmt: skip


def at_row(name: str, lag: int) -> str:
    """`x[0]` two rows back is written `x[t-2,0]`, `level` now `level[t]`."""
    row = "t" if lag == 0 else f"t-{lag}"
    if name.endswith("]"):
        base, _, inside = name.partition("[")
        return f"{base}[{row},{inside}"
    return f"{name}[{row}]"


def system_of(model: Model, form: LinearForm, translate: Translator) -> System:
    """The symbolic system of a linear form of finite order. Raises symbolic.TooLarge."""
    s = form.stacking
    entries = [n for name in s.x for n in _variable(model, name)]
    observed = [n for name in s.y for n in model.observations[name].entry_names()]

    def terms(rows: Rows, kind: str) -> dict[int, Entries]:
        found: dict[int, Entries] = {}
        for (k, lag), m in rows.terms.items():
            if k == kind and m.nnz:
                values = translate(m.values).reshape(-1)
                own = {(int(i), int(j)): v for i, j, v in zip(m.rows, m.cols, values) if v != 0}
                if own:
                    found[lag] = own
        return found

    offset = lambda rows: tuple(translate(rows.constant).reshape(-1))
    reads = any(kind == "y" for rows in (form.transition, form.emission) for kind, _ in rows.terms)
    return System(
        tuple(entries), tuple(observed), tuple(form.noises), terms(form.transition, "x"), terms(form.emission, "x"),
        terms(form.transition, "e"), terms(form.emission, "e"), offset(form.transition), offset(form.emission), reads,
    )  # fmt: skip


def _variable(model: Model, name: str) -> list[str]:
    groups = (model.states, model.observations, model.definitions)
    return next(g[name].entry_names() for g in groups if name in g)  # type: ignore[index]


def _dense(entries: Entries, rows: int, cols: int) -> sp.Matrix:
    matrix = sp.zeros(rows, cols)
    for (i, j), v in entries.items():
        matrix[i, j] = v
    return matrix
