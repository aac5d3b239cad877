"""The whole fit of the local level model to the Nile, from a cold process: ssmlang beside dynestyx and pymc-extras.

    python -m benchmarks.nile_fit [--repeats 3] [--only ssmlang dynestyx] [--python /path/to/python3.12]

Every contestant is a process of its own, in an environment of its own, that starts the interpreter, imports, builds,
compiles and samples 4 chains of 1000 + 1000 in double precision, with the same priors, and prints the posterior means;
the time is that of the process. Caches of compiled code are empty at every start. The order goes round, so that a busy
moment of the machine falls on all alike. Exits 1 where ssmlang takes more than a third of a peer's time, or where
posteriors disagree.

The peers need Python 3.12 or newer; their environments are made under .cache/peers at the first run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.environments import PEERS, ROOT, interpreter, variables

DATA = ROOT / "ssmlang" / "data" / "csv" / "nile.csv"

CONTESTANTS = ("ssmlang", "dynestyx", "pymc_extras")
MONTE_CARLO = {"sd_level": 3.0, "sd_flow": 2.0}
"""How far posterior means of two samplers may lie apart: about four Monte-Carlo errors of 4 x 1000 draws."""


def run(contestant: str, python: str) -> tuple[float, dict[str, float]]:
    """Seconds of one cold process, and the posterior means it found."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = variables(scratch, double=contestant == "dynestyx")
        start = time.perf_counter()
        done = subprocess.run(
            [python, str(PEERS / f"{contestant}_nile.py"), str(DATA)],
            env=environment,
            capture_output=True,
            text=True,
            cwd=scratch,
        )
        took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{contestant} failed:\n{done.stderr[-4000:]}")
    return took, json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--python", help="the interpreter that the peers' environments are made from")
    args = parser.parse_args()

    try:
        pythons = {name: interpreter(name, args.python) for name in args.only}
    except RuntimeError as error:
        sys.exit(str(error))
    times: dict[str, list[float]] = {name: [] for name in args.only}
    means: dict[str, dict[str, float]] = {}
    for turn in range(args.repeats):
        for shift in range(len(args.only)):
            name = args.only[(turn + shift) % len(args.only)]
            took, means[name] = run(name, pythons[name])
            times[name].append(took)
            print(f"{name:<14}{took:8.2f}s  {json.dumps(means[name])}", file=sys.stderr)
    return report(times, means)


def report(times: dict[str, list[float]], means: dict[str, dict[str, float]]) -> int:
    """Print medians and ratios; 1 where a bound is broken."""
    medians = {name: statistics.median(column) for name, column in times.items()}
    ours = medians.get("ssmlang")
    broken = False
    print(f"{'whole fit, cold':<16}{'median':>9}{'range':>18}{'times ssmlang':>15}   sd_level  sd_flow")
    for name, median in medians.items():
        ratio = "" if ours is None else f"{median / ours:.1f}"
        span = f"{min(times[name]):.2f}-{max(times[name]):.2f}s"
        found = means[name]
        print(f"{name:<16}{median:>8.2f}s{span:>18}{ratio:>15}{found['sd_level']:>11.2f}{found['sd_flow']:>9.2f}")
        if ours is None or name == "ssmlang":
            continue
        if median < 3 * ours:
            broken = True
            print(f"ssmlang takes more than a third of the time of {name}")
        for parameter, allowed in MONTE_CARLO.items():
            if abs(found[parameter] - means["ssmlang"][parameter]) > allowed:
                broken = True
                print(f"the posterior means of {parameter} disagree")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
