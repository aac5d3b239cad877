"""The data of the rows: random systems and series drawn from them, the same for every contestant."""

from __future__ import annotations

import numpy as np

from benchmarks.environments import ROOT
from benchmarks.exact.rows import LARGE_PANEL, LARGE_STEPS, Row

Arrays = dict[str, np.ndarray]
MISSING = 0.1
"""The part of the entries that is missing where some are."""


def problem(row: Row) -> Arrays:
    """F, H, Q, R and y of a row: y (T, m), or (series, T, m) of a panel; the first state is N(0, I).

    Row t of a transition that changes leads from row t - 1 to row t.
    """
    rng = np.random.default_rng([row.n, row.m, row.steps, row.series])
    draw = slow if row.system == "slow" else plain
    if row.kind in ("panel_own", "panel_own_gradient"):
        each = [draw(rng, row.n, row.m) for _ in range(row.series)]
        system = {name: np.stack([one[name] for one in each]) for name in each[0]}
    else:
        system = draw(rng, row.n, row.m)
    if row.system == "varying":
        system = varying(rng, system, row.steps)
    y = series(rng, system, row.steps, row.series)
    if row.kind == "missing":
        y[rng.random(y.shape) < MISSING] = np.nan
    return {**system, "y": y}


def plain(rng: np.random.Generator, n: int, m: int) -> Arrays:
    """A stable system whose gain converges within some dozens of rows."""
    if n == 1:
        return {name: np.array([[v]]) for name, v in (("F", 0.9), ("H", 1.0), ("Q", 0.3), ("R", 0.5))}
    F = rng.standard_normal((n, n))
    return {
        "F": 0.95 * F / np.abs(np.linalg.eigvals(F)).max(),
        "H": rng.standard_normal((m, n)) / np.sqrt(n),
        "Q": 0.1 * np.eye(n) + gram(0.2 * rng.standard_normal((n, n)) / np.sqrt(n)),
        "R": 0.5 * np.eye(m) + gram(0.2 * rng.standard_normal((m, m))),
    }


def slow(rng: np.random.Generator, n: int, m: int) -> Arrays:
    """Nearly fixed states learned for as long as the data last: the gain falls like 1 / t."""
    rotation, _ = np.linalg.qr(rng.standard_normal((n, n)))
    made = plain(rng, n, m)
    return {**made, "F": (1 - 1e-6) * rotation, "Q": 1e-9 * np.eye(n)}


def varying(rng: np.random.Generator, system: Arrays, steps: int) -> Arrays:
    """Transition and design of their own for every row."""
    scale = rng.uniform(0.8, 1.0, (steps, 1, 1))
    H = system["H"] + 0.3 * rng.standard_normal((steps, *system["H"].shape))
    return {**system, "F": scale * system["F"], "H": H}


def series(rng: np.random.Generator, system: Arrays, steps: int, count: int) -> np.ndarray:
    """Draws of the observations, (T, m) of one series, else (series, T, m)."""
    n, m = system["F"].shape[-1], system["H"].shape[-2]
    changes = system["F"].ndim == 3 and count == 1
    at = lambda name, t: system[name][t] if changes else system[name]
    root_Q, root_R = np.linalg.cholesky(system["Q"]), np.linalg.cholesky(system["R"])
    x = rng.standard_normal((count, n, 1))
    y = np.empty((count, steps, m))
    for t in range(steps):
        if t:
            x = at("F", t) @ x + root_Q @ rng.standard_normal((count, n, 1))
        y[:, t] = (at("H", t) @ x + root_R @ rng.standard_normal((count, m, 1)))[..., 0]
    return y if count > 1 else y[0]


def gram(root: np.ndarray) -> np.ndarray:
    return root @ root.T


def trend() -> Arrays:
    """A local linear trend pushed by one acceleration: Q = q g g' has rank one. theta is (log q, log r)."""
    rng = np.random.default_rng(0)
    F, H, g = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([[0.5], [1.0]])
    x, y = rng.standard_normal((2, 1)), np.empty((100, 1))
    for t in range(len(y)):
        x = F @ x + 0.1 * g * rng.standard_normal() if t else x
        y[t] = (H @ x)[0, 0] + np.sqrt(0.5) * rng.standard_normal()
    return {"F": F, "H": H, "g": g, "y": y, "theta": np.log([0.01, 0.5])}


def nile() -> Arrays:
    path = ROOT / "ssmlang" / "data" / "csv" / "nile.csv"
    return {"flow": np.genfromtxt(path, delimiter=",", names=True)["flow"]}


def large_panel() -> Arrays:
    """Random walks seen through noise, one a site."""
    rng = np.random.default_rng(1)
    sd = rng.uniform(0.5, 2.0, LARGE_PANEL)
    walk = np.cumsum(sd * rng.standard_normal((LARGE_STEPS, LARGE_PANEL)), axis=0)
    return {"y": walk + rng.standard_normal(walk.shape), "sd": sd}
