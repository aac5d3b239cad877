"""Progress of long computations: a bar on a terminal or in a notebook, one plain line otherwise."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from types import TracebackType
from typing import Any, Literal

Mode = Literal["auto", "bar", "plain", "off"]
MODES = ("auto", "bar", "plain", "off")


def chosen_mode(progress: bool | str | None) -> Mode:
    """What the caller's `progress`, else the environment variable SSMLANG_PROGRESS, asks for; `auto` is resolved."""
    if progress is None:
        progress = os.environ.get("SSMLANG_PROGRESS", "auto").lower()
    if isinstance(progress, bool):
        progress = "auto" if progress else "off"
    if progress not in MODES:
        raise ValueError(f"progress is one of {', '.join(MODES)}, not {progress!r}")
    if progress == "auto":
        return "bar" if sys.stderr.isatty() or _in_notebook() else "plain"
    return progress  # type: ignore[return-value]


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    ip = shell.get_ipython() if shell is not None else None  # type: ignore[attr-defined]
    return ip is not None and "IPKernelApp" in getattr(ip, "config", {})


class Progress:
    """A context that is told what has been done. `total` counts steps; `note` is a few words shown beside them."""

    def __init__(self, title: str, total: int, progress: bool | str | None = None) -> None:
        self.title, self.total = title, total
        self.mode = chosen_mode(progress)
        self.note = ""
        self._bar: Any = None
        self._start = time.perf_counter()

    def __enter__(self) -> Progress:
        if self.mode == "bar":
            if _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
                from tqdm.notebook import tqdm
            else:
                from tqdm.std import tqdm
            self._bar = tqdm(total=self.total, desc=self.title, leave=True, file=sys.stderr, dynamic_ncols=True)
        return self

    def advance(self, steps: int, note: str = "") -> None:
        """`steps` more are done."""
        self.note = note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(steps)

    def say(self, note: str) -> None:
        """What is going on before the next step."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.mode == "plain" and kind is None:
            seconds = time.perf_counter() - self._start
            print(f"{self.title}: {seconds:.1f} s{', ' + self.note if self.note else ''}", file=sys.stderr)
