"""Shifts and scalings that nothing notices, found in double precision where residues do not reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ssmlang.analysis.lie_directions import Direction, whole
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_points import Point, seen_at
from ssmlang.analysis.lie_rank import CLEAR

POINTS = 5


def named_numerically(outputs: Outputs, points: list[Point]) -> list[Direction]:
    """Directions common to several prior draws whose entries are small whole numbers; a witness must still confirm."""
    shifts: list[np.ndarray] = []
    scalings: list[np.ndarray] = []
    for point in points:
        found = seen_at(outputs, point, most=len(outputs.keys) + 2)
        if found is None or not found.gradients.size:
            continue
        state = np.array([point.state[k] for k in outputs.keys])
        for into, gradients in ((shifts, found.gradients), (scalings, found.gradients * state)):
            size = np.linalg.norm(gradients, axis=1, keepdims=True)
            into.append(gradients[size[:, 0] > 0] / size[size[:, 0] > 0])
        if len(shifts) == POINTS:
            break
    return [Direction(kind, v) for kind, stacked in (("shift", shifts), ("scaling", scalings)) if stacked
            for v in _whole_null(np.vstack(stacked))]  # fmt: skip


def _whole_null(matrix: np.ndarray) -> list[tuple[int, ...]]:
    """Null vectors with small whole entries, from the reduced echelon form of the null space."""
    if not matrix.size:
        return []
    _, s, vt = np.linalg.svd(matrix)
    rank = int((s > CLEAR * s[0]).sum())
    null = vt[rank:].copy()
    row = 0
    for column in range(null.shape[1]):
        if row == len(null):
            break
        pick = row + int(np.argmax(np.abs(null[row:, column])))
        if abs(null[pick, column]) < 1e-6:
            continue
        null[[row, pick]] = null[[pick, row]]
        null[row] /= null[row, column]
        others = np.arange(len(null)) != row
        null[others] -= null[others, column][:, None] * null[row]
        row += 1
    found = []
    for vector in null:
        fractions = [Fraction(float(v)).limit_denominator(12) for v in vector]
        if all(abs(float(f) - v) < 1e-6 for f, v in zip(fractions, vector)) and any(fractions):
            found.append(whole(fractions))
    return found
