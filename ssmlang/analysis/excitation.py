"""What given data excite: the information that windows of rows hold about the state at their start, in numbers.

For windows of N rows, with R the covariance of the observations' own noise and F_t the transition,

    W(t, N) = sum_{k=t}^{t+N-1} Phi(k, t)' H_k' R^-1 H_k Phi(k, t),    Phi(k, t) = F_k ... F_{t+1},

data are persistently exciting if 0 < alpha I <= W(t, N) <= beta I for some N and all t (Anderson and Moore 1981, SIAM
J. Control Optim. 19). alpha, beta and N are said at the prior's median, for the first of N, 2 N, 4 N, ... rows whose
windows are well conditioned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.numeric import numeric_system
from ssmlang.analysis.observability_words import component, listed
from ssmlang.analysis.system import System, at_row
from ssmlang.analysis.values import Unreadable

PROPERTY = "excitation"
MOST_ROWS = 400
"""Rows of a data set that are looked at."""
MOST_WORK = 1e9
"""Multiplications for windows of one length; windows start at every row, or as often as that allows."""
NOTHING = 1e-10
"""An eigenvalue smaller than this, relative to the largest, is none."""
WELL = 1e-4
"""Windows grow until the smallest eigenvalue is this part of the largest, or to all rows."""
SHOWN = 0.1
"""Entries of a direction this large, relative to the largest, are named."""
SHOWN_OF_LOST = 1e-4
"""The same of a direction that is never excited, which is meant as it stands."""


@dataclass(frozen=True)
class Excited:
    """alpha and beta over windows of `rows`, and the least excited direction with the row where it is."""

    alpha: float
    beta: float
    rows: int
    direction: np.ndarray
    start: int
    full: bool
    every: int = 1
    """windows start at one row in so many"""


def check_excitation(context: Context, system: System) -> list[Finding]:
    """A finding for each block whose matrices move with the data, for the data set that excites it least."""
    found = []
    for block in system.blocks:
        if not (block.varying and block.n and block.m and context.data):
            continue
        try:
            context.budget.check()
            each = [excited(*window_terms(context, system, block, bound)) for bound in context.data]
        except (Unreadable, np.linalg.LinAlgError):
            continue
        worst, steps = min(zip(each, (bound.steps for bound in context.data)), key=_badness)
        found.append(_finding(context, block, worst, names(system, block, context), steps))
    return found


def _badness(one: tuple[Excited, int]) -> tuple[bool, float]:
    e, _ = one
    return e.full, e.alpha / e.beta if e.beta else 0.0


def window_terms(
    context: Context, system: System, block: System, bound: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:  # fmt: skip
    """F_k (n, n) and L_k (m, n), H_k whitened, without what is missing, of the rows of a data set."""
    draws = context.draws(50)
    point = {name: np.median([d[name] for d in draws], axis=0) for name in draws[0]}
    form = context.linear
    assert form is not None
    steps = min(bound.steps, MOST_ROWS)
    transitions, looks = [], []
    for t in range(steps):
        context.budget.check()

        def read(sort: str, name: str, lag: int, t: int = t) -> np.ndarray:
            series = bound.inputs if sort == "input" else bound.observations
            if name not in series:
                raise Unreadable(name)
            return np.nan_to_num(np.asarray(series[name][max(t - lag, 0)], float))

        own = numeric_system(form, point, t, read)
        F, H, _, M = own.companion
        places = _places(block, own.n, own.order)
        rows = list(block.members["y"]) if block.members else list(range(own.m))
        seen = [i for i in rows if not np.isnan(_observed(context, bound, t, i))]
        H, M = H[np.ix_(seen, places)], M[seen]
        transitions.append(F[np.ix_(places, places)])
        looks.append(_whitened(H, M @ M.T))
    return transitions, looks


def _places(block: System, n: int, order: int) -> list[int]:
    states = block.members["x"] if block.members else range(block.n)
    return [lag * n + i for lag in range(order) for i in states if lag < max(block.memory)]


def _observed(context: Context, bound: Any, t: int, entry: int) -> float:
    at = 0
    for name, y in context.model.observations.items():
        if entry < at + y.size:
            return float(np.asarray(bound.observations[name][t], float).reshape(-1)[entry - at])
        at += y.size
    raise IndexError(entry)


def _whitened(H: np.ndarray, R: np.ndarray) -> np.ndarray:
    """H in units of the noise; observations without noise of their own keep theirs."""
    values, vectors = np.linalg.eigh(R) if len(R) else (np.zeros(0), np.zeros((0, 0)))
    scale = np.where(values > 1e-12 * max(values.max(initial=0), 1e-300), 1 / np.sqrt(np.maximum(values, 1e-300)), 1.0)
    return (vectors * scale).T @ H


def excited(transitions: Sequence[np.ndarray], looks: Sequence[np.ndarray]) -> Excited:
    """alpha, beta and N of rows with these transitions and whitened observations."""
    steps, n = len(looks), transitions[0].shape[0]
    per_row = max(max((len(h) for h in looks), default=1), 1)
    rows = max(math.ceil(n / per_row), 1)
    while True:
        rows = min(rows, steps)
        found = _over(transitions, looks, rows)
        if found.alpha > WELL * found.beta or rows == steps:
            return found
        rows *= 2


def _over(transitions: Sequence[np.ndarray], looks: Sequence[np.ndarray], rows: int) -> Excited:
    steps, n = len(looks), transitions[0].shape[0]
    F, most = np.stack(transitions), max(len(h) for h in looks)
    H = np.stack([np.pad(h, ((0, most - len(h)), (0, 0))) for h in looks])
    every = math.ceil((steps - rows + 1) * rows * n**3 / MOST_WORK)
    starts = np.arange(0, steps - rows + 1, every)
    transfer, total = np.broadcast_to(np.eye(n), (len(starts), n, n)), np.zeros((len(starts), n, n))
    for k in range(rows):
        transfer = F[starts + k] @ transfer if k else transfer
        step = H[starts + k] @ transfer
        total = total + np.swapaxes(step, 1, 2) @ step
    values, vectors = np.linalg.eigh(total)
    least, beta = int(np.argmin(values[:, 0])), float(values[:, -1].max())
    alpha = float(values[least, 0])
    full = bool(alpha > NOTHING * beta)
    return Excited(alpha if full else 0.0, beta, rows, vectors[least, :, 0], int(starts[least]), full, every)


def names(system: System, block: System, context: Context) -> list[str]:
    """The entries of the windows' state in the order of `window_terms`."""
    deep = max(system.memory)
    return [block.states[i] if lag == 0 else at_row(block.states[i], lag)
            for lag in range(deep) for i in range(block.n) if lag < max(block.memory)]  # fmt: skip


def _finding(context: Context, block: System, e: Excited, names_: Sequence[str], steps: int) -> Finding:
    v = e.direction / e.direction[np.argmax(np.abs(e.direction))]
    least = SHOWN if e.full else SHOWN_OF_LOST
    kept = [i for i in range(min(len(v), len(names_))) if abs(v[i]) >= least]
    shown = f"({', '.join(names_[i] for i in kept)}) = ({', '.join(f'{v[i]:.3g}' for i in kept)})"
    last = e.start + e.rows - 1
    if e.full:
        everything = listed(list(block.states))
        reason = f"alpha = {e.alpha:.3g}, beta = {e.beta:.3g}, N = {e.rows}: {e.rows} rows tell all of {everything}"
        details = [f"least excited: {shown}, in rows {e.start} to {last}"]
        if steps > MOST_ROWS or e.every > 1:
            often = f" that start at every row in {e.every}" if e.every > 1 else ""
            details.append(f"of windows{often} within the first {min(steps, MOST_ROWS):,} of {steps:,} rows")
        return Finding(PROPERTY, "proved", reason, details=tuple(details))
    numbers = f"alpha = {e.alpha:.3g}, beta = {e.beta:.3g}, N = {e.rows}"
    one = block.states[kept[0]] if kept and kept[0] < block.n else block.states[0]
    return Finding(
        PROPERTY, "refuted", f"these {e.rows} rows never excite the direction {shown}", context.line_of(one),
        fix=f"use data in which what {component(one)} is multiplied by moves, or fix {component(one)}", code="W605",
        details=(f"{numbers}, all rows that are looked at: alpha is zero to rounding",),
        headline="the data cannot tell a direction of the state", label=f"{shown} is not excited", span_of=one,
    )  # fmt: skip
