"""The Gauss-Hermite Kalman filter: laws carried through the program's maps by a grid of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssmlang.engines._linearise import Linearisation, Sigma
from ssmlang.engines._moment_engine import APPROXIMATE, MomentEngine
from ssmlang.engines._sigma_points import Grid
from ssmlang.engines.base import register
from ssmlang.engines.requirements import Requirements


@register
@dataclass(frozen=True)
class GaussHermite(MomentEngine):
    """Statistical linearisation by Gauss-Hermite quadrature (Ito & Xiong 2000): `order` points to the power of the
    number of entries of the memory, exact for polynomials of degree 2 `order` - 1."""

    order: int = 5

    name: ClassVar[str] = "gauss_hermite"
    requires: ClassVar[Requirements] = APPROXIMATE._replace(few=8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order < 2:
            raise ValueError(f"order={self.order}: at least 2 points an axis")

    @property
    def way(self) -> Linearisation:
        """A grid of points."""
        return Sigma(Grid(self.order))
