"""What streams of general, discrete and switching programs have in common: windows of data, and what a row lacks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from ssmlang.data.row import RowReader
from ssmlang.engines.base import Engine
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.window import Window
from ssmlang.model import expr
from ssmlang.model.model import Equation, Model, nodes_of
from ssmlang.model.solved_noises import read_in_own_row
from ssmlang.model.told_noises import told_noises
from ssmlang.running.covariances import no_covariance
from ssmlang.running.execution import floats, not_a_number
from ssmlang.running.gaps import check_reach, seen_in
from ssmlang.running.particles import died, dies, warn_of_few
from ssmlang.running.rows import At, Moments, Stepping, Windows

Data = tuple[dict[str, Window], dict[str, Window]]
"""Windows of the observations and of the inputs, by name."""


class ByRow(Stepping):
    """Streams whose results are made by name, as those of `filter` are."""

    def __init__(self, model: Model, engine: Engine) -> None:
        self.model, self.engine = model, engine
        self.reader = RowReader(model)
        self.states = [n for v in model.states.values() for n in v.entry_names()]
        self.observations = [n for v in model.observations.values() for n in v.entry_names()]
        lets = [d.value for d in model.definitions.values() if d.value is not None]
        laws = [a for v in model.noises.values() if v.law is not None for a in v.law.args.values()]
        nodes = [n for e in model.equations for n in nodes_of(e)] + lets + laws
        nodes += [n for i in model.initials for n in nodes_of(i)]
        nodes += [d.value for d in model.differentials]
        self._refuse_the_past(nodes)
        self._reads = {r for r in expr.references(nodes) if r[0] in ("obs", "input")}
        rows: dict[tuple[str, str], int] = {}
        for sort, name, lag in self._reads:
            rows[sort, name] = max(rows.get((sort, name), 1), int(lag) + 1)
        if told_noises(model):  # the row before is looked at again
            before = [n for e in model.equations if e.role == "emission" for n in nodes_of(e)] + laws
            for sort, name, lag in [*expr.references(before), *(("obs", n, 0) for n in model.observations)]:
                if sort in ("obs", "input"):
                    rows[sort, name] = max(rows.get((sort, name), 1), int(lag) + 2)
        self.rows = rows
        self._starts_with = {(s, n) for i in model.initials for s, n, _ in expr.references(nodes_of(i))
                             if s in ("obs", "input")}  # fmt: skip
        self._starts_with |= {("obs", n) for n in read_in_own_row(model)}

    @staticmethod
    def _refuse_the_past(nodes: list[Any]) -> None:
        for node in expr.walk(nodes):
            if node.op == "past_sum":
                raise SsmError(Diagnostic("E312", "a model that reads its whole past has no rows one at a time",
                                          node.span, "reads every row there has been",
                                          why=("what has to be remembered grows from row to row",),
                                          help=("bound the sum: `for k in 1..min(20, t)`",)))  # fmt: skip

    # ------------------------------------------------------------------------------------------------ what is run

    @abstractmethod
    def _functions(self, at: At) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Compiled functions (params, windows, t, y, carried, key) of row 0 and of later rows, to what is carried and
        what is told by name."""

    @abstractmethod
    def _ready(self, params: Mapping[str, np.ndarray], at: At, windows: Windows, values: Mapping[str, np.ndarray],
               t: int) -> At:  # fmt: skip
        """Where the stream stands, made ready for a row. Raises E413."""

    @abstractmethod
    def _scored(self, values: Mapping[str, np.ndarray], t: int) -> Any:
        """The row's data as they are scored. Raises E205."""

    @abstractmethod
    def _named(self, told: Moments, params: Mapping[str, np.ndarray], t: int) -> Moments:
        """What was computed, by the names of the file."""

    def step(self, params: Mapping[str, np.ndarray], at: At, values: Mapping[str, np.ndarray], t: int
             ) -> tuple[At, Moments]:  # fmt: skip
        windows = self.moved(at.windows, values)
        at = self._ready(params, at, windows, values, t)
        y = self._scored(values, t)
        for diagnostic in self._lacking(at, windows, values, t):
            raise SsmError(diagnostic)
        carried, told = self._run(params, at, windows, y, t)
        self._check(told, params, t)
        if "ess" in told and dies(self.engine):
            warn_of_few(self.engine, told["ess"][None], lambda _: f"row {t}", stacklevel=5)
        return at._replace(windows=windows, carried=carried), self._named(told, params, t)

    def before(self, params: Mapping[str, np.ndarray], at: At) -> Moments:
        blank = {n: np.full(v.shape, np.nan) for n, v in self.model.observations.items()}
        _, told = self._run(params, at, at.windows, self._scored(blank, 0), 0)
        found = self._named(told, params, 0)
        waits = bool(self._starts_with)
        gone = lambda name: name.startswith("observed") or (waits and found[name].dtype.kind == "f")
        return {n: np.full(v.shape, np.nan) if gone(n) else v for n, v in found.items()}

    def _run(self, params: Any, at: At, windows: Windows, y: Any, t: int) -> tuple[Any, Moments]:
        first, later = self._functions(at)
        key = _words(at.seed)
        run = first if t == 0 else later
        carried, told = run(floats(params), windows, np.asarray(t), y, at.carried, key)
        return carried, {name: np.asarray(value) for name, value in told.items()}

    def template(self, params: Mapping[str, np.ndarray], at: At) -> Any:
        first, _ = self._functions(at)
        blank = {n: np.full(v.shape, np.nan) for n, v in self.model.observations.items()}
        y = jax.tree.map(lambda a: np.full(np.shape(a), np.nan), self._scored(blank, 0))
        return jax.eval_shape(first, floats(params), self.empty(), np.asarray(0), y, None, _words(at.seed))[0]

    def data(self, windows: Windows, now: Array) -> Data:
        """Windows as the lowerings read them."""
        pick = lambda wanted: {n: Window(w, now) for (sort, n), w in windows.items() if sort == wanted}
        return pick("obs"), pick("input")

    # ------------------------------------------------------------------------------------------------- what lacks

    def _held(self, at: At, sort: str, name: str, lag: int) -> bool:
        """Whether what is read is part of the state, so that it may be missing."""
        return sort == "obs" and name in at.latent

    def _lacking(self, at: At, windows: Windows, values: Mapping[str, np.ndarray], t: int) -> Iterator[Diagnostic]:
        """E407 and E413: what is missing where an equation needs it as a number."""
        for e in self.model.equations:
            if not self._wanted(e, values, t):
                continue
            for sort, name, lag in sorted(expr.references(nodes_of(e)), key=str):
                known = (sort, name) in windows and isinstance(lag, int) and lag <= t
                if not known or self._held(at, sort, name, int(lag)):
                    continue
                if np.isnan(windows[sort, name][int(lag)]).any():
                    yield self._missing(e, sort, name, t - int(lag), t, self._other(name))

    def _other(self, name: str) -> str | None:
        """The engine that takes an observation as part of a state, where this one needs it as a number."""
        return None

    def _wanted(self, e: Equation, values: Mapping[str, np.ndarray], t: int) -> bool:
        """Whether an equation says anything in this row."""
        if e.role == "emission":
            return any(not np.isnan(values[g.name].reshape(-1)[list(g.entries)]).all() for g in e.targets)
        if t:
            return True
        given = {(g.name, i) for q in self.model.initials for g in q.targets if g.row == 0 for i in g.entries}
        return not all((g.name, i) in given for g in e.targets for i in g.entries)

    @staticmethod
    def _missing(e: Equation, sort: str, name: str, row: int, t: int, other: str | None) -> Diagnostic:
        if sort == "input":
            help = ("give it in the row, or leave out the observations that it explains",)
            return Diagnostic("E407", f"input `{name}` is missing at row {row}, and row {t} needs it", help=help)
        return Diagnostic("E413", f"`{name}` is missing at row {row}, and is needed as a number", e.span,
                          f"reads it in row {t}", help=(f'engine="{other}" takes it as part of a real state' if other
                          else "fill it in, or leave what reads it missing too",))  # fmt: skip

    def _check(self, told: Moments, params: Mapping[str, np.ndarray], t: int) -> None:
        """Raise E721 and E723 for results that are none."""
        term = told["log_likelihood"]
        if np.isneginf(term) and t and dies(self.engine):
            raise SsmError(died(self.engine, f"row {t}"))
        for name in ("log_likelihood", "mean", "cov"):
            if name in told and np.isnan(told[name]).any():
                raise SsmError(no_covariance(self.model, params) or not_a_number(name, f"row {t}"))

    @staticmethod
    def _unavailable(marks: np.ndarray, values: Mapping[str, np.ndarray], t: int, model: Model) -> None:
        """Raise E205 where an observation that was seen reads a state without a value; marks: (rows, m) of a model."""
        row = {n: values[n][None] for n in model.observations}
        check_reach(model.observations, marks, seen_in(row, row, 1), t)


def _words(seed: int) -> np.ndarray:
    from ssmlang.running.particles import key_of

    return np.asarray(key_of(seed, 0))


def stacked(names: Any, values: Mapping[str, np.ndarray], unscored: np.ndarray, t: int) -> np.ndarray:
    """The named values of a row, one after another, NaN where they are not scored; unscored: (rows, m)."""
    y = np.concatenate([values[n].reshape(-1) for n in names] or [np.zeros(0)])
    return np.where(unscored[t], np.nan, y) if t < len(unscored) else y
