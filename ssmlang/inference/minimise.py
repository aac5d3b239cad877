"""Smooth minimisation: L-BFGS, then Newton's steps with a Hessian by differences of the gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.optimize
from threadpoolctl import threadpool_limits

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""A point to its value and gradient; neither need be finite."""

_NEWTON_STEPS = 8
_NEWTON_TOLERANCE = 1e-10


def descend(objective: Objective, start: np.ndarray, scale: np.ndarray) -> tuple[float, np.ndarray]:
    """A local minimum by L-BFGS on a scale where the entries have comparable spread."""
    worst = 0.0

    def scaled(u: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal worst
        value, gradient = objective(u * scale)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            # The line search turns back from a wall; an infinite value would break its interpolation.
            return worst + 1e4 * (1 + abs(worst)), np.zeros_like(u)
        worst = max(worst, value)
        return value, gradient * scale

    options = {"maxiter": 2000, "maxfun": 10000, "ftol": 1e-14, "gtol": 1e-8}
    # The search's own algebra is on a few numbers: threads of a library that share it wait for each other, on a busy
    # machine for a hundred times as long as it takes.
    with threadpool_limits(1, user_api="blas"):
        found = scipy.optimize.minimize(scaled, start / scale, jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), found.x * scale


def hessian_of(objective: Objective, z: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Central differences of the gradient: engines with a hand-written derivative have no second one to offer."""
    rows = []
    for i in free:
        h = 1e-5 * max(1.0, abs(z[i]))
        up, down = z.copy(), z.copy()
        up[i] += h
        down[i] -= h
        rows.append((objective(up)[1][free] - objective(down)[1][free]) / (up[i] - down[i]))
    hessian = np.array(rows).reshape(free.size, free.size)
    return 0.5 * (hessian + hessian.T)


def is_positive(hessian: np.ndarray) -> bool:
    """Whether it is positive definite, judged on the scale of its diagonal."""
    if not np.isfinite(hessian).all():
        return False
    d = np.sqrt(np.abs(np.diag(hessian)))
    if (d == 0).any():
        return False
    return hessian.size == 0 or bool(np.linalg.eigvalsh(hessian / np.outer(d, d)).min() > 1e-8)


def newton(objective: Objective, z: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Polish a minimum by Newton's steps; the point, half its Newton decrement, and the Hessian there."""
    value, gradient = objective(z)
    gain = np.inf
    for _ in range(_NEWTON_STEPS):
        hessian = hessian_of(objective, z, free)
        if free.size == 0:
            return z, 0.0, hessian
        if not is_positive(hessian):
            return z, float(np.abs(gradient[free]).max()), hessian
        step = np.zeros_like(z)
        step[free] = -np.linalg.solve(hessian, gradient[free])
        gain = float(-0.5 * step @ gradient)
        if gain < _NEWTON_TOLERANCE:
            return z, gain, hessian
        new_value, new_gradient = objective(z + step)
        if not new_value <= value + 1e-9 * (1 + abs(value)):
            return z, gain, hessian
        z, value, gradient = z + step, new_value, new_gradient
    return z, gain, hessian_of(objective, z, free)
