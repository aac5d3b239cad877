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
from ssmlang.engines._density import Plan
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines._forward import UNROLLED_ENTRIES, Step, run
from ssmlang.engines._likelihood import innovations, log_likelihood, shared_log_likelihood
from ssmlang.engines._products import product, product_transposed, symmetric, times
from ssmlang.engines._rows import Rows
from ssmlang.engines._smooth import smooth
from ssmlang.engines._univariate import Finite
from ssmlang.engines.base import EngineBase, Filtered, Known, Requirements, Simulated, Smoothed, register
from ssmlang.engines.companion import companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.routes import ROW_BLOCK, Route, route
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

    complete: bool = False
    """Whether the data are known to have no gap before their last row with an observation: where nothing else varies
    in time, the gain then settles for good. Must be true where it is said; see `routes`."""

    often: bool = False
    """Whether moments are asked for so many times that to compile them for longer pays. Changes no result."""

    name: ClassVar[str] = "kalman"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=True, by_row=True)

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """With the length of the diffuse phase where it is known, and whether anything is missing."""
        del adjoint  # the derivative of `log_likelihood` is a closed-form adjoint in any case
        return replace(self, diffuse=known.diffuse or self.diffuse, complete=known.gaps == "none")

    def log_likelihood(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed; -inf where it contradicts an exact prediction or no initial law exists.

        The first derivative is a closed-form adjoint (`_density`), in either mode.
        """
        layout, y, head = self._prepare(program, y)
        value = log_likelihood(program, y, layout, head, partial(self._route, layout, y))
        return jnp.where(program.initial.exists, value, -jnp.inf)

    def log_likelihood_of_all(self, program: LinearGaussian, y: Float[Array, "S T m"]) -> Float[Array, ""]:
        """Log-density of S independent series with this one program and the same entries missing in each.

        The covariances, which do not depend on the data, are worked out once for many of them. ValueError where the
        initial law has a flat part.
        """
        if program.initial.diffuse.shape[1]:
            raise ValueError("series with a flat initial law are filtered one by one")
        layout = Layout(program.structure).smallest
        y = jnp.asarray(y, program.d.dtype)
        markov = companion(program, layout)
        rows = Rows.of(markov, y.shape[1])
        way = self._route(layout, None, rows)
        value = shared_log_likelihood(markov, y, layout, Plan(ROW_BLOCK, freeze=way.freezes))
        return jnp.where(program.initial.exists, value, -jnp.inf)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        layout, y, head = self._prepare(program, y)
        return _terms(program, run(companion(program, layout), y, layout, head, innovations, UNROLLED_ENTRIES))

    def _route(self, layout: Layout, y: Array | None, rows: Rows) -> Route:
        """y: None for many series side by side, which are never taken in blocks."""
        seen = y is not None and not isinstance(y, jax.core.Tracer)
        complete = y is not None and (self.complete or (seen and _complete(np.asarray(y))))
        return route(
            layout.structure.m, rows.steps, constant=layout.size > 0 and set(rows.varying) <= {"d"}, complete=complete,
            exact=layout.can_be_predicted_exactly,
        )  # fmt: skip

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Filtered:
        """Filtered and one-step-ahead moments; with those of the whole memory if `memory`.

        Rows of NaN at the end are forecasts: their `observed_mean` and `observed_cov` are the forecast law of y.
        """
        layout, y, head = self._prepare(program, y, memory)
        size = layout.program_size if memory else layout.structure.n

        def emit(step: Step) -> tuple:
            predicted = moments(step.predicted, step.predicted_flat, layout.structure.n)
            filtered = moments(step.filtered, step.filtered_flat, size)
            return innovations(step), predicted, filtered, _one_step_ahead(step, layout)

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
        way = partial(self._route, layout, y)
        found, terms = smooth(companion(program, layout), y, layout, head, size, way, self.often)
        return Smoothed(
            found.mean[:, :n], found.cov[:, :n, :n], found.signal_mean, found.signal_cov,
            _possible(program, terms), found.mean if memory else None, found.cov if memory else None,
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
    return _possible(program, univariate.terms(*found))


def _possible(program: LinearGaussian, terms: Float[Array, " T"]) -> Float[Array, " T"]:
    return jnp.where(program.initial.exists, terms, -jnp.inf)


def _complete(y: np.ndarray) -> bool:
    """Whether no entry is missing but in whole rows at the end."""
    missing = np.isnan(y)
    whole = missing.all(axis=1)
    return not missing[: len(y) - int(np.argmin(whole[::-1])) if not whole.all() else 0].any()


def moments(finite: Finite, flat: Flat | None, size: int) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Mean and covariance of the first `size` entries of the memory, variance inf where it is diffuse."""
    P, mean = finite.P[:size, :size], finite.m[:size]
    if flat is None:
        return mean, P
    return mean, diffuse.with_infinite(P, diffuse.unknown_entries(flat.D, flat.ED)[:size])


def _one_step_ahead(step: Step, layout: Layout) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """The law of y_t given the rows before it."""
    row, now = step.row, step.predicted
    cov = symmetric(product_transposed(product(row.Z, now.P, layout.fused), row.Z, layout.fused))
    cov = cov + jnp.where(np.eye(layout.structure.m, dtype=np.bool_), row.R, 0.0)
    if step.predicted_flat is not None:
        cov = diffuse.with_infinite(cov, diffuse.unknown(step.predicted_flat, row.Z))
    return times(row.Z, now.m, layout.fused) + row.d, cov
