"""Engines that take rows one at a time: what they carry from row to row, and one row's work.

The numbers are those of `filter`: a row is what the scan over all rows does, on a program whose arrays are those of the
row. What is carried has the size of the memory, whatever the number of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _factor as factor
from ssmlang.engines import _factor_forward as factor_forward
from ssmlang.engines import _forward as forward
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import Innovation
from ssmlang.engines.companion import companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial, LinearGaussian, Structure

Carried = tuple[Any, Flat | None]
"""The law of the memory: its finite part in the engine's own form, and the flat part while there is one."""


class Taken(NamedTuple):
    """What is known when a row has been taken in; an entry that is still diffuse as in `Filtered`."""

    mean: Float[Array, " n"]
    cov: Float[Array, "n n"]
    observed_mean: Float[Array, " m"]
    """of y_t given the rows before it"""
    observed_cov: Float[Array, "m m"]
    log_likelihood: Float[Array, ""]


class Online(Protocol):
    """One engine, a row at a time. `program` holds the numbers of the row, without an axis of rows."""

    def begin(self, program: LinearGaussian, layout: Layout) -> Carried:
        """The law of row 0 before its observations, from the program's initial law."""
        ...

    def advance(self, carried: Carried, program: LinearGaussian, layout: Layout) -> Carried:
        """Into the row that the program's transition leads to."""
        ...

    def take(self, carried: Carried, program: LinearGaussian, y: Float[Array, " m"], layout: Layout
             ) -> tuple[Carried, Taken]:  # fmt: skip
        """Take in the row's observations (NaN: missing)."""
        ...

    def law(self, carried: Carried, loadings: Float[Array, "k N"]) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
        """Mean and covariance of combinations of the memory; variance inf where they are diffuse."""
        ...


class _OneRow(ABC):
    """What covariance form and factor form share."""

    def law(self, carried: Carried, loadings: Float[Array, "k N"]) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
        mean, cov = self._finite(carried[0], loadings)
        if carried[1] is None:
            return mean, cov
        return mean, diffuse.with_infinite(cov, diffuse.unknown(carried[1], loadings))

    @abstractmethod
    def _finite(self, finite: Any, loadings: Array) -> tuple[Array, Array]:
        """Mean and covariance of combinations of the memory, as far as they are finite."""

    def _taken(self, step: Any, layout: Layout) -> tuple[Carried, Taken]:
        row: Row = step.row
        after = (step.filtered, step.filtered_flat)
        own = jnp.eye(layout.structure.n, layout.size, dtype=row.d.dtype)
        mean, cov = self.law(after, own)
        expected, spread = self.law((step.predicted, step.predicted_flat), row.Z)
        found: Innovation = step.innovations
        term = univariate.terms(found.v[None], found.F[None], found.kind[None])[0]
        return after, Taken(mean, cov, expected + row.d, spread + jnp.diag(row.R), term)


class KalmanOnline(_OneRow):
    """`kalman`, a row at a time."""

    def begin(self, program: LinearGaussian, layout: Layout) -> Carried:
        return forward.initial_state(companion(program, layout), layout)

    def advance(self, carried: Carried, program: LinearGaussian, layout: Layout) -> Carried:
        row = _row(program, layout)
        flat = None if carried[1] is None else diffuse.time_update(carried[1], row, layout)
        return univariate.time_update(carried[0], row, layout), flat

    def take(self, carried: Carried, program: LinearGaussian, y: Float[Array, " m"], layout: Layout
             ) -> tuple[Carried, Taken]:  # fmt: skip
        step = forward.take_in(carried, _row(program, layout), y, layout, forward.UNROLLED_MOMENTS)
        return self._taken(step, layout)

    def _finite(self, finite: Any, loadings: Array) -> tuple[Array, Array]:
        cov = loadings @ finite.P @ loadings.T
        return loadings @ finite.m, 0.5 * (cov + cov.T)


class SquareRootOnline(_OneRow):
    """`square_root`, a row at a time."""

    def begin(self, program: LinearGaussian, layout: Layout) -> Carried:
        return factor_forward.begin(program, layout, 1)[1]

    def advance(self, carried: Carried, program: LinearGaussian, layout: Layout) -> Carried:
        row = _row(program, layout)
        flat = None if carried[1] is None else diffuse.time_update(carried[1], row, layout)
        return factor.time_update(carried[0], row, factor.loading(program, layout), layout)[0], flat

    def take(self, carried: Carried, program: LinearGaussian, y: Float[Array, " m"], layout: Layout
             ) -> tuple[Carried, Taken]:  # fmt: skip
        unrolled = factor_forward.UNROLLED_MOMENTS
        step = factor_forward.take_in(carried, _row(program, layout), y, layout, unrolled, factor.plainly)
        return self._taken(step, layout)

    def _finite(self, finite: Any, loadings: Array) -> tuple[Array, Array]:
        return loadings @ finite.m, factor.gramian(loadings @ finite.S)


ONLINE: dict[str, Online] = {"kalman": KalmanOnline(), "square_root": SquareRootOnline()}
"""The engines that take rows one at a time, by name."""


def no_initial_law(structure: Structure) -> Initial:
    """A law that stands where a program needs one and nothing reads it."""
    N = structure.memory_size
    return Initial(np.zeros(N), np.zeros((N, 0)), np.zeros((N, N)), np.zeros((N, 0)))  # type: ignore[arg-type]


def settled(carried: Carried) -> Carried:
    """Without a flat part of which nothing is left; looks at numbers, so it is no part of compiled code."""
    if carried[1] is None or np.asarray(carried[1].D).any():
        return carried
    return carried[0], None


def _row(program: LinearGaussian, layout: Layout) -> Row:
    return Rows.of(companion(program, layout), 1).row({})
