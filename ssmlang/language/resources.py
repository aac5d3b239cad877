"""Texts that ship beside the code: the grammar and the standard library.

In a wheel they lie inside the package (`ssmlang/grammar`, `ssmlang/stdlib`); in a source checkout, editable installs
included, they stand at the top of the repository.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path


@lru_cache(maxsize=64)
def read_resource(relative: str) -> str | None:
    """The text of `grammar/ssm.lark`, `stdlib/structural.ssm`, ...; None if there is no such file."""
    packaged = files("ssmlang").joinpath(*relative.split("/"))
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    beside = _checkout() / relative
    return beside.read_text(encoding="utf-8") if beside.is_file() else None


def list_resources(folder: str, suffix: str = ".ssm") -> tuple[str, ...]:
    """The stems of the files of a folder (`stdlib`, `stdlib/models`), sorted."""
    packaged = files("ssmlang").joinpath(*folder.split("/"))
    place = packaged if packaged.is_dir() else _checkout() / folder
    if not place.is_dir():
        return ()
    return tuple(sorted(item.name[: -len(suffix)] for item in place.iterdir() if item.name.endswith(suffix)))


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]
