"""E2xx: names, axes, shapes, lags; E28x: imports and components."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code

CODES: tuple[Code, ...] = ()
