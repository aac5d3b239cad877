"""Filtered, smoothed and forecast moments of one series, made ready for any parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import jax.numpy as jnp
import numpy as np

from ssmlang.data import Bound, future_rows
from ssmlang.inference.no_start import no_start
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.contents import Contents
from ssmlang.results.labels import series as labelled_series
from ssmlang.results.moments import Series, Template
from ssmlang.results.moments import moments as labelled
from ssmlang.results.provenance import noted, of_parameters, plain, provenance
from ssmlang.running.blocks import assembled
from ssmlang.running.covariances import no_covariance
from ssmlang.running.definitions import definitions
from ssmlang.running.execution import Execution, floats, not_a_number, running, without_noise
from ssmlang.running.gaps import absent, blanked
from ssmlang.running.kept import Kept, keepable
from ssmlang.running.variances import COVARIANCES, sound_variances

if TYPE_CHECKING:
    import xarray as xr

    from ssmlang.compiled import Model

Arrays = dict[str, np.ndarray]
Verb = Literal["filter", "smooth", "forecast"]
Keep = Literal["all", "last"]


def ready(
    model: Model, execution: Execution, verb: Verb, bound: Bound, dtype: str, device: str | None, *, steps: int = 0,
    future: Any = None,
) -> Moments:  # fmt: skip
    """`Moments`, those of data bound lately made once; within `running(dtype, device)`."""
    home, name = execution.moments.split(":")
    make = lambda: getattr(import_module(home), name)(model, execution, verb, bound, steps=steps, future=future)
    if future is not None or not keepable([bound]):
        return make()
    return execution.kept.get(("moments", verb, bound, steps, dtype, device), make)


def datasets(
    model: Model, execution: Execution, verb: Verb, bounds: Sequence[Bound], params: Mapping[str, Any], dtype: str,
    device: str | None, *, keep: Keep = "all", paths: int = 0, seed: int = 0, steps: int = 0, future: Any = None,
) -> list[xr.Dataset]:  # fmt: skip
    """The Dataset of each series for checked parameters, with so many `paths` drawn for each."""
    with running(dtype, device):
        made = (ready(model, execution, verb, b, dtype, device, steps=steps, future=future) for b in bounds)
        return [one.at(params, keep, paths=paths, seed=seed, first=i * max(paths, 1)) for i, one in enumerate(made)]


def require_start(model: Model, terms: np.ndarray, params: Mapping[str, Any]) -> None:
    """Raise E452 where rows have density zero because the parameters allow no stationary law to start from.

    Moments mean nothing there. The likelihood itself is zero, and says so: a sampler goes on from it.
    """
    if terms.size and np.fmin.reduce(terms, axis=None) == -np.inf:
        trouble = no_start(model.spec, params)
        if trouble is not None:
            raise SsmError(trouble)


class Moments:
    """One verb on one series, made ready: `arrays` for any parameters, and the Dataset of such arrays."""

    def __init__(
        self, model: Model, execution: Execution, verb: Verb, bound: Bound, *, steps: int = 0, future: Any = None
    ) -> None:
        self.model, self.execution, self.verb = model, execution, verb
        ahead = verb == "forecast"
        self.first = bound.steps if ahead else 0
        self.bound = extended(model, bound, steps, future) if ahead else bound
        self.setting = execution.setting([self.bound], ahead=ahead)
        self.series = execution.single(self.bound)
        self._function: Any = execution.compiled("smooth" if verb == "smooth" else "filter", self.setting)
        self._time = replace(self.bound.time, index=self.bound.time.index[self.first :])
        self._left_out = ("predicted_mean", "predicted_cov", "log_likelihood") if ahead else ()
        about = provenance(model=model.name, source=model.source_text, engine=execution.engine.name, verb=verb,
                           **noted([bound]))  # fmt: skip
        self._about = {**about, **execution.remarks}
        self._templates = Kept(4)
        self._lasting: Callable[..., Any] | None = None
        self._met: tuple[Contents | None, dict[str, Any] | None] = None, None
        self._prepare()

    def _prepare(self) -> None:
        """What this kind of execution needs besides."""
        execution = self.execution
        self.lowering = execution.lowering(self.setting.latent, True)
        self._blocks = execution.blocks(self.lowering)
        self._absent = absent(self.lowering, self.bound)
        self._observations = self.lowering.observations
        # In the coordinates of a lift the states and definitions are the execution's own.
        self._states = self.lowering.states[: sum(v.size for v in execution.model.states.values())]

    def arrays(self, params: Mapping[str, Any]) -> Arrays:
        """Moments by name, of the model's own states and observations; definitions as NAME and NAME_sd.

        Raises E721 where a moment is not a number, E726 where a variance is lost to rounding.
        """
        return self._cut(self._fetched(self._run(params), params), params)

    def _run(self, params: Mapping[str, Any]) -> Any:
        """What is computed for parameters: begun, and not waited for."""
        given = self._given(params)
        if self._lasting is None:
            found = self._function(given, self.series)
            # The shapes are always these: which program they run need not be found out any more, once that is settled.
            self._lasting = self._function.lasting(given, self.series)
            return found
        return self._lasting(given, self.series)

    def _given(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as arrays; on the device, where they are those of the last call."""
        contents = getattr(params, "contents", None)
        met, held = self._met
        if contents is None or contents != met:
            self._met = contents, None
            return floats(params)
        if held is None:
            held = {name: jnp.array(value) for name, value in params.items()}
            self._met = contents, held
        return held

    def _fetched(self, found: Any, params: Mapping[str, Any]) -> Arrays:
        """What was computed, on the host and in the series' own rows."""
        steps = self.bound.steps
        if self._blocks is not None:
            arrays = assembled(self._blocks, found, steps)
        else:
            arrays = {name: np.asarray(v)[:steps] for name, v in found._asdict().items() if v is not None}
        below = []  # where the least entry of a covariance is not negative, no variance is
        for name, values in arrays.items():
            least = float(np.minimum.reduce(values, axis=None)) if values.size else 0.0
            if least < 0 and name in COVARIANCES:
                below.append(name)
            if math.isnan(least):
                bad = np.isnan(values).reshape(len(values), -1).any(axis=1)
                engine = self.execution.engine  # whose log-likelihoods are those of another one, if it needs noise
                if engine.requires.process_noise and np.isfinite(arrays["log_likelihood"]).all():
                    raise SsmError(without_noise(engine))
                row = self.bound.time.label(int(np.flatnonzero(bad)[0]))
                raise SsmError(no_covariance(self.execution.model, params) or not_a_number(name, row, engine))
        if below:
            label, engine = self.bound.time.label, self.execution.engine
            arrays = sound_variances(arrays, self._states, self._observations, label, engine, below)
        return blanked(arrays, self._absent)

    def _cut(self, found: Arrays, params: Mapping[str, Any]) -> Arrays:
        """The model's own entries in the rows asked for, and its definitions. Raises E452 where there is no start."""
        require_start(self.model, found["log_likelihood"], params)
        kept = {}
        for name, values in found.items():
            if name in self._left_out:
                continue
            size = len(self._observations) if name.startswith("observed") else len(self._states)
            if values.ndim > 1 and values.shape[1] != size:
                values = values[:, :size] if values.ndim == 2 else values[:, :size, :size]
            kept[name] = values[self.first :] if self.first else values
        for name, let in definitions(self.execution.model, self.lowering, found, self.bound, params).items():
            kept[name] = let.mean[self.first :]
            if let.sd is not None:
                kept[f"{name}_sd"] = let.sd[self.first :]
        return kept

    def dataset(self, arrays: Mapping[str, np.ndarray], *, keep: Keep = "all", **attrs: Any) -> xr.Dataset:
        """The labelled Dataset of `arrays`."""
        return self._labelled(arrays, {}, keep, self._about | plain(attrs))

    def _labelled(
        self, arrays: Mapping[str, np.ndarray], constant: Mapping[str, np.ndarray], keep: Keep, attrs: dict[str, Any]
    ) -> xr.Dataset:
        """Moments, and definitions without a row, under their labels; labels of the same shapes are made once."""
        if keep == "all":
            both = {**arrays, **constant}
            shapes = tuple((name, values.shape) for name, values in both.items())
            template = self._templates.get(shapes, lambda: Template.of(self._made(arrays, constant, keep, {}), both))
            if template is not None:
                return template.dataset(both, attrs)
        return self._made(arrays, constant, keep, attrs)

    def _made(self, arrays: Any, constant: Any, keep: Keep, attrs: dict[str, Any]) -> xr.Dataset:
        known = self.execution.model.definitions
        lets = {n: Series(arrays[n], d.axes, arrays.get(f"{n}_sd")) for n, d in known.items() if n in arrays}
        made = labelled(arrays, states=self._states, observations=self._observations, time=self._time,
                        definitions=lets, attrs=attrs, keep=keep)  # fmt: skip
        for name, value in constant.items():
            made[name] = labelled_series(name, value, known[name].shape, known[name].axes, lead=())
        return made

    def at(self, params: Mapping[str, Any], keep: Keep = "all", *, paths: int = 0, seed: int = 0, first: int = 0
           ) -> xr.Dataset:  # fmt: skip
        """The Dataset for these parameters, with so many `paths` drawn, of which `first` is the first one's number."""
        started = self._run(params)
        # What the computation need not be waited for.
        said = of_parameters(params)
        constant = self.execution.plain.at(params)
        arrays = self._cut(self._fetched(started, params), params)
        found = self._labelled(arrays, constant, keep, self._about | said)
        if paths:
            from ssmlang.running.paths import with_paths

            found = with_paths(found, self, arrays, [(params, paths)], seed, first)
        return found


def extended(model: Model, bound: Bound, steps: int, future: Any) -> Bound:
    """A series with the rows to forecast: their inputs given, their observations missing unless known already."""
    coming = future_rows(model.spec, bound, steps, future)
    join = lambda a, b: {n: np.concatenate([a[n], b[n]]) for n in a}
    time = type(bound.time)(bound.time.index.append(coming.time.index), bound.time.step)
    return replace(bound, steps=bound.steps + steps, observations=join(bound.observations, coming.observations),
                   inputs=join(bound.inputs, coming.inputs), time=time)  # fmt: skip
