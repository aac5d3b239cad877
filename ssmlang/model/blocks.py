"""Parts of a linear form that do not talk to each other, gathered by pattern.

States, observations and standard normals are joined where a coefficient is not zero: by a transition, an emission, a
loading, the law of the first rows. What is left apart is independent given the parameters and what was seen. A panel
of sites becomes one group of as many members as there are sites. Everything is done on the sparse coefficients of all
members at once: nothing here is as large as states times states, and no loop runs over members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.model import expr
from ssmlang.model.components import connected
from ssmlang.model.expr import Node
from ssmlang.model.initial import InitialForm, Stationary
from ssmlang.model.linear import LinearForm
from ssmlang.model.reading import Stacking
from ssmlang.model.rows import Rows, Slot
from ssmlang.model.separate import separated
from ssmlang.model.sparse import Sparse

ONE = 1
"""In a member's form this number stands for the constant one; its own entries are numbered from 2 on."""


@dataclass(frozen=True)
class Source:
    """Where the members of a group find some of their numbers: entries `at` (B, K) of `values`, a vector."""

    values: Node
    at: np.ndarray


@dataclass(frozen=True)
class Group:
    """Blocks of one pattern.

    `form` is the linear form of any one of them, in whose expressions the constant 2 + k stands for the member's k-th
    number, counted through `sources`. Rows of the index arrays are members; what they index is in their order.
    """

    form: LinearForm
    sources: tuple[Source, ...]
    states: np.ndarray
    """(B, n): entries of the state, of which these are the values or parts"""
    observations: np.ndarray
    """(B, m)"""

    @property
    def members(self) -> int:
        return len(self.states)


@dataclass(frozen=True)
class Blocks:
    """All groups of a form. A state that several blocks hold a part of (a definition that sums over them) is the sum
    of those parts, and these are independent given what was seen."""

    groups: tuple[Group, ...]

    @property
    def count(self) -> int:
        return sum(g.members for g in self.groups)


class _Items:
    """Kinds of things that are joined, numbered through."""

    def __init__(self, form: LinearForm) -> None:
        s = form.stacking
        self.sizes = {"x": s.n, "y": s.m, "e": s.r, "xi": form.initial.xi, "delta": form.initial.delta}
        ends = np.cumsum([0, *self.sizes.values()])
        self.first = dict(zip(self.sizes, ends.tolist()))
        self.count = int(ends[-1])

    def of(self, kind: str, index: np.ndarray) -> np.ndarray:
        return self.first[kind] + index


@dataclass(frozen=True)
class _Table:
    """One coefficient matrix, or one vector of constants (`slot` None), entry by entry."""

    name: str
    slot: Slot | None
    values: Node
    rows: np.ndarray
    """index within the kind's entries, `row_step` of them a row"""
    cols: np.ndarray
    row_kind: str
    col_kind: str


def blocks(form: LinearForm) -> Blocks:
    """The independent blocks of a form whose equations read no observations (these being known numbers).

    Groups come in the order of their first members; a noise that nothing reads is in none.
    """
    apart = separated(form)
    form = apart.form
    items, tables = _Items(form), _tables(form)
    labels = _labels(items, tables, form)
    counts, rank = _ranks(items, labels)
    chunks = [_Chunks(t, items, labels, form) for t in tables]
    used = (counts["x"] + counts["y"]) > 0
    features = np.stack([*counts.values(), *(c.count for c in chunks)], axis=1)
    found: list[Group] = []
    candidates = np.flatnonzero(used)
    for members in _alike(features[candidates]):
        own = candidates[members]
        taken = [c.entries(own) for c in chunks]
        local = [_local(t, e, items, rank, form) for t, e in zip(tables, taken)]
        stationary = _stationary_of(form, items, labels, rank, own)
        signature = np.concatenate([*(part for pair in local for part in pair), stationary], axis=1)
        for same in _alike(signature):
            first = same[0]
            sizes = {kind: int(count[own[first]]) for kind, count in counts.items()}
            members_ = own[same]
            states, observations = (_entries_of(items, labels, kind, members_, sizes[kind]) for kind in ("x", "y"))
            sources = tuple(Source(t.values, e[same]) for t, e in zip(tables, taken))
            patterns = [(rows[first], cols[first]) for rows, cols in local]
            member = _member(form, tables, patterns, sizes, stationary[first])
            found.append(Group(member, sources, apart.entry[states], observations))
    order = lambda g: [int(a.min(initial=items.count)) for a in (g.states, g.observations)]
    return Blocks(tuple(sorted(found, key=order)))


def described(form: LinearForm) -> str | None:
    """The blocks in words, where there are several: "1,000 independent blocks of 4 states"."""
    if form.whole_past or form.stacking.n + form.stacking.m < 2:
        return None
    known = lambda rows: Rows(rows.constant, {k: m for k, m in rows.terms.items() if k[0] not in ("y", "ypast")})
    found = blocks(replace(form, transition=known(form.transition), emission=known(form.emission)))
    if found.count < 2:
        return None
    counted: dict[int, int] = {}
    for g in found.groups:
        counted[g.form.stacking.n] = counted.get(g.form.stacking.n, 0) + g.members
    sizes = [(count, f"{n or 'no'} state{'' if n == 1 else 's'}") for n, count in sorted(counted.items(), reverse=True)]
    if len(sizes) == 1:
        return f"{found.count:,} independent blocks of {sizes[0][1]}"
    return f"{found.count:,} independent blocks: " + ", ".join(f"{count:,} of {of}" for count, of in sizes)


# ------------------------------------------------------------------------------------------- what is joined


def _tables(form: LinearForm) -> list[_Table]:
    """Every coefficient and constant of the form."""
    found = []
    systems: list[tuple[str, Rows, str]] = [
        ("transition", form.transition, "x"), ("emission", form.emission, "y"), ("first", form.first, "x"),
    ]  # fmt: skip
    stationary = form.stationary
    if stationary is not None:
        systems.append(("stationary", stationary.transition, "x"))
    for name, rows, kind in systems:
        everything = np.arange(rows.size)
        places = stationary.entries if name == "stationary" and stationary is not None else everything
        found.append(_Table(name, None, rows.constant, places, np.zeros(rows.size, int), kind, ""))
        for slot, m in rows.terms.items():
            column = "x" if slot[0] == "stat" else slot[0]
            if column not in ("x", "e", "xi", "delta"):
                raise ValueError(f"the form still reads {slot}")
            found.append(_Table(name, slot, m.values, places[m.rows], m.cols, kind, column))
    return found


def _labels(items: _Items, tables: Sequence[_Table], form: LinearForm) -> np.ndarray:
    """The block of each item."""
    n = max(form.stacking.n, 1)
    rows, cols = [], []
    for t in tables:
        if t.slot is not None:
            rows.append(items.of(t.row_kind, t.rows % n if t.row_kind == "x" else t.rows))
            cols.append(items.of(t.col_kind, t.cols % n if t.col_kind == "x" else t.cols))
    return connected(items.count, np.concatenate([np.zeros(0, int), *rows]), np.concatenate([np.zeros(0, int), *cols]))


def _ranks(items: _Items, labels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """How many items of each kind a block has, and the place of each item among those of its kind in its block."""
    blocks_, counts, rank = int(labels.max(initial=-1)) + 1, {}, np.zeros(items.count, np.int64)
    for kind, size in items.sizes.items():
        own = labels[items.first[kind] : items.first[kind] + size]
        counts[kind] = np.bincount(own, minlength=blocks_)
        order = np.argsort(own, kind="stable")
        starts = np.cumsum(counts[kind]) - counts[kind]
        rank[items.first[kind] + order] = np.arange(size) - starts[own[order]]
    return counts, rank


def _entries_of(items: _Items, labels: np.ndarray, kind: str, members: np.ndarray, size: int) -> np.ndarray:
    """(B, size): the entries of a kind that each block holds."""
    first = items.first[kind]
    own = labels[first : first + items.sizes[kind]]
    order = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[order], members)
    return order[starts[:, None] + np.arange(size)] if size else np.zeros((len(members), 0), int)


class _Chunks:
    """The entries of a table by block, each block's in their order."""

    def __init__(self, table: _Table, items: _Items, labels: np.ndarray, form: LinearForm) -> None:
        rows = table.rows % max(form.stacking.n, 1) if table.row_kind == "x" else table.rows
        block = labels[items.of(table.row_kind, rows)]
        self.order = np.argsort(block, kind="stable")
        self.count = np.bincount(block, minlength=int(labels.max(initial=-1)) + 1)
        self.start = np.cumsum(self.count) - self.count

    def entries(self, members: np.ndarray) -> np.ndarray:
        """(B, K) entries of blocks that all have K."""
        within = np.arange(int(self.count[members[0]]))
        return self.order[np.minimum(self.start[members][:, None] + within, max(len(self.order) - 1, 0))]


def _local(
    table: _Table, entries: np.ndarray, items: _Items, rank: np.ndarray, form: LinearForm
) -> tuple[np.ndarray, np.ndarray]:
    """(B, K) places of entries in the matrix of their own block. Row k n + i of the first rows stays k n_b + i; as the
    size n_b of the block comes later, k and i are kept apart: k (2^32) + i."""

    def place(kind: str, index: np.ndarray) -> np.ndarray:
        if kind == "x":
            k, i = np.divmod(index, max(form.stacking.n, 1))
            return (k << 32) + rank[items.of("x", i)]
        return rank[items.of(kind, index)]

    rows = place(table.row_kind, table.rows[entries])
    cols = place(table.col_kind, table.cols[entries]) if table.slot is not None else np.zeros_like(rows)
    return rows, cols


def _stationary_of(
    form: LinearForm, items: _Items, labels: np.ndarray, rank: np.ndarray, members: np.ndarray
) -> np.ndarray:
    """(B, k): places of the states that start in their stationary law; -1 fills up where blocks differ in number."""
    if form.stationary is None:
        return np.zeros((len(members), 0), int)
    entries = form.stationary.entries
    own = labels[items.of("x", entries)]
    order = np.argsort(own, kind="stable")
    counts = np.bincount(own, minlength=int(labels.max(initial=-1)) + 1)
    starts = np.cumsum(counts) - counts
    width = int(counts[members].max(initial=0))
    within = np.arange(width)
    at = np.minimum(starts[members][:, None] + within, max(len(entries) - 1, 0))
    places = rank[items.of("x", entries[order[at]])]
    return np.where(within < counts[members][:, None], places, -1)


def _alike(rows: np.ndarray) -> list[np.ndarray]:
    """Which rows of a matrix are the same: indices by group, in order of first occurrence."""
    if not len(rows):
        return []
    if (rows == rows[0]).all():
        return [np.arange(len(rows))]
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(inverse.reshape(-1)))[:-1])
    return [parts[i] for i in np.argsort(first)]


# ------------------------------------------------------------------------------------------- one member


def _member(
    form: LinearForm,
    tables: Sequence[_Table],
    patterns: Sequence[tuple[np.ndarray, np.ndarray]],
    sizes: Mapping[str, int],
    stationary: np.ndarray,
) -> LinearForm:
    """The form of one block, its numbers counted through the tables."""
    n, m, depth = sizes["x"], sizes["y"], form.depth
    entries = stationary[stationary >= 0]
    whole = lambda local: (local >> 32) * n + (local & 0xFFFFFFFF)
    heights = {"transition": n, "emission": m, "first": depth * n, "stationary": len(entries)}
    widths = {"x": n, "e": sizes["e"], "xi": sizes["xi"], "delta": sizes["delta"], "stat": depth * n}
    constants: dict[str, Node] = {}
    terms: dict[str, dict[Slot, Sparse]] = {name: {} for name in heights}
    number = ONE + 1
    for t, (rows, cols) in zip(tables, patterns):
        values = expr.const(np.arange(number, number + len(rows), dtype=float))
        number += len(rows)
        if t.slot is None:
            constants[t.name] = values
            continue
        rows = whole(rows) if t.row_kind == "x" else rows
        if t.name == "stationary":
            rows = np.searchsorted(entries, rows)
        cols = whole(cols) if t.col_kind == "x" else cols
        if len(rows):
            terms[t.name][t.slot] = Sparse((heights[t.name], widths[t.slot[0]]), rows, cols, values)
    system = lambda name: Rows(constants[name], terms[name])
    group = None
    if form.stationary is not None and len(entries):
        group = Stationary(entries, system("stationary"), form.stationary.spans)
    first = system("first")
    initial = InitialForm(first, depth, sizes["xi"], sizes["delta"], np.zeros((depth, n), bool), group)
    return replace(
        form, stacking=Stacking({}, {}, {}, n, m, sizes["e"]), transition=system("transition"),
        emission=system("emission"), first=first, initial=initial, absent=np.zeros((0, n), bool),
        conditioned=np.zeros((0, m), bool), unavailable=np.zeros((0, m), bool), definitions={}, noises=(),
    )  # fmt: skip
