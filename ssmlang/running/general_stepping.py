"""Streams of nonlinear programs: Gaussian approximations and particles, a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ssmlang.analysis.general import entries_read_back, read_at_once, read_back
from ssmlang.engines.stepwise import Probe
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.lowering.window import Window
from ssmlang.running.by_row import ByRow, stacked
from ssmlang.running.general import GeneralExecution, lawless
from ssmlang.running.general_labels import dataset, named
from ssmlang.running.rows import At, Moments, Windows, one_row, time_of


class GeneralStepper(ByRow):
    """A stream by any engine of nonlinear programs that takes rows one at a time.

    An observation that equations read back is a known number until it is missing for the first time; from there on it
    is part of the state.
    """

    def __init__(self, execution: Any) -> None:
        assert isinstance(execution, GeneralExecution)
        super().__init__(execution.model, execution.engine)
        self._execution, self._read_back = execution, tuple(read_back(execution.model))
        # Of an observation that it cannot carry, an engine may still be told that it is missing now: not a row later.
        carried = not execution.engine.requires.unmoved
        self._needed = self._read_back if carried else read_at_once(execution.model)
        self._entries = {n: entries_read_back(execution.model, n) for n in self._needed}
        self._compiled: dict[Any, Any] = {}
        self.states = execution.general().states

    def _other(self, name: str) -> str | None:
        return "particle" if self._execution.engine.requires.unmoved else None

    def _lowering(self, at: At) -> NonlinearLowering:
        return self._execution.general(at.latent, at.substeps)

    # ------------------------------------------------------------------------------------------------- readiness

    def _ready(self, params: Mapping[str, np.ndarray], at: At, windows: Windows, values: Mapping[str, np.ndarray],
               t: int) -> At:  # fmt: skip
        at = self._in_steps(at, values, t)
        gone = lambda n: np.isnan(values[n].reshape(-1)[self._entries[n]]).any()
        fresh = tuple(n for n in self._needed if n not in at.latent and gone(n))
        marks = self._lowering(at).emissions
        for name in self._read_back:
            first = marks.offsets[name]
            if t < len(marks.conditioned) and np.isnan(values[name].reshape(-1)[
                    marks.conditioned[t, first : first + values[name].size]]).any():  # fmt: skip
                raise SsmError(lawless(name, f"row {t}"))
        return self._widened(at, fresh) if fresh else at

    def _in_steps(self, at: At, values: Mapping[str, np.ndarray], t: int) -> At:
        """With as many short steps as the row needs, where time is continuous."""
        if not self._execution.in_steps or (not t and "dt" in self.model.inputs):  # dt[0] is not used
            return at
        inputs = {n: values[n] for n in self.model.inputs}
        return at._replace(substeps=max(at.substeps, self._execution.substeps_of_row(inputs)))

    def _widened(self, at: At, fresh: tuple[str, ...]) -> At:
        """With some more observations as part of the state."""
        self._execution._check_latent(fresh)
        latent = tuple(n for n in self._read_back if n in at.latent or n in fresh)
        after = at._replace(latent=latent)
        if at.carried is None:
            return after
        old, new = self._lowering(at), self._lowering(after)
        places, known = np.full(new.memory.size, -1), np.zeros(new.memory.size)
        for key, first in new.memory.starts.items():
            sort, name, lag = key
            own = slice(first, first + new.memory.places[sort, name].size)
            if key in old.memory.starts:
                start = old.memory.starts[key]
                places[own] = np.arange(start, start + own.stop - own.start)
            elif sort == "obs":  # seen, so far
                known[own] = np.nan_to_num(at.windows[sort, name][lag]).reshape(-1)
        engine: Any = self.engine
        carried = engine.widened(at.carried, places, jnp.asarray(known), (old.facts, new.facts))
        return after._replace(carried=carried)

    def _scored(self, values: Mapping[str, np.ndarray], t: int) -> np.ndarray:
        emissions = self._execution.general().emissions
        self._unavailable(emissions.unavailable, values, t, self.model)
        return stacked(self.model.observations, values, emissions.conditioned, t)

    # -------------------------------------------------------------------------------------------------- functions

    def _functions(self, at: At) -> tuple[Callable[..., Any], Callable[..., Any]]:
        which = (at.latent, at.substeps)
        if which not in self._compiled:
            lowering, engine, draws = self._lowering(at), self.engine, self.engine.requires.random

            def run(params: Any, windows: Any, t: Array, y: Array, carried: Any, words: Array, first: bool) -> Any:
                program = lowering.over(params, lowering.series(*self.data(windows, t)))
                key = jax.random.wrap_key_data(words) if draws else None
                if first:
                    carried = engine.begin(program, key, self._probe(lowering, params))  # type: ignore[attr-defined]
                after, found = engine.step(program, t, y, carried, key, first=first)  # type: ignore[attr-defined]
                return after, {k: v for k, v in found._asdict().items() if v is not None}

            made = tuple(jax.jit(run, static_argnames="first") for _ in range(2))
            self._compiled[which] = (
                lambda *given: made[0](*given, first=True), lambda *given: made[1](*given, first=False)
            )  # fmt: skip
        return self._compiled[which]  # type: ignore[no-any-return]

    def _probe(self, lowering: NonlinearLowering, params: Any) -> Probe | None:
        """The program over data of no meaning, for engines that look where parameters come in."""
        if not lowering.facts.augmented:
            return None
        last = max(self.rows.values(), default=1)
        rng, now = np.random.default_rng(0), jnp.asarray(last + 1)
        sides: tuple[dict[str, Window], dict[str, Window]] = ({}, {})
        variables = {**self.model.observations, **self.model.inputs}
        for sort, name in self.rows:
            draws = rng.uniform(0.5, 1.5, (last + 2, *variables[name].shape))
            sides[sort == "input"][name] = Window(jnp.asarray(draws), now)
        return lowering.over(params, lowering.series(*sides)), jnp.full(1, last)

    # ---------------------------------------------------------------------------------------------------- results

    def _named(self, told: Moments, params: Mapping[str, np.ndarray], t: int) -> Moments:
        arrays = named(self._execution.general(), {k: v[None] for k, v in told.items()}, params)
        found = {k: v[0] for k, v in arrays.items()}
        marks = self._execution.general().emissions.lawless
        if t < len(marks):
            found["observed_mean"] = np.where(marks[t], np.nan, found["observed_mean"])
            found["observed_cov"] = np.where(marks[t][:, None] | marks[t], np.nan, found["observed_cov"])
        return found

    def dataset(self, moments: Moments, t: int) -> xr.Dataset:
        arrays = {k: v[None] for k, v in moments.items()}
        return one_row(dataset(self.model, self._execution.general(), arrays, {}, time_of(t)))
