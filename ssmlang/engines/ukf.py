"""The unscented Kalman filter: laws carried through the program's maps by two points an axis and the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssmlang.engines._linearise import Linearisation, Sigma
from ssmlang.engines._moment_engine import MomentEngine
from ssmlang.engines._sigma_points import Unscented
from ssmlang.engines.base import register


@register
@dataclass(frozen=True)
class UKF(MomentEngine):
    """Statistical linearisation by unscented points (Julier & Uhlmann 2004; Sarkka & Svensson 2023, algorithm 8.17).

    `alpha`, `beta`, `kappa` as in `Unscented`; the usual small alpha makes weights negative and covariances indefinite.
    """

    alpha: float = 1.0
    beta: float = 0.0
    kappa: float | None = None

    name: ClassVar[str] = "ukf"

    @property
    def way(self) -> Linearisation:
        """Unscented points."""
        return Sigma(Unscented(self.alpha, self.beta, self.kappa))
