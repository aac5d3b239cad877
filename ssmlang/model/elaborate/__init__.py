"""From the flat syntax tree to the Model."""

from ssmlang.model.elaborate.program import elaborate

__all__ = ["elaborate"]
