"""Reading back what was saved: a fit, or a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from ssmlang.results import containers
from ssmlang.running.fit import Fit, load_fit
from ssmlang.running.stream import KIND, Stream, load_stream


def load_saved(path: Path, compile_source: Callable[..., Any]) -> Fit | Stream:
    """What the file holds, told by its contents. Raises E701 for a file of neither."""
    return _of_tree(containers.load(path), path, compile_source)


def restored(tree: xr.DataTree) -> Fit | Stream:
    """What was pickled as the tree that `save` writes: how fits and streams go to other processes."""
    from ssmlang.compiling import compile_source

    return _of_tree(tree, Path("pickle"), compile_source)


def _of_tree(tree: xr.DataTree, path: Path, compile_source: Callable[..., Any]) -> Fit | Stream:
    load = load_stream if tree.attrs.get("kind") == KIND else load_fit
    return load(tree, path, compile_source)
