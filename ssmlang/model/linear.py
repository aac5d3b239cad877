"""The linear-Gaussian form of a model: its matrices as expressions, or what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, sparse
from ssmlang.model.existence import existence
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.initial import InitialForm, Stationary, entry_owner, finish, initial_form
from ssmlang.model.model import Equation, Model
from ssmlang.model.obstacles import Obstacle, not_affine, of_kind
from ssmlang.model.reading import Reader, Stacking
from ssmlang.model.rows import Rows, at_row, scatter, selected, solved
from ssmlang.model.sparse import Sparse


@dataclass(frozen=True)
class LinearForm:
    """A model as stacked linear rows; see `engines.program` for the equations.

    `transition` reads ("x", k >= 1), ("e", j >= 0) and, of observations, ("y", k >= 0); `emission` reads ("x", k >= 0),
    ("e", j >= 0), ("y", k >= 1). Rows of `emission` beyond `stacking.m` are the `definitions`.
    """

    stacking: Stacking
    transition: Rows
    emission: Rows
    first: Rows
    """Rows 0, -1, ..., -(depth-1) of the state; slots as in `InitialForm`, which it solves."""
    initial: InitialForm
    absent: np.ndarray
    """(R, n): states without a value in the first rows"""
    conditioned: np.ndarray
    """(R, m): observations conditioned on, not scored"""
    unavailable: np.ndarray
    """(R, m): observations that the data must lack, for they read a state without a value"""
    definitions: dict[str, tuple[int, int]]
    """rows of `emission` (first, last + 1) of each affine definition"""
    read_back: tuple[str, ...]
    """observations that an equation reads linearly at a lag: where they are missing, they belong to `latent`"""
    data_reads: dict[tuple[str, int], Span | None]
    """(observation, lag) read otherwise: these must have been seen"""
    roots: tuple[Span | None, ...]
    """covariances that are factored inside the program; gradients there need full rank"""

    @property
    def stationary(self) -> Stationary | None:
        return self.initial.stationary

    @property
    def depth(self) -> int:
        """How many rows `first` has."""
        return self.initial.depth

    def matrix(self, which: str, kind: str, lag: int) -> Sparse:
        """The coefficient of ("transition" or "emission") on kind x, e or y at a lag."""
        rows = self.transition if which == "transition" else self.emission
        width = self.stacking.widths[kind]
        return rows.terms.get((kind, lag), sparse.empty((rows.size, width)))

    def offset(self, which: str) -> Node:
        return (self.transition if which == "transition" else self.emission).constant


def linear_form(model: Model, latent: Sequence[str] = (), definitions: bool = False
                ) -> LinearForm | tuple[Obstacle, ...]:
    """The linear-Gaussian form of a model, or all the obstacles to it, in the order of the file.

    `latent`: observations that are part of the state, which is right where an entry that is read back is missing.
    `definitions`: append the affine `let` series as further rows of the emission.
    """
    found = of_kind(model)
    if found:
        return tuple(found)
    try:
        return _form(model, latent, definitions)
    except ExprError as trouble:
        return (Obstacle("E308", trouble.message, None, trouble.label, trouble.help),)


def _form(model: Model, latent: Sequence[str], definitions: bool) -> LinearForm | tuple[Obstacle, ...]:
    before = {t.name for i in model.initials for t in i.targets if t.row < 0}
    latent = tuple(n for n in model.observations if n in latent or n in before)
    reader = Reader(model, latent)
    s = reader.stacking
    states, observed = [], []
    state_reach, observed_reach = np.zeros(s.n, int), np.zeros(s.m, int)
    for e in model.equations:
        rows = reader.equation(e)
        if rows is None:
            continue
        places = reader.places([(t.name, t.entries) for t in e.targets])
        of_state = e.targets[0].name in s.x
        (states if of_state else observed).append((places, rows))
        (state_reach if of_state else observed_reach)[places] = _reach(e, reader)
    reader.obstacles += [_latent_read(n, lag, where) for (n, lag), where in reader.data_reads.items() if n in latent]
    if reader.obstacles:
        return _ordered(reader.obstacles)
    transition, emission = scatter(states, s.n, s.widths), scatter(observed, s.m, s.widths)
    for name in latent:
        emission = _seen_exactly(emission, reader, name)
    transition = _known_before_data(transition, reader)
    depth = max(transition.depth("x"), emission.depth("x") + 1, 1)
    own = [r for r in _definition_rows(model, reader)] if definitions else []
    depth = max([depth, *(r.depth("x") + 1 for _, r in own)])
    initial, first_observed = initial_form(reader, transition, depth)
    if reader.obstacles:
        return _ordered(reader.obstacles)
    has_first = np.zeros(s.m, bool)
    for places, _ in first_observed:
        has_first[places] = True
    have = existence(transition, emission, initial.given, has_first, state_reach, observed_reach)
    if len(have.never):
        return tuple(_no_initial_value(int(i), transition, initial, reader) for i in have.never[:1])
    there = initial.given.copy()
    there[0] |= ~have.absent[0] if len(have.absent) else True
    first = finish(initial, there)
    if has_first.any():
        start = scatter(first_observed, s.m, s.widths)
        emission = selected(has_first, lambda at: expr.broadcast(_is_row(0), (len(at),)), start, emission)
    emission = _with_definitions(emission, own, s)
    names = _affine_reads(transition, emission, reader)
    whole = solved(emission, ("y", 0), _as_read(emission, have.conditioned, reader))
    moved = solved(transition, ("x", 0))
    if whole is None or moved is None or first is None:
        return (Obstacle("E206", "values of one row need each other", None, "", "read a value of an earlier row"),)
    conditioned = have.conditioned | _latent_conditioned(transition, reader, have.conditioned.shape[0])
    at, spans = s.m, {}
    for name, rows in own:
        spans[name] = (at, at + rows.size)
        at += rows.size
    return LinearForm(
        s, moved, whole, first, initial, have.absent, conditioned, have.unavailable, spans, names,
        dict(reader.data_reads), tuple(reader.roots),
    )  # fmt: skip


def _reach(e: Equation, reader: Reader) -> int:
    """How far back an equation reads inputs, and data otherwise than linearly."""
    nodes = [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []
    lags = [lag for sort, name, lag in expr.references(nodes) if isinstance(lag, int)
            and (sort == "input" or (sort == "obs" and (name, lag) in reader.data_reads))
            and (name, lag) not in e.guarded]  # fmt: skip
    return max(lags, default=0)


def _latent_read(name: str, lag: int, span: Span | None) -> Obstacle:
    row = f"{name}[t-{lag}]" if lag else f"{name}[t]"
    return not_affine("transition", span, f"{row} is missing somewhere and is not read linearly")


def _ordered(obstacles: list[Obstacle]) -> tuple[Obstacle, ...]:
    unique = dict.fromkeys(obstacles)
    return tuple(sorted(unique, key=lambda o: o.span.start if o.span is not None else -1))


def _is_row(row: int) -> Node:
    return expr.binary("eq", expr.time(), expr.const(row))


# ------------------------------------------------------------------------------------ observations read back


def _seen_exactly(emission: Rows, reader: Reader, name: str) -> Rows:
    s, size = reader.stacking, reader.model.observations[name].size
    own = Rows(expr.zeros((size,)), {("x", 0): sparse.build(
        (size, s.n), np.arange(size), s.x[name] + np.arange(size), expr.const(np.ones(size)))})  # fmt: skip
    places = s.y[name] + np.arange(size)
    rest = np.setdiff1d(np.arange(s.m), places)
    return scatter([(rest, emission.take(rest)), (places, own)] if len(rest) else [(places, own)], s.m, s.widths)


def _data(reader: Reader, names: Sequence[str]) -> Node:
    """The data of these observations at the present row, as one vector."""
    found = []
    for name in names:
        y = reader.model.observations[name]
        found.append(sparse.flat(expr.ref("obs", name, 0, y.shape, y.axes)))
    return expr.concat(found)


def _latent_early(transition: Rows, reader: Reader) -> np.ndarray:
    """(rows, latent entries): latent observations whose equation reaches before the data."""
    s = reader.stacking
    states = sum(v.size for v in reader.model.states.values())
    longest = max(transition.depth("x"), 0)
    found = np.zeros((longest, s.n - states), bool)
    given = {(t.name, -t.row) for i in reader.model.initials for t in i.targets}
    own = entry_owner(reader)
    for row in range(longest):
        system = at_row(transition, row)
        for lag in system.lags("x"):
            m = system.terms["x", lag]
            if lag > row:
                for i, j in zip(m.rows, m.cols):
                    if i >= states and j >= states and (own[j], lag - row) not in given:
                        found[row, i - states] = True
        if row == 0:
            found[0] &= np.array([(own[states + i], 0) not in given for i in range(s.n - states)], bool)
    return found


def _known_before_data(transition: Rows, reader: Reader) -> Rows:
    """Latent observations that reach before the data are the numbers that were seen there."""
    if not reader.latent:
        return transition
    s, early = reader.stacking, _latent_early(transition, reader)
    if not early.any():
        return transition
    states = s.n - early.shape[1]
    until = np.array([np.flatnonzero(c).max(initial=-1) + 1 for c in early.T])
    data = Rows(expr.concat([expr.zeros((states,)), _data(reader, reader.latent)]))
    marked = np.concatenate([np.zeros(states, bool), until > 0])
    test = lambda at: expr.binary("lt", expr.broadcast(expr.time(), (len(at),)), expr.const(until[at - states]))
    return selected(marked, test, data, transition)


def _latent_conditioned(transition: Rows, reader: Reader, rows: int) -> np.ndarray:
    """Scoring of latent observations: those that are data by definition are not scored."""
    s = reader.stacking
    found = np.zeros((rows, s.m), bool)
    for name in reader.latent:
        size = reader.model.observations[name].size
        places = s.x[name] + np.arange(size)
        for row in range(rows):
            constant = at_row(transition.take(places), row).constant
            for i in range(size):
                read = expr.references([sparse.gather(constant, np.array([i]))])
                found[row, s.y[name] + i] = ("obs", name, 0) in read
    return found


def _as_read(emission: Rows, conditioned: np.ndarray, reader: Reader) -> Rows | None:
    """What an observation is to others of its row: itself, or, where it is conditioned on, the number that was seen."""
    within = emission.terms.get(("y", 0))
    if within is None or not conditioned[:, np.unique(within.cols)].any():
        return None
    until = np.array([np.flatnonzero(c).max(initial=-1) + 1 for c in conditioned.T])
    until = np.concatenate([until, np.zeros(emission.size - len(until), int)])
    extra = emission.size - reader.stacking.m
    seen = Rows(expr.concat([_data(reader, list(reader.model.observations)), expr.zeros((extra,))]))
    test = lambda at: expr.binary("lt", expr.broadcast(expr.time(), (len(at),)), expr.const(until[at]))
    return selected(until > 0, test, seen, emission)


def _affine_reads(transition: Rows, emission: Rows, reader: Reader) -> tuple[str, ...]:
    """Observations that are read linearly: at a lag anywhere, at its own row by a state."""
    s, found = reader.stacking, []
    hit = np.zeros(s.m, bool)
    for rows in (transition, emission):
        for (kind, lag), m in rows.terms.items():
            if kind == "y" and (lag or rows is transition):
                hit[m.cols[m.cols < s.m]] = True
    for name, first in s.y.items():
        if hit[first : first + reader.model.observations[name].size].any():
            found.append(name)
    return tuple(found)


# ---------------------------------------------------------------------------------------- definitions, errors


def _definition_rows(model: Model, reader: Reader) -> list[tuple[str, Rows]]:
    """The definitions with a value a row that are affine."""
    found = []
    for d in model.definitions.values():
        if not d.series or d.value is None:
            continue
        before = len(reader.obstacles)
        form = reader.affine(d.value, "definition")
        del reader.obstacles[before:]
        if form is not None:
            found.append((d.name, reader.rows(form)))
    return found


def _with_definitions(emission: Rows, own: list[tuple[str, Rows]], s: Stacking) -> Rows:
    if not own:
        return emission
    sizes = np.cumsum([s.m, *(r.size for _, r in own)])
    size = int(sizes[-1])
    parts = [(np.arange(s.m), emission), *((a + np.arange(r.size), r) for a, (_, r) in zip(sizes, own))]
    whole = scatter([p for p in parts if len(p[0])], size, s.widths)
    wide = {k: (v.place(np.arange(size), np.arange(s.m), (size, size)) if k[0] == "y" and k[1] == 0 else v)
            for k, v in whole.terms.items()}  # fmt: skip
    return Rows(whole.constant, wide)


def _no_initial_value(entry: int, transition: Rows, initial: InitialForm, reader: Reader) -> Obstacle:
    """E205: a state that never gets a value."""
    names = entry_owner(reader)
    name = names[entry]
    deepest = max(transition.depth("x"), 1)
    rows = [-k for k in range(deepest) if not (k < initial.depth and initial.given[k, entry])]
    needs = " and ".join(f"t = {r}" for r in rows) or "t = -1"
    span = next((e.span for e in reader.model.equations if any(t.name == name for t in e.targets)), None)
    return Obstacle("E205", "a lag has no initial value", span, f"needs {name} at {needs}", f"add `init {name} ~ ...`")
