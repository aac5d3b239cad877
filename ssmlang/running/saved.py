"""Reading back what was saved: a fit, or a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssmlang.results import containers
from ssmlang.running.fit import Fit, load_fit
from ssmlang.running.stream import KIND, Stream, load_stream


def load_saved(path: Path, compile_source: Callable[..., Any]) -> Fit | Stream:
    """What the file holds, told by its contents. Raises E701 for a file of neither."""
    tree = containers.load(path)
    load = load_stream if tree.attrs.get("kind") == KIND else load_fit
    return load(tree, path, compile_source)
