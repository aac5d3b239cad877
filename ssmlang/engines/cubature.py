"""The cubature Kalman filter: laws carried through the program's maps by two points an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssmlang.engines._linearise import Linearisation, Sigma
from ssmlang.engines._moment_engine import MomentEngine
from ssmlang.engines._sigma_points import Spherical
from ssmlang.engines.base import register


@register
@dataclass(frozen=True)
class Cubature(MomentEngine):
    """Statistical linearisation by the spherical rule of degree three (Arasaratnam & Haykin 2009)."""

    name: ClassVar[str] = "cubature"

    @property
    def way(self) -> Linearisation:
        """Points of the spherical rule."""
        return Sigma(Spherical())
