"""One row: every contestant made ready, checked against the reference, and timed in turns."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import reference
from benchmarks.exact.problems import Arrays, problem
from benchmarks.exact.rows import SUBJECT, Row
from benchmarks.exact.session import Child, Failed

Record = dict[str, Any]

AGREEMENT = 1e-6
"""Relative difference to the reference above which a contestant is said to disagree."""

PATIENCE = 60.0
"""Seconds that making ready, or one burst of calls, may take."""

BURST = 0.03
"""Seconds of calls in one turn."""

SPENT = 3.0
"""Seconds of calls after which a contestant has no more turns (two it always has)."""

ARRAYS = "ssmlang_arrays"
"""ssmlang's compiled function alone, beside the verb that users call."""


def measure(row: Row, children: Mapping[str, Child], repeats: int) -> Record:
    """The record of a row: one entry a contestant, times in seconds."""
    given = problem(row)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, **given)
        names = [name for name in children if name not in row.left_out]
        found: dict[str, Record] = {name: {"left_out": row.left_out[name]} for name in children if name in row.left_out}
        # One child works on two tasks here: its turns come one after the other, each made ready anew.
        extra = [ARRAYS] if row.kind == "smoother" and SUBJECT in children else []
        expected = expectation(row, given)
        for name in names:
            found[name] = prepared(children[name], row.kind, path, Path(folder), expected, given)
        take_turns(children, found, [n for n in names if "first" in found[n]], repeats)
        for name in extra:
            found[name] = prepared(children[SUBJECT], "smoother_arrays", path, Path(folder), expected, given)
            take_turns({name: children[SUBJECT]}, found, [name] if "first" in found[name] else [], repeats)
        for name in names:
            drop(children[name])
    said = {key: getattr(row, key) for key in ("kind", "n", "m", "steps", "series", "system", "goal", "floor_us")}
    return said | {"contestants": found}


def prepared(child: Child, task: str, path: Path, folder: Path, expected: Arrays, given: Arrays) -> Record:
    """A contestant made ready: its times so far and how far its answer is from the reference, or why it is not here."""
    answer = folder / f"{child.name}-{task}.npz"
    try:
        said = child.ask(PATIENCE, "prepare", task=task, problem=str(path))
        child.ask(PATIENCE, "answer", to=str(answer))
    except Failed as error:
        return {"lacking" if error.lacking else "error": str(error)}
    with np.load(answer) as arrays:
        difference = disagreement({k: arrays[k] for k in arrays.files}, expected, given)
    record: Record = {key: said[key] for key in ("build", "first")}
    record |= {"form": said["form"]} if said["form"] else {}
    kept = difference if np.isfinite(difference) else None
    return record | {"difference": kept, "agrees": bool(difference < AGREEMENT)}


def take_turns(children: Mapping[str, Child], found: dict[str, Record], names: Sequence[str], repeats: int) -> None:
    """Bursts of calls, a turn each, the order going round; then medians, lower quartiles and bests into `found`."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    playing = list(names)
    for turn in range(repeats + 1):
        for shift in range(len(playing)):
            name = playing[(turn + shift) % len(playing)]
            spent = seconds[name]
            if turn > 2 and sum(spent) > SPENT:
                continue
            # The first turn is one call, thrown away: it says how many make a burst.
            one = statistics.median(spent) if spent else 1.0
            calls = 1 if turn == 0 else max(1, min(200, int(BURST / max(one, 1e-7))))
            try:
                took = children[name].ask(PATIENCE, "time", calls=calls)["seconds"]
            except Failed as error:
                found[name] = {"error": str(error)}
                seconds[name] = []
                continue
            if turn == 1:
                spent.clear()
            spent.extend(took)
        playing = [name for name in playing if "error" not in found[name]]
    for name in playing:
        spent = seconds[name]
        found[name] |= {
            "median": statistics.median(spent),
            "lower_quartile": float(np.quantile(spent, 0.25)),
            "best": min(spent),
            "calls": len(spent),
        }


def drop(child: Child) -> None:
    """Let a contestant forget a row; one that does not answer has ended already."""
    try:
        child.ask(PATIENCE, "drop")
    except Failed:
        child.close()


def expectation(row: Row, given: Arrays) -> Arrays:
    """What the reference says of a row: value, and slope along a direction; or smoothed moments."""
    if row.kind == "smoother":
        mean, cov = reference.smoothed(given)
        return {"mean": mean, "cov": cov}
    if "gradient" in row.kind:
        value, slope = reference.value_and_slope(given)
        return {"value": np.asarray(value), "slope": np.asarray(slope)}
    return {"value": np.asarray(reference.log_likelihood(given).real)}


def disagreement(answer: Arrays, expected: Arrays, given: Arrays) -> float:
    """The largest relative difference; infinite where something is not a number."""
    parts = []
    if "slope" in expected:
        along = reference.direction(given)
        terms = [np.ravel(answer[f"d{name}"] * along[name]) for name in along]
        # Terms of either sign cancel in a slope: it is as exact as the largest of its parts.
        scale = np.abs(np.concatenate(terms)).sum()
        with np.errstate(divide="ignore", invalid="ignore"):  # a gradient of zeros is infinitely far off
            parts.append(abs(sum(t.sum() for t in terms) - expected["slope"]) / scale)
    for name in ("value", "mean", "cov"):
        if name in expected:
            parts.append(np.abs(answer[name] - expected[name]).max() / np.abs(expected[name]).max())
    worst = float(np.max(parts))
    return worst if np.isfinite(worst) else float("inf")


def fastest_peer(record: Record) -> str | None:
    """The peer with the least median among those that agree with the reference."""
    medians = {name: one["median"] for name, one in record["contestants"].items()
               if name not in (SUBJECT, ARRAYS) and one.get("agrees") and "median" in one}  # fmt: skip
    return min(medians, key=lambda name: medians[name]) if medians else None


def ratio(record: Record) -> float | None:
    """How many times faster ssmlang is than the fastest peer, by medians; None where either is not there."""
    peer, own = fastest_peer(record), record["contestants"].get(SUBJECT, {})
    if peer is None or "median" not in own or not own["agrees"]:
        return None
    return float(record["contestants"][peer]["median"] / own["median"])
