"""The bootstrap particle filter of stochastic volatility, ssmlang's beside its peers', in one run.

    python -m benchmarks.particles                       N = 1,000 and 10,000, 20 seeds each
    python -m benchmarks.particles --quick               N = 1,000, 3 seeds
    python -m benchmarks.particles --only ssmlang cuthbert --json out.json

1,000 rows, systematic resampling where the effective number of particles is below N / 2, double precision; ssmlang in
single precision too. Contestants are processes in environments of their own and take turns, a run each, after some
seconds of running, so that a slow moment of the machine falls on all alike. Given are the fastest and the median run,
and of the estimates of the log-likelihood the mean and the standard deviation over seeds: all filters estimate one
number. Goals: 3 times as fast as the fastest peer at N = 1,000, twice at N = 10,000. Exits 1 where ssmlang's mean is
not that of the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact.session import Child, Failed

PEERS = ("cuthbert", "dynestyx", "particles")
ROWS = 1_000
GOALS = {1_000: 3.0, 10_000: 2.0}
PATIENCE = 900.0


def data() -> np.ndarray:
    """Returns of the model with mu = -1, phi = 0.95, sd = 0.25."""
    rng = np.random.default_rng(3)
    h, found = -1 + 0.25 / np.sqrt(1 - 0.95**2) * rng.standard_normal(), []
    for _ in range(ROWS):
        found.append(np.exp(h / 2) * rng.standard_normal())
        h = -1 + 0.95 * (h + 1) + 0.25 * rng.standard_normal()
    return np.array(found)


def measured(contestants: dict[str, tuple[Child, str]], particles: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Seconds and estimates of each contestant at one number of particles."""
    problem = folder / f"{particles}.npz"
    np.savez(problem, r=data(), particles=particles)
    found: dict[str, Any] = {}
    for name, (child, task) in contestants.items():
        try:
            ready = child.ask(PATIENCE, "prepare", task=task, problem=str(problem))
            found[name] = {"first": ready["build"] + ready["first"], "seconds": []}
        except Failed as error:
            print(f"{name}: {error}", file=sys.stderr)
    for _ in range(seeds):
        for name in list(found):
            found[name]["seconds"] += contestants[name][0].ask(PATIENCE, "time", calls=1)["seconds"]
    for name in found:
        answer = folder / "answer.npz"
        contestants[name][0].ask(PATIENCE, "answer", to=str(answer))
        with np.load(answer) as arrays:
            found[name]["values"] = arrays["values"].tolist()
    return found


def table(found: dict[str, Any], particles: int) -> list[str]:
    """A row for each contestant, and the goal."""
    lines = [f"N = {particles:,}", f"{'':16}{'fastest ms':>12}{'median ms':>12}{'ns a step':>12}{'first s':>10}"
             f"{'mean':>12}{'sd':>8}"]  # fmt: skip
    for name, one in found.items():
        best, middle = min(one["seconds"]), statistics.median(one["seconds"])
        mean, sd = np.mean(one["values"]), np.std(one["values"], ddof=1)
        lines.append(f"{name:16}{1e3 * best:12.1f}{1e3 * middle:12.1f}{1e9 * middle / particles / ROWS:12.1f}"
                     f"{one['first']:10.1f}{mean:12.2f}{sd:8.2f}")  # fmt: skip
    peers = {n: statistics.median(one["seconds"]) for n, one in found.items() if n in PEERS}
    if peers and "ssmlang" in found:
        nearest = min(peers, key=lambda n: peers[n])
        times = peers[nearest] / statistics.median(found["ssmlang"]["seconds"])
        lines.append(f"ssmlang is {times:.1f} times as fast as {nearest}, the fastest peer; goal {GOALS[particles]:g}")
    return lines


def agrees(found: dict[str, Any]) -> bool:
    """Whether ssmlang's mean estimate is within 4 standard errors of each other's."""
    if "ssmlang" not in found:
        return True
    mean = {n: np.mean(one["values"]) for n, one in found.items()}
    error = {n: np.std(one["values"], ddof=1) / np.sqrt(len(one["values"])) for n, one in found.items()}
    return all(abs(mean[n] - mean["ssmlang"]) < 4 * np.hypot(error[n], error["ssmlang"]) for n in found)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="N = 1,000, 3 seeds")
    parser.add_argument("--particles", type=int, nargs="+", choices=tuple(GOALS), help="numbers of particles")
    parser.add_argument("--seeds", type=int, help="runs of each (20; 3 if quick)")
    parser.add_argument("--only", nargs="+", choices=("ssmlang", *PEERS), help="contestants")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--python", help="the interpreter that the peers' environments are made from")
    args = parser.parse_args(arguments)

    contestants: dict[str, tuple[Child, str]] = {}
    for name in args.only or ("ssmlang", *PEERS):
        try:
            contestants[name] = (Child(name, args.python, "particles"), "bootstrap")
        except RuntimeError as trouble:
            print(f"{name} cannot be installed: {trouble}", file=sys.stderr)
    if "ssmlang" in contestants:
        contestants["ssmlang float32"] = (Child("ssmlang", args.python, "particles"), "single")
    results, sound = {}, True
    with tempfile.TemporaryDirectory() as folder:
        for particles in args.particles or ((1_000,) if args.quick else tuple(GOALS)):
            found = measured(contestants, particles, args.seeds or (3 if args.quick else 20), Path(folder))
            print("\n".join(table(found, particles)), flush=True)
            sound &= agrees(found)
            results[particles] = found
    for child, _ in contestants.values():
        child.close()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
