"""Definitions that read several blocks, taken apart so that they do not join them.

A definition that is part of the state (`let total[t] = sum(level[t, i] for i in site)`) is an exact linear function of
it and is read by nothing. Its row is replaced by one row for each block that it reads, which hold its parts; it is the
sum of these, and they are independent given what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.components import connected
from ssmlang.model.linear import LinearForm
from ssmlang.model.rows import Rows
from ssmlang.model.sparse import Sparse


@dataclass(frozen=True)
class Separated:
    """A form without rows that join blocks, and which entry of the given form's state each of its own is (a part
    of)."""

    form: LinearForm
    entry: np.ndarray


def separated(form: LinearForm) -> Separated:
    """Take definitions apart. What is no definition stays where it is."""
    s, n = form.stacking, form.stacking.n
    free = _definitions(form)
    if not free.any():
        return Separated(form, np.arange(n))
    label = _labels(form, free)
    parts = []
    for rows in (form.transition, form.first):
        for slot, m in rows.terms.items():
            at = np.flatnonzero(free[m.rows % n])
            parts.append(np.stack([m.rows[at] % n, label[_column(slot[0], m.cols[at], form)]], axis=1))
    pairs = np.unique(np.concatenate(parts), axis=0) if parts else np.zeros((0, 2), int)
    # A definition that reads nothing random has one row all the same.
    bare = np.setdiff1d(np.flatnonzero(free), pairs[:, 0])
    pairs = np.concatenate([pairs, np.stack([bare, np.full(len(bare), -1)], axis=1)])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    kept = np.flatnonzero(~free)
    entry = np.concatenate([kept, pairs[:, 0]])
    size = len(entry)
    place = np.full(n, -1)
    place[kept] = np.arange(len(kept))
    keys = pairs[:, 0] * (label.max(initial=0) + 2) + pairs[:, 1] + 1

    def row_of(rows: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        """The new place of rows that read a block."""
        wanted = rows * (label.max(initial=0) + 2) + blocks + 1
        return np.where(free[rows], len(kept) + np.searchsorted(keys, wanted), place[rows])

    # The constant of a definition goes to the first of its rows.
    leading = np.concatenate([np.ones(len(kept), bool), np.r_[True, pairs[1:, 0] != pairs[:-1, 0]][: len(pairs)]])

    def system(rows: Rows, depth: int) -> Rows:
        terms = {}
        for slot, m in rows.terms.items():
            kind = slot[0]
            k, i = np.divmod(m.rows, n)
            to = k * size + row_of(i, label[_column(kind, m.cols, form)])
            cols, width = m.cols, m.shape[1]
            if kind in ("x", "stat"):
                lag, j = np.divmod(m.cols, n)
                cols, width = lag * size + place[j], (m.shape[1] // n) * size
            terms[slot] = _ordered((depth * size, width), to, cols, m)
        at = (np.arange(depth)[:, None] * n + entry).reshape(-1)
        given = expr.concat([rows.constant, expr.zeros((1,))])
        return Rows(sparse.gather(given, np.where(np.tile(leading, depth), at, rows.constant.size)), terms)

    columns = lambda rows: Rows(rows.constant, {
        k: replace(m, cols=place[m.cols], shape=(m.shape[0], size)) if k[0] == "x" else m for k, m in rows.terms.items()
    })  # fmt: skip
    stationary = form.stationary
    if stationary is not None:
        stationary = replace(stationary, entries=place[stationary.entries], transition=columns(stationary.transition))
    initial = replace(form.initial, stationary=stationary)
    return Separated(
        replace(form, stacking=replace(s, n=size), transition=system(form.transition, 1),
                emission=columns(form.emission), first=system(form.first, form.depth), initial=initial),
        entry,
    )  # fmt: skip


def _definitions(form: LinearForm) -> np.ndarray:
    """(n,): entries of definitions that no equation reads."""
    n = form.stacking.n
    free = np.zeros(n, bool)
    for first, last in form.definitions.values():
        free[first:last] = True
    systems = [form.transition, form.emission]
    if form.stationary is not None:
        systems.append(form.stationary.transition)
        free[form.stationary.entries] = False
    for rows in systems:
        for (kind, _), m in rows.terms.items():
            if kind == "x":
                free[m.cols] = False
    for (kind, _), m in form.first.terms.items():
        if kind == "stat":
            free[m.cols % n] = False
    return free


def _offsets(form: LinearForm) -> dict[str, int]:
    s, initial = form.stacking, form.initial
    at = np.cumsum([0, s.n, s.m, s.r, initial.xi, initial.delta])
    return dict(zip(("x", "y", "e", "xi", "delta", "end"), at.tolist()))


def _column(kind: str, cols: np.ndarray, form: LinearForm) -> np.ndarray:
    first = _offsets(form)
    return first["x"] + cols % form.stacking.n if kind in ("x", "stat") else first[kind] + cols


def _labels(form: LinearForm, free: np.ndarray) -> np.ndarray:
    """The blocks of all things, definitions left out."""
    first, n = _offsets(form), form.stacking.n
    rows, cols = [np.zeros(0, int)], [np.zeros(0, int)]
    for system, kind in ((form.transition, "x"), (form.emission, "y"), (form.first, "x")):
        for slot, m in system.terms.items():
            i = m.rows % n if kind == "x" else m.rows
            keep = ~free[i] if kind == "x" else np.ones(m.nnz, bool)
            rows.append(first[kind] + i[keep])
            cols.append(_column(slot[0], m.cols[keep], form))
    return connected(first["end"], np.concatenate(rows), np.concatenate(cols))


def _ordered(shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, m: Sparse) -> Sparse:
    order = np.lexsort((cols, rows))
    return Sparse(shape, rows[order], cols[order], sparse.gather(m.values, order))
