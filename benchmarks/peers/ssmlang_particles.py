"""ssmlang: the engine `particle` with its bootstrap proposal, as its users call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from serving import serve
from volatility import MU, PHI, SD, sampling

import ssmlang

MODEL = Path(__file__).resolve().parent.parent / "models" / "volatility.ssm"


def bootstrap(dtype: str) -> Callable[[np.ndarray, int], Callable[[int], Any]]:
    def make(r: np.ndarray, particles: int) -> Callable[[int], Any]:
        model, engine = ssmlang.compile(MODEL), ssmlang.engines.Particle(particles, "bootstrap")
        params = {"mu": MU, "phi": PHI, "sd": SD}
        return lambda seed: model.log_likelihood({"r": r}, params, engine, seed=seed, dtype=dtype)

    return make


if __name__ == "__main__":
    serve({"bootstrap": sampling(bootstrap("float64")), "single": sampling(bootstrap("float32"))},
          ["ssmlang", "jax", "numpyro"])  # fmt: skip
