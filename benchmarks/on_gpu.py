"""Where `parallel` overtakes `kalman` on a GPU: value, gradient and smoother against the number of rows.

    python -m benchmarks.on_gpu [--states 1 4 10] [--rows 1000 10000 ...] [--precisions float64 float32]
                                [--tasks value gradient smoother] [--data complete gaps] [--devices gpu cpu]
                                [--longest 4.0] [--repeats 5] [--results FILE] [--page]

Each engine runs on one random program, (n, m) = (1, 1), (4, 1), (10, 3), whose matrices do not change with time; once
with complete data, where the gain of `kalman` settles and the rest are matrix products, and once with a tenth of the
entries missing, where it goes through all rows one by one. Times are medians of calls of a compiled function after its
first call, with its arguments on the device; what took longer than `--longest` seconds is not asked for more rows.
Each value is compared with that of `kalman` in double precision on the CPU; exits 1 where one in double precision
differs by more than 1e-8 of it. What is measured is added to `--results`; `--page` writes docs/gpu.md from it and
measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.exact.problems import plain
from benchmarks.gpu_page import DEFAULT, PAGE, PROGRAMS, page
from ssmlang.engines import Initial, Kalman, LinearGaussian, Parallel, Structure
from ssmlang.engines.base import Known

ENTRIES = {1: 1, 4: 1, 10: 3}
"""Observations a row for so many states."""
ENGINES = {"kalman": Kalman(), "parallel": Parallel()}
AGREEMENT = 1e-8


@dataclass(frozen=True)
class Case:
    """One function to time; the order of the fields is that of the page."""

    device: str
    precision: str
    data: str
    n: int
    task: str
    engine: str
    rows: int

    @property
    def key(self) -> str:
        return "-".join(str(v) for v in asdict(self).values())

    @property
    def series(self) -> tuple:
        """What it shares with the same function of other lengths."""
        return tuple(v for name, v in asdict(self).items() if name != "rows")


def program(n: int) -> LinearGaussian:
    """A stable system with a dense transition; every observation has a noise of its own."""
    m = ENTRIES[n]
    system = plain(np.random.default_rng([n, m]), n, m)
    F: Any
    H: Any
    F, H = system["F"][None], system["H"][None]
    G: Any = np.concatenate([np.linalg.cholesky(system["Q"]), np.zeros((n, m))], axis=1)[None]
    J: Any = np.concatenate([np.zeros((m, n)), np.diag(np.sqrt(np.diag(system["R"])))], axis=1)[None]
    marks: Any = tuple(tuple(tuple(tuple(bool(v) for v in row) for row in lag) for lag in X != 0) for X in (F, G, H, J))
    zero: Any = np.zeros
    eye: Any = np.eye(n)
    start = Initial(zero(n), eye, zero((n, n)), zero((n, 0)))
    return LinearGaussian(F, zero(n), G, H, zero(m), J, start, Structure(n, m, n + m, *marks))


def series(rows: int, m: int, gaps: bool) -> np.ndarray:
    """White noise and slow waves, a tenth of the entries missing if `gaps`."""
    rng = np.random.default_rng([rows, m])
    y = rng.standard_normal((rows, m)) + np.sin(np.arange(rows) / 50.0)[:, None]
    if gaps:
        y[rng.random(y.shape) < 0.1] = np.nan
    return y


def function(case: Case) -> Callable[..., Any]:
    engine = ENGINES[case.engine].for_data(Known(gaps="none" if case.data == "complete" else "entries"))
    if case.task == "smoother":
        return engine.smooth
    if case.task == "value":
        return engine.log_likelihood

    def value(numbers: dict[str, jax.Array], whole: LinearGaussian, y: jax.Array) -> jax.Array:
        changed: Any = numbers
        return engine.log_likelihood(replace(whole, **changed), y)

    names = ("F", "c", "G", "H", "d", "J")
    return lambda whole, y: jax.value_and_grad(value)({name: getattr(whole, name) for name in names}, whole, y)


class Measured:
    """One case, compiled; calls are made in the precision and on the device of the case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        with self.within():
            cast = lambda a: jax.device_put(jnp.asarray(a, case.precision) if np.asarray(a).dtype == float else a)
            y = series(case.rows, ENTRIES[case.n], case.data == "gaps")
            self.arguments = jax.tree.map(cast, (program(case.n), y))
            self.traced = jax.jit(function(case)).lower(*self.arguments)
            begun = time.perf_counter()
            self.call = self.traced.compile()
            self.compiled = time.perf_counter() - begun

    def within(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(jax.enable_x64(self.case.precision == "float64"))
        stack.enter_context(jax.default_device(jax.devices(self.case.device)[0]))
        return stack

    def timed(self, repeats: int, longest: float) -> dict[str, Any]:
        """Times in seconds; the log-likelihood found."""
        with self.within():
            times = []
            begun = time.perf_counter()
            found = jax.block_until_ready(self.call(*self.arguments))
            first = time.perf_counter() - begun
            for _ in range(repeats if first < longest else 0):
                begun = time.perf_counter()
                jax.block_until_ready(self.call(*self.arguments))
                times.append(time.perf_counter() - begun)
        value = {"value": lambda: found, "gradient": lambda: found[0], "smoother": lambda: found.log_likelihood}
        total = float(np.sum(np.asarray(value[self.case.task](), np.float64)))
        seconds = statistics.median(times or [first])
        return {**asdict(self.case), "seconds": seconds, "compile": self.compiled, "value": total}


def cases(args: argparse.Namespace) -> Iterator[tuple[int, list[Case]]]:
    """For each length, all there is to time."""
    for rows in sorted(args.rows):
        choices = product(args.devices, args.precisions, args.data, args.states, args.tasks, args.engines)
        yield rows, [Case(*choice, rows) for choice in choices]


def measure(args: argparse.Namespace, found: dict[str, Any]) -> list[str]:
    """Fill `found` in; the cases that disagree."""
    apart, slow = [], set()
    cpu = jax.devices("cpu")[0]
    with ThreadPoolExecutor(args.jobs) as pool:
        for rows, wanted in cases(args):
            expected = {}
            for n, data in product(args.states, args.data):
                with jax.enable_x64(True), jax.default_device(cpu):
                    y = series(rows, ENTRIES[n], data == "gaps")
                    expected[n, data] = float(jax.jit(Kalman().log_likelihood)(program(n), y))
            ready = [case for case in wanted if case.series not in slow]
            for made in list(pool.map(Measured, ready)):
                case = made.case
                try:
                    entry = made.timed(args.repeats, args.longest)
                except jax.errors.JaxRuntimeError as failure:
                    found["cases"][case.key] = {**asdict(case), "failed": str(failure).splitlines()[0][:80]}
                    print(case.key, found["cases"][case.key]["failed"], flush=True)
                    continue
                right = expected[case.n, case.data]
                entry["error"] = abs(entry.pop("value") - right) / abs(right)
                found["cases"][case.key] = entry
                print(f"{case.key:60s} {entry['seconds'] * 1e3:10.3f} ms  compiled in {made.compiled:5.1f} s  "
                      f"{entry['error']:.1e}", flush=True)  # fmt: skip
                if not entry["error"] <= AGREEMENT and case.precision == "float64":
                    apart.append(case.key)
                if entry["seconds"] > args.longest:
                    slow.add(case.series)
            args.results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return apart


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, nargs="+", default=list(ENTRIES), choices=list(ENTRIES))
    parser.add_argument("--rows", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--precisions", nargs="+", default=["float64", "float32"], choices=["float64", "float32"])
    parser.add_argument("--tasks", nargs="+", default=["value", "gradient", "smoother"])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--data", nargs="+", default=["complete", "gaps"], choices=["complete", "gaps"])
    parser.add_argument("--devices", nargs="+", default=["gpu", "cpu"], choices=["gpu", "cpu"])
    parser.add_argument("--longest", type=float, default=4.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=DEFAULT)
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args(argv)
    found = json.loads(args.results.read_text(encoding="utf-8")) if args.results.exists() else {"cases": {}}
    if args.page:
        programs = json.loads(PROGRAMS.read_text(encoding="utf-8"))
        PAGE.write_text(page(found, programs), encoding="utf-8")
        return 0
    for device in args.devices:
        found.setdefault("devices", {})[device] = jax.devices(device)[0].device_kind
    found["jax"] = jax.__version__
    apart = measure(args, found)
    for key in apart:
        print(f"differs: {key}", file=sys.stderr)
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
