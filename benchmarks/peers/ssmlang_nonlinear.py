"""ssmlang: the engines `ekf` and `ukf` through `model.log_likelihood`, the points those of dynamax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lorenz import tasks
from serving import serve

import ssmlang

MODEL = ssmlang.compile(Path(__file__).resolve().parent.parent / "models" / "lorenz.ssm")
NAMES = ("sigma", "rho", "beta")


def way(engine):
    def loglik(theta, y):
        return MODEL.log_likelihood({"y": DATA["y"]}, dict(zip(NAMES, theta, strict=True)), engine)

    return loglik


DATA: dict[str, np.ndarray] = {}


def kept(task):
    """The data of a problem are given as numbers, as users give them."""

    def make(problem):
        DATA["y"] = np.asarray(problem["y"])
        return task(problem)

    return make


ENGINES = {"ekf": ssmlang.engines.EKF(), "ukf": ssmlang.engines.UKF(alpha=3**0.5, beta=2.0, kappa=1.0)}

if __name__ == "__main__":
    made = tasks({name: way(engine) for name, engine in ENGINES.items()})
    serve({name: kept(task) for name, task in made.items()}, ["ssmlang", "jax", "numpyro"])
