"""The causal Wiener-Hopf equation on a finite horizon: whitening, projection, causal part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _joint as joint
from ssmlang.engines._order_p import order_p
from ssmlang.engines._sweeps import Sweeps, sweeps
from ssmlang.engines.base import EngineBase, Filtered, Requirements, Smoothed, register
from ssmlang.engines.batch import check_data
from ssmlang.engines.program import LinearGaussian


class Predictor(NamedTuple):
    """One-step predictions as functions of the data.

    E[x_t | y_<t] = x_mean[t] + sum_s weights[t, :, s] (y_s - y_mean[s]).
    """

    weights: Float[Array, "T n T m"]
    """zero from s = t on, and where an entry is missing"""
    x_mean: Float[Array, "T n"]
    y_mean: Float[Array, "T m"]


@register
@dataclass(frozen=True)
class WienerHopf(EngineBase):
    """Exact inference by block Cholesky: Sigma_YY = C C', innovations C^-1 (y - mean), causal part of Sigma_XY C^-T.

    Programs of any order, noises and initial laws of any rank; the initial law must be proper. Time O((T m)^3 / 3) and
    T m backward and forward sweeps, by FFT for a long memory that does not change with time; memory O(T^2 m (n + m)).
    NaN in y is a missing value. The one-step predictor keeps the blocks of the rows before t, not up to t (the
    transition applied to filtered marginals would be wrong from order two on: it needs smoothed lags).
    """

    name: ClassVar[str] = "wiener_hopf"
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

    def predictor(self, program: LinearGaussian, seen: Bool[Array, "T m"]) -> Predictor:
        """The weights of all one-step predictions, which depend on what is seen but not on its values."""
        y = jnp.where(seen, 0.0, jnp.nan)
        law, hidden = self._moments(program, y)
        found = joint.factor(law, jnp.where(seen, law.mean, jnp.nan))
        steps = len(law.mean)
        before = np.arange(steps)[:, None] > np.arange(steps)
        flat = jnp.where(found.used, hidden.cross.reshape(-1, law.mean.size), 0.0)
        G = solve_triangular(found.root, flat.T, lower=True).T.reshape(hidden.cross.shape)
        causal = jnp.where(before[:, None, :, None], G, 0.0).reshape(flat.shape)
        weights = solve_triangular(found.root.T, causal.T, lower=False).T
        return Predictor(weights.reshape(hidden.cross.shape), hidden.mean, law.mean)

    def _moments(self, program: LinearGaussian, y: Float[Array, "T m"]) -> tuple[joint.Observed, joint.Hidden]:
        check_data(program, y)
        return moments(sweeps(order_p(program, len(y))))


def moments(s: Sweeps) -> tuple[joint.Observed, joint.Hidden]:
    """Moments by sweeps: Cov(Z, Y) is a backward and a forward sweep of the emission, a column for each entry of y."""
    e = s.form.extents
    size = e.steps * e.m
    each = jnp.eye(size, dtype=s.form.cov.dtype).reshape(e.steps, e.m, size)
    with_y = s.forward(s.source(s.backward(s.emit_back(each))))
    rows = np.arange(e.steps)
    white = s.form.per_row("R")
    cov = s.emit(with_y).reshape(e.steps, e.m, e.steps, e.m).at[rows, :, rows, :].add(white)
    z, y = s.means()
    return joint.Observed(y, cov, white), joint.Hidden(
        z[e.past :, : e.n], _marginal(s), with_y[e.past :, : e.n].reshape(e.steps, e.n, e.steps, e.m)
    )


def _marginal(s: Sweeps) -> Float[Array, "T n n"]:
    """Covariances of the rows of x, from the responses to all that enters."""
    e = s.form.extents
    responses = s.forward(jnp.eye(e.rows * e.k, dtype=s.form.cov.dtype).reshape(e.rows, e.k, e.rows * e.k))
    mine = jnp.moveaxis(responses[e.past :, : e.n].reshape(e.steps, e.n, e.rows, e.k), (0, 1), (2, 3))
    spread = s.source(mine)
    return jnp.einsum("ratj,rati->tji", mine, spread)
