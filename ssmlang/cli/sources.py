"""What the running commands start from: a compiled model and a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssmlang.cli.files import STDIN, display_name, read_text
from ssmlang.language.cache import cache_folder


def prepare() -> None:
    """Keep compiled programs on disk between calls of the command line, unless the user has said where or not to."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and os.environ.get("JAX_ENABLE_COMPILATION_CACHE") != "false":
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache_folder() / "jax")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def model_of(name: str, constants: Mapping[str, Any]) -> Any:
    """Compile the file `name` (`-`: standard input)."""
    from ssmlang import compiling
    from ssmlang.language.source import Source

    text = read_text(name)
    stem = "model" if name == STDIN else Path(name).stem
    base = Path.cwd() if name == STDIN else Path(name).resolve().parent
    return compiling.compile_source(Source(display_name(name), text), constants=constants, name=stem, base=base)


def data_of(name: str) -> Any:
    """A data set: the file of that name, or for a name without an ending the one that ships with ssmlang.

    Raises E704 for a name that neither has; a file is read, and refused, where it is bound to the model.
    """
    if Path(name).suffix or Path(name).exists():
        return Path(name)
    import ssmlang

    return ssmlang.data.load(name)
