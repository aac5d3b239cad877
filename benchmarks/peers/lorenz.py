"""The Lorenz-63 system of the nonlinear benchmark, and the tasks of a JAX library made of its log-likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from serving import Job, Problem, Task

STEP = 0.02
START, START_SD = np.array([0.0, 1.0, 20.0]), 5.0
SD_MOVE, SD_SEEN = 0.1, 1.0
THETA = np.array([10.0, 28.0, 8 / 3])

LogLikelihood = Callable[[jax.Array, jax.Array], jax.Array]
"""Of (sigma, rho, beta) and y (T, 2)."""


def moved(theta, x):
    """One step by the classical Runge-Kutta rule."""

    def slope(v):
        return jnp.array([theta[0] * (v[1] - v[0]), v[0] * (theta[1] - v[2]) - v[1], v[0] * v[1] - theta[2] * v[2]])

    k1 = slope(x)
    k2 = slope(x + 0.5 * STEP * k1)
    k3 = slope(x + 0.5 * STEP * k2)
    k4 = slope(x + STEP * k3)
    return x + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def seen(x):
    return jnp.stack([x[0], x[2]])


def tasks(ways: Mapping[str, LogLikelihood]) -> dict[str, Task]:
    """For each way, its value and its value with the gradient."""

    def value(way: LogLikelihood) -> Task:
        def make(problem: Problem) -> Job:
            function, given = jax.jit(way), (jnp.asarray(THETA), jnp.asarray(problem["y"]))
            run = lambda: jax.block_until_ready(function(*given))
            return Job(run, lambda found: {"value": np.asarray(found)})

        return make

    def gradient(way: LogLikelihood) -> Task:
        def make(problem: Problem) -> Job:
            function, given = jax.jit(jax.value_and_grad(way)), (jnp.asarray(THETA), jnp.asarray(problem["y"]))
            run = lambda: jax.block_until_ready(function(*given))
            return Job(run, lambda found: {"value": np.asarray(found[0]), "slope": np.asarray(found[1])})

        return make

    return {k: v for name, way in ways.items() for k, v in ((name, value(way)), (f"{name}-gradient", gradient(way)))}
