"""What a stream by an engine of general programs is told before its first row.

Such an engine has `begin(program, key, probe)`, row 0 before its observations, and `step(program, t, y, before, key,
first=False)`, which gives what the next row goes on from (of constant size) and the numbers of `filter`. The functions
of `program` are asked about the row alone; engines that draw take the key of the whole series, and draw with it what
`filter` draws in that row. `widened` makes observations part of the memory where they are first missing.
"""

from __future__ import annotations

from jaxtyping import Array, Int

from ssmlang.engines.nonlinear import Nonlinear

Probe = tuple[Nonlinear, Int[Array, " rows"]]
"""The program over data of no meaning, which are nowhere zero by accident, and rows in which they can be looked at."""
