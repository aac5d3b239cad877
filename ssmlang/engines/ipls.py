"""The iterated posterior linearisation filter and smoother."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssmlang.engines._iterated import IteratedEngine
from ssmlang.engines._linearise import Linearisation, Sigma
from ssmlang.engines._sigma_points import Grid, Spherical, Unscented
from ssmlang.engines.base import register


@register
@dataclass(frozen=True)
class IPLS(IteratedEngine):
    """Statistical linearisation about the posterior it leads to: about each row's filtered law in the filter
    (Garcia-Fernandez, Svensson, Morelande & Sarkka 2015), about the smoothed laws in the smoother (Garcia-Fernandez,
    Svensson & Sarkka 2017). `points`: of the regression; a grid has `order` points an axis."""

    points: Literal["unscented", "cubature", "gauss_hermite"] = "unscented"
    order: int = 3

    name: ClassVar[str] = "ipls"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points not in ("unscented", "cubature", "gauss_hermite"):
            raise ValueError(f"points={self.points!r}: one of 'unscented', 'cubature', 'gauss_hermite'")
        if self.order < 2:
            raise ValueError(f"order={self.order}: at least 2 points an axis")

    @property
    def way(self) -> Linearisation:
        """Sigma points."""
        if self.points == "gauss_hermite":
            return Sigma(Grid(self.order))
        return Sigma(Unscented() if self.points == "unscented" else Spherical())
