"""The block-banded posterior precision of all rows, and its Cholesky factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _precision as precision
from ssmlang.engines._order_p import OrderP, order_p
from ssmlang.engines.base import EngineBase, Filtered, Requirements, Smoothed, register
from ssmlang.engines.batch import Batch, check_data
from ssmlang.engines.kalman import Kalman
from ssmlang.engines.program import LinearGaussian

LONGER = 6
"""A series with so many times more entries than the program's memory is filtered by `Kalman`, another by `Batch`: a row
costs the one 13 ns an entry of its covariance, the other 0.3 ns a pair of observed entries (measured, one thread)."""


@register
@dataclass(frozen=True)
class Banded(EngineBase):
    """Exact smoothing and likelihood from the precision of (x_0, ..., x_{T-1}) given y, block-banded of bandwidth p.

    The noise of each row's states and that of each row's observations must have full rank, be drawn afresh in each
    row, and not be shared between them: elsewhere there is no such precision, and results are NaN. The initial law
    must be proper; it may have any rank. Time O(T p^2 n^3), memory O(T p n^2). Chan & Jeliazkov (2009). The precision
    knows the whole path at once and no row's past: `filter` and the rows' shares of the likelihood,
    `log_likelihood_terms`, are those of `Kalman` for series much longer than the memory and of `Batch` for others. NaN
    in y is a missing value.
    """

    name: ClassVar[str] = "banded"
    requires: ClassVar[Requirements] = Requirements(
        linear=True,
        gaussian=True,
        finite_order=False,
        proper_start=True,
        process_noise=True,
        observation_noise=True,
        fresh_noise=True,
    )

    def log_likelihood(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed."""
        _, p, found, count = self._solve(program, y)
        return self._density(program, p, found, count)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        return forward_engine(program, y).log_likelihood_terms(program, y)

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Filtered:
        """Filtered and one-step-ahead moments; rows of NaN at the end are forecasts."""
        return forward_engine(program, y).filter(program, y)

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Smoothed:
        """Moments given all of y, of the states and of the signal."""
        form, p, found, _ = self._solve(program, y)
        e = form.extents
        B = precision.block_rows(e, form.C.shape[-3])
        cov, cross = precision.covariances(p)
        z = found.mean.reshape(-1, e.k)[B - 1 :][: e.steps]
        at = np.arange(B)
        own = cov.reshape(-1, B, e.k, B, e.k)[:, at, :, at, :]  # (B, blocks, k, k)
        own = jnp.moveaxis(own, 0, 1).reshape(-1, e.k, e.k)[B - 1 :][: e.steps]

        C = form.per_row("C")
        here, before = precision.stack_rows(C[1:, : B + 1], B)
        first = precision.last_row(C[0], B)
        mean = jnp.einsum("bij,bj->bi", here, found.mean[1:]) + jnp.einsum("bij,bj->bi", before, found.mean[:-1])
        mean = jnp.concatenate([(first @ found.mean[0])[None], mean.reshape(-1, e.m)[: e.steps - 1]]) + form.d
        mixed = jnp.einsum("bij,bjk,bhk->bih", here, cross, before)
        spread = jnp.einsum("bij,bjk,bhk->bih", here, cov[1:], here) + mixed + jnp.swapaxes(mixed, 1, 2)
        spread = spread + jnp.einsum("bij,bjk,bhk->bih", before, cov[:-1], before)
        spread = jnp.moveaxis(spread.reshape(-1, B, e.m, B, e.m)[:, at, :, at, :], 0, 1).reshape(-1, e.m, e.m)
        spread = jnp.concatenate([(first @ cov[0] @ first.T)[None], spread[: e.steps - 1]])
        terms = self.log_likelihood_terms(program, y)
        return Smoothed(z[:, : e.n], own[:, : e.n, : e.n], mean, spread, terms)

    def _solve(
        self, program: LinearGaussian, y: Float[Array, "T m"]
    ) -> tuple[OrderP, precision.Precision, precision.Posterior, Array]:
        check_data(program, y)
        form = order_p(program, len(y))
        seen = ~jnp.isnan(y)
        p = precision.factor(form, seen)
        away = jnp.where(seen, y - form.d, 0.0)
        return form, p, precision.posterior(p, form.extents, form.mean, form.per_row("a")[1:], away), jnp.sum(seen)

    @staticmethod
    def _density(
        program: LinearGaussian, p: precision.Precision, found: precision.Posterior, count: Array
    ) -> Float[Array, ""]:
        value = -0.5 * found.distance - p.log_det - 0.5 * count * np.log(2 * np.pi)
        return jnp.where(program.initial.exists, value, -jnp.inf)


def forward_engine(program: LinearGaussian, y: Float[Array, "T m"]) -> Kalman | Batch:
    """The engine of this program's forward moments, where an engine has none of its own."""
    return Kalman() if y.size >= LONGER * program.structure.memory_size else Batch()
