"""What the equations say together: one for each entry, orders, the order at one row, and which rows have values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from ssmlang.language.diagnostics import Findings
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import (
    Dist,
    Equation,
    InitialEquation,
    Observation,
    Parameter,
    State,
    StochasticDifferential,
    Variable,
)

Entry = tuple[str, int]


def roots(item: Any) -> list[Node]:
    """The expressions of an equation or initial law."""
    law: Dist | None = getattr(item, "law", None)
    value: Node | None = getattr(item, "value", None)
    return ([value] if value is not None else []) + (list(law.args.values()) if law is not None else [])


def orders(
    equations: Iterable[Equation], differentials: Iterable[StochasticDifferential], states: Iterable[str]
) -> dict[str, int | None]:
    """How many of its own past rows each state's transition reads; None for the whole past."""
    found: dict[str, int | None] = {name: 0 for name in states}
    for e in equations:
        own = {t.name for t in e.targets}
        for sort, name, lag in expr.references(roots(e)):
            if sort == "state" and name in own:
                before = found[name]
                found[name] = None if isinstance(lag, str) or before is None else max(before, lag)
    for d in differentials:
        found[d.target.name] = max(found.get(d.target.name) or 0, 1)
    return found


def depths(items: Iterable[Node], states: Iterable[str]) -> dict[str, int]:
    """How many rows back anything reads each state."""
    found = {name: 0 for name in states}
    for sort, name, lag in expr.references(items):
        if sort == "state" and isinstance(lag, int):
            found[name] = max(found[name], lag)
    return found


def check_coverage(
    equations: Sequence[Equation],
    differentials: Sequence[StochasticDifferential],
    variables: Mapping[str, Variable],
    findings: Findings,
) -> None:
    """Each entry of each state and observation has exactly one equation (E204)."""
    count = {name: np.zeros(v.size, int) for name, v in variables.items()}
    places: dict[str, list[Any]] = {name: [] for name in variables}
    givers: list[Equation | StochasticDifferential] = [*equations, *differentials]
    for e in givers:
        for t in (e.target,) if isinstance(e, StochasticDifferential) else e.targets:
            if t.name in count:
                np.add.at(count[t.name], list(t.entries), 1)
                places[t.name].append(e)
    for name, v in variables.items():
        labels = v.entry_names()
        none, several = np.flatnonzero(count[name] == 0), np.flatnonzero(count[name] > 1)
        kind = "state" if isinstance(v, State) else "observation"
        if len(none) == v.size:
            findings.add(
                "E204",
                f"{kind} `{name}` has no equation",
                v.span,
                "never given",
                help=f"write `{name}[t] ~ ...` or `{name}[t] = ...`",
            )
        elif len(none):
            has = "have" if len(none) > 1 else "has"
            findings.add("E204", f"{_some(labels, none)} {has} no equation", v.span, "given in part only")
        if len(several):
            where = places[name][-1].span
            has = "have" if len(several) > 1 else "has"
            findings.add(
                "E204",
                f"{_some(labels, several)} {has} two equations",
                where,
                "given again here",
                help="keep one of them",
            )


def _some(labels: Sequence[str], which: np.ndarray) -> str:
    names = [f"`{labels[i]}`" for i in which[:4]]
    return ", ".join(names) + (f" and {len(which) - 4} more" if len(which) > 4 else "")


def entries_read(nodes: Iterable[Node], sort: str, lag: int = 0) -> dict[Entry, Node]:
    """Entries of a sort that are read `lag` rows back, each with a node that reads it."""
    found: dict[Entry, Node] = {}
    whole: dict[int, Node] = {}
    nodes = list(nodes)
    indexed: set[int] = set()
    for node in expr.walk(nodes):
        is_index = node.op == "index" and node.args[0].op == "ref" and all(a.is_const for a in node.args[1:])
        if is_index and node.args[0].attrs[0] == sort and node.args[0].attrs[2] == lag:
            source = node.args[0]
            positions = np.arange(source.size).reshape(source.shape)[tuple(a.value for a in node.args[1:])]  # type: ignore
            found.update({(source.attrs[1], int(i)): node for i in np.ravel(positions)})
            indexed.add(id(source))
        elif node.op == "ref" and node.attrs[0] == sort and node.attrs[2] == lag:
            whole[id(node)] = node
    used_whole = {
        id(a)
        for n in expr.walk(nodes)
        for a in n.args
        if not (n.op == "index" and id(a) == id(n.args[0]) and all(i.is_const for i in n.args[1:]))
    } | {id(n) for n in nodes}
    for key, node in whole.items():
        if key not in indexed or key in used_whole:
            found.update({(node.attrs[1], i): node for i in range(node.size)})
    return found


def in_order(equations: Sequence[Equation], findings: Findings) -> tuple[Equation, ...]:
    """Transitions, then emissions, each after what it reads at the same row; a circle is E206."""
    done: list[Equation] = []
    for role, sort in (("transition", "state"), ("emission", "obs")):
        group = [e for e in equations if e.role == role]
        giver = {(t.name, i): k for k, e in enumerate(group) for t in e.targets for i in t.entries}
        reads = [entries_read(roots(e), sort) for e in group]
        graph = {k: {giver[r] for r in reads[k] if r in giver} for k in range(len(group))}
        try:
            done += [group[k] for k in TopologicalSorter(graph).static_order()]
        except CycleError as circle:
            ring = circle.args[1]
            k = ring[1]
            node = next((n for r, n in reads[k].items() if giver.get(r) in ring), None)
            names = " and ".join(dict.fromkeys(f"`{group[j].targets[0].name}[t]`" for j in reversed(ring)))
            message = (
                f"{names} need each other at the same row"
                if len(set(ring)) > 1
                else (f"{names} needs itself at the same row")
            )
            findings.add(
                "E206",
                message,
                (node.span if node is not None else None) or group[k].span,
                "closes the circle",
                help="read a value of an earlier row",
            )
            done += group
    return tuple(done)


def check_parameter_circles(parameters: Mapping[str, Parameter], findings: Findings) -> None:
    """Priors and supports may name other parameters, in no circle (E206)."""
    graph = {}
    for p in parameters.values():
        nodes = list(p.prior.args.values()) if p.prior else []
        nodes += [n for n in (p.support.lower, p.support.upper, p.walk) if n is not None]
        graph[p.name] = sorted(expr.parameters(nodes) & set(parameters))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        ring = [n for n in parameters if n in circle.args[1]]
        names = " and ".join(f"`{n}`" for n in ring)
        need = f"the priors of {names} need each other" if len(ring) > 1 else f"the prior of {names} needs itself"
        findings.add("E206", need, parameters[ring[-1]].span, "closes the circle")


def check_initial_values(
    states: Mapping[str, State],
    observations: Mapping[str, Observation],
    equations: Sequence[Equation],
    initials: Sequence[InitialEquation],
    differentials: Sequence[StochasticDifferential],
    findings: Findings,
) -> None:
    """Every lag that a transition reads has a value in the end (E205), and no value is given twice."""
    given: dict[str, dict[int, np.ndarray]] = {n: {} for n in [*states, *observations]}
    for init in initials:
        for t in init.targets:
            if t.name not in given:
                continue
            size = (states.get(t.name) or observations[t.name]).size
            mask = given[t.name].setdefault(t.row, np.zeros(size, int))
            np.add.at(mask, list(t.entries), 1)
            if (mask > 1).any():
                findings.add("E204", f"`{t.name}` at row {t.row} has two initial laws", init.span, "given again here")
    deepest = 1 + max(
        (lag for e in equations for _, _, lag in expr.references(roots(e)) if isinstance(lag, int)), default=0
    )
    # Values spread from state to state, a lag a time; what is missing after that is missing for ever.
    last = deepest * min(len(states) + 1, 50)
    exists = _rows_with_values(states, equations, given, differentials, last)
    for name in states:
        row = next((r for r in range(last - deepest + 1, last + 1) if (r, name) not in exists), None)
        if row is None:
            continue
        cause = _missing_lag(name, states, equations, given, exists, row)
        if cause is not None:
            node, rows = cause
            read = node.attrs[1]
            findings.add(
                "E205",
                "a lag has no initial value",
                node.span,
                f"needs {read} at {' and '.join(f't = {r}' for r in rows)}",
                help=f"add `init {read} ~ ...`, its law at the first row"
                + ("s" if len(rows) > 1 else "")
                + " (Stationary() and Diffuse() are laws too)",
            )
    for d in differentials:
        if not given[d.target.name].get(0, np.zeros(1)).all():
            findings.add(
                "E205",
                f"`{d.target.name}` has no initial value",
                d.span,
                f"needs {d.target.name} at t = 0",
                help=f"add `init {d.target.name} ~ ...`",
            )


def _rows_with_values(
    states: Mapping[str, State],
    equations: Sequence[Equation],
    given: Mapping[str, Mapping[int, Any]],
    differentials: Sequence[StochasticDifferential],
    last: int,
) -> set[tuple[int, str]]:
    """(row, state) that have a value, for rows up to `last`; equations are in order."""
    exists = {(row, n) for n in states for row, mask in given[n].items() if np.all(mask)}
    # Stationary laws hold as far back as anything reads; they give row 0 and with it all rows before.
    driven = {d.target.name for d in differentials}
    for row in range(last + 1):
        pending = {n: set(range(states[n].size)) for n in states}
        for n in states:
            mask = given[n].get(row)
            pending[n] -= set(np.flatnonzero(mask)) if mask is not None else set()
            if n in driven and ((row, n) in exists or (row - 1, n) in exists):
                exists.add((row, n))
        for e in (e for e in equations if e.role == "transition"):
            if all(_readable(sort, name, lag, row, exists, e) for sort, name, lag in expr.references(roots(e))):
                for t in e.targets:
                    pending[t.name] -= set(t.entries)
                    if not pending[t.name]:
                        exists.add((row, t.name))
    return exists


def _readable(sort: str, name: str, lag: int | str, row: int, exists: set[tuple[int, str]], e: Equation) -> bool:
    if sort == "obs" and isinstance(lag, int):
        return row >= lag or (name, lag) in e.guarded
    if sort != "state":
        return True
    if isinstance(lag, str):
        return row == 0 or (0, name) in exists
    if row < lag and (name, lag) in e.guarded:
        return True
    own_entries = lag == 0 and any(t.name == name for t in e.targets)
    return (row - lag, name) in exists or own_entries


def _missing_lag(
    name: str,
    states: Mapping[str, State],
    equations: Sequence[Equation],
    given: Mapping[str, Mapping[int, Any]],
    exists: set[tuple[int, str]],
    last: int,
) -> tuple[Node, list[int]] | None:
    """The deepest lag of a state's transition that never gets a value, with the rows that it lacks."""
    for e in equations:
        if e.role != "transition" or all(t.name != name for t in e.targets):
            continue
        lagged = [n for n in expr.walk(roots(e)) if n.op == "ref" and n.attrs[0] == "state" and n.attrs[2] != 0]
        lagged = [n for n in lagged if not _readable(n.attrs[0], n.attrs[1], n.attrs[2], last, exists, e)]
        if not lagged:
            continue
        node = max(lagged, key=lambda n: n.attrs[2] if isinstance(n.attrs[2], int) else 1)
        deep = node.attrs[2] if isinstance(node.attrs[2], int) else 1
        read = node.attrs[1]
        if read != name and not any(t.name == read for q in equations for t in q.targets):
            return None
        rows = [-k for k in range(deep) if not np.all(given[read].get(-k, np.zeros(1)))]
        return node, rows or [0]
    return None
