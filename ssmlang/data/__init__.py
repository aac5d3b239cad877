"""Data in: data sets bound to a model, and small real data sets that ship with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssmlang.data.datasets import describe, load, names, read_text

if TYPE_CHECKING:
    from ssmlang.data.bind import Bound, bind, check_inputs
    from ssmlang.data.future import future_rows
    from ssmlang.data.time import TimeBase

__all__ = ["Bound", "TimeBase", "bind", "check_inputs", "describe", "future_rows", "load", "names", "read_text"]

_LAZY = {"Bound": "bind", "bind": "bind", "check_inputs": "bind", "future_rows": "future", "TimeBase": "time"}


def __getattr__(name: str) -> Any:
    # pandas is not imported before it is needed: `ssmlang.data.names()` is quick.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"ssmlang.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'ssmlang.data' has no attribute {name!r}")
