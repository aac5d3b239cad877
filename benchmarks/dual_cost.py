"""What each engine for long memories costs, against the length of the series: Figure 4 of the duality paper, measured.

    python -m benchmarks.dual_cost [--system fractional tracking oscillating] [--rows 50 100 200 ...] [--repeats 5]
                                   [--longest 2.0] [--engines dual batch ...] [--clock wall | cpu]

Kudre, Chang & Mehta (2026), arXiv 2604.03909, compare the dual filter with filters on a growing state. Beside those
stand here the companion-state Kalman filter, which is linear in T where the order is fixed, and the dense and the
block-banded factorisations. Three tasks: the prediction of the last row from all before it (what the dual filter is
for), the smoothed means of all rows, and the log-likelihood. Times are medians of calls after the first, in
milliseconds; an engine that took longer than `--longest` seconds is not asked for more rows. Below each table: from how
many rows on which engine is the quickest. Every engine's answer is compared with the first one's; exits 1 where they
differ by more than 1e-6.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

# Threads of the linear algebra wait for each other in loops where other programs run beside this one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.engines import Banded, Batch, Dual, Growing, Initial, Kalman, LinearGaussian, Structure, WienerHopf
from ssmlang.engines.program import Pattern

ENGINES = {
    "kalman": Kalman(),
    "dual": Dual(),
    "batch": Batch(),
    "wiener_hopf": WienerHopf(),
    "banded": Banded(),
    "growing": Growing(),
}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Wall time, or the processor's time: for a machine that has other things to do."""
TASKS: dict[str, Callable[..., jax.Array]] = {
    "prediction of the last row": lambda engine, program, y: engine.filter(program, y).predicted_mean[-1, 0],
    "smoothed means": lambda engine, program, y: engine.smooth(program, y).mean[:, 0],
    "log-likelihood": lambda engine, program, y: engine.log_likelihood(program, y),
}


def system(name: str, steps: int, q: float = 0.1, r: float = 0.5) -> LinearGaussian:
    """One of the paper's systems, with variances q of the state's noise and r of the observations'."""
    H: np.ndarray = np.ones((1, 1, 1))
    F: np.ndarray
    if name == "tracking":
        F = np.zeros((steps, steps - 1, 1, 1))
        F[1:, 0] += 0.8
        F[np.arange(1, steps), np.arange(steps - 1)] += 0.2
    elif name == "oscillating":
        F = np.array([-1.9 * np.cos(np.pi / 6), -0.9025]).reshape(2, 1, 1)
    else:
        k = np.arange(steps - 2)
        F = np.cumprod(np.concatenate([[0.6], (k + 0.4) / (k + 2)])).reshape(-1, 1, 1)
        H = np.cos(np.pi / 10 * np.arange(steps)).reshape(steps, 1, 1, 1)
    N = F.shape[-3]
    read, noisy, seen, blurred = (
        Pattern.of(np.broadcast_to(np.array(mask), (lags, 1, size)))
        for mask, lags, size in ((True, N, 1), ([True, False], 1, 2), (True, 1, 1), ([False, True], 1, 2))
    )
    structure = Structure(1, 1, 2, read, noisy, seen, blurred, past_rows=0)
    first = jnp.asarray((np.arange(N) == 0) * 1.0)
    start = Initial(first, first[:, None], jnp.zeros((N, N)), jnp.zeros((N, 0)))
    G, J = jnp.array([[[np.sqrt(q), 0.0]]]), jnp.array([[[0.0, np.sqrt(r)]]])
    return LinearGaussian(jnp.asarray(F), jnp.zeros(1), G, jnp.asarray(H), jnp.zeros(1), J, start, structure)


def data(steps: int) -> np.ndarray:
    t = np.arange(steps)
    return (1 + 0.5 * np.sin(0.7 * t) + 0.3 * np.cos(1.9 * t) + 0.2 * (-1.0) ** t)[:, None]


def measure(
    task: str, name: str, program: LinearGaussian, y: np.ndarray, repeats: int, clock: str
) -> tuple[float, np.ndarray]:
    """Median seconds of a call, and its answer."""
    engine = ENGINES[name]
    run = TASKS[task]
    if name == "dual" and task.startswith("prediction"):
        run = lambda engine, program, y: engine.control(program, y).estimate
    function = jax.jit(lambda numbers, y: run(engine, replace(program, **numbers), y))
    numbers = {k: jax.device_put(getattr(program, k)) for k in ("F", "c", "G", "H", "d", "J", "initial")}
    answer = np.asarray(function(numbers, y))
    times = []
    for _ in range(repeats):
        begun = CLOCKS[clock]()
        jax.block_until_ready(function(numbers, y))
        times.append(CLOCKS[clock]() - begun)
        if sum(times) > 5.0:
            break
    return statistics.median(times), answer


def table(task: str, which: str, rows: list[int], engines: list[str], repeats: int, longest: float, clock: str) -> bool:
    """Print one table; whether all engines agreed."""
    print(f"\n{which}: {task} (ms)\n{'rows':>6}" + "".join(f"{e:>13}" for e in engines), flush=True)
    out, quickest, agreed = set(), [], True
    for steps in rows:
        program, y = system(which, steps), data(steps)
        found, answers = {}, []
        for name in engines:
            if name in out:
                continue
            found[name], answer = measure(task, name, program, y, repeats, clock)
            answers.append(answer)
            if found[name] > longest:
                out.add(name)
        cells = (f"{found[e] * 1e3:>13.2f}" if e in found else f"{'-':>13}" for e in engines)
        print(f"{steps:>6}" + "".join(cells), flush=True)
        agreed &= all(np.allclose(a, answers[0], rtol=1e-6, atol=1e-6) for a in answers)
        if found:
            quickest.append((steps, min(found, key=lambda e: found[e])))
    changes = [f"{e} from {t}" for i, (t, e) in enumerate(quickest) if i == 0 or quickest[i - 1][1] != e]
    print(f"quickest: {', '.join(changes)}{'' if agreed else '; THE ENGINES DISAGREE'}")
    return agreed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--system", nargs="+", default=["fractional"], choices=["fractional", "tracking", "oscillating"]
    )
    parser.add_argument("--rows", nargs="+", type=int, default=[50, 100, 200, 400, 800, 1600, 3200])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS))
    args = parser.parse_args()
    with jax.enable_x64(True):
        good = [
            table(task, which, args.rows, args.engines, args.repeats, args.longest, args.clock)
            for which in args.system
            for task in args.tasks
        ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
