"""The rows that are not a matter of calls in turns: singular noise, compile times, memory, and sampling."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import problems, reference
from benchmarks.exact.measure import AGREEMENT, PATIENCE, drop
from benchmarks.exact.rows import COMPILE_SIZES, LARGE_PANEL, LARGE_STEPS, NUTS_LEFT_OUT, SUBJECT, Row
from benchmarks.exact.session import Child, Failed

Record = dict[str, Any]

LONG = 300.0
"""Seconds for work that compiles parallel scans, samples, or holds very many series."""


def singular(children: Mapping[str, Child], repeats: int) -> Record:
    """Each contestant's value and gradient where Q has rank one of two: right, wrong or not a number."""
    given = problems.trend()
    value, gradient = reference.trend_with_gradient(given)
    found: dict[str, Record] = {}
    for name, child in children.items():
        try:
            answer = once(child, "singular", given)
        except Failed as error:
            found[name] = {"lacking" if error.lacking else "error": str(error)}
            continue
        found[name] = {
            str(way): {"value": finite(v), "gradient": [finite(x) for x in g], "value_is": verdict(v, value),
                       "gradient_is": verdict(g, gradient)}
            for way, v, g in zip(answer["ways"], answer["value"], answer["gradient"])
        }  # fmt: skip
    return {"value": value, "gradient": gradient.tolist(), "contestants": found}


def finite(number: float) -> float | None:
    """A number that JSON has, or nothing."""
    return float(number) if np.isfinite(number) else None


def verdict(found: np.ndarray, expected: np.ndarray | float) -> str:
    """right, wrong or nan."""
    if not np.isfinite(found).all():
        return "nan"
    scale = np.abs(expected).max()
    return "right" if np.abs(found - expected).max() / scale < AGREEMENT else "wrong"


def once(child: Child, task: str, given: problems.Arrays) -> dict[str, np.ndarray]:
    """The answer of a task that is run once."""
    with tempfile.TemporaryDirectory() as folder:
        path, answer = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(path, **given)
        child.ask(LONG, "prepare", task=task, problem=str(path))
        child.ask(PATIENCE, "answer", to=str(answer))
        drop(child)
        with np.load(answer) as arrays:
            return {name: arrays[name] for name in arrays.files}


def compile_times(children: Mapping[str, Child], repeats: int) -> Record:
    """Seconds of ssmlang's first call beyond a warm one, in fresh processes that have loaded their modules with another
    model before, and keep nothing else of it."""
    found = []
    for n, m in COMPILE_SIZES:
        for kind in ("loglik", "gradient"):
            given = problems.problem(Row(kind, n, m, 1_000, goal=0.0))
            size = {"n": n, "m": m, "kind": kind}
            try:
                found.append(size | fresh_calls(kind, given, max(1, min(3, repeats // 5))))
            except Failed as error:
                found.append(size | {"error": str(error)})
    return {"steps": 1_000, "sizes": found}


def fresh_calls(kind: str, given: problems.Arrays, processes: int) -> Record:
    """Medians over fresh processes. Raises Failed where one does not answer, or is wrong."""
    expected = reference.log_likelihood(given).real
    seconds, builds = [], []
    for _ in range(processes):
        child = Child(SUBJECT)
        try:
            first, build, warm, value = first_call(child, kind, given)
        finally:
            child.close()
        if not abs(value - expected) <= AGREEMENT * abs(expected):
            raise Failed(f"a wrong value: {value}, not {expected}")
        seconds.append(first - warm)
        builds.append(build)
    return {"seconds": statistics.median(seconds), "all": seconds, "text_to_model": statistics.median(builds)}


def first_call(child: Child, kind: str, given: problems.Arrays) -> tuple[float, float, float, float]:
    """Seconds of the first call, of the text before it and of a warm call, and the value."""
    with tempfile.TemporaryDirectory() as folder:
        path, answer = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(path, **problems.problem(Row(kind, 2, 1, 100, goal=0.0)))
        child.ask(PATIENCE, "prepare", task=kind, problem=str(path))
        drop(child)
        np.savez(path, **given)
        said = child.ask(PATIENCE, "prepare", task=kind, problem=str(path))
        warm = statistics.median(child.ask(PATIENCE, "time", calls=5)["seconds"])
        child.ask(PATIENCE, "answer", to=str(answer))
        with np.load(answer) as arrays:
            return said["first"], said["build"], warm, float(arrays["value"])


def large_panel(children: Mapping[str, Child], repeats: int) -> Record:
    """The peak memory and the time of one panel of very many series, in processes of their own."""
    given = problems.large_panel()
    found: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, answer = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        np.savez(path, **given)
        expected = walks(given["y"], given["sd"])
        for task in ("large_panel", "large_panel_gradient"):
            child = Child(SUBJECT)
            try:
                said = child.ask(LONG, "prepare", task=task, problem=str(path))
                warm = child.ask(PATIENCE, "time", calls=1)["seconds"][0]
                child.ask(PATIENCE, "answer", to=str(answer))
                with np.load(answer) as arrays:
                    difference = abs(float(arrays["value"]) - expected) / abs(expected)
                found[task] = {"build": said["build"], "first": said["first"], "warm": warm,
                               "peak_gib": child.ask(PATIENCE, "memory")["peak_mib"] / 1024,
                               "agrees": bool(difference < AGREEMENT)}  # fmt: skip
            except Failed as error:
                found[task] = {"error": str(error)}
            finally:
                child.close()
    return {"series": LARGE_PANEL, "steps": LARGE_STEPS, "tasks": found}


def walks(y: np.ndarray, sd: np.ndarray) -> float:
    """The log-likelihood of many random walks with unit noise, each first value N(0, 100)."""
    mean, variance, total = np.zeros_like(sd), np.full_like(sd, 100.0), 0.0
    for t, row in enumerate(y):
        variance = variance + sd**2 if t else variance
        F = variance + 1.0
        total -= 0.5 * np.sum(np.log(2 * np.pi * F) + (row - mean) ** 2 / F)
        mean = mean + variance / F * (row - mean)
        variance = variance / F
    return float(total)


def nuts(children: Mapping[str, Child], repeats: int) -> Record:
    """Draws from the posterior of the local level model: a whole cold process, then another seed in the same."""
    import arviz

    given = problems.nile()
    found: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **given)
        for name in children:
            if name in NUTS_LEFT_OUT:
                found[name] = {"left_out": NUTS_LEFT_OUT[name]}
                continue
            answer = Path(folder) / f"{name}.npz"
            child = Child(name)
            try:
                said = child.ask(LONG, "prepare", task="nuts", problem=str(path))
                cold = elapsed(child)
                warm = child.ask(LONG, "again")["seconds"][0]
                child.ask(PATIENCE, "answer", to=str(answer))
            except Failed as error:
                found[name] = {"lacking" if error.lacking else "error": str(error)}
                continue
            finally:
                child.close()
            with np.load(answer) as arrays:
                draws = {k: arrays[k] for k in arrays.files}
            least = min(float(arviz.ess(v)) for v in draws.values())
            found[name] = {"form": said["form"], "cold": cold, "warm": warm, "min_ess": least, "ess_s": least / warm,
                           "means": {k: float(v.mean()) for k, v in draws.items()}}  # fmt: skip
    return {"contestants": found}


def elapsed(child: Child) -> float:
    """Seconds since the child's process was started."""
    return time.perf_counter() - child.started


SPECIAL = {"singular": singular, "compile": compile_times, "large-panel": large_panel, "nuts": nuts}
