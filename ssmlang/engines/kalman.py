"""The exact Gaussian engine: Kalman filter and smoother with univariate updates and exact diffuse start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._adjoint import density
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines._forward import UNROLLED_ENTRIES, Step, run
from ssmlang.engines._products import symmetric
from ssmlang.engines._smooth import smooth
from ssmlang.engines._univariate import Finite
from ssmlang.engines.base import EngineBase, Filtered, Known, Requirements, Simulated, Smoothed, register
from ssmlang.engines.companion import companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.simulate import simulate


@register
@dataclass(frozen=True)
class Kalman(EngineBase):
    """Exact inference for linear-Gaussian programs of finite order.

    Koopman & Durbin (2000) for the updates, Koopman & Durbin (2003) for the diffuse start; see `_univariate` and
    `_diffuse` for the conventions on exactly predicted observations. NaN in y is a missing value.
    """

    diffuse: DiffuseHead | None = None
    """How many rows to run in diffuse form, and whether that is certain to be enough: see `diffuse_head`. None: worked
    out from the program and from y, where y is a concrete array. Changes no result unless `certain` is untrue."""

    adjoint: bool = False
    """Whether the log-likelihood's derivative is a closed-form adjoint: the faster first derivative, in reverse mode
    alone (`jax.grad`, not `jax.jvp` or `jax.hessian`). For programs of at most `UNROLLED_ENTRIES` observations a row
    and rows without a flat part; elsewhere the usual derivative serves."""

    name: ClassVar[str] = "kalman"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=True)

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """With the length of the diffuse phase where it is known, and its own derivative where that is enough."""
        return replace(self, diffuse=known.diffuse or self.diffuse, adjoint=adjoint)

    def log_likelihood(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed; -inf where it contradicts an exact prediction or no initial law exists."""
        return jnp.sum(self.log_likelihood_terms(program, y))

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        layout, y, head = self._prepare(program, y)
        finite = partial(density, layout) if self.adjoint and layout.structure.m <= UNROLLED_ENTRIES else None
        markov = companion(program, layout)
        return _terms(program, run(markov, y, layout, head, _density, finite, UNROLLED_ENTRIES))

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Filtered:
        """Filtered and one-step-ahead moments; with those of the whole memory if `memory`.

        Rows of NaN at the end are forecasts: their `observed_mean` and `observed_cov` are the forecast law of y.
        """
        layout, y, head = self._prepare(program, y, memory)
        size = layout.program_size if memory else layout.structure.n

        def emit(step: Step) -> tuple:
            predicted = moments(step.predicted, step.predicted_flat, layout.structure.n)
            filtered = moments(step.filtered, step.filtered_flat, size)
            return _density(step), predicted, filtered, _one_step_ahead(step)

        found, predicted, (mean, cov), observed = run(companion(program, layout), y, layout, head, emit)
        n = layout.structure.n
        return Filtered(
            mean[:, :n], cov[:, :n, :n], predicted[0], predicted[1], observed[0], observed[1], _terms(program, found),
            mean if memory else None, cov if memory else None,
        )  # fmt: skip

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Smoothed:
        """Moments given all of y, of the states and of the signal; with those of the whole memory if `memory`."""
        layout, y, head = self._prepare(program, y, memory)
        n = layout.structure.n
        size = layout.program_size if memory else n
        found, fates = smooth(companion(program, layout), y, layout, head, size)
        return Smoothed(
            found.mean[:, :n], found.cov[:, :n, :n], found.signal_mean, found.signal_cov,
            _terms(program, fates), found.mean if memory else None, found.cov if memory else None,
        )  # fmt: skip

    def simulate(self, program: LinearGaussian, key: Key[Array, ""], steps: int, draws: int = 1) -> Simulated:
        """Independent draws of rows 0..steps-1; ValueError where the initial law is diffuse."""
        return simulate(program, key, steps, draws)

    def _prepare(
        self, program: LinearGaussian, y: Float[Array, "T m"], whole: bool = False
    ) -> tuple[Layout, Array, DiffuseHead]:
        layout = Layout(program.structure, whole)
        if y.ndim != 2 or y.shape[1] != layout.structure.m:
            raise ValueError(f"y has shape {y.shape}, the program {layout.structure.m} observations a row")
        head = self.diffuse or _default_head(program, y)
        return layout, jnp.asarray(y, program.d.dtype), head._replace(rows=min(max(head.rows, 1), len(y)))


def _default_head(program: LinearGaussian, y: Array) -> DiffuseHead:
    if isinstance(y, jax.core.Tracer):
        return diffuse_head(program, np.ones(y.shape, bool))._replace(certain=False)
    return diffuse_head(program, ~np.isnan(np.asarray(y)))


def _terms(program: LinearGaussian, found: tuple[Array, Array, Array]) -> Float[Array, " T"]:
    return jnp.where(program.initial.exists, univariate.terms(*found), -jnp.inf)


def _density(step: Step) -> tuple[Array, Array, Array]:
    return step.innovations.v, step.innovations.F, step.innovations.kind


def moments(finite: Finite, flat: Flat | None, size: int) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Mean and covariance of the first `size` entries of the memory, variance inf where it is diffuse."""
    P, mean = finite.S[:size, :size], finite.S[:size, -1]
    if flat is None:
        return mean, P
    return mean, diffuse.with_infinite(P, diffuse.unknown_entries(flat.D, flat.ED)[:size])


def _one_step_ahead(step: Step) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """The law of y_t given the rows before it."""
    row, S = step.row, step.predicted.S
    cov = symmetric(row.Z @ S[:, :-1] @ row.Z.T) + jnp.diag(row.R)
    if step.predicted_flat is not None:
        cov = diffuse.with_infinite(cov, diffuse.unknown(step.predicted_flat, row.Z))
    return row.Z @ S[:, -1] + row.d, cov
