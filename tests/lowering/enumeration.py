"""Models of discrete states by enumeration of every path of states, written as plain Python functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def every_path(
    values: Sequence[Any], steps: int, start: Callable[[Any], float], move: Callable[[int, tuple[Any, ...]], float],
    seen: Callable[[int, tuple[Any, ...]], float],
) -> tuple[float, np.ndarray, tuple[Any, ...]]:  # fmt: skip
    """Log-likelihood, smoothed probabilities (steps, values) and the best path.

    start(x_0), move(t, (x_0, .., x_t)) the probability of x_t given those before, seen(t, (x_0, .., x_t)) the density
    of row t.
    """
    total, marginal, best = 0.0, np.zeros((steps, len(values))), (-1.0, ())
    for path in itertools.product(values, repeat=steps):
        w = start(path[0]) * seen(0, path[:1])
        for t in range(1, steps):
            if not w:
                break
            w *= move(t, path[: t + 1]) * seen(t, path[: t + 1])
        total += w
        for t, x in enumerate(path):
            marginal[t, values.index(x)] += w
        best = max(best, (w, path), key=lambda p: p[0])
    return float(np.log(total)), marginal / total, best[1]
