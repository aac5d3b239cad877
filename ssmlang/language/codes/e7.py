"""E7xx: run time: numerics, devices, files, missing extras."""

from __future__ import annotations

from ssmlang.language.codes import e7_files, e7_run
from ssmlang.language.codes.entry import Code

CODES: tuple[Code, ...] = (*e7_files.CODES, *e7_run.CODES)
