"""NUTS for stochastic volatility on the daily returns of the pound: ssmlang beside a NumPyro model written by hand.

    python -m benchmarks.volatility_fit [--draws 1000] [--turns 1] [--only laplace non-centred ...] [--json FILE]

945 returns, 4 chains of as many draws after as many of warm-up, double precision, each contestant a process of its
own. ssmlang integrates the path of the volatility out with an engine and samples three parameters (`laplace`, what
`auto` takes: an approximation, whose error the posterior means show), or samples both (`latent`); the NumPyro models
sample the path beside the parameters, centred or not. Told are the seconds of a first fit, compiling included, and of
a second with another seed, and the least effective number of draws of a parameter a second of the latter. Goal: three
times that of the better NumPyro model. Exits 1 where the posterior means of exact contestants disagree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS, ROOT, variables

OURS, THEIRS = ("laplace", "latent"), ("non-centred", "centred")
GOAL = 3.0
AGREEMENT = 0.35
"""How far posterior means may lie apart, in posterior standard deviations: Monte Carlo alone gives a tenth or so."""


def run(name: str, draws: int) -> dict[str, Any]:
    script = PEERS / ("ssmlang_volatility.py" if name in OURS else "numpyro_volatility.py")
    with tempfile.TemporaryDirectory() as scratch:
        environment = variables(scratch, double=True) | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, str(script), name, str(draws)], env=environment, capture_output=True,
                              text=True, cwd=scratch)  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{name} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"rate": min(found["ess"].values()) / found["again"]}


def report(found: dict[str, dict[str, Any]]) -> int:
    print(f"{'':<22}{'first s':>9}{'again s':>9}{'least ESS':>11}{'ESS a s':>9}   posterior means (sd)")
    for name, f in found.items():
        who = f"ssmlang {name}" if name in OURS else f"NumPyro, {name}"
        means = ", ".join(f"{k} {v:.3f} ({f['sds'][k]:.3f})" for k, v in f["means"].items())
        print(
            f"{who:<22}{f['first']:>9.1f}{f['again']:>9.1f}{min(f['ess'].values()):>11.0f}{f['rate']:>9.1f}   {means}"
        )
    theirs = [f["rate"] for name, f in found.items() if name in THEIRS]
    for name in OURS:
        if name in found and theirs:
            print(f"{name}: {found[name]['rate'] / max(theirs):.1f} times the better NumPyro model; goal {GOAL:g}")
    exact = [found[name] for name in ("latent", *THEIRS) if name in found]
    apart = [k for f in exact[1:] for k in f["means"]
             if abs(f["means"][k] - exact[0]["means"][k]) > AGREEMENT * exact[0]["sds"][k]]  # fmt: skip
    if apart:
        print(f"the posterior means disagree: {', '.join(apart)}")
    return int(bool(apart))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=1, help="runs of each; the fastest second fit is told")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *THEIRS], default=[*OURS, *THEIRS])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(given.turns):
        for name in given.only:
            one = run(name, given.draws)
            print(f"{name:<14}{one['again']:8.1f} s", file=sys.stderr)
            if name not in found or one["again"] < found[name]["again"]:
                found[name] = one
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
