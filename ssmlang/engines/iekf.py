"""The iterated extended Kalman filter, and the Gauss-Newton smoother that goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssmlang.engines._iterated import IteratedEngine
from ssmlang.engines._linearise import Linearisation, Taylor
from ssmlang.engines.base import register


@register
@dataclass(frozen=True)
class IEKF(IteratedEngine):
    """Derivatives taken again at the estimate they lead to (Bell & Cathey 1993); smoothed, at the smoothed path: the
    Gauss-Newton method for the most probable path (Bell 1994)."""

    name: ClassVar[str] = "iekf"

    @property
    def way(self) -> Linearisation:
        """Derivatives at the mean."""
        return Taylor()
