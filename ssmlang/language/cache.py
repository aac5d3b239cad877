"""Where what is costly to make again is kept between processes: the user's own cache folder."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`ssmlang` in the user's cache folder; the environment variable SSMLANG_CACHE names another place."""
    if own := os.environ.get("SSMLANG_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ssmlang" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ssmlang"


def cache_file(kind: str, text: str) -> str | None:
    """The file for what is made of `text`, its folder made; None where nothing can be kept."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    return str(folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
