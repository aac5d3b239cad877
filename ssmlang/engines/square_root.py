"""The exact Gaussian engine in factor form: finite and exact where noise is singular, safe in single precision."""

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
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines._factor import Root, gramian
from ssmlang.engines._factor_forward import UNROLLED_ENTRIES, Step, run
from ssmlang.engines._factor_smooth import smooth
from ssmlang.engines.base import EngineBase, Filtered, Known, Requirements, Simulated, Smoothed, register
from ssmlang.engines.kalman import Kalman
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.simulate import simulate


@register
@dataclass(frozen=True)
class SquareRoot(EngineBase):
    """Exact inference for linear-Gaussian programs of finite order on factors of the covariances.

    No covariance matrix is formed or factored on the way, so every one may have any rank and posterior covariances are
    never negative; Potter's update for the observations, an orthogonal transformation for the transition (see
    `_factor`, `_factor_diffuse`, `_factor_smooth`). Log-likelihood and filtered moments have exact derivatives of any
    order and in either mode, singular noise included (see `_gramian`); those of smoothed moments are worked out in
    covariance form. The one matrix that is factored is `Initial.cov`, the law of stationary states: its root is a
    number, and its derivative needs none. NaN in y is a missing value; conventions on exactly predicted observations
    and on diffuse states are those of `Kalman`.
    """

    diffuse: DiffuseHead | None = None
    """How many rows to run in diffuse form, and whether that is certain to be enough: see `diffuse_head`. None: worked
    out from the program and from y, where y is a concrete array. Changes no result unless `certain` is untrue."""

    name: ClassVar[str] = "square_root"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=True, by_row=True)

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """With the length of the diffuse phase where it is known."""
        del adjoint
        return replace(self, diffuse=known.diffuse or self.diffuse)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it: -inf where it contradicts an exact prediction, or no
        initial law exists; sums to `log_likelihood`."""
        layout, y, head = self._prepare(program, y)
        return _terms(program, run(program, y, layout, head, _density, UNROLLED_ENTRIES))

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Filtered:
        """Filtered and one-step-ahead moments; with those of the whole memory if `memory`.

        Rows of NaN at the end are forecasts: their `observed_mean` and `observed_cov` are the forecast law of y.
        """
        layout, y, head = self._prepare(program, y, memory)
        n = layout.structure.n
        size = layout.program_size if memory else n

        def emit(step: Step, _: None) -> tuple:
            predicted = _moments(step.predicted, step.predicted_flat, n)
            filtered = _moments(step.filtered, step.filtered_flat, size)
            return _density(step), predicted, filtered, _one_step_ahead(step)

        found, predicted, (mean, cov), observed = run(program, y, layout, head, emit)
        return Filtered(
            mean[:, :n], cov[:, :n, :n], predicted[0], predicted[1], observed[0], observed[1], _terms(program, found),
            mean if memory else None, cov if memory else None,
        )  # fmt: skip

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Smoothed:
        """Moments given all of y, of the states and of the signal; with those of the whole memory if `memory`."""
        layout, y, head = self._prepare(program, y, memory)
        return _smoothed(layout, head, program, y)

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


def _density(step: Step, _: None = None) -> tuple[Array, Array, Array]:
    return step.innovations.v, step.innovations.F, step.innovations.kind


def _moments(root: Root, flat: Flat | None, size: int) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Mean and covariance of the first `size` entries of the memory, variance inf where it is diffuse."""
    mean, P = root.m[:size], gramian(root.S[:size]) + root.C[:size, :size]
    if flat is None:
        return mean, P
    return mean, diffuse.with_infinite(P, diffuse.unknown_entries(flat.D, flat.ED)[:size])


def _one_step_ahead(step: Step) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """The law of y_t given the rows before it."""
    row, now = step.row, step.predicted
    cov = gramian(row.Z @ now.S) + row.Z @ now.C @ row.Z.T + jnp.diag(row.R)
    if step.predicted_flat is not None:
        cov = diffuse.with_infinite(cov, diffuse.unknown(step.predicted_flat, row.Z))
    return row.Z @ now.m + row.d, cov


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _smoothed(layout: Layout, head: DiffuseHead, program: LinearGaussian, y: Float[Array, "T m"]) -> Smoothed:
    n = layout.structure.n
    found, fates = smooth(program, y, layout, head, layout.program_size if layout.whole else n)
    return Smoothed(
        found.mean[:, :n], found.cov[:, :n, :n], found.signal_mean, found.signal_cov, _terms(program, fates),
        found.mean if layout.whole else None, found.cov if layout.whole else None,
    )  # fmt: skip


@_smoothed.defjvp
def _(layout: Layout, head: DiffuseHead, primals: tuple, tangents: tuple) -> tuple[Smoothed, Smoothed]:
    covariance_form = partial(Kalman(diffuse=head).smooth, memory=layout.whole)
    return _smoothed(layout, head, *primals), jax.jvp(covariance_form, primals, tangents)[1]
