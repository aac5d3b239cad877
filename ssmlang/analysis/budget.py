"""A bound on symbolic work: it stops with an answer, and never hangs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

SECONDS = 2.0
"""Processor time that one check may take."""


class OutOfTime(Exception):
    """A check took longer than its budget; what it has found by then stands, the rest is unknown."""


@dataclass
class Budget:
    """Processor time (seconds) for one check, from its last `restart` on.

    Work calls `check()` between its steps, each of which must be small: a call into sympy cannot be interrupted.
    """

    seconds: float = SECONDS
    _until: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._until = time.process_time() + self.seconds

    @property
    def left(self) -> float:
        return self._until - time.process_time()

    def check(self) -> None:
        """Raise OutOfTime where the time is up."""
        if self.left < 0:
            raise OutOfTime(f"took longer than {self.seconds:g} s")
