"""Engines of general programs that take rows one at a time."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines.nonlinear import Estimated, Facts, Nonlinear

Probe = tuple[Nonlinear, Int[Array, " rows"]]
"""The program over data of no meaning, which are nowhere zero by accident, and rows in which they can be looked at."""


@runtime_checkable
class Stepwise(Protocol):
    """An engine's rows one at a time: the numbers are those of `filter`. What is carried from row to row does not grow.

    The functions of `program` are asked about the row alone, so that its data need not hold any other. Engines that
    draw take the key of the whole series, and draw with it what `filter` draws in that row.
    """

    def begin(self, program: Any, key: Any, probe: Probe | None = None) -> Any:
        """Row 0 before its observations."""
        ...

    def step(self, program: Any, t: Int[Array, ""], y: Float[Array, " m"], before: Any, key: Any, *, first: bool = False
             ) -> tuple[Any, Estimated]:  # fmt: skip
        """Row t, from what the row before it left; `first`: row 0, from what `begin` gives."""
        ...


class Widening(Protocol):
    """An engine whose memory may grow on the way: an observation becomes part of it where it is first missing."""

    def widened(self, carried: Any, at: Int[np.ndarray, " N"], values: Float[Array, " N"], facts: tuple[Facts, Facts]
                ) -> Any:  # fmt: skip
        """What is carried over a memory whose entry i was entry at[i] before, which was known to be values[i] where
        at[i] is -1; the facts of the program before and after."""
        ...
