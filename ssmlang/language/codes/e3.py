"""E3xx: the structure of a model, and what an engine needs of it."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code

CODES: tuple[Code, ...] = ()
