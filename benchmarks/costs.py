"""What engines are said to cost beside what they do cost, on programs of the library:

    python -m benchmarks.costs [--engines kalman particle ...] [--programs nile ...] [--rows 400]

Data and parameters are drawn from the model. Of each engine that takes a program: the fastest of some calls of a
log-likelihood that was compiled before, the time that `model.check(data)` says, and their ratio. Exits 1 where a ratio
is beyond ten either way: the report promises an order of magnitude.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ssmlang
from ssmlang.language.diagnostics import SsmError

MODELS = Path(__file__).resolve().parent.parent / "stdlib" / "models"
PROGRAMS = ("nile", "tracking", "dynamic_factor", "fractional", "stochastic_volatility", "lorenz63", "switching")
PROMISED = 10.0
PATIENCE = 3.0
"""Seconds for the calls of one cell."""


def fastest(call: Callable[[], Any]) -> float:
    """Seconds of the fastest of some calls, compiled before."""
    call()
    begun, found = time.perf_counter(), []
    while len(found) < 3 or (len(found) < 30 and time.perf_counter() - begun < PATIENCE):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def cells(program: str, rows: int, engines: Sequence[str]) -> list[tuple[str, float, float]]:
    """(engine, seconds said, seconds measured)."""
    model = ssmlang.compile(MODELS / f"{program}.ssm")
    drawn = model.simulate(rows, seed=1)
    params = drawn.attrs.get("params", model.typical)
    data = {name: drawn[name].values for name in model.spec.observations}
    said = model.check(data).to_dict()["engines"]
    found = []
    for one in said:
        name, estimate = one["engine"], one["seconds"]
        if not one["usable"] or estimate is None or (engines and name not in engines):
            continue
        call = lambda name=name: float(model.log_likelihood(data, params, engine=name))
        try:
            found.append((name, estimate, fastest(call)))
        except SsmError as error:
            print(f"{program} {name}: {error.diagnostics[0].message}", flush=True)
            continue
        print(f"{program:<24}{name:<16}{estimate * 1e3:>12.3g}{found[-1][2] * 1e3:>12.3g}"
              f"{estimate / found[-1][2]:>9.2g}", flush=True)  # fmt: skip
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--engines", nargs="+", default=())
    parser.add_argument("--programs", nargs="+", default=PROGRAMS)
    parser.add_argument("--rows", type=int, default=400)
    given = parser.parse_args(argv)
    print(f"{'program':<24}{'engine':<16}{'said, ms':>12}{'took, ms':>12}{'ratio':>9}")
    found = [cell for program in given.programs for cell in cells(program, given.rows, given.engines)]
    wrong = [c for c in found if not 1 / PROMISED < c[1] / c[2] < PROMISED]
    print(f"{len(found) - len(wrong)} of {len(found)} within a factor of {PROMISED:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
