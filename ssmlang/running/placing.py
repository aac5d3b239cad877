"""Where a call computes, and so what it asks of an engine.

`device="cpu"` and `"gpu"` are done as they say. Where nothing is said and JAX would compute on a GPU, a call goes to
the CPU beside it unless the GPU is expected to be quicker: what goes row by row with little to do in each launches some
kernels a row there, of microseconds each, and takes up to hundreds of times as long (docs/gpu.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ssmlang.analysis.advice import unfit
from ssmlang.analysis.choice import Task, Verb
from ssmlang.analysis.costs import PARTICLES, PARTS, seconds
from ssmlang.analysis.general import entries_read_back, lost, read_back
from ssmlang.model.solved_noises import solved
from ssmlang.running.execution import on_gpu
from ssmlang.running.kept import Kept, keepable

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.data import Bound
    from ssmlang.running.execution import Execution

GPU_CALL = 2e-3
"""Seconds of a likelihood on a GPU, however little there is to do (measured on an H100, as what follows)."""
GPU_ROW = {"parallel": 0.0, "batch": 0.0, "wiener_hopf": 2e-6, "kalman": 2e-5, "square_root": 2e-5, "particle": 4e-5,
           "rao_blackwell": 4e-5}  # fmt: skip
"""Seconds that each row adds to it, for the engines that can fill a GPU: the first three take all rows at once, or a
row with all rows before it, the others all members of a panel or all particles. What they cost on a CPU is that of
`analysis.costs`."""
AHEAD, LEAST = 20_000, 50
"""Paths of a forecast from known states over all draws of the parameters, and for each."""
SIMULATED = 1_000
"""So many draws and more are simulated on a GPU."""


def task_of(model: Model, choice: Callable[[str, Task], str], verb: Verb, engine: Any, bounds: Sequence[Bound],
            dtype: str, device: str | None, *, ahead: int = 0, method: str = "nuts", movable: bool = True
            ) -> Task:  # fmt: skip
    """What a verb asks of an engine for these data, and the device. `choice`: the engine that a task gets; not
    `movable`: what is computed is part of a program that a device has been chosen for."""
    steps = max((b.steps for b in bounds), default=0) + ahead
    spec = solved(model.spec)
    names = read_back(spec)
    unseen = any(lost(spec, n, b.observations[n]) for n in names for b in bounds)
    gap = unseen and any(_gap(b.observations[n], entries_read_back(spec, n)) for n in names for b in bounds)
    task = Task(verb, steps, dtype, on_gpu(device), method, unseen or bool(names and ahead), gap, device)
    name = engine if isinstance(engine, str) else getattr(engine, "name", None)
    if not movable or device is not None or not task.gpu or not isinstance(name, str):
        return task
    here = replace(task, gpu=False, device="cpu")
    many = getattr(engine, "particles", None)
    quicker = gpu_is_quicker(model, choice(name, task), choice(name, here), steps, len(bounds), many)
    return task if quicker else here


def placed(model: Model, verb: Verb, engine: Any, bounds: Sequence[Bound], dtype: str, device: str | None, *,
           ahead: int = 0) -> tuple[Execution, str | None]:  # fmt: skip
    """What runs a verb on these data, and the device; for data bound lately they are not asked for again."""

    def found() -> tuple[Execution, str | None]:
        task = task_of(model, model._choice, verb, engine, bounds, dtype, device, ahead=ahead)
        return model.execution(engine, task), task.device

    if not isinstance(engine, str) or not keepable(bounds):
        return found()
    here = jax.config.jax_default_device  # type: ignore[attr-defined]
    kept: Kept = vars(model).setdefault("_placed", Kept())
    return kept.get((verb, engine, tuple(bounds), dtype, device, ahead, here), found)


def able_ahead(model: Model, runner: Execution, bound: Bound, steps: int, laws: int) -> Execution:
    """What forecasts for a fit by a mixture of so many laws: its own engine, or, where that needs as a number what rows
    to come read of each other, the one that `auto` takes for a forecast. From states that are known paths are drawn."""
    from ssmlang.engines._ahead import Ahead

    spec = solved(model.spec)
    names = read_back(spec)
    task = Task("forecast", unseen=bool(names))
    if unfit(runner.engine.name, task, model.spec) is None:
        return runner
    if not runner.engine.requires.unmoved:
        return model.execution("auto", task)
    rows = np.stack([np.isnan(v).reshape(bound.steps, -1).all(axis=1) for v in bound.observations.values()])
    read = [bound.observations[n].reshape(bound.steps, -1)[:, entries_read_back(spec, n)] for n in names]
    lacking = np.stack([np.isnan(v).any(axis=1) for v in read])
    seen = int(np.flatnonzero(~rows.all(axis=0))[-1]) + 1
    known = int(np.flatnonzero(np.append(lacking.any(axis=0), True))[0])
    back = max(0, seen - known)
    return model.execution(Ahead(bound.steps + steps - seen + back, back, max(LEAST, -(-AHEAD // laws))))


def gpu_is_quicker(model: Model, there: str, here: str, rows: int, series: int = 1, particles: int | None = None
                   ) -> bool:  # fmt: skip
    """Whether a GPU is expected to take less time by the engine `there` than the CPU by the engine `here`."""
    if there not in GPU_ROW:
        return False
    cpu = seconds(here, model._sizes, rows)
    if cpu is None:
        return False
    usual = {"particle": PARTICLES, "rao_blackwell": PARTS}.get(here)
    more = particles / usual if particles is not None and usual else 1.0
    return series * more * cpu > GPU_CALL + rows * GPU_ROW[there]


def _gap(values: np.ndarray, entries: np.ndarray) -> bool:
    """Whether some of these entries are missing in a row before the last that has anything of them."""
    missing = np.isnan(values).reshape(len(values), -1)[:, entries]
    rows = np.flatnonzero(~missing.all(axis=1))
    return bool(len(rows)) and bool(missing[: rows[-1]].any())
