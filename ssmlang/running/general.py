"""Runs an engine of nonlinear programs on a model and data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.analysis.general import entries_read_back, holds, lost, read_at_once, read_back, row_reads
from ssmlang.data import Bound, check_inputs
from ssmlang.engines.base import Engine, Known
from ssmlang.engines.nonlinear import Law
from ssmlang.inference.augmented import walks_of
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.model import expr
from ssmlang.model.differentials import stepped
from ssmlang.model.flows import flowing
from ssmlang.model.model import Equation, Model, nodes_of
from ssmlang.model.solved_noises import solved
from ssmlang.results.provenance import of_parameters
from ssmlang.running.covariances import no_covariance
from ssmlang.running.execution import Params, Series, Setting, floats, not_a_number, padded_length, steps_of
from ssmlang.running.gaps import Absent, blanked, check_reach, seen_in
from ssmlang.running.general_labels import FIELDS, dataset, named
from ssmlang.running.kept import Kept
from ssmlang.running.label_laws import label_probabilities
from ssmlang.running.misfit import Judge
from ssmlang.running.moments import Moments, require_start
from ssmlang.running.particles import death, died, dies, key_of, warn_of_few
from ssmlang.running.per_series import PerSeries
from ssmlang.running.substeps import Substeps
from ssmlang.running.variances import sound_variances

APART = ("paths", "passed")
"""What an engine finds that is no moment of a row."""


class GeneralExecution(PerSeries):
    """The functions of one model and one engine of nonlinear programs, compiled when first used."""

    moments: ClassVar[str] = "ssmlang.running.general:GeneralMoments"

    def __init__(self, model: Model, engine: Engine) -> None:
        # Linear differential equations move from row to row exactly, the others in short steps.
        self.source, (self._spec, _) = model, stepped(solved(model))
        self._gaussian = not (engine.requires.random or engine.requires.normal_noise)
        self.model, self.engine = flowing(self._spec, 1, gaussian=self._gaussian), engine
        self._programs: dict[tuple[tuple[str, ...], int], NonlinearLowering] = {}
        self._compiled = {}
        self.kept = Kept()

    @property
    def small(self) -> bool:
        return False

    @cached_property
    def judge(self) -> Judge:
        """Whether one Gaussian is the law of what it filters."""
        return Judge(self)

    def lowered(self, model: Model, latent: tuple[str, ...]) -> NonlinearLowering:
        """The road from a model to the programs that the engine runs."""
        return NonlinearLowering(model, walks_of(model), latent, drawn=self.engine.requires.emission_density)

    def general(self, latent: tuple[str, ...] = (), substeps: int = 1) -> NonlinearLowering:
        """The lowering with some observations as part of the state, and so many steps a row where time is continuous
        and the equations are not linear."""
        if (latent, substeps) not in self._programs:
            model = flowing(self._spec, substeps, gaussian=self._gaussian)
            self._programs[latent, substeps] = self.lowered(model, latent)
        return self._programs[latent, substeps]

    @property
    def in_steps(self) -> bool:
        """Whether differential equations that are not linear move in short steps."""
        return bool(self._spec.differentials)

    @cached_property
    def _substeps(self) -> Substeps:
        return Substeps(self._spec, walks_of(self._spec), gaussian=self._gaussian)

    def substeps_of_row(self, inputs: Mapping[str, np.ndarray]) -> int:
        """How many of them the row with these inputs needs."""
        return self._substeps.of_row(inputs)

    # --------------------------------------------------------------------------------------------------- data

    @cached_property
    def _read_back(self) -> dict[str, int]:
        """Observations that later rows, or states of their own row, read."""
        return read_back(self.model)

    def setting(self, bounds: Sequence[Bound], *, ahead: bool = False) -> Setting:
        missing = lambda name: any(lost(self._spec, name, b.observations[name]) for b in bounds)
        latent = tuple(n for n in self._read_back if ahead or missing(n))
        self._check_latent(latent)
        substeps = self._substeps(bounds) if self._spec.differentials else 1
        misfit = getattr(self.engine, "misfit", lambda facts: None)(self.general(latent, substeps).facts)
        if misfit is not None:
            raise SsmError(Diagnostic("E306", misfit, help=(getattr(self.engine, "remedy", ""),)))
        return Setting(latent, Known(), substeps)

    def _check_latent(self, latent: Sequence[str]) -> None:
        """E413: an observation that is to be part of the state, which the engine cannot have."""
        for name in latent:
            if not holds(self.model, self.engine.requires, name):
                raise SsmError(_latent(name, self.engine.name, self.model))

    def series(self, bounds: Sequence[Bound], seed: int = 0) -> tuple[Series, ...]:
        groups: dict[int, list[int]] = {}
        for i, b in enumerate(bounds):
            self._check_inputs(b)
            check_reach(self.model.observations, self.general().emissions.unavailable,
                        seen_in(self.model.observations, b.observations, b.steps))  # fmt: skip
            self._check_row_reads(b)
            self._check_conditioned(b)
            groups.setdefault(padded_length(b.steps), []).append(i)
        made = []
        for length, group in groups.items():
            stacked = self._stacked([bounds[i] for i in group], length)
            keys = np.stack([np.asarray(key_of(seed, i)) for i in group])
            made.append({**stacked, "draw": {"key": keys, "number": np.asarray(group)}})
        return tuple(made)

    def seeded(self, data: Any, seed: int, number: int = 0) -> Any:
        if not self.engine.requires.random:
            return data
        if isinstance(data, dict):
            return {**data, "draw": {**data["draw"], "key": key_of(seed, number)}}
        keys = lambda group: np.stack([np.asarray(key_of(seed, int(i))) for i in np.asarray(group["draw"]["number"])])
        return tuple({**group, "draw": {**group["draw"], "key": keys(group)}} for group in data)

    def _check_conditioned(self, bound: Bound) -> None:
        """E413: an observation that later rows read is missing where nothing gives its law."""
        form = self.general().emissions
        for name in self._read_back:
            first, values = form.offsets[name], bound.observations[name].reshape(bound.steps, -1)
            at = entries_read_back(self.model, name)
            early = form.conditioned[: bound.steps, first + at]
            bad = np.flatnonzero((early & np.isnan(values[: len(early), at])).any(axis=1))
            if len(bad):
                raise SsmError(lawless(name, bound.time.label(int(bad[0]))))

    def _check_inputs(self, bound: Bound) -> None:
        gaps = {n: np.isnan(v).reshape(bound.steps, -1).any(axis=1) for n, v in bound.inputs.items()}
        if not any(g.any() for g in gaps.values()):
            return
        needed = {n: np.zeros(bound.steps, bool) for n in gaps}
        for e in self.model.equations:
            rows = np.ones(bound.steps, bool)
            if e.role == "emission":
                rows = _seen(e, bound)
            else:
                rows[0] = not all(self._first_given(t.name, t.entries) for t in e.targets)
            for sort, name, lag in expr.references(nodes_of(e)):
                if sort == "input" and isinstance(lag, int):
                    needed[name][: bound.steps - lag] |= rows[lag:]
        check_inputs(bound, {n: needed[n] & g for n, g in gaps.items()}, self.model.inputs)

    def _first_given(self, name: str, entries: Sequence[int]) -> bool:
        own = {i for q in self.model.initials for t in q.targets if t.name == name and t.row == 0 for i in t.entries}
        return own >= set(entries)

    @cached_property
    def _row_reads(self) -> list[tuple[Equation, str, int, str, int]]:
        """Of each observed entry that reads others of its row: its equation, name and position, and those of these."""
        return row_reads(self.model)

    def _check_row_reads(self, bound: Bound) -> None:
        """E413: an observation that another of its row reads, and that is missing where that one is seen."""
        flat = {n: bound.observations[n].reshape(bound.steps, -1) for n in self.model.observations}
        for e, target, entry, name, i in self._row_reads:
            bad = np.flatnonzero(~np.isnan(flat[target][:, entry]) & np.isnan(flat[name][:, i]))
            if len(bad):
                what = self.model.observations[name].entry_names()[i]
                raise SsmError(Diagnostic(
                    "E413", f"`{what}` is missing at {bound.time.label(int(bad[0]))}, and is needed as a number",
                    e.span, "reads it in the same row", help=("fill it in, or leave this observation missing too",),
                ))  # fmt: skip

    # ---------------------------------------------------------------------------------------------- functions

    def _lowering_for(self, setting: Setting) -> NonlinearLowering:
        return self.general(setting.latent, setting.substeps)

    def _cumulative(self, setting: Setting) -> Callable[[Params, Series, Array, Any], Array]:
        """The filter's own moments one step ahead, of these probabilities in place of the values."""
        lowering = self._lowering_for(setting)

        def found(params: Params, series: Series, values: Array, first: Any) -> Array:
            observations, inputs, steps = series["observations"], series["inputs"], steps_of(series)
            data = lowering.series(observations, inputs)
            whole, y = lowering.over(params, data), lowering.data(observations, steps)
            program = getattr(whole, "program", whole)
            m, count = lowering.emissions.m, len(values)

            def observed(t: Array, s: Array) -> Law:
                at = values[jnp.clip(t - first, 0, count - 1)]
                own = lambda: lowering.emissions.cumulative(lowering.environment(params, data, t, s), at)
                asked = (t >= first) & (t < first + count)
                own = jax.lax.cond(asked, own, lambda: jnp.zeros((2, m)))
                return Law(jnp.nan_to_num(own).ravel(), jnp.zeros((2 * m, 2 * m)))

            program = replace(program, observed=observed)
            whole = program if whole.__class__ is program.__class__ else replace(whole, program=program)
            engine: Any = self.engine.for_data(setting.known)
            if hasattr(engine, "observed_on_average"):  # its own moments are those at a point
                mean = engine.observed_on_average(whole, y)
            else:
                mean = engine.filter(whole, y, *self._keys(series)).observed_mean
            return jax.lax.dynamic_slice_in_dim(mean.reshape(steps, 2, m), first, count)

        return found

    def paths(self, setting: Setting) -> Callable[..., Array]:
        """Draws of the states given one series, one for each key: of (params, series, keys)."""
        key = ("paths", self.key(setting))
        if key not in self._compiled:
            lowering = self._lowering_for(setting)
            ask = cast(Any, self.engine.for_data(setting.known)).paths

            def drawn(params: Params, series: Series, keys: Array) -> Array:
                given = (params, series["observations"], series["inputs"], steps_of(series))
                return ask(*lowering.program(*given), keys)

            self._compiled[key] = quickly_compiled(drawn, self.work)
        return self._compiled[key]

    def key(self, setting: Setting) -> Hashable:
        return setting.latent, self.engine.for_data(setting.known), setting.substeps


def _seen(e: Equation, bound: Bound) -> np.ndarray:
    """Rows in which anything that an emission gives was seen."""
    rows = np.zeros(bound.steps, bool)
    for t in e.targets:
        values = bound.observations[t.name].reshape(bound.steps, -1)[:, list(t.entries)]
        rows |= ~np.isnan(values).all(axis=1)
    return rows


def _latent(name: str, engine: str, model: Model) -> Diagnostic:
    where = "in its own row" if name in read_at_once(model) else "at a later row"
    return Diagnostic(
        "E413", f"`{name}` is read {where}, and engine '{engine}' needs it as a number there",
        model.observations[name].span, "is missing in a row, or still to come",
        help=('engine="ekf" or engine="particle" takes it as part of the state',
              'a fit by another engine is forecast so: `model.forecast(fit.data, fit.params, steps, "particle")`'),
    )  # fmt: skip


def lawless(name: str, row: str) -> Diagnostic:
    """E413: an observation is missing in a row that is conditioned on."""
    why = "its equation reaches before the data, so that nothing gives its law there"
    help = (f"add `init {name} ~ ...`, or start the data where it was seen",)
    return Diagnostic("E413", f"`{name}` is missing at {row}, and is needed as a number", why=(why,), help=help)


class GeneralMoments(Moments):
    """One verb on one series by an engine of nonlinear programs, made ready for any parameters."""

    def _prepare(self) -> None:
        execution: Any = self.execution
        if self.verb == "smooth" and not execution.engine.requires.smooths:
            raise SsmError(Diagnostic("E306", f"engine '{execution.engine.name}' filters alone",
                                      why=("it gives no law of a row given all data",),
                                      help=('smooth with engine="ekf"',)))  # fmt: skip
        self.general: NonlinearLowering = execution.general(self.setting.latent, self.setting.substeps)
        if execution.in_steps:
            self._about |= {"substeps": self.setting.substeps}

    def arrays(self, params: Mapping[str, Any], seed: int = 0, number: int = 0, paths: int = 0
               ) -> dict[str, np.ndarray]:  # fmt: skip
        """By name; `number` is that of the series among those asked for, `paths` how many are drawn."""
        return self._computed(params, seed, number, paths)[0]

    def judged(self, params: Mapping[str, Any], seed: int = 0, number: int = 0, paths: int = 0, *, surely: bool = False
               ) -> dict[str, np.ndarray]:  # fmt: skip
        """`arrays`, with a word where they are not to be trusted (W725): in some calls, or `surely`."""
        named, computed = self._computed(params, seed, number, paths)
        judge = getattr(self.execution, "judge", None)
        if judge is not None:
            judge.look(self.setting, floats(params), self.series, computed, self.bound, surely)
        return named

    def _computed(self, params: Mapping[str, Any], seed: int, number: int, paths: int
                  ) -> tuple[dict[str, np.ndarray], Any]:  # fmt: skip
        function = self._function
        engine: Any = self.execution.engine
        if paths > getattr(engine, "trajectories", paths):
            execution: Any = self.execution
            function = execution.compiled("smooth", self.setting, replace(engine, trajectories=paths))
        series = self.execution.seeded(self.series, seed, number)
        computed = function(floats(params), series)
        return self._named(computed, params) | label_probabilities(self, params, series), computed

    def _named(self, found: Any, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What was computed, on the host, in the rows asked for, definitions under their own names."""
        steps = self.bound.steps
        arrays = {k: np.asarray(v)[:steps] for k, v in found._asdict().items() if k not in APART and v is not None}
        for name, values in arrays.items():
            if np.isnan(values).any() and name in FIELDS:
                bad = np.isnan(values).reshape(len(values), -1).any(axis=1)
                row = self.bound.time.label(int(np.flatnonzero(bad)[0]))
                # Where the likelihood is a number the path was found, and it is a moment that is none.
                lost = np.isnan(arrays["log_likelihood"]).any()
                trouble = not_a_number(name, row, self.execution.engine if lost else None)
                raise SsmError(no_covariance(self.execution.model, params) or trouble)
        arrays = sound_variances(arrays, self.general.states, self.general.observations, self.bound.time.label,
                                 self.execution.engine)  # fmt: skip
        require_start(self.model, arrays["log_likelihood"], params)
        dead = death(arrays["log_likelihood"])
        if dead is not None and dies(self.execution.engine):
            raise SsmError(died(self.execution.engine, self.bound.time.label(dead)))
        if "ess" in arrays:
            own = arrays["ess"][-1:] if not dies(self.execution.engine) else arrays["ess"]
            warn_of_few(self.execution.engine, own, self.bound.time.label, stacklevel=6)
        arrays = {k: v[self.first :] for k, v in self._blanked(arrays).items() if k not in self._left_out}
        if self.first:
            arrays.pop("ess", None)
            arrays.pop("predicted_marks", None)
        arrays = named(self.general, arrays, params)
        if found.paths is not None:
            arrays["paths"] = np.asarray(found.paths)[:, :steps][:, self.first :]
        return arrays

    def _blanked(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """With NaN for observations that do not exist: those that reach before there is anything."""
        marks = self.general.emissions.lawless[: self.bound.steps]
        lawless = np.pad(marks, [(0, self.bound.steps - len(marks)), (0, 0)])
        return blanked(arrays, Absent(None, lawless if lawless.any() else None))

    def _made(self, arrays: Any, constant: Any, keep: Any, attrs: dict[str, Any]) -> Any:
        return dataset(self.model.spec, self.general, arrays, constant, self._time, keep, attrs)

    def at(self, params: Mapping[str, Any], keep: Any = "all", *, paths: int = 0, seed: int = 0, first: int = 0) -> Any:
        said = of_parameters(params)
        arrays = self.judged(params, seed, first // max(paths, 1), paths)
        drawn = arrays.pop("paths", None)
        found = self._labelled(arrays, self.execution.plain.at(params), keep, self._about | said)
        if drawn is not None:
            drawn = (drawn[:paths] if paths else drawn)[:, -found.sizes["time"] :]
            found = found.assign(paths=(("path", "time", "state"), drawn)).assign_coords(path=np.arange(len(drawn)))
        elif paths and hasattr(self.execution.engine, "paths"):
            numbers = np.arange(first, first + paths)
            keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(numbers)
            drawn = np.asarray(cast(Any, self.execution).paths(self.setting)(floats(params), self.series, keys))
            drawn = drawn[:, : self.bound.steps, : found.sizes["state"]]
            found = found.assign(paths=(("path", "time", "state"), drawn[:, -found.sizes["time"] :]))
            return found.assign_coords(path=np.arange(paths)).assign_attrs(seed=seed)
        elif paths:
            raise SsmError(Diagnostic("E306", f"engine '{self.execution.engine.name}' draws no paths",
                                      help=('engine="particle" does',)))  # fmt: skip
        return found.assign_attrs(seed=seed) if self.execution.engine.requires.random else found
