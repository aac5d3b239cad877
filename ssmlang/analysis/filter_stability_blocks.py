"""A linear program at a point, in independent parts: states, observations and noises that share nothing with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.filter_stability_riccati import UNIT, Plant, undriven
from ssmlang.analysis.filter_stability_start import start_covariance
from ssmlang.analysis.numeric import NumericSystem, numeric_system
from ssmlang.model.components import connected
from ssmlang.model.linear import LinearForm

MAX_STATES = 400


@dataclass(frozen=True)
class Part:
    """One part: its matrices on its companion memory, its states of the present row first, and how it starts.

    `observations`: the places of its observations in y.
    """

    plant: Plant
    states: tuple[str, ...]
    start: np.ndarray | None
    observations: tuple[int, ...] = ()


def parts(form: LinearForm, names: Sequence[str], point: Mapping[str, np.ndarray]) -> list[Part] | None:
    """The parts that have a state, those of equal numbers once; None of a program too large for dense matrices.

    `names`: those of the entries of the state.
    """
    if form.stacking.n > MAX_STATES:
        return None
    system = numeric_system(form, point)
    L, n = system.companion[2], system.n
    scale = np.sqrt(np.maximum(np.diag(L @ L.T), 0))
    whole = start_covariance(form, system, point, np.maximum(scale, scale.max(initial=1.0)))
    found = _parts(names, system, whole, np.zeros((0, 0)))
    together = found if whole is None else _parts(names, system, whole, whole[:n, :n])
    if len(together) < len(found) and sum(any(abs(m.value) > 1 + UNIT for m in undriven(p.plant)) for p in found) > 1:
        found = together  # what grows by itself is learned but in directions in which the start is known
    each: dict[tuple[bytes, ...], Part] = {}
    for p in found:
        numbers = (p.plant.F, p.plant.H, p.plant.L, p.plant.M, np.zeros(0) if p.start is None else p.start)
        each.setdefault(tuple(a.tobytes() for a in numbers), p)
    return list(each.values())


def _parts(names: Sequence[str], system: NumericSystem, whole: np.ndarray | None, joined: np.ndarray) -> list[Part]:
    """The parts, those together whose states have an entry in `joined` (n, n)."""
    F, H, L, M = system.companion
    n, r, kept = system.n, system.r, system.order * system.n
    found: list[Part] = []
    for states, observations, noises in _components(system, joined):
        # A delay that nothing reads, and noises of the past that nothing reads, are no part of the memory.
        at = [k * n + i for k in range(system.order) for i in states]
        at += [k for k in range(kept, len(F)) if (k - kept) % r in noises] if r else []
        needed = [a for a in at if a < n or F[:, a].any() or H[:, a].any()]
        plant = Plant(F[np.ix_(needed, needed)], H[np.ix_(observations, needed)], L[np.ix_(needed, noises)],
                      M[np.ix_(observations, noises)])  # fmt: skip
        start = None if whole is None else whole[np.ix_(needed, needed)]
        if states:
            found.append(Part(plant, tuple(names[i] for i in states), start, tuple(observations)))
    return found


def _components(system: NumericSystem, joined: np.ndarray) -> list[tuple[list[int], list[int], list[int]]]:
    """Connected states, observations and noises."""
    n, m, r = system.n, system.m, system.r
    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    for part, a, b in ((system.A, 0, 0), (system.C, n, 0), (system.G, 0, n + m), (system.D, n, n + m)):
        for block in part.values():
            i, j = np.nonzero(block)
            rows.append(a + i)
            cols.append(b + j)
    i, j = np.nonzero(joined)
    rows, cols, size = [*rows, i], [*cols, j], n + m + r
    labels = connected(size, np.concatenate([np.zeros(0, int), *rows]), np.concatenate([np.zeros(0, int), *cols]))
    found = []
    for label in dict.fromkeys(labels[: n + m].tolist()):
        own = np.flatnonzero(labels == label)
        found.append(([int(i) for i in own if i < n], [int(i) - n for i in own if n <= i < n + m],
                      [int(i) - n - m for i in own if i >= n + m]))  # fmt: skip
    return found
