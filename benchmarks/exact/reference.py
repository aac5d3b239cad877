"""What the contestants' numbers are checked against: the textbook recursions in NumPy, complex numbers allowed."""

from __future__ import annotations

import numpy as np

from benchmarks.exact.problems import Arrays

NAMES = ("F", "H", "Q", "R")
STEP = 1e-20


def log_likelihood(problem: Arrays) -> complex:
    """The log-likelihood of one series, or of a panel (leading axis), the sum; analytic in the matrices.

    Kalman (1960) in Joseph's form. NaN is missing; matrices (T, ...) of a single series change with the row.
    """
    y = problem["y"]
    panel = y.ndim == 3
    changes = problem["F"].ndim == 3 and not panel
    R, Q = problem["R"], problem["Q"]
    n = problem["F"].shape[-1]
    lead = y.shape[:1] if panel else ()
    mean = np.zeros((*lead, n, 1), problem["F"].dtype)
    cov = np.broadcast_to(np.eye(n, dtype=mean.dtype), (*lead, n, n))
    total = 0.0
    for t in range(y.shape[-2]):
        F, H = (problem[k][t] if changes else problem[k] for k in ("F", "H"))
        if t:
            mean, cov = F @ mean, F @ cov @ turned(F) + Q
        row, seen = y[..., t, :, None], ~np.isnan(y[..., t, :])
        if not seen.any():
            continue
        noise = R
        if not panel and not seen.all():
            row, H, noise = row[seen], H[seen], R[np.ix_(seen, seen)]
        S = H @ cov @ turned(H) + noise
        gain = turned(np.linalg.solve(turned(S), H @ turned(cov)))
        v = row - H @ mean
        quadratic = (turned(v) @ np.linalg.solve(S, v))[..., 0, 0]
        total = total - 0.5 * np.sum(row.shape[-2] * np.log(2 * np.pi) + np.log(np.linalg.det(S)) + quadratic)
        keep = np.eye(n) - gain @ H
        mean = mean + gain @ v
        cov = keep @ cov @ turned(keep) + gain @ noise @ turned(gain)
    return complex(total)


def turned(a: np.ndarray) -> np.ndarray:
    """The transpose, not conjugated: the recursion stays analytic."""
    return np.swapaxes(a, -1, -2)


def direction(problem: Arrays) -> Arrays:
    """A direction in the space of (F, H, Q, R), symmetric in Q and R."""
    rng = np.random.default_rng(7)
    made = {name: rng.standard_normal(problem[name].shape) for name in NAMES}
    return made | {name: 0.5 * (made[name] + turned(made[name])) for name in ("Q", "R")}


def value_and_slope(problem: Arrays) -> tuple[float, float]:
    """The log-likelihood and its derivative along `direction`, by a complex step: exact to rounding."""
    along = direction(problem)
    found = log_likelihood(problem | {name: problem[name] + 1j * STEP * along[name] for name in NAMES})
    return found.real, found.imag / STEP


def smoothed(problem: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Means (T, n) and covariances (T, n, n) given all data, constant matrices: Rauch, Tung and Striebel (1965)."""
    F, H, Q, R, y = (problem[k] for k in (*NAMES, "y"))
    n, steps = len(F), len(y)
    mean, cov = np.zeros((steps, n)), np.zeros((steps, n, n))
    ahead_mean, ahead_cov = np.zeros((steps, n)), np.zeros((steps, n, n))
    m, P = np.zeros(n), np.eye(n)
    for t in range(steps):
        if t:
            m, P = F @ m, F @ P @ F.T + Q
        ahead_mean[t], ahead_cov[t] = m, P
        gain = np.linalg.solve(H @ P @ H.T + R, H @ P).T
        keep = np.eye(n) - gain @ H
        m, P = m + gain @ (y[t] - H @ m), keep @ P @ keep.T + gain @ R @ gain.T
        mean[t], cov[t] = m, P
    for t in range(steps - 2, -1, -1):
        back = np.linalg.solve(ahead_cov[t + 1], F @ cov[t]).T
        mean[t] += back @ (mean[t + 1] - ahead_mean[t + 1])
        cov[t] += back @ (cov[t + 1] - ahead_cov[t + 1]) @ back.T
    return mean, cov


def trend(problem: Arrays, theta: np.ndarray) -> complex:
    """The log-likelihood of `problems.trend` at (log q, log r), real or complex."""
    q, r = np.exp(theta)
    g = problem["g"]
    return log_likelihood({"F": problem["F"].astype(complex), "H": problem["H"], "Q": q * g @ g.T,
                           "R": np.array([[r]]), "y": problem["y"]})  # fmt: skip


def trend_with_gradient(problem: Arrays) -> tuple[float, np.ndarray]:
    theta = problem["theta"].astype(complex)
    moved = [trend(problem, theta + 1j * STEP * unit).imag / STEP for unit in np.eye(2)]
    return trend(problem, theta).real, np.array(moved)
