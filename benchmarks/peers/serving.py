"""The child's side of the side-by-side benchmarks: a contestant answers lines of JSON on standard input by such lines.

    {"do": "prepare", "task": "loglik", "problem": "row.npz"}  -> {"ok": true, "build": s, "first": s, "form": "..."}
    {"do": "time", "calls": 20}                                -> {"ok": true, "seconds": [...]}
    {"do": "answer", "to": "answer.npz"}                       -> {"ok": true}
    {"do": "drop"}, {"do": "versions"}, {"do": "memory"}

What goes wrong is {"ok": false, "error": "..."}, with "lacking": true for what the library does not do. Runs in each
peer's own environment: the standard library and NumPy alone.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Problem = Mapping[str, np.ndarray]
"""The arrays of a row: see `benchmarks.exact.problems`."""


@dataclass(frozen=True)
class Job:
    """One piece of work made ready: `run` returns when it is done, `answer` makes arrays of what it returned."""

    run: Callable[[], Any]
    answer: Callable[[Any], dict[str, np.ndarray]]
    form: str = ""
    """Which of the library's ways this is, where it has several."""
    warm_up: float = 0.0
    """Seconds of running before any time is taken: for what is compiled a second time once it has run for a while."""


Task = Callable[[Problem], Job]


class Lacking(Exception):
    """What the library does not do."""


def fastest(jobs: Sequence[Job]) -> Job:
    """The job whose best of three runs is the shortest: a library's own choice of filters, made for it."""
    best: dict[int, float] = {}
    for index, job in enumerate(jobs):
        job.run()
        best[index] = min(_seconds(job.run) for _ in range(3))
    return jobs[min(best, key=lambda i: best[i])]


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class _Server:
    def __init__(self, tasks: Mapping[str, Task], lacking: Mapping[str, str], packages: Sequence[str]) -> None:
        self.tasks, self.lacking, self.packages = tasks, lacking, packages
        self.job: Job | None = None
        self.result: Any = None

    def ready(self) -> Job:
        if self.job is None:
            raise RuntimeError("nothing has been prepared")
        return self.job

    def prepare(self, task: str, problem: str) -> dict[str, Any]:
        self.drop()
        if task not in self.tasks:
            raise Lacking(self.lacking.get(task, "nothing of the kind"))
        with np.load(problem) as arrays:
            given = {name: arrays[name] for name in arrays.files}
        start = time.perf_counter()
        self.job = self.tasks[task](given)
        built = time.perf_counter()
        self.result = self.job.run()
        first = time.perf_counter() - built
        warm = time.perf_counter() + self.job.warm_up
        while time.perf_counter() < warm:
            self.job.run()
        return {"build": built - start, "first": first, "form": self.job.form}

    def time(self, calls: int) -> dict[str, Any]:
        run = self.ready().run
        gc.collect()
        gc.disable()
        try:
            seconds = [_seconds(run) for _ in range(calls)]
        finally:
            gc.enable()
        return {"seconds": seconds}

    def answer(self, to: str) -> dict[str, Any]:
        np.savez(to, **self.ready().answer(self.result))
        return {}

    def again(self) -> dict[str, Any]:
        """One more run whose result is kept: for work that depends on a counter, as sampling does."""
        start = time.perf_counter()
        self.result = self.ready().run()
        return {"seconds": [time.perf_counter() - start]}

    def drop(self) -> dict[str, Any]:
        self.job = self.result = None
        gc.collect()
        return {}

    def versions(self) -> dict[str, Any]:
        return {"versions": {name: importlib.metadata.version(name) for name in self.packages}}

    def memory(self) -> dict[str, Any]:
        return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def serve(tasks: Mapping[str, Task], packages: Sequence[str], lacking: Mapping[str, str] | None = None) -> None:
    """Answer until standard input ends. `lacking`: why a task is not there, by its name."""
    # What libraries print goes to standard error: standard output carries answers alone.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = _Server(tasks, lacking or {}, packages)
    replies.write(json.dumps({"ok": True}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        verb = asked.pop("do")
        try:
            reply = {"ok": True, **getattr(server, verb)(**asked)}
        except Lacking as error:
            reply = {"ok": False, "lacking": True, "error": str(error)}
        except Exception as error:  # whatever a library raises is its answer
            reply = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:400]}"}
        replies.write(json.dumps(reply) + "\n")
