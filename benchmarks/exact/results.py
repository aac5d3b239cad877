"""The raw numbers on disk: `benchmarks/results/exact.json`, written after every row."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.exact.rows import NAMES
from benchmarks.exact.session import Child, Failed

DEFAULT = ROOT / "benchmarks" / "results" / "exact.json"
Results = dict[str, Any]


def empty() -> Results:
    return {"machine": machine(), "versions": {}, "absent": {}, "rows": {}}


def load(path: Path) -> Results:
    """What is there, or nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else empty()


def elsewhere() -> list[Results]:
    """What was measured on other machines: `exact-NAME.json` beside the first."""
    return [load(path) for path in sorted(DEFAULT.parent.glob("exact-*.json"))]


def save(results: Results, path: Path) -> None:
    """Rows in the order of the table; replaced at once, so that a run that is cut leaves whole rows."""
    ordered = {name: results["rows"][name] for name in NAMES if name in results["rows"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps({**results, "rows": ordered}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    fresh.replace(path)


def stamped(record: dict[str, Any]) -> dict[str, Any]:
    """A row's record with its date and how busy the machine was: processes that wanted to run, in the last minute."""
    return {"date": datetime.date.today().isoformat(), "load": round(os.getloadavg()[0], 2), **record}


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": processor(), "cores": os.cpu_count(), "memory_gib": round(memory, 1),
            "system": f"{platform.system()} {platform.machine()}"}  # fmt: skip


def processor() -> str:
    """The processor's name; of Linux, where it is in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def versions(children: Iterable[Child]) -> dict[str, dict[str, str]]:
    """Versions of what each contestant is made of; those that do not start are left out."""
    found = {}
    for child in children:
        try:
            found[child.name] = child.ask(60.0, "versions")["versions"]
        except Failed as error:
            found[child.name] = {"does not start": str(error)}
    return found
