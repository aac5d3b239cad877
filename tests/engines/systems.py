"""The three systems of Kudre, Chang & Mehta (2026), arXiv 2604.03909: one state, one observation, long memories.

Tracking follows its first value; oscillating has order two and flips its sign; cumulative fractional reads its whole
past with weights that decay like a power, seen through a moving gain. Rows before row 0 do not exist.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.engines import LinearGaussian

from .programs import make

NAMES = ("tracking", "oscillating", "fractional")


def system(name: str, steps: int, q: float = 0.1, r: float = 0.5) -> LinearGaussian:
    """q, r: variances of the process and of the observations."""
    H = np.ones((1, 1, 1))
    if name == "tracking":
        F = np.zeros((steps, steps - 1, 1, 1))
        for t in range(1, steps):
            F[t, 0] += 0.8
            F[t, t - 1] += 0.2
    elif name == "oscillating":
        rho, angle = 0.95, np.pi / 6
        F = np.array([-2 * rho * np.cos(angle), -(rho**2)]).reshape(2, 1, 1)
    else:
        order = 0.6
        weights = [order]
        for k in range(steps - 2):
            weights.append(weights[-1] * (k + 1 - order) / (k + 2))
        F = np.array(weights).reshape(-1, 1, 1)
        H = np.cos(np.pi / 10 * np.arange(steps)).reshape(steps, 1, 1, 1)
    G, J = np.array([[[np.sqrt(q), 0.0]]]), np.array([[[0.0, np.sqrt(r)]]])
    first = np.arange(F.shape[-3]) == 0
    program = make(F, G, H, J, mean=first * 1.0, factor=first[:, None] * 1.0)
    return replace(program, structure=replace(program.structure, past_rows=0))


def system_data(steps: int) -> np.ndarray:
    t = np.arange(steps)
    return (1 + 0.5 * np.sin(0.7 * t) + 0.3 * np.cos(1.9 * t) + 0.2 * (-1.0) ** t)[:, None]
