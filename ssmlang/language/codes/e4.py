"""E4xx: data and parameter values."""

from __future__ import annotations

from ssmlang.language.codes import e4_calls, e4_data, e4_gaps, e4_steps
from ssmlang.language.codes.entry import Code

CODES: tuple[Code, ...] = (*e4_data.CODES, *e4_gaps.CODES, *e4_calls.CODES, *e4_steps.CODES)
