"""A linear program at a point, in independent parts: states, observations and noises that share nothing with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.filter_stability_riccati import Plant
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
    F, H, L, M = system.companion
    n, r, kept = system.n, system.r, system.order * system.n
    scale = np.sqrt(np.maximum(np.diag(L @ L.T), 0))
    whole = start_covariance(form, system, point, np.maximum(scale, scale.max(initial=1.0)))
    found: list[Part] = []
    seen: set[tuple[bytes, ...]] = set()
    for states, observations, noises in _components(system):
        # A delay that nothing reads, and noises of the past that nothing reads, are no part of the memory.
        at = [k * n + i for k in range(system.order) for i in states]
        at += [k for k in range(kept, len(F)) if (k - kept) % r in noises] if r else []
        needed = [a for a in at if a < n or F[:, a].any() or H[:, a].any()]
        plant = Plant(F[np.ix_(needed, needed)], H[np.ix_(observations, needed)], L[np.ix_(needed, noises)],
                      M[np.ix_(observations, noises)])  # fmt: skip
        start = None if whole is None else whole[np.ix_(needed, needed)]
        own = np.zeros(0) if start is None else start
        key = tuple(a.tobytes() for a in (plant.F, plant.H, plant.L, plant.M, own))
        if states and key not in seen:
            seen.add(key)
            found.append(Part(plant, tuple(names[i] for i in states), start, tuple(observations)))
    return found


def _components(system: NumericSystem) -> list[tuple[list[int], list[int], list[int]]]:
    """Connected states, observations and noises."""
    n, m, r = system.n, system.m, system.r
    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    for part, a, b in ((system.A, 0, 0), (system.C, n, 0), (system.G, 0, n + m), (system.D, n, n + m)):
        for block in part.values():
            i, j = np.nonzero(block)
            rows.append(a + i)
            cols.append(b + j)
    size = n + m + r
    labels = connected(size, np.concatenate([np.zeros(0, int), *rows]), np.concatenate([np.zeros(0, int), *cols]))
    found = []
    for label in dict.fromkeys(labels[: n + m].tolist()):
        own = np.flatnonzero(labels == label)
        found.append(([int(i) for i in own if i < n], [int(i) - n for i in own if n <= i < n + m],
                      [int(i) - n - m for i in own if i >= n + m]))  # fmt: skip
    return found
