"""The extended and the unscented filter of Lorenz-63, ssmlang's beside its peers', in one run.

    python -m benchmarks.nonlinear                    value and gradient of either, 15 turns
    python -m benchmarks.nonlinear --quick            3 turns
    python -m benchmarks.nonlinear --only ssmlang dynamax --json out.json

1,000 rows, three states by a Runge-Kutta step, two observations, double precision; gradients in the three parameters.
Contestants are processes in environments of their own and take turns. Goal: 10 times as fast as the fastest peer that
gives the same number to 1e-6. Exits 1 where ssmlang's value is that of no peer.
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

CONTESTANTS = ("ssmlang", "dynamax", "cuthbert", "dynestyx")
TASKS = ("ekf", "ekf-gradient", "ukf", "ukf-gradient")
ROWS, GOAL, PATIENCE, BURST = 1_000, 10.0, 300.0, 0.05


def data() -> np.ndarray:
    """A draw of the system, by Euler steps of a thousandth within a row."""
    rng = np.random.default_rng(5)
    x, found = np.array([0.0, 1.0, 20.0]), []
    for _ in range(ROWS):
        found.append(x[[0, 2]] + rng.standard_normal(2))
        for _ in range(20):
            x = x + 0.001 * np.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])
        x = x + 0.1 * rng.standard_normal(3)
    return np.array(found)


def measured(children: dict[str, Child], task: str, turns: int, folder: Path) -> dict[str, Any]:
    """Seconds and answers of each contestant at one task."""
    problem = folder / "problem.npz"
    np.savez(problem, y=data())
    found: dict[str, Any] = {}
    for name, child in children.items():
        try:
            ready = child.ask(PATIENCE, "prepare", task=task, problem=str(problem))
            child.ask(PATIENCE, "answer", to=str(folder / "answer.npz"))
        except Failed as error:
            print(f"{name}, {task}: {error}", file=sys.stderr)
            continue
        with np.load(folder / "answer.npz") as arrays:
            value = float(arrays["value"])
            slope = arrays["slope"].tolist() if "slope" in arrays.files else []
        found[name] = {"first": ready["build"] + ready["first"], "seconds": [], "value": value, "slope": slope}
    for turn in range(turns):
        for name, one in found.items():
            calls = 1 if turn == 0 else max(1, min(200, int(BURST / min(one["seconds"]))))
            one["seconds"] += children[name].ask(PATIENCE, "time", calls=calls)["seconds"]
    return found


def close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two answers are the same to 1e-6."""
    a, b = (np.array([x["value"], *x["slope"]]) for x in (one, other))
    return bool(np.abs(a - b).max() <= 1e-6 * np.abs(b).max())


def table(found: dict[str, Any], task: str) -> tuple[list[str], bool]:
    """A row for each contestant, and whether ssmlang's answer is that of some other."""
    lines = [f"{task:16}{'median ms':>12}{'fastest ms':>12}{'first s':>10}{'value':>20}"]
    for name, one in found.items():
        lines.append(f"{name:16}{1e3 * statistics.median(one['seconds']):12.3f}{1e3 * min(one['seconds']):12.3f}"
                     f"{one['first']:10.1f}{one['value']:20.8f}")  # fmt: skip
    own = found.get("ssmlang")
    peers = {n: statistics.median(o["seconds"]) for n, o in found.items() if n != "ssmlang" and own and close(own, o)}
    if own and peers:
        nearest = min(peers, key=lambda n: peers[n])
        times = peers[nearest] / statistics.median(own["seconds"])
        lines.append(f"ssmlang is {times:.1f} times as fast as {nearest}, the fastest that agrees; goal {GOAL:g}")
    return [*lines, ""], bool(peers) or len(found) < 2 or not own


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 turns")
    parser.add_argument("--task", nargs="+", choices=TASKS, help="rows of the table")
    parser.add_argument("--turns", type=int, help="turns of each contestant (15; 3 if quick)")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, help="contestants")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--python", help="the interpreter that the peers' environments are made from")
    args = parser.parse_args(arguments)

    children: dict[str, Child] = {}
    for name in args.only or CONTESTANTS:
        try:
            children[name] = Child(name, args.python, "nonlinear")
        except RuntimeError as trouble:
            print(f"{name} cannot be installed: {trouble}", file=sys.stderr)
    results, sound = {}, True
    with tempfile.TemporaryDirectory() as folder:
        for task in args.task or TASKS:
            results[task] = measured(children, task, args.turns or (3 if args.quick else 15), Path(folder))
            lines, agrees = table(results[task], task)
            print("\n".join(lines), flush=True)
            sound &= agrees
    for child in children.values():
        child.close()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
