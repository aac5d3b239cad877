"""What the engines that carry a mean and a covariance through linearised maps have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines import _moment_filter as forward
from ssmlang.engines import _moment_smooth as backward
from ssmlang.engines._linearise import Linearisation, Sigma, Taylor
from ssmlang.engines._moment_factor import FactorRows
from ssmlang.engines._moment_rows import Rows
from ssmlang.engines._sigma_points import Unscented
from ssmlang.engines.base import EngineBase
from ssmlang.engines.nonlinear import Estimated, Facts, Law, Nonlinear, Passing
from ssmlang.engines.requirements import Requirements
from ssmlang.engines.stepwise import Probe

Covariance = Literal["full", "factor"]

APPROXIMATE = Requirements(
    linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
)  # fmt: skip


@dataclass(frozen=True)
class MomentEngine(EngineBase):
    """A filter and smoother over `Nonlinear` programs: exact where every map is affine and every noise Gaussian.

    y is (T, m), NaN missing. Covariances may have any rank; an observation that is known exactly before it is seen is
    passed over, and its density is zero where it is another number. Derivatives in either mode.
    """

    covariance: Covariance = "full"
    """"full", or "factor": carried as a square root, which cannot lose its positivity (first derivatives only)"""

    requires: ClassVar[Requirements] = APPROXIMATE

    def __post_init__(self) -> None:
        if self.covariance not in ("full", "factor"):
            raise ValueError(f"covariance={self.covariance!r}: one of 'full', 'factor'")

    @property
    @abstractmethod
    def way(self) -> Linearisation:
        """How maps are linearised."""

    def log_likelihood(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """The density of y by the filter's one-step-ahead Gaussians."""
        rows = self._rows(program)
        return forward.log_likelihood(rows, self._update(rows), y)

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        rows = self._rows(program)
        return forward.terms(rows, forward.passed(rows, self._update(rows), y))

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Filtered and one-step-ahead moments of each row."""
        rows = self._rows(program)
        return forward.estimated(rows, forward.passed(rows, self._update(rows), y))

    def observed_on_average(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, "T q"]:
        """`Nonlinear.observed`'s mean one row ahead, over the law of the memory whatever the way of linearising."""
        rows = self._rows(program)
        ahead = forward.passed(rows, self._update(rows), y).ahead
        over = Rows(program, Sigma(Unscented())) if isinstance(self.way, Taylor) else rows
        return jax.vmap(lambda t, law: forward.observed(over, t, law, noise=False).mean)(jnp.arange(len(y)), ahead)

    def begin(self, program: Nonlinear, key: None = None, probe: Probe | None = None) -> Law:
        """Row 0 before its observations, as `step` takes it."""
        del key
        whole, times = (None, jnp.zeros(1, int)) if probe is None else probe
        return self._rows(program).first(times, whole)

    def step(self, program: Nonlinear, t: Int[Array, ""], y: Float[Array, " m"], before: Law, key: None = None, *,
             first: bool = False) -> tuple[Law, Estimated]:  # fmt: skip
        """Row t of `filter` from the law that the row before it left; `first`: from that of `begin`."""
        del key
        rows = self._rows(program)
        ahead = before if first else rows.moved(t, before)
        after, at, term = self._update(rows)(t, ahead, y, program.statistic(y))
        lead = lambda law: jax.tree.map(lambda a: a[None], rows.covariance(law))
        found = forward.Passed(lead(after), lead(ahead), lead(at), term[None])
        return after, jax.tree.map(lambda a: a[0], forward.estimated(rows, found, t[None]))

    def widened(self, carried: Law, at: Int[np.ndarray, " N"], values: Float[Array, " N"],
                facts: tuple[Facts, Facts]) -> Law:  # fmt: skip
        """What is carried over a memory whose entry i was entry at[i] before; where that is -1, the known values[i]."""
        del facts
        known = at < 0
        cov = jnp.where(known[:, None], 0.0, carried.cov[at])
        if self.covariance == "factor":  # rows of a factor; the memory only grows
            return Law(jnp.where(known, values, carried.mean[at]), jnp.pad(cov, ((0, 0), (0, len(at) - cov.shape[1]))))
        return Law(jnp.where(known, values, carried.mean[at]), jnp.where(known, 0.0, cov[:, at]))

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Moments of each row given all of y."""
        rows = self._rows(program)
        _, laws, _, found = self._smoothed(rows, y)
        terms = forward.terms(rows, found)
        rows, n, t = self._of_all(rows), program.facts.n, jnp.arange(len(y))
        of = lambda law: (law.mean[:, :n], law.cov[:, :n, :n])
        passed = Passing(*of(found.ahead), *of(found.after), terms)
        signal = jax.vmap(lambda t, law: forward.observed(rows, t, law, noise=False))(t, laws)
        lets = jax.vmap(lambda t, law: forward.definitions(rows, t, law))(t, laws)
        return Estimated(laws.mean[:, :n], laws.cov[:, :n, :n], signal.mean, signal.cov, terms,
                         definition_mean=lets.mean, definition_sd=forward.sd(lets.cov), passed=passed)  # fmt: skip

    def paths(
        self, program: Nonlinear, y: Float[Array, "T m"], keys: Key[Array, " draws"]
    ) -> Float[Array, "draws T n"]:
        """A draw of the path x_0..x_{T-1} given y for each key, under the approximation that `smooth` makes."""
        rows = self._rows(program)
        linear, laws, ahead, _ = self._smoothed(rows, y)
        return backward.paths(linear, ahead, rows.statistic(y), laws.mean, keys)[..., : program.facts.n]

    def _rows(self, program: Nonlinear) -> Rows:
        return (Rows if self.covariance == "full" else FactorRows)(program, self.way)

    def _of_all(self, rows: Rows) -> Rows:
        """As `rows`, where the maps of all rows are linearised together."""
        return rows

    def _update(self, rows: Rows) -> forward.Update:
        return forward.once(rows)

    def _smoothed(self, rows: Rows, y: Float[Array, "T m"]) -> tuple[backward.Linearised, Law, Law, forward.Passed]:
        """The affine program that stands for this one, its smoothed and predicted laws, what the filter left."""
        found = forward.passed(rows, self._update(rows), y)
        linear = linearised(rows, found.ahead, found.after, found.at, y)
        laws = backward.smoothed(linear, found.ahead, rows.statistic(y), rows.fused)
        return linear, laws, found.ahead, found


def linearised(rows: Rows, ahead: Law, moving: Law, seeing: Law, y: Float[Array, "T m"]) -> backward.Linearised:
    """The program made affine: transitions at the laws `moving` of the rows before, emissions at the laws `seeing`."""
    t = jnp.arange(len(y))
    before = jax.tree.map(lambda a: jnp.roll(a, 1, axis=0), moving)
    moves = jax.vmap(rows.transition_affine)(t, before)
    sights = jax.vmap(rows.emission_affine)(t, seeing, y)
    return backward.Linearised(jax.tree.map(lambda a: a[0], ahead), moves, sights)
