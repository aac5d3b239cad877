"""The extended Kalman filter: laws carried through the derivatives of the program's maps at the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssmlang.engines._linearise import Linearisation, Taylor
from ssmlang.engines._moment_engine import MomentEngine
from ssmlang.engines.base import register


@register
@dataclass(frozen=True)
class EKF(MomentEngine):
    """First-order linearisation at the mean (Jazwinski 1970; Sarkka & Svensson 2023, algorithms 7.5 and 13.1)."""

    name: ClassVar[str] = "ekf"

    @property
    def way(self) -> Linearisation:
        """Derivatives at the mean."""
        return Taylor()
