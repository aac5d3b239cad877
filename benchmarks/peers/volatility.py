"""The task of the particle filters: stochastic volatility, h_t = mu + phi (h_{t-1} - mu) + sd e_t, r_t ~ N(0, exp h_t).

A contestant gives a function of a seed, whose value is the log-likelihood's estimate. Each run takes the next seed; the
answer is the values of all runs so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from serving import Job, Problem, Task

MU, PHI, SD = -1.0, 0.95, 0.25
WARM_UP = 4.0
"""Seconds: what is compiled a second time once it has run for a while is timed when that is done."""
START = SD / np.sqrt(1 - PHI**2)


def sampling(make: Callable[[np.ndarray, int], Callable[[int], Any]]) -> Task:
    """`make`: of the data and the number of particles."""

    def task(problem: Problem) -> Job:
        estimate = make(problem["r"], int(problem["particles"]))
        values: list[float] = []

        def run() -> list[float]:
            values.append(float(np.ravel(np.asarray(estimate(len(values))))[0]))
            return values

        return Job(run, lambda values: {"values": np.asarray(values)}, warm_up=WARM_UP)

    return task
