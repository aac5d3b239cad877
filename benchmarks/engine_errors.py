"""How far the engines of nonlinear programs are from 200,000 particles, on programs as users write them:

    python -m benchmarks.engine_errors [--programs pendulum ...] [--particles 200000] [--page]

For each program two data sets are drawn from it. Given are, at the parameters that drew them, the error of the
log-likelihood of all rows and the root mean square error of the filtered means in units of the reference's own standard
deviation, the worse data set of the two. `!` marks an engine that warned. What is found is added to
`benchmarks/results/engine_errors.json`; `--page` writes docs/engine_errors.md from it and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
MODELS, STANDARD = HERE / "models" / "nonlinear", HERE.parent / "stdlib" / "models"
RESULTS = HERE / "results" / "engine_errors.json"
PAGE = HERE.parent / "docs" / "engine_errors.md"
ENGINES = ("auto", "ekf", "ukf", "ipls", "laplace", "importance", "particle")
SEEDS = (1, 2)


def drive(rows: int) -> dict[str, np.ndarray]:
    """A robot that drives in a circle."""
    return {"speed": np.full(rows, 0.4), "turning": np.full(rows, 0.1)}


def zigzag(rows: int) -> dict[str, np.ndarray]:
    """An observer that moves east and zigzags."""
    t = np.arange(rows)
    return {"own": np.stack([0.3 * t, 2 * np.sin(t / 5)], 1)}


class Case(NamedTuple):
    """A program, the parameters that draw its data, how many rows, its inputs."""

    file: Path
    params: dict[str, float]
    rows: int
    inputs: Callable[[int], dict[str, np.ndarray]] | None = None


def _own(name: str, rows: int, inputs: Callable[[int], dict[str, np.ndarray]] | None = None, **params: float) -> Case:
    return Case(MODELS / f"{name}.ssm", params, rows, inputs)


CASES = {
    "a robot among landmarks": _own("localisation", 50, drive, sd_drive=0.1, sd_turn=0.05, sd_range=0.3, sharpness=100),
    "the same, vague": _own("localisation", 50, drive, sd_drive=0.5, sd_turn=0.3, sd_range=1, sharpness=10),
    "a robot that maps two landmarks": _own("slam", 50, drive, sd_drive=0.05, sd_turn=0.02, sd_range=0.3,
                                            sharpness=200),
    "a pendulum seen through its sine": _own("pendulum", 60, sd_push=0.1, sd_obs=0.1),
    "the same, pushed": _own("pendulum", 60, sd_push=1, sd_obs=0.1),
    "the same, thrown about": _own("pendulum", 60, sd_push=3, sd_obs=0.2),
    "a wandering phase seen through its sine": _own("sine", 60, sd=0.5, sd_obs=0.1),
    "a ship by its bearing alone": _own("bearings", 50, zigzag, q=0.02, sd=0.02),
    "Lorenz-63, one coordinate seen": _own("lorenz63", 50, q=0.5, sd=1),
    "Lorenz-96 of six sites": _own("lorenz96", 50, q=0.5, sd=1),
    "SEIR, cases counted": _own("seir", 50, beta=0.6, sigma=0.3, gam=0.2, q=0.1),
    "spikes of four neurons": _own("spikes", 60, q=0.3),
    "FitzHugh-Nagumo as `d(v)`": _own("fitzhugh", 60, q=0.1, sd=0.2),
    "Heston's volatility": _own("heston", 100, kappa=3, theta=0.05, xi=0.5, rho=-0.7),
    "volatility with leverage": Case(STANDARD / "leverage.ssm", dict(mu=-1, phi=0.95, sd=0.25, rho=-0.6), 100),
    "a direction on the circle": _own("phase", 60, q=0.05, s=0.1, sharpness=10),
    "the same, vague and fast": _own("phase", 60, q=0.1, s=0.5, sharpness=1),
    "a sensor that saturates": _own("saturated", 60, phi=0.95, q=0.5, sd=0.1),
    "a threshold autoregression": _own("threshold", 60, low=0.8, high=0.6, q=0.5, sd=0.5),
    "Ricker's map, log-normal surveys": _own("ricker", 60, r=2.8, q=0.2, sd=0.3),
    "Ricker's map in chaos, some ten counted": _own("ricker_counts", 60, r=2.8, q=0.3, size=10),
    "the same, about one counted": _own("ricker_counts", 60, r=2.5, q=0.3, size=1),
    "the same, some ten thousand counted": _own("ricker_counts", 60, r=2.5, q=0.3, size=1e4),
    "Gompertz' growth, counted with spread": _own("gompertz_counts", 60, a=0.5, b=0.9, q=0.3, spread=5),
    "two wells, the side alone seen": _own("well_bernoulli", 60, q=0.4, sharpness=2),
    "an autoregression under Student's t": _own("heavy_tails", 60, phi=0.9, q=1, sd=0.2),
    "ranges of which some are echoes": _own("robust_range", 50, q=0.05, sd=0.2),
    "a particle in two wells": _own("duffing", 60, q=0.4, sd=0.5),
    "a growth seen through its square": _own("squared", 60, sd_x=10**0.5, sd_y=1),
    "a radar, sharp": Case(STANDARD / "radar.ssm", dict(sd_speed=0.5, sd_turn=0.05, sd_range=1, sharpness=1000), 50),
    "the same, mild": Case(STANDARD / "radar.ssm", dict(sd_speed=1, sd_turn=0.1, sd_range=5, sharpness=200), 50),
}  # fmt: skip


def measured(case: Case, particles: int) -> list[dict[str, Any]]:
    """Of each data set: the reference, and of each engine its errors."""
    import ssmlang

    model = ssmlang.compile(case.file)
    found = []
    for seed in SEEDS:
        inputs = case.inputs(case.rows) if case.inputs else {}
        drawn = model.simulate(steps=case.rows, params=case.params, seed=seed, future=inputs or None)
        data = {n: drawn[n].values for n in model.spec.observations} | inputs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            truth = model.filter(data, case.params, engine=ssmlang.engines.Particle(particles))
        mean = truth["mean"].values
        sd = np.sqrt(np.diagonal(truth["cov"].values, axis1=1, axis2=2))
        sd = np.where(sd > 0, sd, np.inf)  # what is known exactly is no measure
        row: dict[str, Any] = {"reference": float(truth["log_likelihood"].sum()), "ess": float(truth["ess"].min())}
        for engine in ENGINES:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                try:
                    filtered = model.filter(data, case.params, engine=engine)
                except ssmlang.SsmError as error:
                    row[engine] = {"code": error.diagnostics[0].code}
                    continue
            row[engine] = {
                "engine": filtered.attrs["engine"],
                "likelihood": float(filtered["log_likelihood"].sum()) - row["reference"],
                "means": float(np.sqrt(np.mean(((filtered["mean"].values - mean) / sd) ** 2))),
                "warned": any(issubclass(w.category, ssmlang.SsmWarning) for w in said),
            }
        found.append(row)
    return found


def _cell(rows: list[dict[str, Any]], engine: str) -> str:
    failed = [row[engine]["code"] for row in rows if "code" in row[engine]]
    if failed:
        return failed[0]
    worse = max(rows, key=lambda row: abs(row[engine]["likelihood"]))[engine]
    means = max(row[engine]["means"] for row in rows)
    mark = " !" if any(row[engine]["warned"] for row in rows) else ""
    size = worse["likelihood"]
    return f"{size:.0f}, {means:.1f}{mark}" if abs(size) >= 10 else f"{size:.1f}, {means:.2f}{mark}"


def page(results: dict[str, list[dict[str, Any]]]) -> str:
    """docs/engine_errors.md."""
    lines = [
        "# How far engines are off", "",
        "Written by `python -m benchmarks.engine_errors --page` from `benchmarks/results/engine_errors.json`; "
        "`python -m benchmarks.engine_errors` measures anew. The programs are in `benchmarks/models/nonlinear`. What "
        "`auto` takes ([by the kind of program](engines.md)) is chosen by this table.", "",
        "Two numbers a cell: the error of the log-likelihood of 50 to 100 rows against 200,000 particles, and of the "
        "filtered means in units of their own standard deviation (root mean square); the worse of two data sets, drawn "
        "at the parameters that the engines are given. `particle` is of 1,000. `!`: the engine warned. A code is what "
        "it answered instead of a number.", "",
        "| the program | `auto` takes | " + " | ".join(f"`{e}`" for e in ENGINES) + " |",
        "| --- |" + " --- |" * (len(ENGINES) + 1),
    ]  # fmt: skip
    for name, rows in results.items():
        taken = rows[0]["auto"].get("engine", "")
        lines.append(f"| {name} | `{taken}` | " + " | ".join(_cell(rows, e) for e in ENGINES) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--particles", type=int, default=200_000, help="of the reference")
    parser.add_argument("--page", action="store_true", help="write the page from the results at hand")
    args = parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not args.page:
        for name in args.programs:
            results[name] = measured(CASES[name], args.particles)
            print(name, *(f"{e}: {_cell(results[name], e)}" for e in ENGINES), sep="\n  ", flush=True)
            RESULTS.write_text(json.dumps({n: results[n] for n in CASES if n in results}, indent=1) + "\n")
    PAGE.write_text(page({n: results[n] for n in CASES if n in results}), encoding="utf-8")


if __name__ == "__main__":
    main()
