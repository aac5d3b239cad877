"""The extended Kalman filter: laws carried through the derivatives of the program's maps at the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _low_rank as low_rank
from ssmlang.engines._linearise import Linearisation, Taylor
from ssmlang.engines._moment_engine import APPROXIMATE, MomentEngine
from ssmlang.engines.base import register
from ssmlang.engines.nonlinear import Estimated, Facts, Nonlinear


@register
@dataclass(frozen=True)
class EKF(MomentEngine):
    """First-order linearisation at the mean (Jazwinski 1970; Sarkka & Svensson 2023, algorithms 7.5 and 13.1).

    `covariance="low_rank"`: the precision as a diagonal and `rank` directions, for many entries that move apart from
    each other, as parameters of a network do (`_low_rank`); it filters, and does not smooth.
    """

    covariance: Literal["full", "factor", "low_rank"] = "full"  # type: ignore[assignment]
    """"full"; "factor": carried as a square root, which cannot lose its positivity (first derivatives only); or
    "low_rank", with `rank`"""
    rank: int | None = None

    name: ClassVar[str] = "ekf"
    remedy: ClassVar[str] = 'covariance="full" takes any program'

    def __post_init__(self) -> None:
        if self.covariance != "low_rank":
            if self.rank is not None:
                raise ValueError(f'rank={self.rank}: goes with covariance="low_rank" alone')
            if self.covariance not in ("full", "factor"):
                raise ValueError(f"covariance={self.covariance!r}: one of 'full', 'factor', 'low_rank'")
            return
        if self.rank is None or self.rank < 1:
            raise ValueError(f'covariance="low_rank" needs rank=..., at least 1, not {self.rank}')
        object.__setattr__(self, "requires", APPROXIMATE._replace(smooths=False, by_row=False))

    @property
    def way(self) -> Linearisation:
        """Derivatives at the mean."""
        return Taylor()

    def misfit(self, facts: Facts) -> str | None:
        """Why these options do not fit a program, in words; None where they do."""
        if self.covariance == "low_rank" and not facts.apart:
            return 'covariance="low_rank" needs states that each move by themselves, with a noise of their own'
        return None

    def log_likelihood(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """The density of y by the filter's one-step-ahead Gaussians."""
        if self.rank is not None:
            return jnp.sum(self.log_likelihood_terms(program, y))
        return super().log_likelihood(program, y)

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        if self.rank is not None:
            return low_rank.terms(self._fitting(program), y, self.rank)
        return super().log_likelihood_terms(program, y)

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Filtered and one-step-ahead moments of each row; with a low rank standard deviations of states alone."""
        if self.rank is not None:
            return low_rank.filtered(self._fitting(program), y, self.rank)
        return super().filter(program, y)

    def observed_on_average(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, "T q"]:
        """`Nonlinear.observed`'s mean one row ahead, over the law of the memory."""
        if self.rank is not None:
            return low_rank.observed_on_average(self._fitting(program), y, self.rank)
        return super().observed_on_average(program, y)

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Moments of each row given all of y. TypeError with a low rank, which has no smoother."""
        if self.rank is not None:
            raise TypeError('covariance="low_rank" has no smoother')
        return super().smooth(program, y)

    def _fitting(self, program: Nonlinear) -> Nonlinear:
        why = self.misfit(program.facts)
        if why is not None:
            raise ValueError(why)
        return program
