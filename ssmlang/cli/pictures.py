"""Pictures of results, written by their file's ending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssmlang.cli.files import writing
from ssmlang.typed import Usage


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a matplotlib figure; the ending chooses the format."""
    known = figure.canvas.get_supported_filetypes()
    if Path(path).suffix.lstrip(".") not in known:
        raise Usage(f"--plot {path}: the ending is one of {', '.join('.' + ending for ending in sorted(known))}")
    with writing(path):
        figure.savefig(path, dpi=150)
