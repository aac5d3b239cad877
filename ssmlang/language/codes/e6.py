"""E6xx: proofs."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code

CODES: tuple[Code, ...] = ()
