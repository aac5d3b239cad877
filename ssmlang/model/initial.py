"""The law of the first rows: what initial equations give, and row 0 where the transition gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, sparse
from ssmlang.model.model import InitialEquation
from ssmlang.model.numbering import Numbering
from ssmlang.model.obstacles import Obstacle
from ssmlang.model.reading import Reader
from ssmlang.model.rows import Rows, at_row, scatter, solved, total
from ssmlang.model.sparse import Sparse


@dataclass(frozen=True)
class Stationary:
    """States that start in their joint stationary law: `entries` of the stacked state, with their transition."""

    entries: np.ndarray
    transition: Rows
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class InitialForm:
    """Rows 0, -1, ..., -(depth-1) of all states, one below another, as linear rows.

    Slots: ("xi", 0) independent standard normals of the initial laws, ("e", j) the noises of row -j, ("delta", 0)
    coordinates without a proper law, ("stat", 0) the stationary values at their own place (row k of entry i is column
    k n + i). Values that do not exist are zero rows.
    """

    rows: Rows
    depth: int
    xi: int
    delta: int
    given: np.ndarray
    """(depth, n): has an initial law"""
    stationary: Stationary | None


def initial_form(reader: Reader, transition: Rows, depth: int) -> tuple[InitialForm, list[tuple[np.ndarray, Rows]]]:
    """The first rows, and the emissions of row 0 that an initial law of an observation gives.

    `transition` still reads its own row; `depth` is how many rows anything reads, the present one included.
    """
    s, model = reader.stacking, reader.model
    initials = [i for i in model.initials if not _is_observation(i, reader)]
    rows_given = [-t.row for i in initials for t in i.targets]
    own = [transition.depth("x") + 1, depth, 1, *(r + 1 for r in rows_given)]
    laws = {id(i): reader.equation(i) for i in model.initials if i.special is None}
    own += [r.depth("x") + 1 for r in laws.values() if r is not None]
    D, n = max(own), s.n
    given = np.zeros((D, n), bool)
    stationary_entries = np.zeros(n, bool)
    widths = {"z": D * n, "e": s.r, "xi": 0, "delta": 0, "stat": D * n, "y": s.m}
    parts: list[tuple[np.ndarray, Rows, int]] = []
    for i in initials:
        cells = np.concatenate([-t.row * n + reader.places([(t.name, t.entries)]) for t in i.targets])
        if i.special == "stationary":
            stationary_entries[cells % n] = True
            continue
        given.reshape(-1)[cells] = True
        if i.special == "diffuse":
            parts.append((cells, _unit("delta", len(cells)), widths["delta"]))
            widths["delta"] += len(cells)
        else:
            law = laws[id(i)]
            if law is not None:
                parts.append((cells, law, widths["xi"]))
                widths["xi"] += law.terms["xi", 0].shape[1] if ("xi", 0) in law.terms else 0
    group = np.flatnonzero(stationary_entries)
    for k in range(D):
        cells = k * n + group
        fresh = group[~given[k, group]]
        given[k, fresh] = True
        parts.append((k * n + fresh, Rows(expr.zeros((len(fresh),)), {("stat", 0): _select(k * n + fresh, D * n)}), 0))
    from_equations = np.flatnonzero(~given[0])
    if len(from_equations):
        parts.append((from_equations, at_row(transition, 0).take(from_equations), 0))
    moved = [(at, _on_first_rows(rows, offset, widths, n, D)) for at, rows, offset in parts if len(at)]
    whole = scatter(moved, D * n, widths)
    stationary = _stationary(reader, transition, initials, group) if len(group) else None
    if stationary is not None:
        _refuse_rows_before(reader)
    first = _first_observations(reader, laws)
    return InitialForm(whole, D, widths["xi"], widths["delta"], given, stationary), first


def finish(form: InitialForm, exists: np.ndarray) -> Rows | None:
    """The first rows with reads among themselves eliminated, and what does not exist (depth, n) set to zero."""
    keep = np.flatnonzero(exists.reshape(-1))
    source = np.full(exists.size, -1)
    source[keep] = keep
    constant = expr.mul(form.rows.constant, expr.const(exists.reshape(-1).astype(float)))
    terms = {k: v.take_rows(source) for k, v in form.rows.terms.items() if k[0] != "y"}
    return solved(Rows(constant, {k: v for k, v in terms.items() if v.nnz}), ("z", 0))


def _is_observation(i: InitialEquation, reader: Reader) -> bool:
    return any(t.name not in reader.stacking.x for t in i.targets)


def _first_observations(reader: Reader, laws: dict[int, Rows | None]) -> list[tuple[np.ndarray, Rows]]:
    found = []
    for i in reader.model.initials:
        if not _is_observation(i, reader):
            continue
        rows = laws.get(id(i))
        if i.special is not None:
            reader.obstacles.append(Obstacle("E305", f"{i.special.capitalize()}() is the law of a state", i.span,
                                             f"{i.targets[0].name} is an observation"))  # fmt: skip
        elif rows is not None:
            found.append((reader.places([(t.name, t.entries) for t in i.targets]), rows))
    return found


def _unit(slot: str, size: int) -> Rows:
    return Rows(expr.zeros((size,)), {(slot, 0): sparse.identity(size)})


def _select(columns: np.ndarray, width: int) -> Sparse:
    k = len(columns)
    return sparse.build((k, width), np.arange(k), columns, expr.const(np.ones(k)))


def _on_first_rows(rows: Rows, offset: int, widths: dict[str, int], n: int, depth: int) -> Rows:
    """Reads of states at a lag become reads of the stacked first rows."""
    here = np.arange(rows.size)
    parts = [Rows(rows.constant)]
    for (kind, lag), m in rows.terms.items():
        columns = np.arange(m.shape[1])
        if kind == "x":
            if lag >= depth:
                continue
            slot, columns, width = ("z", 0), columns + lag * n, widths["z"]
        elif kind in ("xi", "delta"):
            slot, columns, width = (kind, 0), columns + offset, widths[kind]
        else:
            slot, width = (kind, lag), m.shape[1]
        parts.append(Rows(expr.zeros((rows.size,)), {slot: m.place(here, columns, (rows.size, width))}))
    return total(parts)


def _over_steady_steps(reader: Reader, by_entry: Rows, group: np.ndarray) -> Rows:
    """The transition with differential equations over a step that does not change from row to row: what is stationary
    under it is so under any other. Not where a state of the group that moves from row to row reads what they drive."""
    n, steady = reader.stacking.n, [e.steady for e in reader.model.equations if e.steady is not None]
    parts = [(reader.places([(t.name, t.entries) for t in e.targets]), reader.equation(e)) for e in steady]
    driven = np.zeros(n, bool)
    for places, _ in parts:
        driven[places] = True
    others = np.zeros(n, bool)
    others[group] = ~driven[group]
    reads = any((others[m.rows] & driven[m.cols]).any() for (kind, _), m in by_entry.terms.items() if kind == "x")
    if not parts or reads:
        return by_entry
    rest = np.flatnonzero(~driven)
    placed = [(places, rows) for places, rows in parts if rows is not None]
    return scatter([*placed, (rest, by_entry.take(rest))] if len(rest) else placed, n, reader.stacking.widths)


def _refuse_rows_before(reader: Reader) -> None:
    """An obstacle where an observation of row 0 reads what a differential equation drives at a row before, which is at
    no known time where the steps come with the data."""
    if "dt" not in reader.model.inputs:
        return
    driven = {t.name for e in reader.model.equations if e.steady is not None for t in e.targets}
    for e in reader.model.equations:
        if e.steady is not None:
            continue
        nodes = [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []
        if e.role != "emission":
            continue
        # What nobody wrote (no span) is a probe for a start that is drawn; only row 0 of it is used.
        for node in (n for n in expr.walk(nodes) if n.op == "ref" and n.span is not None):
            sort, name, lag = node.attrs
            if sort == "state" and name in driven and lag != 0 and (name, lag) not in e.guarded:
                reader.obstacles.append(Obstacle(
                    "E305", f"{node.attrs[1]} has no stationary law in the row before the first", node.span or e.span,
                    "is read there by row 0, at no known time", "give its first rows another law",
                ))  # fmt: skip
                return


def _stationary(reader: Reader, transition: Rows, initials: Sequence[InitialEquation], group: np.ndarray
                ) -> Stationary | None:
    """The joint stationary law of a group; an obstacle where it is not closed or changes with time."""
    by_entry = solved(transition, ("x", 0))
    if by_entry is None:
        return None
    by_entry = _over_steady_steps(reader, by_entry, group)
    own = by_entry.take(group)
    names = [v.name for v in reader.stacked for _ in range(v.size)]
    inside = np.zeros(reader.stacking.n, bool)
    inside[group] = True
    trouble: list[tuple[int, str]] = []
    for (kind, _lag), m in own.terms.items():
        if kind == "x":
            trouble += [(int(r), f"reads {names[c]}, which is not stationary") for r, c in zip(m.rows, m.cols)
                        if not inside[c]]  # fmt: skip
        elif kind in ("y", "ypast"):
            trouble += [(int(r), "reads an observation") for r in m.rows]
        elif kind == "past":
            trouble += [(int(r), "reads its whole past") for r in m.rows]
    numbering = Numbering()
    if not trouble:
        moved = numbering(own.constant).varies.copy()
        for m in own.terms.values():
            moved[m.rows[numbering(m.values).varies]] = True
        # To blame is what has no law over a long time rather than what has one and is moved in the same equation.
        settles = [k for e in reader.model.equations if e.steady is not None
                   for k in reader.places([(t.name, t.entries) for t in e.steady.targets])]  # fmt: skip
        rows = np.flatnonzero(moved)
        trouble += [(int(r), "its transition changes from row to row")
                    for r in (*rows[~np.isin(group[rows], settles)], *rows)]  # fmt: skip
    spans = tuple(i.span for i in initials if i.special == "stationary")
    for row, why in trouble[:1]:
        reader.obstacles.append(Obstacle(
            "E305", f"{names[group[row]]} has no stationary law", spans[0] if spans else None, why,
            "give it another initial law, such as Normal(0, 1) or Diffuse()",
        ))  # fmt: skip
    return None if trouble else Stationary(group, own, spans)

