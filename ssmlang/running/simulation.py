"""`model.simulate`: draws of states, observations and definitions as a Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ssmlang.data import Bound, TimeBase, bind
from ssmlang.inference.parameters import validate
from ssmlang.inference.simulate import Simulator
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.results.provenance import noted, provenance
from ssmlang.results.simulation import simulation
from ssmlang.running.execution import on_gpu, running
from ssmlang.running.placing import SIMULATED

if TYPE_CHECKING:
    import xarray as xr

    from ssmlang.compiled import Model


def simulate(
    model: Model,
    simulator: Simulator,
    steps: int | None,
    params: Mapping[str, Any] | None,
    *,
    draws: int,
    future: Any,
    init: Mapping[str, Any] | None,
    time: Any,
    seed: int,
    dtype: str,
    device: str | None,
) -> xr.Dataset:
    """Draw from a model; see `Model.simulate`. Raises E412, E44x, E450."""
    rows = _inputs(model, steps, future, time)
    if model.spec.missing_constants:
        raise SsmError([Diagnostic("E307", f"constant `{n}` has no value", help=(
            f"give it: compile(..., constants={{{n!r}: ...}}), or --const {n}=...",)) for n in
            model.spec.missing_constants])  # fmt: skip
    if device is None and draws < SIMULATED and on_gpu(None):
        device = "cpu"
    with running("float64", device):
        key = jax.random.key(seed)
        values = _parameters(model, params or {}, draws, key)
        # Folding in a number below `draws` would give a key of the split that the parameters are drawn with.
        paths = simulator.run(
            jax.random.fold_in(key, draws), rows.steps, values, inputs=rows.inputs, init=init, draws=draws
        )
    spec = model.spec
    names = (*spec.states, *spec.observations, *spec.definitions, *spec.parameters)
    # Copies, for JAX's own arrays are read-only, and who simulates data may want to strike some out.
    paths = {n: np.array(paths[n]) for n in names if n in paths}
    if dtype == "float32":
        paths = {n: v.astype(np.float32) if v.dtype == np.float64 else v for n, v in paths.items()}
    single = {n: values[n][0] if draws == 1 else values[n] for n in spec.parameters if n in values}
    attrs = provenance(model=model.name, source=model.source_text, verb="simulate", seed=seed, **noted([rows]))
    inputs = {n: v for n, v in rows.inputs.items() if not (rows.derived_dt and n == "dt")}
    return simulation(spec, paths, time=rows.time, inputs=inputs, params=single, attrs=attrs)


def _inputs(model: Model, steps: int | None, future: Any, time: Any) -> Bound:
    """The rows to draw, with their inputs."""
    names = [n for n in model.spec.inputs if n != "dt"]
    if future is None:
        if model.spec.inputs:
            wanted = ", ".join(f"`{n}`" for n in names or model.spec.inputs)
            one = len(names or model.spec.inputs) == 1
            rows = "every row" if steps is None else f"{steps} rows"
            help = (f"give `future=` a table with {'it' if one else 'them'} for {rows} (on the command line --future)",)
            message = f"the rows need the model's input{'' if one else 's'} {wanted}"
            raise SsmError(Diagnostic("E412", message, help=help))
        if steps is None:
            help = ("simulate(steps=100), or --steps 100",)
            raise SsmError(Diagnostic("E450", "how many rows are to be drawn?", help=help))
        return Bound(steps, {}, {}, TimeBase.rows(steps))
    (bound,) = bind(model.spec, future, time=time, observations=False)
    count = bound.steps if steps is None else steps
    if count > bound.steps:
        message = f"`future=` has {bound.steps} rows, and {count} are asked for"
        raise SsmError(Diagnostic("E412", message, help=("give a row of inputs for every row asked for",)))
    cut = {n: v[:count] for n, v in bound.inputs.items()}
    times = TimeBase(bound.time.index[:count], bound.time.step)
    return Bound(count, {}, cut, times, bound.notes, bound.derived_dt)


def _parameters(model: Model, params: Mapping[str, Any], draws: int, key: jax.Array) -> dict[str, np.ndarray]:
    """(draws, *shape) of every parameter: as given, or from its prior. An augmented one may be given too."""
    moving = {n for n, p in model.spec.parameters.items() if p.augment}
    given = validate(model.spec, model.priors, {n: v for n, v in params.items() if n not in moving}, partial=True)
    starts = {n: np.asarray(v, float) for n, v in params.items() if n in moving}
    for name, value in starts.items():
        if value.shape != model.spec.parameters[name].shape:
            shape = model.spec.parameters[name].shape
            raise SsmError(Diagnostic("E443", f"the value of '{name}' has shape {value.shape}, not {shape}",
                                      model.spec.parameters[name].span, "declared here"))  # fmt: skip
    fixed = {n: np.broadcast_to(v, (draws, *np.shape(v))) for n, v in {**given, **starts}.items()}
    if set(model.priors.parameters) <= set(given):
        return fixed
    drawn = model.priors.sample(key, draws, given=given)
    return {**{n: np.asarray(v) for n, v in drawn.items()}, **fixed}
