"""Runs the engine `discrete` on a model and data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ssmlang.data import Bound, check_inputs
from ssmlang.engines.base import Engine, Known
from ssmlang.engines.discrete import ChainsFiltered
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.chain_moments import Definitions, Observed, state_moments, state_probabilities
from ssmlang.lowering.discrete import ChainLowering
from ssmlang.model import expr
from ssmlang.model.chains import ChainForm, chain_form
from ssmlang.model.model import Model, nodes_of
from ssmlang.results.chains import chain_dataset
from ssmlang.results.labels import entry_names
from ssmlang.results.mixture import PATH
from ssmlang.results.provenance import of_parameters
from ssmlang.running.execution import Params, Series, Setting, What, floats, not_a_number, padded_length, steps_of
from ssmlang.running.kept import Kept
from ssmlang.running.label_laws import label_probabilities
from ssmlang.running.moments import Moments
from ssmlang.running.per_series import PerSeries

if TYPE_CHECKING:
    from ssmlang.compiled import Model as Compiled


class ChainExecution(PerSeries):
    """The functions of one model of discrete states, compiled when first used."""

    moments: ClassVar[str] = "ssmlang.running.chains:chain_moments"

    def __init__(self, model: Model, engine: Engine) -> None:
        self.model, self.engine = model, engine
        form = chain_form(model)
        if not isinstance(form, ChainForm):
            raise SsmError([o.diagnostic(engine.name) for o in form])
        self.form: Any = form
        self.chains = ChainLowering(model, form)
        self._compiled = {}
        self.kept = Kept()

    @cached_property
    def wide(self) -> ChainLowering:
        """The chains with as many rows remembered as definitions read; without, where these would be too many."""
        form = chain_form(self.model, definitions=True)
        return ChainLowering(self.model, form) if isinstance(form, ChainForm) else self.chains

    @property
    def small(self) -> bool:
        return all(g.memory.size * g.memory.row_size <= 16 for g in self.chains.groups)

    # --------------------------------------------------------------------------------------------------- data

    def setting(self, bounds: Sequence[Bound], *, ahead: bool = False) -> Setting:
        if ahead:
            self._check_feedback()
        return Setting((), Known())

    def series(self, bounds: Sequence[Bound], seed: int = 0) -> tuple[Series, ...]:
        del seed  # probabilities are exact
        groups: dict[int, list[Bound]] = {}
        for b in bounds:
            self._check_rows(b)
            self._check_gaps(b)
            groups.setdefault(padded_length(b.steps), []).append(b)
        return tuple(
            {**self._stacked(group, length), "rows": {"count": np.array([b.steps for b in group])}}
            for length, group in groups.items()
        )

    @cached_property
    def _read(self) -> dict[tuple[str, str, int], Any]:
        """(sort, name, lag) of inputs and observations that an equation reads, with where."""
        return {n.attrs: n.span for e in self.model.equations for n in expr.walk(nodes_of(e))
                if n.op == "ref" and n.attrs[0] in ("input", "obs")}  # fmt: skip

    def fed_back(self, latent: Sequence[str] = ()) -> tuple[str, str, int] | None:
        """An observation of an earlier row that equations read, and that is no part of the state: coming rows cannot
        read it."""
        held = self._as_state(latent)
        return next((r for r in self._read if r[0] == "obs" and r[2] and r not in held), None)

    def _check_feedback(self, latent: Sequence[str] = ()) -> None:
        """E413: coming rows read observations that are still to come."""
        read = self.fed_back(latent)
        if read is not None:
            message = f"`{read[1]}` is read at a later row, and engine '{self.engine.name}' needs it as a number there"
            raise SsmError(Diagnostic("E413", message, self._read[read], "is still to come in a forecast",
                                      help=("model.simulate goes on from the data",)))  # fmt: skip

    def linear(self, latent: Sequence[str]) -> Any:
        """What runs the model with observations as part of a real state, where they are read linearly; else None."""
        from ssmlang.engines.imm import IMM
        from ssmlang.model.switching import SwitchingForm, switching_form
        from ssmlang.running.switching import SwitchingExecution

        kept = self.__dict__.setdefault("_linear", {})
        key = tuple(latent)
        if key not in kept:
            form = switching_form(self.model, key)
            fits = isinstance(form, SwitchingForm) and set(key) <= set(form.linear.stacking.latent)
            engine: Any = IMM()
            kept[key] = SwitchingExecution(self.model, engine) if fits else None
        return kept[key]

    def _check_gaps(self, bound: Bound) -> None:
        """E407 for an input, E413 for an observation, that is missing where an equation needs it as a number."""
        gaps = {("input", n): v for n, v in bound.inputs.items()} | {("obs", n): v for n, v in
                                                                     bound.observations.items()}  # fmt: skip
        held = self._as_state(self.setting([bound]).latent)
        reads = [r for r in self._read if np.isnan(gaps[r[:2]]).any() and r not in held]
        if not reads:
            return
        params: Any = {n: jnp.full(p.shape, 0.5) for n, p in self.model.parameters.items()}
        with jax.enable_x64(True):
            seen: Any = bound.observations
            given: Any = bound.inputs
            fill = lambda data: {n: np.nan_to_num(v, nan=1.0) for n, v in data.items()}
            bad = self._undefined(params, seen, given, bound)
            # What has no value for another reason than what is missing is no matter of the data.
            bad &= ~self._undefined(params, fill(seen), fill(given), bound)
        needed = {n: np.zeros(bound.steps, bool) for n in bound.inputs}
        for sort, name, lag in reads:
            missing = np.isnan(gaps[sort, name]).reshape(bound.steps, -1).any(axis=1)
            hit = np.zeros(bound.steps, bool)
            hit[: bound.steps - lag] = bad[lag:]
            hit &= missing
            if sort == "input":
                needed[name] |= hit
            elif hit.any():
                span = self._read[sort, name, lag]
                imm = self.engine.name == "discrete" and self.linear([name]) is not None
                help = 'engine="imm" takes it as part of a real state' if imm else (
                    "fill it in, or leave what reads it missing too")  # fmt: skip
                row = bound.time.label(int(np.flatnonzero(hit)[0]))
                raise SsmError(Diagnostic("E413", f"`{name}` is missing at {row}, and is needed as a number", span,
                                          "is read here", help=(help,)))  # fmt: skip
        check_inputs(bound, needed, self.model.inputs)

    def _as_state(self, latent: Sequence[str]) -> list[tuple[str, str, int]]:
        """Reads of observations that are part of a state."""
        del latent
        return []

    def _undefined(self, params: Params, seen: Any, given: Any, bound: Bound) -> np.ndarray:
        return self.chains.undefined(params, seen, given, bound.steps)

    # ---------------------------------------------------------------------------------------------- functions

    def _lowering_for(self, setting: Setting) -> Any:
        return self.chains

    def _whole(self, setting: Setting) -> Any:
        """The lowering that knows all that is told."""
        return self.wide

    def key(self, setting: Setting) -> Hashable:
        return (self.engine.for_data(setting.known),)

    def _told(self, what: What, setting: Setting, engine: Engine | None) -> Callable[[Params, Series], dict[str, Any]]:
        """Probabilities, moments and definitions by name."""
        lowering, own, smooth = self._whole(setting), engine or self.engine, what == "smooth"

        def told(params: Params, series: Series) -> dict[str, Any]:
            data = (series["observations"], series["inputs"])
            program, y = lowering.program(params, *data, steps_of(series))
            found: Any
            if smooth:
                found = own.smooth(program, y, series["rows"]["count"] - 1)  # type: ignore[call-arg]
            else:
                found = own.filter(program, y)
            return self.told_by(lowering, params, data, found)

        return told

    def _cumulative(self, setting: Setting) -> Callable[[Params, Series, Array, Any], Array]:
        def found(params: Params, series: Series, values: Array, first: Any) -> Array:
            data = (series["observations"], series["inputs"])
            program, y = self.wide.program(params, *data, steps_of(series))
            ahead = rows_from(self.engine.filter(program, y).predicted, first, len(values))  # type: ignore[attr-defined]
            return self._by_moments[0].cumulative(params, *data, ahead, values, first)

        return found

    @cached_property
    def _by_moments(self) -> tuple[Observed, Definitions]:
        return Observed(self.wide), Definitions(self.wide)

    def told_by(self, lowering: Any, params: Params, data: tuple[Any, Any], found: Any, first: Any = 0
                ) -> dict[str, Any]:  # fmt: skip
        """What the engine finds of rows from `first` on, by name; `data`: observations and inputs."""
        observed, lets = self._by_moments
        smooth = not isinstance(found, ChainsFiltered)
        now, ahead = (found.smoothed, found.smoothed) if smooth else (found.filtered, found.predicted)
        out: dict[str, Any] = {"log_likelihood": found.log_likelihood}
        if not smooth:
            out |= {f"{n}_predicted_probability": p for n, p in state_probabilities(lowering, ahead).items()}
        out |= {f"{n}_probability": p for n, p in state_probabilities(lowering, now).items()}
        if any(s.values is not None and s.values.axis is None for s in self.model.states.values()):
            out["mean"], out["cov"] = state_moments(lowering, now)
            if not smooth:
                out["predicted_mean"], out["predicted_cov"] = state_moments(lowering, ahead)
        out["observed_mean"], out["observed_cov"] = observed.moments(params, *data, ahead, not smooth, first)
        for name, (mean, sd) in lets.moments(params, *data, now, first).items():
            out[name], out[f"{name}_sd"] = mean, sd
        if smooth:
            out |= {f"{PATH}{n}": p for n, p in _paths(lowering, found.path).items()}
        return out


def rows_from(probabilities: Sequence[Array], first: Any, count: int) -> list[Array]:
    """So many rows of (B, T, N) probabilities from `first` on."""
    return [jax.lax.dynamic_slice_in_dim(p, first, count, 1) for p in probabilities]


def _paths(lowering: ChainLowering, found: Sequence[Array]) -> dict[str, Array]:
    """For each state the values of row t, as numbers or positions, (T, size)."""
    steps, form = found[0].shape[1], lowering.form
    whole = jnp.zeros((steps, form.n), int)
    for own, path in zip(lowering.groups, found):
        if own.entries.shape[1]:
            at = own.entries.astype(np.int32)
            table = jnp.asarray(lowering.memories[0][: own.memory.size][:, own.entries])  # (N, B, V)
            whole = whole.at[:, at].set(table[path.T, np.arange(len(at))[None, :]])
    return {s.name: whole[:, form.first[s.name] : form.first[s.name] + s.size]
            for s in lowering.model.states.values()}  # fmt: skip


def chain_moments(model: Compiled, execution: ChainExecution, verb: Literal["filter", "smooth", "forecast"],
                  bound: Bound, *, steps: int = 0, future: Any = None) -> Moments:  # fmt: skip
    """`ChainMoments`; but a forecast that reads observations still to come has them as part of a real state."""
    read = execution.fed_back() if verb == "forecast" else None
    if read is not None:
        other = execution.linear([read[1]])
        if other is not None and other.fed_back((read[1],)) is None:
            from ssmlang.running.switching import SwitchingMoments

            made = SwitchingMoments(model, other, verb, bound, steps=steps, future=future)
            made.note = f"imm, for {read[1]} is read at a later row and still to come"
            return made
    return ChainMoments(model, execution, verb, bound, steps=steps, future=future)


class ChainMoments(Moments):
    """One verb on one series by the engine `discrete`, made ready for any parameters."""

    note = ""
    """why another engine than the one asked for"""

    def _prepare(self) -> None:
        self.own: Any = self.execution
        self.chain_form = self.own.form

    def arrays(self, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What was computed, on the host, in the rows asked for. Raises E721 where a probability is not a number."""
        found = self._function(floats(params), self.series)
        out = {}
        for name, value in found.items():
            values = np.asarray(value)[: self.bound.steps]
            if name.endswith("_probability") or name == "log_likelihood":
                bad = np.isnan(values).reshape(len(values), -1).any(axis=1)
                if bad.any():
                    raise SsmError(not_a_number(name, self.bound.time.label(int(np.flatnonzero(bad)[0]))))
            out[name] = values[self.first :]
        if np.isneginf(out["log_likelihood"]).any():
            row = self.bound.time.label(self.first + int(np.flatnonzero(np.isneginf(out["log_likelihood"]))[0]))
            raise SsmError(impossible(row))
        if self.first:
            for name in [n for n in out if n == "log_likelihood" or "predicted" in n]:
                out.pop(name)
        return self._blanked(out | label_probabilities(self, params))

    def _blanked(self, out: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NaN where a state has no value in the first rows."""
        absent = self.own.form.absent
        absent = absent[self.first : self.first + len(self._time)]
        if not absent.any():
            return out
        for s in self.model.spec.states.values():
            first = self.own.form.first[s.name]
            mark = absent[:, first : first + s.size]
            for name in (f"{s.name}_probability", f"{s.name}_predicted_probability", f"{PATH}{s.name}"):
                if name in out:
                    values = out[name].astype(float)
                    values[: len(mark)][mark] = np.nan
                    out[name] = values
        return out

    def dataset(self, arrays: Mapping[str, np.ndarray], *, keep: Any = "all", **attrs: Any) -> xr.Dataset:
        return self._labelled(arrays, {}, keep, self._about | attrs)

    def _labelled(self, arrays: Mapping[str, np.ndarray], constant: Mapping[str, np.ndarray], keep: Any,
                  attrs: dict[str, Any]) -> xr.Dataset:  # fmt: skip
        return chain_dataset(self.model.spec, arrays, constant, time=self._time, attrs=attrs, keep=keep)

    def at(self, params: Mapping[str, Any], keep: Any = "all", *, paths: int = 0, seed: int = 0, first: int = 0
           ) -> xr.Dataset:  # fmt: skip
        said = of_parameters(params)
        found = self._labelled(self.arrays(params), self.execution.plain.at(params), keep, self._about | said)
        if paths:
            drawn = self.draws([(params, paths)], seed, first)[:, -found.sizes["time"] :]
            found = found.assign(paths=(("path", "time", "state"), drawn))
            names: Any = np.array(entry_names(self.model.spec.states), object)
            found = found.assign_coords(path=np.arange(paths), state=("state", names)).assign_attrs(seed=seed)
        return found

    def draws(self, wanted: Sequence[tuple[Mapping[str, Any], int]], seed: int, first: int = 0) -> np.ndarray:
        """Paths (path, T, n) of all state entries drawn given the data, as numbers or positions of labels."""
        execution, engine = self.own, self.own.engine
        kept = execution.__dict__.setdefault("_paths", {})
        if "draw" not in kept:
            def draw(params: Params, series: Series, keys: Array) -> Array:
                lowering = execution.chains
                data = (series["observations"], series["inputs"])
                program, _ = lowering.program(params, *data, steps_of(series))
                drawn = engine.draw_paths(program, keys)  # type: ignore[attr-defined]
                none = jnp.zeros((steps_of(series), 0))
                one = lambda each: jnp.concatenate([none, *_paths(lowering, each).values()], axis=1)
                return jax.vmap(one)(drawn)

            kept["draw"] = quickly_compiled(draw, execution.work)
        out = []
        for params, count in wanted:
            keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(np.arange(first, first + count))
            out.append(np.asarray(kept["draw"](floats(params), self.series, keys))[:, : self.bound.steps])
            first += count
        return np.concatenate(out).astype(float)


def impossible(row: str) -> Diagnostic:
    return Diagnostic("E721", f"the log-likelihood is minus infinity at {row}",
                      why=("what was seen there cannot be, with these parameters and what was seen before",),
                      help=("look at probabilities that are exactly zero, and at the values of this row",))  # fmt: skip
