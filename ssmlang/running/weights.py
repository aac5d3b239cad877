"""`model.weights`: what an estimate makes of each observation, as the optimal control of the dual equation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from ssmlang.data import Bound
from ssmlang.engines.dual import Control, Dual, Given
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.results.control_plot import Weights
from ssmlang.results.provenance import noted, provenance
from ssmlang.running.execution import Execution, Setting, floats, not_a_number, running

if TYPE_CHECKING:
    from ssmlang.compiled import Model


def weights(
    model: Model, execution: Execution, bound: Bound, params: Mapping[str, Any], row: Any, of: Any, given: Given,
    dtype: str, device: str | None,
) -> Weights:  # fmt: skip
    """The weights of one estimate; see `Model.weights`."""
    at = _row(row, bound)
    setting = execution.setting([bound])
    # The program in one piece, also where it falls into parts.
    lowering = execution.lowering(setting.latent, True)
    names = lowering.states
    entry = _entry(of, names)
    with running(dtype, device):
        series = execution.single(bound)
        control = _compiled(execution, lowering, setting, given)
        found: Control = control(floats(params), series, at, jnp.eye(len(names))[entry])
    arrays = {k: np.asarray(v) for k, v in found._asdict().items()}
    if np.isnan(arrays["variance"]) or np.isnan(arrays["u"]).any():
        lost = not_a_number("the estimate", str(bound.time.label(at)))
        why = ("the iterations of the dual filter did not converge", *lost.why)
        raise SsmError(replace(lost, why=why, help=("engine='batch' or 'kalman' give the estimate", *lost.help)))
    time = bound.time.coordinate()
    cut = lambda name: arrays[name][: bound.steps]
    return Weights(xr.Dataset(
        {
            "weight": (("time", "obs"), -cut("u")),
            "dual": (("time", "state"), cut("eta")),
            "momentum": (("time", "state"), cut("mu")),
        },
        coords={"time": time, "obs": lowering.observations, "state": names},
        attrs=provenance(
            model=model.name, source=model.source_text, engine="dual", verb="weights",
            params={k: np.asarray(v).tolist() for k, v in params.items()}, **noted([bound]),
        ) | {
            "of": names[entry], "row": at, "given": given, "estimate": float(arrays["estimate"]),
            "variance": float(arrays["variance"]), "excess": float(arrays["excess"]),
            "iterations": int(arrays["iterations"]),
        },
    ))  # fmt: skip


def _compiled(execution: Execution, lowering: GaussianLowering, setting: Setting, given: Given) -> Any:
    """The control as a function of (params, series, row, functional), compiled and kept."""
    engine = execution.engine if isinstance(execution.engine, Dual) else Dual()
    key = ("weights", engine, setting, given)
    if key not in execution._compiled:

        def control(params: Any, series: Any, row: Any, functional: Any) -> Control:
            steps = int(next(iter(series["observations"].values())).shape[0])
            program, y = lowering.program(params, series["observations"], series["inputs"], steps)
            return engine.control(program, y, row, functional, given)

        execution._compiled[key] = quickly_compiled(control, execution.work)
    return execution._compiled[key]


def _row(row: Any, bound: Bound) -> int:
    """A row of the series, counted from its end where negative. Raises E450."""
    last = bound.steps - 1
    if row is None:
        return last
    if isinstance(row, Integral) and not isinstance(row, bool) and -bound.steps <= int(row) <= last:
        return int(row) % bound.steps
    raise SsmError(Diagnostic("E450", f"row={row!r} is none of the rows 0 to {last}", help=("-1 is the last",)))


def _entry(of: Any, names: list[str]) -> int:
    """The place of a state's entry; the first where none is named. Raises E451."""
    if of is None:
        return 0
    if of in names:
        return names.index(of)
    close = suggest(str(of), names)
    help = (f"did you mean '{close}'?",) if close else (f"one of {', '.join(names)}",)
    raise SsmError(Diagnostic("E451", f"of={of!r} is no entry of a state", help=help))
