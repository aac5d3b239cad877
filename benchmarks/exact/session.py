"""The contestants as child processes that are asked by lines of JSON; one at a time works, the others wait."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS, interpreter, variables

Reply = dict[str, Any]
STARTING = 120.0
"""Seconds that an interpreter and its imports may take."""


class Failed(Exception):
    """A contestant that does not answer, or answers with an error; `lacking` where its library has no such thing."""

    def __init__(self, message: str, lacking: bool = False) -> None:
        super().__init__(message)
        self.lacking = lacking


class Child:
    """A contestant's process, started when it is first asked and again after it was ended."""

    def __init__(self, name: str, python: str | None = None, kind: str = "exact") -> None:
        self.name, self.kind = name, kind
        self.interpreter = interpreter(name, python)
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self.started = 0.0
        """When the process was started, by `time.perf_counter`."""

    def ask(self, patience: float, do: str, **more: Any) -> Reply:
        """The answer to a line. Raises Failed; a child that is silent for longer than `patience` seconds is ended."""
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise Failed("the process ended") from None
        return self._reply(patience)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._scratch = tempfile.TemporaryDirectory()
            scratch = self._scratch.name
            self._pending = b""
            self.started = time.perf_counter()
            self._errors = (Path(scratch) / "errors").open("wb")
            self._process = subprocess.Popen(
                [self.interpreter, str(PEERS / "contestant.py"), f"{self.name}_{self.kind}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, cwd=scratch,
                env=variables(scratch, double=True),
            )  # fmt: skip
            self._reply(STARTING)
        return self._process

    def _reply(self, patience: float) -> Reply:
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + patience
        while b"\n" not in self._pending:
            ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                self.close()
                raise Failed(f"no answer within {patience:.0f} s")
            read = os.read(pipe, 1 << 16)
            if not read:
                lines = (Path(self._scratch.name) / "errors").read_text(errors="replace").strip().splitlines()
                self.close()
                raise Failed(f"the process ended: {lines[-1] if lines else 'no word'}")
            self._pending += read
        line, self._pending = self._pending.split(b"\n", 1)
        answer: Reply = json.loads(line)
        if not answer.pop("ok"):
            raise Failed(answer["error"], answer.get("lacking", False))
        return answer

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._scratch.cleanup()
