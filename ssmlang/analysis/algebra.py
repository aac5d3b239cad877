"""sympy, imported when it is first used: that takes longer than all else that checking a small model does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy as sp
else:

    class _Later:
        """Stands for sympy; a name is looked up once."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module("sympy"), name)
            setattr(self, name, value)
            return value

    sp = _Later()

__all__ = ["sp"]
