"""Filtering row by row: what is known after each row, in constant time and memory, saved and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from ssmlang.engines import engine_class
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.source import Source
from ssmlang.results import containers
from ssmlang.results.provenance import provenance
from ssmlang.running.execution import running
from ssmlang.running.moments import require_start
from ssmlang.running.rows import At, Moments, Stepping
from ssmlang.running.stepping import stepper

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
    _stepper: Stepping
    _at: At
    _taken: Moments | None
    dtype: str = "float64"
    device: str | None = None

    def __repr__(self) -> str:
        after = "before any row" if self.t < 0 else f"after row {self.t}"
        known = [f"{name} = {mean:.4g} +- {sd:.2g}" for name, mean, sd in
                 zip(self._stepper.states, self.mean.values, self.sd.values) if not np.isnan(mean)]  # fmt: skip
        for name, p in self.probability.items():
            if p.ndim == 1:
                best = p[int(np.nan_to_num(p.values).argmax())]
                known.append(f"{name} = {best[best.dims[0]].item() if best.dims else best.coords[p.dims[0]].item()} "
                             f"({float(best):.2g})")  # fmt: skip
        return (f"<ssmlang stream of {self.model.name} {after}: {', '.join(known)}; "
                f"log-likelihood {self.log_likelihood:.6g}>")  # fmt: skip

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._stepper.engine.name

    @cached_property
    def _moments(self) -> Moments:
        """Those of the row taken in last; before any, of row 0, NaN where its law waits for inputs of that row.

        Raises E452 where the parameters allow no stationary start.
        """
        if self._taken is not None:
            return self._taken
        require_start(self.model, np.array([-np.inf]), self.params)
        with running(self.dtype, self.device):
            return _frozen(self._stepper.before(self.params, self._at))

    @cached_property
    def row(self) -> xr.Dataset:
        """What `filter` gives of the row taken in last, without its time: moments, probabilities, definitions."""
        return self._stepper.dataset(self._moments, self.t)

    @property
    def probability(self) -> dict[str, xr.DataArray]:
        """Of each discrete state, given the rows so far, by name."""
        names = [f"{n}_probability" for n in self.model.spec.states if f"{n}_probability" in self._moments]
        return {name.removesuffix("_probability"): self.row[name] for name in names}

    @property
    def mean(self) -> xr.DataArray:
        """(state): of x_t given the rows so far; before any, of x_0. NaN where a state has no value yet."""
        return self._labelled("mean")

    @property
    def cov(self) -> xr.DataArray:
        """(state, state_): of x_t given the rows so far; variance inf where a state is still diffuse."""
        return self._labelled("cov")

    @property
    def sd(self) -> xr.DataArray:
        """(state): the root of the diagonal of `cov`."""
        if "cov" not in self._moments:
            return self._labelled("sd")
        return self._labelled("sd", np.sqrt(np.maximum(np.diagonal(self._moments["cov"]), 0.0)))

    @property
    def observed_mean(self) -> xr.DataArray:
        """(obs): of the observations of row t given the rows before it; NaN before any row."""
        return self._labelled("observed_mean")

    @property
    def observed_cov(self) -> xr.DataArray:
        """(obs, obs_): of the observations of row t given the rows before it, noise included."""
        return self._labelled("observed_cov")

    def _labelled(self, name: str, values: np.ndarray | None = None) -> xr.DataArray:
        seen = name.startswith("observed")
        dim, labels = ("obs", self._stepper.observations) if seen else ("state", self._stepper.states)
        if values is None:
            # States with labels, and what is too large to be held, have no numbers.
            shape = (len(labels),) * (2 if name.endswith("cov") else 1)
            values = self._moments[name] if name in self._moments else np.full(shape, np.nan)
        dims = (dim, dim + "_")[: values.ndim]
        return xr.DataArray(values, dims=dims, coords={d: (d, np.asarray(labels, object)) for d in dims}, name=name)

    # ----------------------------------------------------------------------------------------------- one row more

    def step(self, row: Mapping[str, Any]) -> Stream:
        """What is known after one more row, a dict by name; observations that are absent or NaN are missing.

        Raises E402 to E405 and E415 for a row that is none of the model's, E407, E413 and E205 where the row needs what
        it lacks, E452 where the parameters allow no stationary start, E721 where a number is none. Warns W724 where few
        particles have the weight of the row. The stream itself stays as it was.
        """
        s, t = self._stepper, self.t + 1
        values = s.reader.read(row)
        with running(self.dtype, self.device):
            at, moments = s.step(self.params, self._at, values, t)
        if t == 0 and not bool(at.exists):
            require_start(self.model, moments["log_likelihood"], self.params)
        total = self.log_likelihood + float(moments["log_likelihood"])
        return Stream(self.model, self.params, t, total, s, at, _frozen(moments), self.dtype, self.device)

    # ------------------------------------------------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write the stream, its model and its parameters to a NetCDF file that `ssmlang.load` reads. Raises E705."""
        containers.save(self._tree(), path)

    def __reduce__(self) -> Any:
        from ssmlang.running.saved import restored

        return restored, (self._tree(),)

    def _tree(self) -> xr.DataTree:
        at = self._at
        leaves = [] if at.carried is None else jax.tree.leaves(at.carried)
        arrays = {f"carried_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        arrays |= {f"moment_{name}": value for name, value in (self._taken or {}).items()}
        arrays |= {f"window_{sort}_{name}": value for (sort, name), value in at.windows.items()}
        arrays |= {f"param_{name}": np.asarray(value, float) for name, value in self.params.items()}
        arrays["log_likelihood"] = np.asarray(self.log_likelihood)
        kept = {name: a for name, a in arrays.items() if a.size}
        variables = {name: (tuple(f"{name}_{i}" for i in range(a.ndim)), a) for name, a in kept.items()}
        lists = lambda values: {k: None if v is None else np.asarray(v).tolist() for k, v in values.items()}
        shapes = {name: list(value.shape) for name, value in (self._taken or {}).items()}
        attrs = provenance(
            model=self.model.name, source=self.model.source_text, engine=self.engine, kind=KIND, t=self.t,
            model_text=self.model.portable_text, constants=lists(self.model.constants),
            augment=lists(self.model.augment), dtype=self.dtype, exists=int(bool(at.exists)),
            leaves=len(leaves), options=asdict(self._stepper.engine),  # type: ignore[call-overload]
            latent=list(at.latent), substeps=at.substeps, seed=at.seed, moments=shapes,
        )  # fmt: skip
        return containers.make_tree({KIND: xr.Dataset(variables)}, attrs)


def initial_state(
    model: Model, params: Mapping[str, Any], engine: Any, seed: int, dtype: str, device: str | None
) -> Stream:
    """A stream before any row, of an engine that takes rows one at a time."""
    from ssmlang.analysis.choice import Task
    from ssmlang.running.execution import on_gpu

    if device is None and on_gpu(None):
        device = "cpu"  # a row at a time has too little to do for a GPU
    values = model.params_of(params)
    execution = model.execution(engine, Task("step", 1, dtype, on_gpu(device)))
    made = stepper(execution)
    kept = _frozen({name: np.asarray(value, float) for name, value in values.items()})
    return Stream(model, kept, -1, 0.0, made, made.begun(seed), None, dtype, device)


def step(model: Model, state: Any, row: Any) -> Stream:
    """`Stream.step`, of a stream of this model. Raises E451 for another."""
    stream = require_stream(state)
    trouble = other_model(stream, model)
    if trouble is not None:
        raise SsmError(trouble)
    return stream.step(row)


def _frozen(arrays: Mapping[str, np.ndarray]) -> Moments:
    """Copies that cannot be written to."""
    found = {name: np.array(value) for name, value in arrays.items()}
    for value in found.values():
        value.flags.writeable = False
    return found


def load_stream(tree: xr.DataTree, path: Path, compile_source: Callable[..., Model]) -> Stream:
    """The stream that `Stream.save` wrote: it goes on with the same numbers."""
    attrs, data = dict(tree.attrs), containers.group(tree, KIND)
    model = compile_source(
        Source(str(path), str(attrs["model_text"])), name=str(attrs["model"]),
        constants=json.loads(attrs["constants"]) or None, augment=json.loads(attrs["augment"]) or None,
    )  # fmt: skip
    engine = engine_class(str(attrs["engine"]))(**json.loads(str(attrs["options"])))
    params = {n: np.asarray(data[f"param_{n}"].values, float) for n in model.priors.parameters}
    dtype, t = str(attrs["dtype"]), int(attrs["t"])
    start = initial_state(model, params, engine, int(attrs["seed"]), dtype, None)
    if t < 0:
        return start
    made = start._stepper
    at = start._at._replace(latent=tuple(json.loads(str(attrs["latent"]))), substeps=int(attrs["substeps"]),
                            exists=bool(int(attrs["exists"])))  # fmt: skip
    with running(dtype):
        shapes, structure = jax.tree.flatten(made.template(start.params, at))
        if len(shapes) != int(attrs["leaves"]):  # the flat part is spent
            shapes, structure = jax.tree.flatten((made.template(start.params, at)[0], None))
        stored = [_stored(data, f"carried_{i}", s.shape, s.dtype) for i, s in enumerate(shapes)]
        carried = jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in stored])
    windows = {key: data[f"window_{key[0]}_{key[1]}"].values for key in start._at.windows}
    for w in windows.values():
        w.flags.writeable = False
    sizes = json.loads(str(attrs["moments"]))
    moments = _frozen({name: _stored(data, f"moment_{name}", tuple(size), None) for name, size in sizes.items()})
    return Stream(model, start.params, t, float(data["log_likelihood"]), made,
                  at._replace(windows=windows, carried=carried), moments, dtype, None)  # fmt: skip


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
