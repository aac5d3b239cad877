"""docs/gpu.md, made from what `benchmarks.on_gpu` measured."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.environments import ROOT

DEFAULT = ROOT / "benchmarks" / "results" / "gpu.json"
PROGRAMS = ROOT / "benchmarks" / "results" / "devices.json"
PAGE = ROOT / "docs" / "gpu.md"
DATA = {
    "complete": "Complete data: the gain of `kalman` settles, and most of its rows are matrix products.",
    "gaps": "A tenth of the entries missing: `kalman` goes through all rows one by one.",
}
TASKS = ("value", "gradient", "smoother")

HEAD = """\
# On a GPU

Written by `python -m benchmarks.on_gpu --page` from `benchmarks/results/gpu.json`; `python -m benchmarks.on_gpu`
measures anew. One series, matrices that do not change with time, (n, m) = (1, 1), (4, 1), (10, 3); medians of calls of
a compiled function, its arguments on the device. Device: {gpu}; its host's CPU beside it; JAX {jax}.

`kalman` goes through the rows one after the other. On a GPU every row is a few kernels, and what a row costs is to
launch them. `parallel` needs a number of dependent steps that grows like the logarithm of the length; up to sixteen
states its passes are a few kernels in all. `auto` takes `parallel` on a GPU from {rows} rows on, and `kalman`
elsewhere.
"""


WORK = """\
## Whole programs

Written from `benchmarks/results/devices.json`; `python -m benchmarks.devices` measures anew. Double precision, calls
of a compiled function, the whole of a second fit; the CPU is that of the GPU's host (16 cores). Where no device is
named, a call goes where it is expected to be quicker.

| program | what | engine | | GPU, ms | CPU, ms | the GPU is quicker |
|---|---|---|---|---:|---:|---:|
"""


def work(found: dict[str, Any]) -> str:
    """The table of programs on both devices."""
    lines = []
    for one in found["work"].values():
        if "gpu" in one and "cpu" in one:
            times = one["cpu"] / one["gpu"]
            words = f"{times:,.0f}x" if times >= 10 else f"{times:.2g}x"
            lines.append(f"| {one['kind']} | {one['what']} | `{one['engine']}` | {one['size']} | {_ms(one['gpu'])} | "
                         f"{_ms(one['cpu'])} | {words} |")  # fmt: skip
    return WORK + "\n".join(lines) + "\n"


def page(found: dict[str, Any], programs: dict[str, Any]) -> str:
    """The page as Markdown."""
    from ssmlang.analysis.choice import PARALLEL_ROWS

    cases = [c for c in found["cases"].values() if "seconds" in c]
    parts = [HEAD.format(gpu=found["devices"]["gpu"], jax=found["jax"], rows=f"{PARALLEL_ROWS:,}")]
    parts.append(work(programs))
    for precision in ("float64", "float32"):
        for data, words in DATA.items():
            parts.append(f"## {precision}, {'complete data' if data == 'complete' else 'gaps'}\n\n{words}\n")
            some = [c for c in cases if c["precision"] == precision and c["data"] == data]
            parts.append(_table(some))
    errors = [c["error"] for c in cases if c["precision"] == "float64"]
    parts.append(f"The log-likelihoods of all cells in double precision differ by at most {max(errors):.0e} of their "
                 "value from that of `kalman` on the CPU.\n")  # fmt: skip
    if found.get("notes"):
        parts.append("## Of these numbers\n\n" + "\n".join(f"- {note}" for note in found["notes"]) + "\n")
    return "\n".join(parts)


def _table(cases: list[dict[str, Any]]) -> str:
    at = {(c["device"], c["engine"], c["n"], c["task"], c["rows"]): c["seconds"] for c in cases}
    lengths = sorted({c["rows"] for c in cases})
    lines = [
        "Milliseconds; a dash: not measured.\n",
        f"| n | task | engine | {' | '.join(f'T = {rows:,}' for rows in lengths)} | overtaken from |",
        f"|---|---|---|{'---|' * len(lengths)}---|",
    ]
    for n in sorted({c["n"] for c in cases}):
        for task in TASKS:
            for device, engine in (("gpu", "parallel"), ("gpu", "kalman"), ("cpu", "kalman")):
                times = {rows: at.get((device, engine, n, task, rows)) for rows in lengths}
                best = {rows: at.get(("gpu", "parallel", n, task, rows)) for rows in lengths}
                if not any(times.values()):
                    continue
                where = "" if engine == "parallel" else crossover(times, best)
                name = f"`{engine}`" + (", CPU" if device == "cpu" else "")
                lines.append(f"| {n} | {task} | {name} | {' | '.join(map(_ms, times.values()))} | {where} |")
    return "\n".join([*lines, ""])


def crossover(one: dict[int, float | None], other: dict[int, float | None]) -> str:
    """From how many rows on `other` is quicker: between two lengths by a straight line in logarithms."""
    known = sorted((rows, a, b) for rows, a in one.items() if a is not None and (b := other.get(rows)) is not None)
    if not known:
        return "-"
    ratios = [(rows, math.log(a / b)) for rows, a, b in known]
    last = max((i for i, (_, r) in enumerate(ratios) if r < 0), default=-1)
    if last < 0:
        return f"< {known[0][0]:,}"
    if last == len(ratios) - 1:
        return f"> {known[-1][0]:,}"
    (T0, r0), (T1, r1) = ratios[last], ratios[last + 1]
    rows = math.exp(math.log(T0) + (math.log(T1) - math.log(T0)) * -r0 / (r1 - r0))
    return f"{_rounded(rows):,}"


def _rounded(rows: float) -> int:
    unit = 10 ** (int(math.log10(rows)) - 1)
    return int(round(rows / unit) * unit)


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"
