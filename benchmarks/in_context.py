"""Predicting systems never seen before from a context of their own measurements.

    python -m benchmarks.in_context [--systems 60] [--states 8] [--context 40] [--seed 0] [--page]

Random linear systems are drawn: strategy 1 takes the transition (1 - a) I + a U with U orthogonal and a uniform on
(0, 1), strategy 2 U diag(l) U' with l uniform on (-1, 1). Each contestant predicts y_t from y_0..y_{t-1}. The Kalman
filter knows the system; the dual and the joint extended filters learn the transition as augmented parameters, with the
noises known or put at their prior means; ridge regression, least squares and stochastic gradients take the state for
constant. The tables give the mean squared difference of predictions from the Kalman filter (MSPD) and the mean squared
error of prediction, by length of context. `--page` writes docs/in_context.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

import ssmlang
from ssmlang.engines import DualEKF

PAGE = Path(__file__).parent.parent / "docs" / "in_context.md"
NOISE = 0.025
"""Upper end of the uniform laws of the noises' variances."""
LENGTHS = (1, 2, 5, 10, 15, 20, 30, 39)

KNOWN = """
model in_context
const n
const m
param F[n, n]
param B[n, n]
param root[n, n]
param sd[m]
input H[m, n]
input u[n]
state x[n]
obs y[m]
init x ~ Normal(0, 1)
x[t] ~ MvNormal(F @ x[t-1] + B @ u[t], scale_tril = root)
y[t] ~ Normal(H[t] @ x[t], sd)
"""
LEARNT = KNOWN.replace("param F[n, n]", "augment param F[n, n] ~ Normal(0, 1 / sqrt(n))")


@dataclass(frozen=True)
class System:
    """One system with its measurements: y (N, m) seen through H (N, m, n), driven by controls u (N, n)."""

    F: np.ndarray
    B: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    H: np.ndarray
    u: np.ndarray
    y: np.ndarray

    @property
    def data(self) -> dict[str, np.ndarray]:
        return {"y": self.y, "H": self.H, "u": self.u}

    def noises(self, *, known: bool = True) -> dict[str, Any]:
        """B with the noises, or with their means over all systems."""
        Q = self.Q if known else np.eye(len(self.Q)) * NOISE / 2
        R = self.R if known else np.full(len(self.R), NOISE / 2)
        return {"B": self.B, "root": np.linalg.cholesky(Q), "sd": np.sqrt(R)}


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    """A matrix of the Haar law."""
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.sign(np.diag(r))


def system(rng: np.random.Generator, strategy: Literal[1, 2], n: int, m: int, context: int, *, controls: bool
           ) -> System:  # fmt: skip
    """A random system with a path of its own."""
    if strategy == 1:
        a = rng.uniform()
        F = (1 - a) * np.eye(n) + a * orthogonal(rng, n)
    else:
        U = orthogonal(rng, n)
        F = U @ np.diag(rng.uniform(-1, 1, n)) @ U.T
    U, V = orthogonal(rng, n), orthogonal(rng, n)
    Q = U @ np.diag(rng.uniform(1e-6, NOISE, n)) @ U.T
    R = rng.uniform(1e-6, NOISE, m)
    B = V @ np.diag(rng.uniform(-1, 1, n)) @ V.T if controls else np.zeros((n, n))
    u = rng.normal(size=(context, n))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    H, root, x, y = rng.normal(size=(context, m, n)), np.linalg.cholesky(Q), rng.normal(size=n), []
    for t in range(context):
        x = F @ x + B @ u[t] + root @ rng.normal(size=n) if t else x
        y.append(H[t] @ x + np.sqrt(R) * rng.normal(size=m))
    return System(F, B, Q, R, H, u, np.array(y))


Predict = Callable[[System], np.ndarray]
"""One-step predictions (N, m) of a system's measurements."""


@cache
def contestants(n: int, m: int) -> dict[str, Predict]:
    """What predicts, by name; the first one knows the system."""
    known, learnt = (ssmlang.compile(text, constants={"n": n, "m": m}) for text in (KNOWN, LEARNT))

    def filtered(model: ssmlang.Model, engine: Any, params: Callable[[System], dict[str, Any]]) -> Predict:
        return lambda s: _observed(model.filter(s.data, params(s), engine=engine))

    noises, guessed = (lambda s: s.noises()), (lambda s: s.noises(known=False))
    published = DualEKF(derivative="static", noise="process")
    return {
        "Kalman": filtered(known, "kalman", lambda s: {"F": s.F, **s.noises()}),
        "dual": filtered(learnt, DualEKF(), noises),
        "dual as published": filtered(learnt, published, noises),
        "dual, noises guessed": filtered(learnt, DualEKF(), guessed),
        "joint EKF": filtered(learnt, "ekf", noises),
        "ridge 0.01": lambda s: ridge(s, 0.01),
        "ridge 0.05": lambda s: ridge(s, 0.05),
        "least squares": lambda s: ridge(s, 0.0),
        "SGD 0.01": lambda s: gradients(s, 0.01),
        "SGD 0.05": lambda s: gradients(s, 0.05),
    }


def _observed(found: Any) -> np.ndarray:
    return found["observed_mean"].values


def _rows(s: System) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each row with all that was seen before it, as one regression."""
    for t in range(len(s.y)):
        yield t, s.H[:t].reshape(-1, s.H.shape[2]), s.y[:t].reshape(-1)


def ridge(s: System, weight: float) -> np.ndarray:
    """A constant state by ridge regression; with weight 0 by least squares of least norm."""
    n, out = s.H.shape[2], np.zeros_like(s.y)
    for t, A, b in _rows(s):
        x = np.linalg.solve(A.T @ A + weight * np.eye(n), A.T @ b) if weight else np.linalg.lstsq(A, b, rcond=None)[0]
        out[t] = s.H[t] @ x
    return out


def gradients(s: System, rate: float) -> np.ndarray:
    """A constant state by one gradient step a measurement."""
    x, out = np.zeros(s.H.shape[2]), np.zeros_like(s.y)
    for t in range(len(s.y)):
        out[t] = s.H[t] @ x
        for h, y in zip(s.H[t], s.y[t]):
            x = x - 2 * rate * h * (h @ x - y)
    return out


Table = dict[str, tuple[np.ndarray, np.ndarray]]
"""MSPD and mean squared error by length of context, (N,), of each contestant."""


def measured(strategy: Literal[1, 2], n: int, m: int, context: int, count: int, seed: int, *, controls: bool = False
             ) -> Table:  # fmt: skip
    """The table of one setting."""
    rng = np.random.default_rng([seed, strategy, n, m, int(controls)])
    systems = [system(rng, strategy, n, m, context, controls=controls) for _ in range(count)]
    names = contestants(n, m)
    predicted = {name: np.array([predict(s) for s in systems]) for name, predict in names.items()}
    truth, best = np.array([s.y for s in systems]), predicted["Kalman"]
    squared = lambda d: (d**2).sum(axis=2).mean(axis=0)
    return {name: (squared(p - best), squared(p - truth)) for name, p in predicted.items()}


SETTINGS: Sequence[tuple[str, dict[str, Any]]] = (
    ("Strategy 1, scalar measurements", {"strategy": 1, "m": 1}),
    ("Strategy 2, scalar measurements", {"strategy": 2, "m": 1}),
    ("Strategy 2, two measurements a row", {"strategy": 2, "m": 2}),
    ("Strategy 2, scalar measurements, control inputs", {"strategy": 2, "m": 1, "controls": True}),
)


def text(title: str, table: Table, which: Literal[0, 1]) -> str:
    """A table in Markdown."""
    shown = [t for t in LENGTHS if t < len(next(iter(table.values()))[0])]
    lines = [f"### {title}", "", "| context | " + " | ".join(str(t) for t in shown) + " |",
             "| --- |" + " ---: |" * len(shown)]  # fmt: skip
    for name, both in table.items():
        if which or name != "Kalman":
            lines.append(f"| {name} | " + " | ".join(f"{both[which][t]:.3g}" for t in shown) + " |")
    return "\n".join([*lines, ""])


HEAD = """# Learning a system from its own context

A filter that has never seen a system can learn it while it filters: the transition matrix is an `augment param`, and
`dual_ekf` or `ekf` estimate it beside the state. This page compares them with the Kalman filter that knows the system,
and with regressions that take the state for constant, on {count} random systems a setting with {n} states and {n} x {n}
unknown coefficients. It is written by `python -m benchmarks.in_context --page`.

Strategy 1 takes the transition (1 - a) I + a U, U orthogonal and a uniform on (0, 1); strategy 2 U diag(l) U', l
uniform on (-1, 1). "dual as published" leaves out the recursive derivative and takes the state estimate for the truth.

## Distance from the Kalman filter's predictions (MSPD)

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("systems", 60), ("states", 8), ("context", 40), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args(arguments)
    tables = [(title, measured(n=given.states, context=given.context, count=given.systems, seed=given.seed, **options))
              for title, options in SETTINGS]  # fmt: skip
    parts = [HEAD.format(count=given.systems, n=given.states), *(text(*one, 0) for one in tables),
             "\n## Mean squared error of prediction\n", *(text(*one, 1) for one in tables)]  # fmt: skip
    page = "\n".join(parts).rstrip() + "\n"
    if given.page:
        PAGE.write_text(page)
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
