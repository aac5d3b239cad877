"""Filtering row by row: what is known after each row, in constant time and memory, saved and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from ssmlang.engines.online import Carried, settled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.source import Source
from ssmlang.results import containers
from ssmlang.results.provenance import provenance
from ssmlang.running.execution import floats, running
from ssmlang.running.stepping import Stepper, Windows, stepper

if TYPE_CHECKING:
    from ssmlang.compiled import Model

KIND = "stream"
"""The attribute `kind` of a file that holds a stream."""


@dataclass(frozen=True, eq=False, repr=False)
class Stream:
    """What is known of the states after some rows. Nothing of it changes: a step makes another.

    `t` is the row taken in last, -1 before any; `log_likelihood` the sum over the rows so far. `mean`, `cov` and, of
    the row's observations before they were seen, `observed_mean` and `observed_cov` bear the names of the model file.
    """

    model: Model
    params: Mapping[str, np.ndarray]
    t: int
    log_likelihood: float
    _stepper: Stepper
    _carried: Carried | None
    _exists: Any
    _windows: Windows
    _given: Any
    """the parameters, and the program's arrays with what is the same in every row, where they are computed with"""
    _taken: Mapping[str, np.ndarray] | None
    dtype: str = "float64"
    device: str | None = None

    def __repr__(self) -> str:
        after = "before any row" if self.t < 0 else f"after row {self.t}"
        known = ", ".join(
            f"{name} = {mean:.4g} +- {sd:.2g}" for name, mean, sd in zip(self._states, self.mean.values, self.sd.values)
        )
        return f"<ssmlang stream of {self.model.name} {after}: {known}; log-likelihood {self.log_likelihood:.6g}>"

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._stepper.engine.name

    @cached_property
    def _moments(self) -> Mapping[str, np.ndarray]:
        """Those of the row taken in last; before any, of row 0, NaN where its law waits for inputs of that row."""
        if self._taken is not None:
            return self._taken
        s = self._stepper
        with running(self.dtype, self.device):
            _, _, *law = s.start(floats(self.params), self._windows)
        mean, cov = (np.asarray(a) + (np.nan if s.one_row.start_reads else 0.0) for a in law)
        m = s.lowering.m
        none = {"observed_mean": np.full(m, np.nan), "observed_cov": np.full((m, m), np.nan)}
        return _own({"mean": mean, "cov": cov, **none}, s, 0)

    @property
    def _states(self) -> list[str]:
        return self._stepper.lowering.states[: self._stepper.own]

    @property
    def mean(self) -> xr.DataArray:
        """(state): of x_t given the rows so far; before any, of x_0. NaN where a state has no value yet."""
        return self._labelled("mean", self._moments["mean"])

    @property
    def cov(self) -> xr.DataArray:
        """(state, state_): of x_t given the rows so far; variance inf where a state is still diffuse."""
        return self._labelled("cov", self._moments["cov"])

    @property
    def sd(self) -> xr.DataArray:
        """(state): the root of the diagonal of `cov`."""
        sd = np.sqrt(np.maximum(np.diagonal(self._moments["cov"]), 0.0))
        return self._labelled("sd", sd)

    @property
    def observed_mean(self) -> xr.DataArray:
        """(obs): of the observations of row t given the rows before it; NaN before any row."""
        return self._labelled("observed_mean", self._moments["observed_mean"])

    @property
    def observed_cov(self) -> xr.DataArray:
        """(obs, obs_): of the observations of row t given the rows before it, noise included."""
        return self._labelled("observed_cov", self._moments["observed_cov"])

    def _labelled(self, name: str, values: np.ndarray) -> xr.DataArray:
        seen = name.startswith("observed")
        dim, labels = ("obs", self._stepper.lowering.observations) if seen else ("state", self._states)
        dims = (dim, dim + "_")[: values.ndim]
        return xr.DataArray(values, dims=dims, coords={d: (d, np.asarray(labels, object)) for d in dims}, name=name)

    # ----------------------------------------------------------------------------------------------- one row more

    def step(self, row: Mapping[str, Any]) -> Stream:
        """What is known after one more row, a dict by name; observations that are absent or NaN are missing.

        Raises E402 to E405 and E415 for a row that is none of the model's, E407, E413 and E205 where the row needs what
        it lacks, E721 where a number is none. The stream itself stays as it was.
        """
        s, t = self._stepper, self.t + 1
        values = s.reader.read(row)
        y, windows = s.data(values, t), s.moved(self._windows, values)
        with running(self.dtype, self.device):
            if t == 0:
                params = floats(self.params)
                found = s.first(params, windows, y)
                given = params, found.fixed
            else:
                given = self._given or _given(s, self.params)
                found = s.next(*given, windows, np.asarray(t), y, self._carried, self._exists)
            s.check(found, values, windows, t)
            carried = settled(found.carried)
        moments = {name: np.asarray(v) for name, v in found.taken._asdict().items()}
        total = self.log_likelihood + float(moments.pop("log_likelihood"))
        return Stream(self.model, self.params, t, total, s, carried, found.exists, windows, given,
                      _own(moments, s, t), self.dtype, self.device)  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the stream, its model and its parameters to a NetCDF file that `ssmlang.load` reads. Raises E705."""
        leaves = [] if self._carried is None else jax.tree.leaves(self._carried)
        arrays = {f"carried_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        arrays |= {f"moment_{name}": value for name, value in (self._taken or {}).items()}
        arrays |= {f"window_{sort}_{name}": value for (sort, name), value in self._windows.items()}
        arrays |= {f"param_{name}": np.asarray(value, float) for name, value in self.params.items()}
        arrays["log_likelihood"] = np.asarray(self.log_likelihood)
        kept = {name: a for name, a in arrays.items() if a.size}
        variables = {name: (tuple(f"{name}_{i}" for i in range(a.ndim)), a) for name, a in kept.items()}
        lists = lambda values: {k: None if v is None else np.asarray(v).tolist() for k, v in values.items()}
        attrs = provenance(
            model=self.model.name, source=self.model.source_text, engine=self.engine, kind=KIND, t=self.t,
            model_text=self.model.portable_text, constants=lists(self.model.constants),
            augment=lists(self.model.augment), dtype=self.dtype, exists=int(bool(self._exists)),
            flat=int(self._carried is not None and self._carried[1] is not None),
        )  # fmt: skip
        containers.save(containers.make_tree({KIND: xr.Dataset(variables)}, attrs), path)


def initial_state(model: Model, params: Mapping[str, Any], engine: Any, dtype: str, device: str | None) -> Stream:
    """A stream before any row, of an engine that takes rows one at a time."""
    from ssmlang.analysis.choice import Task
    from ssmlang.running.execution import on_gpu

    values = model.params_of(params)
    execution = model.execution(engine, Task("filter", 1, dtype, on_gpu(device)))
    return begin(model, stepper(execution), values, dtype, device)


def step(model: Model, state: Any, row: Any) -> Stream:
    """`Stream.step`, of a stream of this model. Raises E451 for another."""
    stream = require_stream(state)
    trouble = other_model(stream, model)
    if trouble is not None:
        raise SsmError(trouble)
    return stream.step(row)


def begin(model: Model, made: Stepper, params: Mapping[str, Any], dtype: str, device: str | None) -> Stream:
    """A stream before any row."""
    kept = {name: _frozen(np.asarray(value, float)) for name, value in params.items()}
    windows = {key: _frozen(w) for key, w in made.empty().items()}
    return Stream(model, kept, -1, 0.0, made, None, True, windows, None, None, dtype, device)


def _given(made: Stepper, params: Mapping[str, Any]) -> tuple[Any, Any]:
    values = floats(params)
    return values, made.fixed(values)


def _own(moments: dict[str, np.ndarray], made: Stepper, t: int) -> dict[str, np.ndarray]:
    """Moments of the model's own states and observations in row t, NaN where there is none."""
    found = {}
    for side, none in (("", made.absent(t)), ("observed_", made.unexpected(t))):
        n = len(none)
        found[f"{side}mean"] = _frozen(np.where(none, np.nan, moments[f"{side}mean"][:n]))
        found[f"{side}cov"] = _frozen(np.where(none[:, None] | none, np.nan, moments[f"{side}cov"][:n, :n]))
    return found


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array


def load_stream(tree: xr.DataTree, path: Path, compile_source: Callable[..., Model]) -> Stream:
    """The stream that `Stream.save` wrote: it goes on with the same numbers."""
    attrs, data = dict(tree.attrs), containers.group(tree, KIND)
    model = compile_source(
        Source(str(path), str(attrs["model_text"])), name=str(attrs["model"]),
        constants=json.loads(attrs["constants"]) or None, augment=json.loads(attrs["augment"]) or None,
    )  # fmt: skip
    made = stepper(model.execution(str(attrs["engine"])))
    dtype, t = str(attrs["dtype"]), int(attrs["t"])
    params = {n: np.asarray(data[f"param_{n}"].values, float) for n in model.priors.parameters}
    start = begin(model, made, params, dtype, None)
    if t < 0:
        return start
    with running(dtype):
        template = made.template()
        template = template if int(attrs["flat"]) else (template[0], None)
        shapes, structure = jax.tree.flatten(template)
        stored = [_stored(data, f"carried_{i}", s.shape, s.dtype) for i, s in enumerate(shapes)]
        carried = jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in stored])
        given = _given(made, params)
    windows = {key: _frozen(data[f"window_{key[0]}_{key[1]}"].values) for key in made.empty()}
    n, m = made.own, made.lowering.m
    shape = {"mean": (n,), "cov": (n, n), "observed_mean": (m,), "observed_cov": (m, m)}
    moments = {name: _frozen(_stored(data, f"moment_{name}", size, dtype)) for name, size in shape.items()}
    return Stream(model, start.params, t, float(data["log_likelihood"]), made, carried, bool(int(attrs["exists"])),
                  windows, given, moments, dtype, None)  # fmt: skip


def _stored(data: xr.Dataset, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of the file; those without entries are not in it."""
    return np.asarray(data[name].values, dtype) if name in data else np.zeros(shape, dtype)


def other_model(state: Stream, model: Model) -> Diagnostic | None:
    """E451, if a stream is not one of this model."""
    same = lambda a, b: a.portable_text == b.portable_text and a.constants == b.constants and a.augment == b.augment
    if state.model is model or same(state.model, model):
        return None
    return Diagnostic("E451", f"the state is a stream of another model, `{state.model.name}`",
                      help=("make one of this model: `model.initial_state(params)`",))  # fmt: skip


def require_stream(state: Any) -> Stream:
    """Raise E451 for what is no stream."""
    if not isinstance(state, Stream):
        raise SsmError(Diagnostic("E451", f"a value of type `{type(state).__name__}` is no stream",
                                  help=("`state = model.initial_state(params)` makes one",)))  # fmt: skip
    return state
