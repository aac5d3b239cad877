"""Simulation-based calibration (Talts, Betancourt, Simpson, Vehtari & Gelman 2018) of methods on five programs:

    python -m benchmarks.calibration [--replicates 100] [--programs ar ...] [--methods nuts pmmh laplace] [--page]

Parameters are drawn from the prior, data from the model, and a fit is made of them. The rank of each parameter among
the draws of its posterior is then uniform, whatever the model is, if the method is right. What is found is added to
`benchmarks/results/calibration.json`; `--page` writes docs/calibration.md from it and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "calibration.json"
PAGE = HERE.parent / "docs" / "calibration.md"
DRAWS, THIN = 99, 4
"""Draws that a rank is among, and of how many made one is used."""
BINS = 10

PROGRAMS = {
    "level": (
        "a local level",
        """
param a ~ LogNormal(-1, 0.5)
param b ~ LogNormal(0, 0.5)
state x
obs y
init x ~ Normal(0, 2)
x[t] ~ Normal(x[t-1], a)
y[t] ~ Normal(x[t], b)
""",
    ),
    "ar": (
        "a stationary autoregression, seen through noise",
        """
param phi in (-1, 1) ~ Normal(0.5, 0.4)
param q ~ LogNormal(-0.5, 0.4)
state x
obs y
init x ~ Stationary()
x[t] ~ Normal(phi * x[t-1], q)
y[t] ~ Normal(x[t], 0.5)
""",
    ),
    "counts": (
        "counts whose log-rate is a random walk",
        """
param s ~ LogNormal(-1.5, 0.5)
param m ~ Normal(1, 0.5)
state x
obs y
init x ~ Normal(0, 0.3)
x[t] ~ Normal(x[t-1], s)
y[t] ~ Poisson(exp(m + x[t]))
""",
    ),
    "volatility": (
        "stochastic volatility",
        """
param mu ~ Normal(-1, 0.7)
param phi in (-1, 1) ~ Normal(0.8, 0.2)
param sd ~ LogNormal(-1, 0.4)
state h
obs r
init h ~ Stationary()
h[t] ~ Normal(mu + phi * (h[t-1] - mu), sd)
r[t] ~ Normal(0, exp(h[t] / 2))
""",
    ),
    "growth": (
        "a logistic population with Gaussian noise on the log scale",
        """
param r ~ LogNormal(-1, 0.4)
param s ~ LogNormal(-2, 0.4)
state x
obs y
init x ~ Normal(0, 0.5)
x[t] ~ Normal(x[t-1] + r * (1 - exp(x[t-1])), s)
y[t] ~ Normal(x[t], 0.2)
""",
    ),
}
LINEAR = ("level", "ar")
METHODS = ("nuts", "pmmh", "laplace")
ROWS = 20


@dataclass(frozen=True)
class Found:
    """Ranks (replicate, parameter) of one method on one program."""

    program: str
    method: str
    engine: str
    names: list[str]
    ranks: np.ndarray
    seconds: float

    def p_values(self) -> list[float]:
        """Of the hypothesis that the ranks of each parameter are uniform, by chi-squared over the bins."""
        return [uniformity(self.ranks[:, i]) for i in range(len(self.names))]


def uniformity(ranks: np.ndarray, draws: int = DRAWS, bins: int = BINS) -> float:
    """The p-value of Pearson's test that ranks among `draws` draws are uniform on 0..draws."""
    counts = np.bincount((np.asarray(ranks) * bins) // (draws + 1), minlength=bins)
    return float(stats.chisquare(counts).pvalue)


def engine_of(program: str, method: str) -> Any:
    """The engine that a method is judged with: one whose likelihood is right where there is one."""
    if method == "pmmh":
        from ssmlang.engines.particle import Particle

        return Particle(particles=128)
    if method == "nuts" and program not in LINEAR:
        return "latent"
    return "auto"


def calibrate(program: str, method: str, replicates: int, seed: int = 0, bias: float = 0.0) -> Found:
    """Ranks of parameters drawn from the prior among the draws of their posteriors.

    `bias` is added to the draws, in their own standard deviations: what a method that is wrong looks like.
    """
    import ssmlang

    model = ssmlang.compile(PROGRAMS[program][1])
    names = list(model.spec.parameters)
    prior = model.simulate(ROWS, draws=replicates, seed=seed)
    (observed,) = model.spec.observations
    truth = json.loads(prior.attrs["params"]) if isinstance(prior.attrs["params"], str) else prior.attrs["params"]
    engine, ranks, used, began = engine_of(program, method), [], "", time.process_time()
    for i in range(replicates):
        y = prior[observed].values[i] if "draw" in prior[observed].dims else prior[observed].values
        fit = model.fit({observed: y.reshape(-1)}, method, engine, draws=DRAWS * THIN, warmup=300, chains=1, seed=i,
                        progress="off")  # fmt: skip
        used = fit.engine
        row = []
        for name in names:
            draws = fit.posterior[name].values.reshape(-1)[::THIN]
            value = np.ravel(truth[name])[i] if replicates > 1 else float(np.ravel(truth[name])[0])
            row.append(int((draws + bias * draws.std() < value).sum()))
        ranks.append(row)
    return Found(program, method, used, names, np.array(ranks), time.process_time() - began)


def stored() -> list[Found]:
    """What was found before."""
    if not RESULTS.exists():
        return []
    return [Found(**{**each, "ranks": np.array(each["ranks"])}) for each in json.loads(RESULTS.read_text())]


def store(found: Found) -> None:
    """Add what was found, in place of what was found of the same program and method."""
    others = [f for f in stored() if (f.program, f.method) != (found.program, found.method)]
    every = sorted([*others, found], key=lambda f: (list(PROGRAMS).index(f.program), METHODS.index(f.method)))
    rows = [{**vars(f), "ranks": f.ranks.tolist()} for f in every]
    RESULTS.write_text(json.dumps(rows) + "\n")


def page(every: list[Found]) -> str:
    """docs/calibration.md."""
    head = """# Calibration

Parameters drawn from the prior, data from the model, a fit of them: if a method is right, the rank of each parameter
among the draws of its posterior is uniform (Talts, Betancourt, Simpson, Vehtari & Gelman 2018). This page is written by
`python -m benchmarks.calibration`. Each line is one method on one program: the engine that gave the likelihood, how
many data sets of 20 rows were fitted, and for each parameter the p-value of a chi-squared test that its ranks are
uniform over ten bins. One p-value in a hundred is below 0.01 where all is well; few data sets can show large errors
alone.

`laplace` as a method is a normal law at the mode of the parameters, and with the engines `laplace` and `ukf` the
likelihood is an approximation too: neither is calibrated by construction, and the table shows by how much.

| program | method | engine | data sets | p-values |
| --- | --- | --- | --- | --- |
"""
    rows = [
        f"| {PROGRAMS[f.program][0]} | `{f.method}` | `{f.engine}` | {len(f.ranks)} | "
        + ", ".join(f"{n} {p:.2g}" for n, p in zip(f.names, f.p_values())) + " |"
        for f in every
    ]  # fmt: skip
    programs = "\n".join(f"{about[0].upper()}{about[1:]}:\n\n```ssm{text}```\n" for about, text in PROGRAMS.values())
    return head + "\n".join(rows) + "\n\n## The programs\n\n" + programs


def main() -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration")
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=list(PROGRAMS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--page", action="store_true", help="write the page from what was found before")
    args = parser.parse_args()
    for method in () if args.page else args.methods:
        for program in args.programs:
            found = calibrate(program, method, args.replicates)
            store(found)
            said = ", ".join(f"{n} {p:.2g}" for n, p in zip(found.names, found.p_values()))
            print(f"{program:10} {method:8} {found.engine:10} {found.seconds:6.1f} s  {said}", flush=True)
    PAGE.write_text(page(stored()), encoding="utf-8")


if __name__ == "__main__":
    main()
