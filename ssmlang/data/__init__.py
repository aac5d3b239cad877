"""Data in: data sets bound to a model, and small real data sets that ship with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssmlang.data.datasets import describe, load, names, read_text

if TYPE_CHECKING:
    from ssmlang.data.binding import Bound, bind, check_inputs
    from ssmlang.data.future import future_rows
    from ssmlang.data.time import TimeBase

__all__ = ["Bound", "TimeBase", "bind", "check_inputs", "describe", "future_rows", "load", "names", "read_text"]

# pandas is imported when it is needed: `ssmlang.data.names()` is quick. No module may bear the name of what it holds,
# for Python would set that name to the module.
_HOMES = {"Bound": "binding", "bind": "binding", "check_inputs": "binding", "future_rows": "future", "TimeBase": "time"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"ssmlang.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ssmlang.data' has no attribute {name!r}")
