"""Frequencies at which what is observed has no power: where there is one, no filter forgets its start geometrically.

The algebraic Riccati equation of a detectable program has a stabilising solution iff the rows of

    [ I - w F   -L ]
    [    H       M ]

are linearly independent for every w on the unit circle (Molinari 1975, SIAM J. Control 13; Lancaster and Rodman,
Algebraic Riccati Equations, 1995, chapter 17). A combination of rows that vanishes at w is one of observations whose
spectrum is zero at the period of w: the settled filter's error has a mode on the circle, which the recursion reaches
more slowly than at any geometric rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from ssmlang.analysis.filter_stability_riccati import Plant, of_unity

GRID = 361
ZERO = 1e-10
"""A singular value below this, relative to the largest, is zero."""
APART = 1e-3
"""What the smallest singular value must reach elsewhere on the circle, relative to the largest, for a zero to be one of
the frequency and not of the program."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Silence:
    """`frequency`: e^(i a), 0 <= a <= pi, at which the observations in `shares` (those of the vanishing combination, by
    place in y) have no power."""

    frequency: complex
    shares: tuple[int, ...]


def silent(plant: Plant) -> list[Silence]:
    """The frequencies without power, each once; roots of one are found exactly."""
    angles = np.linspace(0, pi, GRID)
    rows = np.stack([_scaled(plant, a) for a in angles])
    if rows.shape[1] > rows.shape[2]:
        return []
    each = np.linalg.svd(rows, compute_uv=False)
    sizes = each[:, -1] / each[:, 0]
    if sizes.max() < APART:
        return []
    low = [k for k in range(GRID) if all(sizes[k] <= sizes[j] for j in (k - 1, k + 1) if 0 <= j < GRID)]
    found: list[Silence] = []
    for k in low:
        if sizes[k] > 0.1:
            continue
        angle = _least(plant, angles[max(k - 1, 0)], angles[min(k + 1, GRID - 1)])
        near = complex(np.exp(1j * angle))
        # A zero of multiplicity two is flat: its place is known to the root of rounding, and a root of one is meant.
        for value in (of_unity(near), near):
            if _smallest(plant, float(abs(np.angle(value)))) < ZERO:
                if not any(abs(value - s.frequency) < 1e-6 for s in found):
                    found.append(Silence(value, _shares(plant, value)))
                break
    return found


def _pencil(plant: Plant, angle: float) -> np.ndarray:
    w = np.exp(-1j * angle)
    return np.block([[np.eye(plant.size) - w * plant.F, -plant.L], [plant.H, plant.M]])


def _scaled(plant: Plant, angle: float) -> np.ndarray:
    """Rows of unit length: only whether they are independent matters."""
    rows = _pencil(plant, angle)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(sizes > 0, sizes, 1.0))


def _smallest(plant: Plant, angle: float) -> float:
    sizes = np.linalg.svd(_scaled(plant, angle), compute_uv=False)
    return float(sizes[-1] / sizes[0])


def _least(plant: Plant, low: float, high: float) -> float:
    """Where the smallest singular value is least, by golden sections."""
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    fa, fb = _smallest(plant, a), _smallest(plant, b)
    for _ in range(40):
        if fa <= fb:
            high, b, fb = b, a, fa
            a = high - GOLDEN * (high - low)
            fa = _smallest(plant, a)
        else:
            low, a, fa = a, b, fb
            b = low + GOLDEN * (high - low)
            fb = _smallest(plant, b)
    return (low + high) / 2


def _shares(plant: Plant, value: complex) -> tuple[int, ...]:
    rows = _scaled(plant, float(np.angle(value)))
    left = np.linalg.svd(rows)[0][:, -1].conj()
    own = np.abs(left[plant.size :])
    return tuple(int(i) for i in np.flatnonzero(own > 1e-6 * max(own.max(initial=0.0), 1e-300)))
