"""Filter, smoother and path sampler in logarithmic depth over the rows: for GPUs and long series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines import _flat as flat
from ssmlang.engines._at_once import affine_paths, reach
from ssmlang.engines._elements import Law, look_ahead
from ssmlang.engines._first_row import first_row
from ssmlang.engines._flat import Settled
from ssmlang.engines._past import Past, gone_through, predicted, settled_at, settled_at_last, sights, terms
from ssmlang.engines._rotations import product, square
from ssmlang.engines._rows_last import RowsLast, rows_last
from ssmlang.engines._score import Start, log_density
from ssmlang.engines._univariate import zero_tolerance
from ssmlang.engines.base import EngineBase, Filtered, Smoothed, register
from ssmlang.engines.companion import initial
from ssmlang.engines.layout import Layout
from ssmlang.engines.paths import without_flat_part, without_means
from ssmlang.engines.program import Initial, LinearGaussian
from ssmlang.engines.requirements import Requirements


@register
@dataclass(frozen=True)
class Parallel(EngineBase):
    """Exact inference in O(log T) dependent steps, with factored covariances.

    Sarkka & Garcia-Fernandez (2021), square-root form of Yaghoobi, Corenflos, Hassan & Sarkka (2025), with three
    departures that keep covariances of any rank right: the density of a row comes from the factor of its innovation;
    the smoother meets the filtered law with what later rows say of the state, so that no predicted covariance is
    inverted; and flat coefficients of the initial law are carried along and integrated out at the end (de Jong 1991).

    After row 0 no observation may be known exactly from the row before: ValueError where structure makes it so, NaN
    where numbers do. Derivatives are of first order. NaN in y is a missing value.
    """

    block: int | None = None
    """How many rows are gone through one after the other before whole stretches of them are joined; None: 16, on a
    CUDA device more the longer the series is."""

    name: ClassVar[str] = "parallel"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=True, surprises=True)

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 2:
            raise ValueError(f"block={self.block}: at least 2 rows")

    def log_likelihood(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed; -inf where row 0 contradicts its law or there is no initial law."""
        layout, rows, start = self._begun(program, y[None])
        value = log_density(layout, self.block, rows, Start(*start[:4]))
        return jnp.where(program.initial.exists, value, -jnp.inf)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; sums to `log_likelihood`."""
        return _terms(program, self._past(program, y[None]))

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Filtered:
        """Filtered and one-step-ahead moments; with those of the whole memory if `memory`.

        Rows of NaN at the end are forecasts: their `observed_mean` and `observed_cov` are the forecast law of y.
        """
        past = self._past(program, y[None], memory)
        rows, n, size = past.rows, past.layout.structure.n, past.layout.program_size
        ahead = predicted(past)
        settled = known = reached = None
        if past.laws.D.shape[1]:
            settled, known = settled_at(past, past.laws), settled_at(past, ahead, before=True)
            reached = reach(past.first.law.D, rows.A[..., 1:], self.block)
        begun = past.first.before.D
        before = None if reached is None else jnp.concatenate([begun[..., None], reached[..., 1:]], axis=-1)
        mean, cov = _moments(past.laws, settled, reached)
        ahead_mean, ahead_cov = _moments(ahead, known, before)
        y_mean, y_cov = _observed(ahead, rows.Z, rows.d, known, before)
        return Filtered(
            mean[:, :n], cov[:, :n, :n], ahead_mean[:, :n], ahead_cov[:, :n, :n],
            y_mean, y_cov + jnp.moveaxis(square(rows.W), -1, 0), _terms(program, past),
            mean[:, :size] if memory else None, cov[:, :size, :size] if memory else None,
        )  # fmt: skip

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"], *, memory: bool = False) -> Smoothed:
        """Moments given all of y, of the states and of the signal; with those of the whole memory if `memory`."""
        past = self._past(program, y[None], memory)
        rows, n, size = past.rows, past.layout.structure.n, past.layout.program_size
        laws, settled = self._given_all(past)
        reached = None if settled is None else reach(past.first.law.D, rows.A[..., 1:], self.block)
        mean, cov = _moments(laws, settled, reached)
        signal_mean, signal_cov = _observed(laws, rows.Z.at[:, size:].set(0.0), rows.d, settled, reached)
        return Smoothed(
            mean[:, :n], cov[:, :n, :n], signal_mean, signal_cov, _terms(program, past),
            mean[:, :size] if memory else None, cov[:, :size, :size] if memory else None,
        )  # fmt: skip

    def smoothed_means(self, program: LinearGaussian, ys: Float[Array, "draws T m"]) -> Float[Array, "draws T n"]:
        """Smoothed means of several series whose missing entries are the same, the covariances worked out once."""
        past = self._past(program, ys)
        laws, settled = self._given_all(past)
        mean = laws.m if settled is None else laws.m + flat.spread(settled, laws.D)[0]
        return jnp.transpose(mean[: past.layout.structure.n], (1, 2, 0))

    def sample(
        self, program: LinearGaussian, y: Float[Array, "T m"], key: Key[Array, ""], draws: int = 1
    ) -> Float[Array, "draws T n"]:
        """Independent draws of the path x_0..x_{T-1} given y, in logarithmic depth too: by mean correction.

        A draw (x+, y+) of the program, made at once for all rows, and E[x - x+ | y - y+] (Durbin & Koopman 2002): what
        holds exactly among the states holds in each path. Flat coefficients must be settled by y.
        """
        layout = Layout(program.structure)
        proper = without_flat_part(program)
        rows = rows_last(proper, layout, y[None])
        begun = first_row(initial(proper, layout), rows, layout, zero_tolerance(layout, rows.W.dtype)).before
        x, drawn = affine_paths(rows, begun, key, draws, self.block)
        return x[..., : layout.structure.n] + self.smoothed_means(without_means(program), y - drawn)

    def _begun(
        self, program: LinearGaussian, ys: Float[Array, "K T m"], whole: bool = False
    ) -> tuple[Layout, RowsLast, Initial]:
        layout = Layout(program.structure, whole)
        if ys.ndim != 3 or ys.shape[2] != layout.structure.m:
            raise ValueError(f"y has shape {ys.shape[1:]}, the program {layout.structure.m} observations a row")
        if layout.can_be_predicted_exactly:
            raise ValueError("an observation can be known exactly from the row before: the engine 'parallel' cannot")
        rows = rows_last(program, layout, jnp.asarray(ys, jnp.asarray(program.d).dtype))
        return layout, rows, initial(jax.tree.map(jnp.asarray, program), layout)

    def _past(self, program: LinearGaussian, ys: Float[Array, "K T m"], whole: bool = False) -> Past:
        layout, rows, start = self._begun(program, ys, whole)
        return gone_through(layout, self.block, rows, start)

    def _given_all(self, past: Past) -> tuple[Law, Settled | None]:
        """Each row's law given all rows and the flat coefficients; what is known of these in the end."""
        settled = None
        if past.laws.D.shape[1]:
            settled = jax.tree.map(lambda a: a[..., None], settled_at_last(past))
        return look_ahead(past.laws, sights(past, self.block)), settled


def _terms(program: LinearGaussian, past: Past) -> Float[Array, " T"]:
    return jnp.where(program.initial.exists, terms(past), -jnp.inf)


def _moments(
    law: Law, settled: Settled | None, reached: Array | None, size: Array | None = None
) -> tuple[Float[Array, "T N"], Float[Array, "T N N"]]:
    """Mean and covariance of each row, variance inf where a direction `reached` is still flat."""
    mean, cov = law.m, square(law.U)
    if settled is not None and reached is not None:
        shift, root = flat.spread(settled, law.D)
        mean, cov = mean + shift, cov + square(root)
        unknown = flat.unknown(settled, reached, reached if size is None else size)
        none = unknown[:, None] | unknown[None]
        on = jnp.eye(len(unknown), dtype=bool)[..., None]
        cov = jnp.where(none, jnp.where(on & none, jnp.inf, 0.0), cov)
    return jnp.moveaxis(mean[:, 0], -1, 0), jnp.moveaxis(cov, -1, 0)


def _observed(
    law: Law, Z: Float[Array, "m N T"], d: Float[Array, "m 1 T"], settled: Settled | None, reached: Array | None
) -> tuple[Float[Array, "T m"], Float[Array, "T m m"]]:
    """Moments of Z s + d."""
    seen = law._replace(D=product(Z, law.D), m=product(Z, law.m) + d, U=product(Z, law.U))
    if reached is None:
        return _moments(seen, None, None)
    return _moments(seen, settled, product(Z, reached), product(jnp.abs(Z), jnp.abs(reached)))
