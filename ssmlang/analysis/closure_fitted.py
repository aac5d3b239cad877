"""A lift that does not close, in least squares: how far its functions one row on are from any combination of them.

Extended dynamic mode decomposition (Williams, Kevrekidis & Rowley 2015) over states that the model itself visits: K is
fitted to pairs (phi(x), phi(f(x))) on some simulated paths, without noise in the images, and its projection error is
measured on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.closure_numbers import DOUBLES, Points
from ssmlang.analysis.context import Context
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_points import prior_points
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key
from ssmlang.model.model import Lift

PATHS, ROWS = 12, 25
MEDIAN_OF = 99


@dataclass(frozen=True)
class Fitted:
    """`matrix` (n, n) of least squares; `errors` (n,): the rms error on held-out rows beside the function's own spread
    there; `pairs` it was fitted to."""

    matrix: np.ndarray
    errors: np.ndarray
    pairs: int


def fitted(context: Context, lift: Lift) -> Fitted | None:
    """The operator at the prior's medians, in discrete time; None where the paths have no values.

    Raises Unsupported.
    """
    outputs = Outputs(context.model, context.budget.check)
    if outputs.continuous:
        return None
    draws = context.draws(MEDIAN_OF)
    medians = {name: np.median([d[name] for d in draws], axis=0) for name in draws[0]}
    sides: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for path, point in enumerate(prior_points(context, outputs, PATHS)):
        points = Points(outputs.skeleton, medians, path)
        state = dict(point.state)
        for _ in range(ROWS):
            context.budget.check()
            after = points.after(state)
            here, there = (points.functions(lift.value, s) for s in (state, after))
            if not (np.isfinite(here).all() and np.isfinite(there).all()) or np.abs(there).max(initial=0) > 1e8:
                break
            sides[path % 3 == 2].append((here, there))
            state = _moved(outputs, points, state, after)
    train, held = sides
    if len(train) < 3 * lift.value.size or len(held) < lift.value.size:
        return None
    here, there = (np.array(side) for side in zip(*train))
    scale = np.maximum(np.linalg.norm(here, axis=0), 1e-300)
    solution, *_ = np.linalg.lstsq(here / scale, there, rcond=1e-12)
    matrix = (solution / scale[:, None]).T
    test_here, test_there = (np.array(side) for side in zip(*held))
    error = np.sqrt(np.mean((test_there - test_here @ matrix.T) ** 2, axis=0))
    spread, size = np.std(test_there, axis=0), np.sqrt(np.mean(test_there**2, axis=0))
    beside = np.where(spread > 1e-9 * size, spread, np.maximum(size, 1e-300))
    return Fitted(matrix, error / beside, len(train))


def _moved(outputs: Outputs, points: Points, state: dict[Key, float], after: dict[Key, float]) -> dict[Key, float]:
    """The next state with noise where an entry has Gaussian noise of its own: paths go where the model goes."""
    found = dict(after)
    for key in outputs.skeleton.entries:
        if key.sort != "state":
            continue
        try:
            own = outputs.scale(key, DOUBLES, state, points.outside)
        except Unsupported:
            continue
        if own is not None and own[0] == "Normal":
            found[key] = after[key] + dict(own[1])["scale"] * float(points.rng.standard_normal())
    return found


def spoken(found: Fitted, names: Sequence[str]) -> list[str]:
    """Errors and modes in words."""
    from ssmlang.analysis.stability_modes import figure, modes
    from ssmlang.analysis.stability_text import timescales

    share = lambda e: "0%" if e < 5e-6 else f"{100 * e:.2g}%" if e < 10 else "over 1000%"
    worst = sorted(range(len(names)), key=lambda i: -found.errors[i])[:5]
    errors = ", ".join(f"{names[i]} {share(found.errors[i])}" for i in worst)
    lines = [f"in least squares over {found.pairs} simulated rows at the prior's medians, the error on other rows, "
             f"beside each function's spread: {errors}"]  # fmt: skip
    if np.isfinite(found.matrix).all():
        own = modes(found.matrix)
        said = timescales(own)
        lines.append(f"of that K rho(K) = {figure(own[0].modulus)}" + (said and f": {said}"))
    return lines
