"""Models with lifts, and the exact joint moments of their coordinates and data by quadrature: an oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Vector = np.ndarray
ROWS = 4


@dataclass(frozen=True)
class Lifted:
    """A model with a lift, and the same in NumPy: states are rows of arrays (entries, points).

    `start(normals)`, `step(x, normals, t)`, `lift(x)`, and `seen(x, t)`, what is observed less its noise of variance
    `variance` an entry. `start_size`, `step_size`: how many standard normals each takes; `nodes` a dimension.
    """

    name: str
    text: str
    params: dict[str, float]
    start: Callable[[Vector], Vector]
    step: Callable[[Vector, Vector, int], Vector]
    lift: Callable[[Vector], Vector]
    seen: Callable[[Vector, int], Vector]
    variance: float
    start_size: int
    step_size: int
    nodes: int = 9
    rows: int = ROWS
    exact: bool = False


def _head(*lines: str) -> str:
    return "\n".join(["model lifted", *lines]) + "\n"


A, B, C, S, Q = 0.9, 0.5, -0.4, 0.3, 0.2
_PARAMS = {"a": A, "b": B, "c": C, "s": S}
_DECLARED = ("param a in (-1, 1) ~ Normal(0.9, 0.1)", "param b in (-1, 1) ~ Normal(0.5, 0.2)", "param c ~ Normal(0, 1)",
             "param s ~ HalfNormal(0.5)")  # fmt: skip
_SLOW = ("state x[2]", "obs y", "init x ~ Normal([1, -1], 0.5)", "y[t] ~ Normal(x[t, 1], s)",
         "lift z[t] = [x[t, 0], x[t, 1], x[t, 0]^2] exact")  # fmt: skip
_MAP = "[a * x[t-1, 0], b * x[t-1, 1] + c * x[t-1, 0]^2]"


def _slow(x: Vector, e: Vector, t: int) -> Vector:
    noise = [Q * e[0], S * e[1]] if len(e) else [0.0, 0.0]
    return np.stack([A * x[0] + noise[0], B * x[1] + C * x[0] ** 2 + noise[1]])


_MOMENTS = ("state x", "noise w ~ Normal(0.1, 0.2)", "obs y[2]", "init x ~ Normal(0.5, 0.4)",
            "x[t] = a * x[t-1] + w[t]", "y[t] ~ Normal([x[t] + x[t]^3, 2 * x[t]^2 - 1], s)",
            "lift z[t] = [x[t], x[t]^2, x[t]^3] fitted")  # fmt: skip

INPUT = np.array([0.3, -0.2, 0.5, 0.1])


def _shared(x: Vector, e: Vector, t: int) -> Vector:
    w = np.linalg.cholesky([[0.09, 0.02], [0.02, 0.04]]) @ e
    ahead = A * x[0] + w[0]
    return np.stack([ahead, B * x[1] + C * x[0] ** 2 + w[1] + ahead])


CASES = (
    Lifted("without noise", _head(*_DECLARED, *_SLOW, f"x[t] = {_MAP}"), _PARAMS,
           start=lambda e: np.stack([1 + 0.5 * e[0], -1 + 0.5 * e[1]]), step=_slow,
           lift=lambda x: np.stack([x[0], x[1], x[0] ** 2]), seen=lambda x, t: x[1:], variance=S**2,
           start_size=2, step_size=0),
    Lifted("from a known start", _head(*_DECLARED, *_SLOW, f"x[t] = {_MAP}").replace(
               "init x ~ Normal([1, -1], 0.5)", "init x = [1, -1]"), _PARAMS,
           start=lambda e: np.stack([np.ones(1), -np.ones(1)]), step=_slow,
           lift=lambda x: np.stack([x[0], x[1], x[0] ** 2]), seen=lambda x, t: x[1:], variance=S**2,
           start_size=0, step_size=0, exact=True),
    Lifted("noise through a square", _head(*_DECLARED, *_SLOW, f"x[t] ~ Normal({_MAP}, [0.2, s])"), _PARAMS,
           start=lambda e: np.stack([1 + 0.5 * e[0], -1 + 0.5 * e[1]]), step=_slow,
           lift=lambda x: np.stack([x[0], x[1], x[0] ** 2]), seen=lambda x, t: x[1:], variance=S**2,
           start_size=2, step_size=2, nodes=5, rows=3),
    Lifted("noise that is added", _head(*_DECLARED, *_SLOW, f"x[t] = {_MAP}").replace(
               f"x[t] = {_MAP}",
               "x[t, 0] = a * x[t-1, 0]\nx[t, 1] ~ Normal(b * x[t-1, 1] + c * x[t-1, 0]^2, s)").replace(
               "init x ~ Normal([1, -1], 0.5)", "init x[0, 0] = 1\ninit x[0, 1] ~ Normal(-1, 0.5)"), _PARAMS,
           start=lambda e: np.stack([np.ones_like(e[0]), -1 + 0.5 * e[0]]),
           step=lambda x, e, t: _slow(x, np.stack([0 * e[0], e[0]]), t),
           lift=lambda x: np.stack([x[0], x[1], x[0] ** 2]), seen=lambda x, t: x[1:], variance=S**2,
           start_size=1, step_size=1, exact=True),
    Lifted("a cube with a shifted noise", _head(*_DECLARED, *(line.replace("fitted", "exact").replace(
               "x[t], x[t]^2,", "1, x[t], x[t]^2,") for line in _MOMENTS)).replace("a * x[t-1] + w", "a * x[t-1] + w"),
           _PARAMS, start=lambda e: 0.5 + 0.4 * e[:1], step=lambda x, e, t: A * x + 0.1 + 0.2 * e[:1],
           lift=lambda x: np.stack([0 * x[0] + 1, x[0], x[0] ** 2, x[0] ** 3]),
           seen=lambda x, t: np.stack([x[0] + x[0] ** 3, 2 * x[0] ** 2 - 1]), variance=S**2,
           start_size=1, step_size=1, nodes=14),
    Lifted("a phase", _head(*_DECLARED, "state x, v", "obs y", "init x ~ Normal(0.3, 0.5)", "init v ~ Normal(x, 0.2)",
                            "x[t] ~ Normal(x[t-1] + b, 0.3)", "v[t] = a * v[t-1] + c * sin(x[t-1])",
                            "y[t] ~ Normal(v[t] + cos(x[t]) + 0.1 * t, s)",
                            "lift z[t] = [v[t], sin(x[t]), cos(x[t])] exact"), _PARAMS,
           start=lambda e: np.stack([0.3 + 0.5 * e[0], 0.3 + 0.5 * e[0] + 0.2 * e[1]]),
           step=lambda x, e, t: np.stack([x[0] + B + 0.3 * e[0], A * x[1] + C * np.sin(x[0])]),
           lift=lambda x: np.stack([x[1], np.sin(x[0]), np.cos(x[0])]),
           seen=lambda x, t: (x[1] + np.cos(x[0]) + 0.1 * t)[None], variance=S**2,
           start_size=2, step_size=1, nodes=14),
    Lifted("a phase times what is uncertain with it",
           _head(*_DECLARED, "state x, v", "obs y", "init (x, v) ~ MvNormal([0.2, 1], [[0.2, 0.1], [0.1, 0.3]])",
                 "x[t] = x[t-1] + b", "v[t] ~ Normal(a * v[t-1], 0.3)", "y[t] ~ Normal(2 * v[t] * cos(x[t]), s)",
                 "lift z[t] = [v[t] * sin(x[t]), v[t] * cos(x[t])] exact"), _PARAMS,
           start=lambda e: np.array([0.2, 1])[:, None] + np.linalg.cholesky([[0.2, 0.1], [0.1, 0.3]]) @ e,
           step=lambda x, e, t: np.stack([x[0] + B, A * x[1] + 0.3 * e[0]]),
           lift=lambda x: np.stack([x[1] * np.sin(x[0]), x[1] * np.cos(x[0])]),
           seen=lambda x, t: (2 * x[1] * np.cos(x[0]))[None], variance=S**2, start_size=2, step_size=1, nodes=12),
    Lifted("an input in K, and two rows of memory",
           _head(*_DECLARED, "input u", "state x", "obs y", "init x ~ Normal(1, 0.3)",
                 "x[t] = a * x[t-1] + 0.2 * x[t-2] + u[t]", "y[t] ~ Normal(x[t]^2 + u[t], s)",
                 "lift z[t] = [1, x[t], x[t-1], x[t]^2, x[t] * x[t-1], x[t-1]^2] exact"), _PARAMS,
           start=lambda e: np.stack([1 + 0.3 * e[0], 1 + 0.3 * e[1]]),
           step=lambda x, e, t: np.stack([A * x[0] + 0.2 * x[1] + INPUT[t], x[0]]),
           lift=lambda x: np.stack([0 * x[0] + 1, x[0], x[1], x[0] ** 2, x[0] * x[1], x[1] ** 2]),
           seen=lambda x, t: (x[0] ** 2 + INPUT[t])[None], variance=S**2, start_size=2, step_size=0),
    Lifted("noises that several coordinates share, from row -1",
           _head(*_DECLARED, "noise w[2] ~ MvNormal([0, 0], [[0.09, 0.02], [0.02, 0.04]])", "state x, v", "obs y",
                 "init x[-1] ~ Normal(0.5, 0.3)", "init v[-1] = 0.2", "x[t] = a * x[t-1] + w[t, 0]",
                 "v[t] = b * v[t-1] + c * x[t-1]^2 + w[t, 1] + x[t]", "y[t] ~ Normal(v[t], s)",
                 "lift z[t] = [x[t], v[t], x[t]^2] exact"), _PARAMS,
           start=lambda e: _shared(np.stack([0.5 + 0.3 * e[0], 0.2 + 0 * e[0]]), e[1:], 0), step=_shared,
           lift=lambda x: np.stack([x[0], x[1], x[0] ** 2]), seen=lambda x, t: x[1:], variance=S**2,
           start_size=3, step_size=2, nodes=5, rows=3),
)  # fmt: skip


@dataclass(frozen=True)
class Joint:
    """Mean and covariance of all coordinates (T, D) and all data less their noise (T, m), stacked in this order."""

    mean: Vector
    cov: Vector
    D: int
    m: int
    rows: int


def joint(case: Lifted) -> Joint:
    """By a product rule of Gauss and Hermite, exact for polynomials of a degree below twice its nodes."""
    size = case.start_size + case.step_size * (case.rows - 1)
    points, weights = np.polynomial.hermite_e.hermegauss(case.nodes)
    weights = weights / weights.sum()
    e = np.stack([g.reshape(-1) for g in np.meshgrid(*[points] * size, indexing="ij")]) if size else np.zeros((0, 1))
    w = np.ones(e.shape[1])
    for g in np.meshgrid(*[weights] * size, indexing="ij") if size else ():
        w = w * g.reshape(-1)
    x = case.start(e[: case.start_size])
    z, y = [case.lift(x)], [case.seen(x, 0)]
    for t in range(1, case.rows):
        at = case.start_size + case.step_size * (t - 1)
        x = case.step(x, e[at : at + case.step_size], t)
        z.append(case.lift(x))
        y.append(case.seen(x, t))
    whole = np.concatenate([np.concatenate(z), np.concatenate(y)]) * np.ones_like(w)
    mean = whole @ w
    cov = (whole - mean[:, None]) * w @ (whole - mean[:, None]).T
    return Joint(mean, cov, len(z[0]), len(y[0]), case.rows)
