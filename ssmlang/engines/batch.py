"""The joint normal law of all rows, by recursions of moments, and one Cholesky factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _joint as joint
from ssmlang.engines._order_p import order_p
from ssmlang.engines._sweeps import Sweeps, sweeps
from ssmlang.engines.base import EngineBase, Filtered, Requirements, Smoothed, register
from ssmlang.engines.program import LinearGaussian


@register
@dataclass(frozen=True)
class Batch(EngineBase):
    """Exact inference from Sigma_YY, the covariance of all observations, which is formed and factored.

    Programs of any order, noises and initial laws of any rank; the initial law must be proper. Time
    O((T m)^3 / 3 + T^2 p n^3), memory O(T^2 (n + m)^2). NaN in y is a missing value. The moments follow the difference
    equation row by row, as in Kudre, Chang & Mehta (2026), appendix C, several rows at a time.
    """

    name: ClassVar[str] = "batch"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; -inf where one contradicts an exact prediction."""
        law, _ = self._moments(program, y)
        return jnp.where(program.initial.exists, joint.terms(law, joint.factor(law, y)), -jnp.inf)

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Filtered:
        """Filtered and one-step-ahead moments; rows of NaN at the end are forecasts."""
        law, hidden = self._moments(program, y)
        found = joint.filtered(law, hidden, joint.factor(law, y))
        return found._replace(log_likelihood=jnp.where(program.initial.exists, found.log_likelihood, -jnp.inf))

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Smoothed:
        """Moments given all of y, of the states and of the signal."""
        law, hidden = self._moments(program, y)
        found = joint.smoothed(law, hidden, joint.factor(law, y))
        return found._replace(log_likelihood=jnp.where(program.initial.exists, found.log_likelihood, -jnp.inf))

    def _moments(self, program: LinearGaussian, y: Float[Array, "T m"]) -> tuple[joint.Observed, joint.Hidden]:
        check_data(program, y)
        return moments(sweeps(order_p(program, len(y)), "blocks"))


def moments(s: Sweeps) -> tuple[joint.Observed, joint.Hidden]:
    """All moments by Sigma(t, .) = sum_k A_{t,k} Sigma(t-k, .) + Cov(w_t, .), down the rows and then along them."""
    e = s.form.extents
    source = jnp.zeros((e.rows, e.k, e.rows, e.k), s.form.cov.dtype)
    first = e.past + 1
    source = source.at[:first, :, :first, :].set(s.form.cov.reshape(first, e.k, first, e.k))
    at = np.arange(first, e.rows)
    source = source.at[at, :, at, :].set(s.form.per_row("Q")[1:])
    down = s.forward(source.reshape(e.rows, e.k, -1)).reshape(e.rows * e.k, e.rows, e.k)
    states = s.forward(jnp.moveaxis(down, 0, -1))
    cross = s.emit(states).reshape(e.steps, e.m, e.rows, e.k)
    white = s.form.per_row("R")
    rows = np.arange(e.steps)
    cov = s.emit(jnp.moveaxis(cross, (0, 1), (2, 3)).reshape(e.rows, e.k, -1)).reshape(e.steps, e.m, e.steps, e.m)
    cov = cov.at[rows, :, rows, :].add(white)
    z, y = s.means()
    here = states.reshape(e.rows, e.k, e.rows, e.k)[e.past + rows, :, e.past + rows, :]
    with_y = jnp.moveaxis(cross, (2, 3), (0, 1))[e.past :, : e.n]
    return joint.Observed(y, cov, white), joint.Hidden(z[e.past :, : e.n], here[:, : e.n, : e.n], with_y)


def check_data(program: LinearGaussian, y: Array) -> None:
    """Raise ValueError where y is not (T, m)."""
    if y.ndim != 2 or y.shape[1] != program.structure.m:
        raise ValueError(f"y has shape {y.shape}, the program {program.structure.m} observations a row")
