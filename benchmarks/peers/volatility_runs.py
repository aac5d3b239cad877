"""What the contestants of `benchmarks.volatility_fit` share: the data, and how a run is told."""

import csv
import json
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "benchmarks" / "models" / "volatility.ssm"
NAMES = ("mu", "phi", "sd")


def returns() -> np.ndarray:
    """Daily returns of the pound in dollars, in per cent, their mean taken off."""
    with open(ROOT / "ssmlang" / "data" / "csv" / "pound_dollar.csv", newline="") as file:
        r = np.array([float(row["r"]) for row in csv.DictReader(file) if row["r"]])
    return r - r.mean()


def tell(fit) -> None:
    """Print seconds of a first and of a second fit, the second's effective draws and posterior means."""
    from numpyro.diagnostics import effective_sample_size

    seconds = []
    for seed in (1, 2):
        start = time.perf_counter()
        found = fit(seed)
        seconds.append(time.perf_counter() - start)
    ess = {name: float(effective_sample_size(np.asarray(v, float))) for name, v in found.items()}
    print(json.dumps({
        "first": seconds[0], "again": seconds[1], "ess": ess,
        "means": {name: float(np.mean(v)) for name, v in found.items()},
        "sds": {name: float(np.std(v)) for name, v in found.items()},
    }))  # fmt: skip
