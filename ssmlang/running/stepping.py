"""Compiled functions that take the rows of a model one at a time, kept with the model's execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ssmlang.data.row import RowReader
from ssmlang.engines.layout import Layout
from ssmlang.engines.online import ONLINE, Carried, Taken, settled
from ssmlang.engines.program import LinearGaussian
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.one_row import Lacking, OneRow
from ssmlang.results.moments import moments as labelled
from ssmlang.running.covariances import no_covariance
from ssmlang.running.execution import Execution, floats, not_a_number
from ssmlang.running.gaps import check_reach
from ssmlang.running.rows import At, Moments, Stepping, Windows, one_row, time_of


class Stepped(NamedTuple):
    """What one row gives: the law to carry on with, whether there is an initial law at all, and results."""

    carried: Carried
    exists: Any
    fixed: Any
    """what is the same in every row, worked out in the first"""
    taken: Taken
    lacking: Lacking
    start_lacks: Any


class Stepper(Stepping):
    """Those of a linear-Gaussian program. Raises E312 where the engine or the model has no rows one at a time."""

    def __init__(self, execution: Execution) -> None:
        _check(execution)
        self.model, self.form, self.engine = execution.model, execution.form, execution.engine
        # Whatever is read at a lag may be missing in a row to come; as part of the state it is right everywhere.
        self.lowering = execution.lowering(tuple(self.form.read_back), False)
        self.online = ONLINE[self.engine.name]
        self.one_row = OneRow(self.lowering)
        self.rows = self.one_row.rows
        self.layout = Layout(self.lowering.structure)
        self.reader = RowReader(self.model)
        self.own = sum(v.size for v in self.model.states.values())
        self.states, self.observations = self.lowering.states[: self.own], self.lowering.observations
        self.fixed = jax.jit(self.one_row.fixed)
        self.first = jax.jit(self._first)
        self.next = jax.jit(self._next)
        self.start = jax.jit(self._start)

    def before(self, params: Mapping[str, np.ndarray], at: At) -> Moments:
        _, _, *law = self.start(floats(params), at.windows)
        mean, cov = (np.asarray(a) + (np.nan if self.one_row.start_reads else 0.0) for a in law)
        m = self.lowering.m
        none = {"observed_mean": np.full(m, np.nan), "observed_cov": np.full((m, m), np.nan)}
        return self._known({"mean": mean, "cov": cov, **none}, 0)

    def step(self, params: Mapping[str, np.ndarray], at: At, values: Mapping[str, np.ndarray], t: int
             ) -> tuple[At, Moments]:  # fmt: skip
        y, windows = self.data(values, t), self.moved(at.windows, values)
        if t == 0:
            numbers = floats(params)
            found = self.first(numbers, windows, y)
            given = numbers, found.fixed
        else:
            given = at.given or self.given(params)
            found = self.next(*given, windows, np.asarray(t), y, at.carried, at.exists)
        self.check(found, params, values, windows, t)
        moments = {name: np.asarray(v) for name, v in found.taken._asdict().items()}
        after = at._replace(windows=windows, carried=settled(found.carried), exists=found.exists, given=given)
        return after, self._known(moments, t)

    def given(self, params: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
        """The parameters, and what is the same in every row, where they are computed with."""
        values = floats(params)
        return values, self.fixed(values)

    def _known(self, moments: Moments, t: int) -> Moments:
        """Moments of the model's own states and observations in row t, NaN where there is none."""
        for side, none in (("", self.absent(t)), ("observed_", self.unexpected(t))):
            n = len(none)
            moments[f"{side}mean"] = np.where(none, np.nan, moments[f"{side}mean"][:n])
            moments[f"{side}cov"] = np.where(none[:, None] | none, np.nan, moments[f"{side}cov"][:n, :n])
        return moments

    def dataset(self, moments: Moments, t: int) -> xr.Dataset:
        arrays = {k: v[None] for k, v in moments.items()}
        return one_row(labelled(arrays, states=self.states, observations=self.observations, time=time_of(t)))

    def template(self, params: Mapping[str, np.ndarray], at: At) -> Any:
        """The flat part there while it is."""
        blank = {n: jnp.zeros(p.shape) for n, p in self.model.parameters.items()}
        carried: Carried = jax.eval_shape(self._start, blank, self.empty())[0]
        return carried

    def data(self, values: Mapping[str, np.ndarray], t: int) -> np.ndarray:
        """The row's observations as they are scored. Raises E205 where one reads a state without a value."""
        y = np.concatenate([values[n].reshape(-1) for n in self.model.observations] or [np.zeros(0)])
        form = self.lowering.form
        check_reach(self.model.observations, form.unavailable, ~np.isnan(y)[None], t)
        if t < len(form.conditioned):
            y = np.where(form.conditioned[t], np.nan, y)
        return y

    def absent(self, t: int) -> np.ndarray:
        """(n,): the model's own states that have no value in this row."""
        absent = self.form.absent
        return absent[t, : self.own] if 0 <= t < len(absent) else np.zeros(self.own, bool)

    def unexpected(self, t: int) -> np.ndarray:
        """(m,): observations that nothing is expected of in this row: conditioned on, or without a state to read."""
        form = self.lowering.form
        out = np.zeros(self.lowering.m, bool)
        for mark in (form.conditioned, form.unavailable):
            if 0 <= t < len(mark):
                out |= mark[t]
        return out

    def check(self, found: Stepped, params: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray],
              windows: Windows, t: int) -> None:  # fmt: skip
        """Raise E407 or E413 where the row needs what is missing, E721 where a number is none."""
        form, seen = self.lowering.form, {n: ~np.isnan(values[n]).reshape(-1) for n in self.model.observations}
        lacking = np.array(found.lacking.transition)
        for name in form.stacking.latent:
            at = form.stacking.x[name] + np.arange(len(seen[name]))
            lacking[at] &= seen[name]
        y_seen = np.concatenate(list(seen.values())) if seen else np.zeros(0, bool)
        needed = bool((np.asarray(found.lacking.emission) & y_seen).any()) or (t > 0 and bool(lacking.any()))
        if needed or bool(found.start_lacks):
            raise SsmError(self._missing(windows, t))
        for name in form.stacking.latent:
            if t < len(form.conditioned):
                at = form.stacking.y[name] + np.arange(len(seen[name]))
                if (form.conditioned[t][at] & ~seen[name]).any():
                    why = "its equation reaches before the data, so that nothing gives its law there"
                    help = (f"add `init {name} ~ ...`, or start the data where it was seen",)
                    message = f"`{name}` is missing at row {t}, and is needed as a number"
                    raise SsmError(Diagnostic("E413", message, why=(why,), help=help))
        for what in ("mean", "cov", "log_likelihood"):
            if np.isnan(np.asarray(getattr(found.taken, what))).any():
                raise SsmError(no_covariance(self.model, params) or not_a_number(what, f"row {t}"))

    def _missing(self, windows: Windows, t: int) -> Diagnostic:
        """What is missing among the rows that equations of row t read: an input, or an observation."""
        for wanted in ("input", "obs"):
            for (sort, name), values in windows.items():
                back = np.flatnonzero(np.isnan(values[: t + 1]).reshape(min(t + 1, len(values)), -1).any(axis=1))
                if sort != wanted or not len(back):
                    continue
                row = f"row {t - int(back[0])}"
                if sort == "input":
                    help = ("give it in the row, or leave out the observations that it explains",)
                    return Diagnostic("E407", f"input `{name}` is missing at {row}, and row {t} needs it", help=help)
                why = (f"row {t} reads it in a way that is not linear",)
                message = f"`{name}` is missing at {row}, and is needed as a number"
                return Diagnostic("E413", message, why=why, help=("fill it in, or read it linearly",))
        return not_a_number("a coefficient", f"row {t}")

    # --------------------------------------------------------------------------------------- what is compiled

    def _start(self, params: Any, windows: Any) -> tuple[Carried, Any, Any, Any]:
        """The law of row 0 before its observations; whether it is there; and its moments."""
        initial = self.one_row.initial(params, windows)
        program = self.one_row.program(params, self.one_row.fixed(params), windows, jnp.asarray(0))
        program = LinearGaussian(program.F, program.c, program.G, program.H, program.d, program.J, initial,
                                 program.structure)  # fmt: skip
        carried = self.online.begin(program, self.layout)
        own = jnp.eye(self.layout.structure.n, self.layout.size, dtype=program.d.dtype)
        return carried, jnp.asarray(initial.exists), *self.online.law(carried, own)

    def _first(self, params: Any, windows: Any, y: Any) -> Stepped:
        carried, exists, *_ = self._start(params, windows)
        return self._taken(params, self.one_row.fixed(params), windows, jnp.asarray(0), y, carried, exists, True)

    def _next(self, params: Any, fixed: Any, windows: Any, t: Any, y: Any, carried: Any, exists: Any) -> Stepped:
        return self._taken(params, fixed, windows, t, y, carried, exists, False)

    def _taken(self, params: Any, fixed: Any, windows: Any, t: Any, y: Any, carried: Any, exists: Any, first: bool
               ) -> Stepped:  # fmt: skip
        program = self.one_row.program(params, fixed, windows, t)
        if not first:
            carried = self.online.advance(carried, program, self.layout)
        carried, taken = self.online.take(carried, program, y, self.layout)
        taken = taken._replace(log_likelihood=jnp.where(exists, taken.log_likelihood, -jnp.inf))
        lacks = self.one_row.initial_lacks(params, windows) if first else jnp.asarray(False)
        return Stepped(carried, exists, fixed, taken, self.one_row.lacking(params, windows, t), lacks)


def stepper(execution: Execution) -> Stepping:
    """The stepper of an execution, made once."""
    kept: Stepping | None = execution.__dict__.get("_stepper")
    if kept is None:
        needs = execution.engine.requires
        if needs.linear or not needs.by_row:
            kept = Stepper(execution)
        elif needs.discrete or needs.switching:
            from ssmlang.running.chain_stepping import stepper_of

            kept = stepper_of(execution)
        else:
            from ssmlang.running.general_stepping import GeneralStepper

            kept = GeneralStepper(execution)
        execution.__dict__["_stepper"] = kept
    return kept


def _check(execution: Execution) -> None:
    """Raise E312 for an engine that needs all rows at once, or a model whose memory grows from row to row."""
    name = execution.engine.name
    if name not in ONLINE:
        others = " or ".join(f"engine={n!r}" for n in ONLINE) + " does"
        why, help = ("it works on all rows of a series together",), (others,)
        raise SsmError(Diagnostic("E312", f"engine '{name}' does not take rows one at a time", why=why, help=help))
    form = execution.form
    sums = form.whole_past
    if sums or any(kind == "ypast" for rows in (form.transition, form.emission) for kind, _ in rows.terms):
        span = sums[0] if sums else None
        raise SsmError(Diagnostic("E312", "a model that reads its whole past has no rows one at a time", span,
                                  "reads every row there has been" if span is not None else "",
                                  why=("what has to be remembered grows from row to row",),
                                  help=("bound the sum: `for k in 1..min(20, t)`",)))  # fmt: skip
