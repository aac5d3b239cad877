"""The linear-Gaussian form of a model: its matrices as expressions, or what stands against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.differentials import stepped
from ssmlang.model.existence import existence
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.initial import InitialForm, Stationary, finish, initial_form
from ssmlang.model.model import Equation, Model
from ssmlang.model.obstacles import Obstacle, not_affine, of_kind
from ssmlang.model.reading import Reader, Stacking
from ssmlang.model.rows import Rows, at_row, scatter, selected, solved, substituted
from ssmlang.model.sparse import Sparse


@dataclass(frozen=True)
class LinearForm:
    """A model as stacked linear rows; see `engines.program` for the equations.

    `transition` reads ("x", k >= 1), ("e", j >= 0) and, of observations, ("y", k >= 0); `emission` reads ("x", k >= 0),
    ("e", j >= 0), ("y", k >= 1); both may read the slots "past" and "ypast" of `rows`. Rows of `emission` beyond
    `stacking.m` are the `definitions`.
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
    """entries of x (first, last + 1) that each affine definition has"""
    read_back: tuple[str, ...]
    """observations that an equation reads linearly at a lag: where they are missing, they belong to `latent`"""
    data_reads: dict[tuple[str, int], Span | None]
    """(observation, lag) read otherwise: these must have been seen"""
    roots: tuple[Span | None, ...]
    """covariances that are factored inside the program; gradients there need full rank"""
    noises: tuple[str, ...] = ()
    """what each standard normal is, in the user's names"""
    whole_past: tuple[Span | None, ...] = ()
    """where states are summed over the whole past: not empty if the transition or the emission reads them so"""

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
    `definitions`: the affine `let` series are part of the state too, for their moments.
    """
    found = of_kind(model)
    if found:
        return tuple(found)
    try:
        model, against = stepped(model)
        if against:
            return _ordered(list(against))
        if not definitions:
            return _form(model, latent, ())
        own = affine_definitions(model)
        # What a definition reads back may be missing anywhere; as part of the state it is right everywhere.
        read = {name for d in own for sort, name, lag in expr.references([model.definitions[d].value])  # type: ignore[list-item]
                if sort == "obs" and lag}  # fmt: skip
        wide = _form(model, [*latent, *read], own)
        return wide if isinstance(wide, LinearForm) or not read else _form(model, latent, own)
    except ExprError as trouble:
        return (Obstacle("E308", trouble.message, None, trouble.label, trouble.help),)


def _form(model: Model, latent: Sequence[str], definitions: tuple[str, ...]) -> LinearForm | tuple[Obstacle, ...]:
    before = {t.name for i in model.initials for t in i.targets if t.row < 0}
    latent = tuple(n for n in model.observations if n in latent or n in before)
    reader = Reader(model, latent, definitions)
    s = reader.stacking
    states: list[tuple[np.ndarray, Rows]] = []
    observed: list[tuple[np.ndarray, Rows]] = []
    reaches = np.zeros(s.n, int), np.zeros(s.m, int)
    for e in model.equations:
        rows = reader.equation(e)
        if rows is None:
            continue
        places = reader.places([(t.name, t.entries) for t in e.targets])
        of_state = e.targets[0].name in s.x
        (states if of_state else observed).append((places, rows))
        reaches[0 if of_state else 1][places] = _reach(e, reader)
    for name in s.definitions:
        value = model.definitions[name].value
        form = reader.affine(value, "definition") if value is not None else None
        if form is not None:
            states.append((s.x[name] + np.arange(form.constant.size), reader.rows(form)))
    reader.obstacles += [_latent_read(n, lag, where) for (n, lag), where in reader.data_reads.items() if n in latent]
    if reader.obstacles:
        return _ordered(reader.obstacles)
    transition, emission = scatter(states, s.n, s.widths), scatter(observed, s.m, s.widths)
    for name in latent:
        emission = _seen_exactly(emission, reader, name)
    until = _until(_latent_early(transition, reader)) if latent else np.zeros(s.n, int)
    return _joined(_known_before_data(transition, until, reader), emission, reaches, reader, until)


def _joined(transition: Rows, emission: Rows, reaches: tuple[np.ndarray, np.ndarray], reader: Reader,
            until: np.ndarray) -> LinearForm | tuple[Obstacle, ...]:  # fmt: skip
    """The form of equations that still read their own row. `until`: the rows before which states are known numbers."""
    s = reader.stacking
    whole = solved(emission, ("y", 0))
    if whole is None:
        return _circle()
    depth = max(transition.depth("x"), whole.depth("x") + 1, 1)
    # What a state reads of its own row's observations is replaced by their law. That law depends on which of them are
    # conditioned on, and this on which states exist: a first pass finds out, the second uses it.
    direct = substituted(transition, ("y", 0), whole)
    initial, first_observed = initial_form(reader, direct, depth)
    if reader.obstacles:
        return _ordered(reader.obstacles)
    has_first = np.zeros(s.m, bool)
    for places, _ in first_observed:
        has_first[places] = True
    have = existence(direct, emission, initial.given, has_first, *reaches)
    if has_first.any():
        start = scatter(first_observed, s.m, s.widths)
        emission = selected(has_first, lambda at: expr.broadcast(_is_row(0), (len(at),)), start, emission)
    as_read = _as_read(emission, transition, have.conditioned, reader)
    whole = solved(emission, ("y", 0), as_read)
    seen = whole if as_read is None else solved(as_read, ("y", 0))
    if whole is None or seen is None:
        return _circle()
    if ("y", 0) in transition.terms:
        transition = substituted(transition, ("y", 0), seen)
        initial, _ = initial_form(reader, transition, depth)
        have = existence(transition, emission, initial.given, has_first, *reaches)
    own = np.array([v.name in s.definitions for v in reader.stacked for _ in range(v.size)], bool)
    never = [int(i) for i in have.never if not own[i]]
    if never:
        return (_no_initial_value(never[0], transition, initial, reader),)
    there = initial.given.copy()
    there[0] |= ~have.absent[0] if len(have.absent) else True
    first, moved = finish(initial, there), solved(transition, ("x", 0))
    if moved is None or first is None:
        return _circle()
    conditioned = have.conditioned
    if s.latent:
        conditioned = _with_latent(conditioned, until, reader)
    more = len(conditioned) - len(have.unavailable)
    unavailable = np.concatenate([have.unavailable, np.zeros((max(more, 0), s.m), bool)])
    return LinearForm(
        s, moved, whole, first, initial, have.absent, conditioned, unavailable,
        {v.name: (s.x[v.name], s.x[v.name] + v.size) for v in reader.stacked if v.name in s.definitions},
        _affine_reads(moved, whole, reader), dict(reader.data_reads), tuple(reader.roots), reader.noises,
        _past_sums(moved, whole, reader),
    )  # fmt: skip


def affine_definitions(model: Model) -> tuple[str, ...]:
    """The definitions with a value a row that are affine in states, noises and observations."""
    interpreter = Interpreter(lambda sort, *_: sort in ("state", "noise", "obs", "augment"))
    found = [d.name for d in model.definitions.values() if d.series and d.value is not None
             and isinstance(interpreter(d.value), Affine)]  # fmt: skip
    return tuple(found)


def _circle() -> tuple[Obstacle, ...]:
    return (Obstacle("E206", "values of one row need each other", None, "", "read a value of an earlier row"),)


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
    """(rows, n): latent observations whose equation reaches before the data."""
    n, longest = reader.stacking.n, max(transition.depth("x"), 0)
    found = np.zeros((longest, n), bool)
    own = [v.name for v in reader.stacked for _ in range(v.size)]
    given = {(t.name, -t.row) for i in reader.model.initials for t in i.targets}
    latent = np.array([name in reader.latent for name in own], bool)
    for row in range(longest):
        system = at_row(transition, row)
        for lag in system.lags("x"):
            m = system.terms["x", lag]
            if lag > row:
                for i, j in zip(m.rows, m.cols):
                    found[row, i] |= latent[i] and latent[j] and (own[j], lag - row) not in given
        if row == 0:
            found[0] &= np.array([(name, 0) not in given for name in own], bool)
    return found


def _known_before_data(transition: Rows, until: np.ndarray, reader: Reader) -> Rows:
    """Latent observations that reach before the data are the numbers that were seen there: in rows before `until`."""
    if not until.any():
        return transition
    rest = [v for v in reader.stacked if v.name not in reader.latent]
    states = sum(v.size for v in rest if v.name not in reader.definitions)
    after = sum(v.size for v in rest) - states
    data = Rows(expr.concat([expr.zeros((states,)), _data(reader, reader.latent), expr.zeros((after,))]))
    return selected(until > 0, _before(until), data, transition)


def _with_latent(conditioned: np.ndarray, until: np.ndarray, reader: Reader) -> np.ndarray:
    """Also what is known before the data among latent observations is not scored."""
    s = reader.stacking
    found = np.zeros((max(len(conditioned), until.max(initial=0)), s.m), bool)
    found[: len(conditioned)] = conditioned
    for name in reader.latent:
        size = reader.model.observations[name].size
        own = until[s.x[name] : s.x[name] + size]
        found[:, s.y[name] : s.y[name] + size] |= np.arange(len(found))[:, None] < own
    return found


def _until(early: np.ndarray) -> np.ndarray:
    """The first row from which a column of marks has none."""
    return np.array([np.flatnonzero(column).max(initial=-1) + 1 for column in early.T], int)


def _before(until: np.ndarray) -> Callable[[np.ndarray], Node]:
    """t < until, for chosen entries."""
    return lambda at: expr.binary("lt", expr.broadcast(expr.time(), (len(at),)), expr.const(until[at]))


def _as_read(emission: Rows, transition: Rows, conditioned: np.ndarray, reader: Reader) -> Rows | None:
    """What an observation is to others of its row: itself, or, where it is conditioned on, the number that was seen."""
    read = [r.terms["y", 0].cols for r in (emission, transition) if ("y", 0) in r.terms]
    if not read or not conditioned[:, np.unique(np.concatenate(read))].any():
        return None
    until = _until(conditioned)
    return selected(until > 0, _before(until), Rows(_data(reader, list(reader.model.observations))), emission)


def _affine_reads(transition: Rows, emission: Rows, reader: Reader) -> tuple[str, ...]:
    """Observations that are read linearly: at a lag anywhere, at its own row by a state."""
    s, found = reader.stacking, []
    hit = np.zeros(s.m, bool)
    for rows in (transition, emission):
        for (kind, lag), m in rows.terms.items():
            if kind == "ypast" or (kind == "y" and (lag or rows is transition)):
                hit[m.cols] = True
    for name, first in s.y.items():
        if hit[first : first + reader.model.observations[name].size].any():
            found.append(name)
    return tuple(found)


def _past_sums(transition: Rows, emission: Rows, reader: Reader) -> tuple[Span | None, ...]:
    """Where the state is summed over its whole past."""
    if not any(("past", 0) in rows.terms for rows in (transition, emission)):
        return ()
    nodes = [v for e in reader.model.equations for v in ([e.value] if e.law is None else [e.law.args.get("loc")]) if v]
    nodes += [v for n in reader.definitions if (v := reader.model.definitions[n].value) is not None]
    sums = [n for n in expr.walk(nodes) if n.op == "past_sum"]
    summed = [n.span for n in sums if any(name in reader.stacking.x for _, name, _ in expr.references([n]))]
    return tuple(summed) or (None,)


def _no_initial_value(entry: int, transition: Rows, initial: InitialForm, reader: Reader) -> Obstacle:
    """E205: a state that never gets a value."""
    name = [v.name for v in reader.stacked for _ in range(v.size)][entry]
    deepest = max(transition.depth("x"), 1)
    rows = [-k for k in range(deepest) if not (k < initial.depth and initial.given[k, entry])]
    needs = " and ".join(f"t = {r}" for r in rows) or "t = -1"
    span = next((e.span for e in reader.model.equations if any(t.name == name for t in e.targets)), None)
    return Obstacle("E205", "a lag has no initial value", span, f"needs {name} at {needs}", f"add `init {name} ~ ...`")
