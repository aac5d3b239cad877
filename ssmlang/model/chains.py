"""The discrete form of a model: which entries of its states meet, how far back they are read, or what stands against.

Entries that no equation joins are separate chains: components. Those alike are members of one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ssmlang.model import expr
from ssmlang.model.chain_obstacles import nodes_of as nodes_of
from ssmlang.model.chain_obstacles import obstacles
from ssmlang.model.components import connected
from ssmlang.model.dependence import Dependence, Read, reads_of_entries
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, InitialEquation, Model
from ssmlang.model.obstacles import Obstacle

MOST_PAIRS = 4_000_000
"""The most pairs of a remembered value and a next one that a component may have."""
MOST_VALUES = 100_000
"""The most values that are remembered of a component."""


@dataclass(frozen=True)
class Component:
    """State entries that meet, and the observation entries that read them."""

    entries: tuple[int, ...]
    observations: tuple[int, ...]


@dataclass(frozen=True)
class Alike:
    """Components of one form: how many values each of their entries has, and how many rows of it are remembered."""

    values: tuple[int, ...]
    rows: tuple[int, ...]
    first_rows: tuple[int, ...]
    """how many rows, from row 0 back, the initial laws give or read"""
    entries: np.ndarray
    """(members, variables)"""
    observations: np.ndarray
    """(members, observations of each)"""


@dataclass(frozen=True)
class ChainForm:
    """A model as Markov chains. Entries of states are numbered in the order of the file, C order within a state."""

    first: Mapping[str, int]
    """where each state's entries begin"""
    count: np.ndarray
    """(n,): how many values each entry has"""
    lower: np.ndarray
    """(n,): its lowest value"""
    rows: np.ndarray
    """(n,): how many rows of it are remembered"""
    components: tuple[Component, ...]
    groups: tuple[Alike, ...]
    given: np.ndarray
    """(depth, n): has an initial law at row 0, -1, ...; at row 0 also where the transition gives it"""
    from_transition: np.ndarray
    """(n,): row 0 comes from the transition"""
    stationary: np.ndarray
    """(n,): starts in the stationary law"""
    absent: np.ndarray
    """(R, n): without a value in the first rows"""
    conditioned: np.ndarray
    """(R, m): observations conditioned on, not scored"""
    unavailable: np.ndarray
    """(R, m): observations that the data must lack, for they read a state without a value"""
    m: int
    first_seen: Mapping[str, int]
    """where each observation's entries begin"""
    reads: Mapping[str, tuple[frozenset[Read], ...]] = field(repr=False)
    """what each entry of a definition with a value a row reads"""

    @property
    def n(self) -> int:
        return len(self.count)

    @cached_property
    def component_of(self) -> np.ndarray:
        """(n,): the component of each entry."""
        out = np.zeros(self.n, int)
        for i, c in enumerate(self.components):
            out[list(c.entries)] = i
        return out


def chain_form(
    model: Model, definitions: bool = False, *, rows: Mapping[str, int] | None = None, together: bool = False,
    most_pairs: int = MOST_PAIRS,
) -> ChainForm | tuple[Obstacle, ...]:  # fmt: skip
    """The discrete form of a model, or all the obstacles to it.

    `definitions`: remember as many rows as the `let` series read. `rows`: how many rows of a state something else
    reads; `together`: all entries meet there.
    """
    found = obstacles(model)
    if found:
        return tuple(found)
    plan = _Plan(model)
    plan.also, plan.most_pairs = dict(rows or {}), most_pairs
    if together:
        plan.joined += [(0, i) for i in range(1, plan.n)]
    return plan.form(definitions)


# ------------------------------------------------------------------------------------------------------ plan


class _Plan:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.names = [name for s in model.states.values() for name in s.entry_names()]
        self.first, self.seen = _starts(model.states.values()), _starts(model.observations.values())
        states = list(model.states.values())
        self.n, self.m = sum(s.size for s in states), sum(o.size for o in model.observations.values())
        values = [(s.values.lower or 0, s.values.upper or 0) for s in states if s.values for _ in range(s.size)]
        self.lower = np.array([a for a, _ in values], int)
        self.count = np.array([b - a + 1 for a, b in values], int)
        self._dependence = Dependence("state", list(model.states))
        self.transition: list[frozenset[Read]] = [frozenset()] * self.n
        self.emission: list[frozenset[Read]] = [frozenset()] * self.m
        self.joined: list[tuple[int, int]] = []
        self.also: dict[str, int] = {}
        self.most_pairs = MOST_PAIRS
        self.at_once: list[tuple[int, int]] = []
        for e in model.equations:
            to, first = (self.transition, self.first) if e.role == "transition" else (self.emission, self.seen)
            places = [first[t.name] + i for t in e.targets for i in t.entries]
            for place, reads in zip(places, self._reads(e)):
                to[place] = reads
            if e.role == "emission" and e.law is not None and e.law.event_ndim:
                size = int(np.prod(e.law.shape[-e.law.event_ndim :]))
                self.at_once += [(places[i - i % size], p) for i, p in enumerate(places)]
        self.initial: dict[tuple[int, int], frozenset[Read]] = {}
        """(row back, entry) -> what its law reads, lags from row 0"""
        self.stationary = np.zeros(self.n, bool)
        for i in model.initials:
            self._initial(i)
        self.lets = {
            d.name: tuple(self._dependence(d.value).reshape(-1))
            for d in model.definitions.values() if d.series and d.value is not None and _finite(d.value)
        }  # fmt: skip

    def _reads(self, item: Equation | InitialEquation) -> list[frozenset[Read]]:
        if item.law is not None:
            signature = DISTRIBUTIONS[item.law.name]
            found = reads_of_entries(self._dependence, item.law.args, signature.argument_ndim, item.law.shape,
                                     item.law.event_ndim)  # fmt: skip
        else:
            assert item.value is not None
            found = list(self._dependence(item.value).reshape(-1))
        size = sum(len(t.entries) for t in item.targets)
        return found if len(found) == size else found * size

    def _initial(self, i: InitialEquation) -> None:
        if i.targets[0].name not in self.first:
            for (name, entry), reads in zip(((t.name, k) for t in i.targets for k in t.entries), self._reads(i)):
                place = self.seen[name] + entry
                self.joined += [(self.n + place, self.first[r[0]] + r[1]) for r in reads]
            return
        places = [(-t.row, self.first[t.name] + k) for t in i.targets for k in t.entries]
        if i.special == "stationary":
            self.stationary[[p for _, p in places]] = True
            return
        for (row, entry), reads in zip(places, self._reads(i)):
            self.initial[row, entry] = reads
            self.joined += [(entry, self.first[r[0]] + r[1]) for r in reads]
        if i.law is not None and i.law.event_ndim:
            self.joined += [(places[0][1], entry) for _, entry in places]

    def form(self, definitions: bool) -> ChainForm | tuple[Obstacle, ...]:
        rows = self._rows(definitions)
        given, from_transition, absent = self._existence(rows)
        depth = np.maximum(rows, [max([0, *(r + 1 for r, k in self.initial if k == e)]) for e in range(self.n)])
        for reads in [*self.initial.values(), *(self.transition[e] for e in np.flatnonzero(from_transition))]:
            for name, entry, lag in reads:
                k = self.first[name] + entry
                depth[k] = max(depth[k], lag + 1)
        components = self._components()
        trouble = [o for c in components if (o := self._too_large(c, rows, depth)) is not None]
        trouble += self._not_stationary(components)
        if trouble:
            return tuple(trouble)
        conditioned, unavailable = self._observed(absent)
        return ChainForm(
            self.first, self.count, self.lower, rows, components, self._alike(components, rows, depth), given,
            from_transition, self.stationary, absent, conditioned, unavailable, self.m, self.seen, self.lets,
        )  # fmt: skip

    def _rows(self, definitions: bool) -> np.ndarray:
        rows = np.ones(self.n, int)
        parts = [(r, 0) for reads in self.transition for r in reads]
        parts += [(r, 1) for reads in self.emission for r in reads]
        if definitions:
            parts += [(r, 1) for each in self.lets.values() for reads in each for r in reads]
        for (name, entry, lag), extra in parts:
            k = self.first[name] + entry
            rows[k] = max(rows[k], lag + extra)
        for name, depth in self.also.items():
            own = slice(self.first[name], self.first[name] + self.model.states[name].size)
            rows[own] = np.maximum(rows[own], depth)
        return rows

    def _existence(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What has an initial law (depth, n), what the transition gives at row 0, and what has no value (R, n)."""
        deepest = max([int(rows.max(initial=1)), *(r + 1 for r, _ in self.initial)])
        given = np.zeros((deepest, self.n), bool)
        given[:, self.stationary] = True
        for row, entry in self.initial:
            given[row, entry] = True
        values = {-k: given[k].copy() for k in range(deepest)}
        from_transition = np.zeros(self.n, bool)
        absent = []
        for row in range(deepest + 1):
            ok = np.array([all(self._there(values, r, row) for r in reads if r[2]) for reads in self.transition], bool)
            if row == 0:
                from_transition = ok & ~values[0]
                ok |= values[0]
            now, lost = ok, True
            while lost:  # a value of the same row may be the one that is not there
                values[row] = now
                same = np.array([all(self._there(values, r, row) for r in reads if not r[2]) for reads in
                                 self.transition], bool)  # fmt: skip
                if row == 0:
                    same |= given[0]
                lost = bool((now & ~same).any())
                now = now & same
            absent.append(~now)
            if row == 0:
                from_transition &= now
                given[0] |= now
        last = max((i + 1 for i, a in enumerate(absent) if a.any()), default=0)
        return given, from_transition, np.array(absent[:last], bool).reshape(last, self.n)

    def _there(self, values: Mapping[int, np.ndarray], read: Read, row: int) -> bool:
        name, entry, lag = read
        at = values.get(row - lag)
        return at is not None and bool(at[self.first[name] + entry])

    def _components(self) -> tuple[Component, ...]:
        pairs = list(self.joined) + [(self.n + a, self.n + b) for a, b in self.at_once]
        for offset, each in ((0, self.transition), (self.n, self.emission)):
            pairs += [(offset + i, self.first[r[0]] + r[1]) for i, reads in enumerate(each) for r in reads]
        a, b = np.array([p for p, _ in pairs], int), np.array([q for _, q in pairs], int)
        label = connected(self.n + self.m, a, b)
        members: dict[int, tuple[list[int], list[int]]] = {}
        for i, c in enumerate(label.tolist()):
            own = members.setdefault(c, ([], []))
            own[i >= self.n].append(i if i < self.n else i - self.n)
        return tuple(Component(tuple(e), tuple(o)) for e, o in members.values())

    def _too_large(self, c: Component, rows: np.ndarray, depth: np.ndarray) -> Obstacle | None:
        e = list(c.entries)
        joint = float(np.prod(self.count[e].astype(float)))
        size = float(np.prod(self.count[e].astype(float) ** rows[e]))
        deep = float(np.prod(self.count[e].astype(float) ** depth[e]))
        if size * joint <= self.most_pairs and max(size, deep) <= MOST_VALUES:
            return None
        names = [self.names[i] for i in e]
        spoken = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        ends = {s.name: self.first[s.name] + s.size for s in self.model.states.values()}
        span = next(s.span for s in self.model.states.values() if e[0] < ends[s.name])
        back = int(rows[e].max())
        what = f"{spoken} meet" if len(e) > 1 else spoken
        remembered = f", {back} rows of which are read" if back > 1 else ""
        return Obstacle(
            "E315", "engine 'kalman' goes through every joint value of states that meet, and these are too many", span,
            f"{what}: {joint:,.0f} values a row{remembered}",
            "give states that never meet their own equations, entry by entry; or use fewer values or lags",
            f"up to {self.most_pairs:,} pairs of a remembered value and a next one are gone through in each row; "
            f"here they are {size * joint:.3g}", by=("particle",),
        )  # fmt: skip

    def _not_stationary(self, components: Sequence[Component]) -> list[Obstacle]:
        found = []
        spans = [i.span for i in self.model.initials if i.special == "stationary"]
        for e in np.flatnonzero(self.stationary):
            reads = sorted(r for r in self.transition[e] if not self.stationary[self.first[r[0]] + r[1]])
            why = ""
            if reads:
                why = f"reads {self.names[self.first[reads[0][0]] + reads[0][1]]}, which is not stationary"
            elif expr.varies(nodes_of(self._giver(int(e)))):
                why = "its transition changes from row to row"
            if why:
                found.append(Obstacle("E305", f"{self.names[e]} has no stationary law", spans[0] if spans else None,
                                      why, "give it another initial law, such as Categorical([...])"))  # fmt: skip
                break
        del components
        return found

    def _giver(self, entry: int) -> Equation:
        return next(e for e in self.model.equations if e.role == "transition" for t in e.targets
                    if entry in {self.first[t.name] + k for k in t.entries})  # fmt: skip

    def _observed(self, absent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R, m) each: observations conditioned on, and those that read a state without a value."""
        reach, own_law = np.zeros(self.m, int), np.zeros(self.m, bool)
        for e in self.model.equations:
            if e.role == "emission":
                lags = [lag for sort, name, lag in expr.references(nodes_of(e)) if isinstance(lag, int)
                        and sort in ("obs", "input") and (name, lag) not in e.guarded]  # fmt: skip
                reach[[self.seen[t.name] + i for t in e.targets for i in t.entries]] = max(lags, default=0)
        for i in self.model.initials:
            if i.targets[0].name in self.seen:
                own_law[[self.seen[t.name] + k for t in i.targets for k in t.entries]] = True
        deepest = max([0, *reach, len(absent), *(r[2] for reads in self.emission for r in reads)])
        there = lambda row, k: row >= len(absent) or not absent[row, k] if row >= 0 else self._before(row, k)
        conditioned, unavailable = [], []
        for row in range(deepest):
            early = (reach > row) & ~(own_law & (row == 0))
            lacking = np.array([not all(there(row - lag, self.first[name] + i) for name, i, lag in reads)
                                for reads in self.emission], bool)  # fmt: skip
            if row == 0:
                lacking &= ~own_law
            conditioned.append(early)
            unavailable.append(lacking & ~early)
        shape = (deepest, self.m)
        return np.array(conditioned, bool).reshape(shape), np.array(unavailable, bool).reshape(shape)

    def _before(self, row: int, entry: int) -> bool:
        return bool(self.stationary[entry]) or (-row, entry) in self.initial

    def _alike(self, components: Iterable[Component], rows: np.ndarray, depth: np.ndarray) -> tuple[Alike, ...]:
        groups: dict[tuple[tuple[int, ...], ...], list[Component]] = {}
        for c in components:
            e = list(c.entries)
            as_tuple = lambda a, e=e: tuple(a[e].tolist())
            key = (as_tuple(self.count), as_tuple(rows), as_tuple(depth), (len(c.observations),),
                   as_tuple(self.stationary))  # fmt: skip
            groups.setdefault(key, []).append(c)
        return tuple(
            Alike(values, own, first, np.array([c.entries for c in cs], int).reshape(len(cs), -1),
                  np.array([c.observations for c in cs], int).reshape(len(cs), -1))
            for (values, own, first, *_), cs in groups.items()
        )  # fmt: skip


def _starts(variables: Iterable[object]) -> dict[str, int]:
    found, at = {}, 0
    for v in variables:
        found[v.name] = at  # type: ignore[attr-defined]
        at += v.size  # type: ignore[attr-defined]
    return found


def _finite(value: Node) -> bool:
    return all(isinstance(lag, int) for sort, _, lag in expr.references([value]) if sort == "state")
