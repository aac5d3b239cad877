"""Linearisation about the posterior that it leads to, repeated."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _moment_filter as forward
from ssmlang.engines import _moment_smooth as backward
from ssmlang.engines._linearise import Affine
from ssmlang.engines._moment_engine import MomentEngine, linearised
from ssmlang.engines._moment_rows import Rows
from ssmlang.engines.nonlinear import Law


@dataclass(frozen=True)
class IteratedEngine(MomentEngine):
    """The filter takes each row's emission anew about the law it leads to, `iterations` times; the smoother all maps
    about the smoothed laws, until these move by less than `tolerance` standard deviations or `iterations` times.

    Log-densities are those of the last affine emission under the law ahead of the row, so that they never look at later
    rows; the smoother hands out the filter's.
    """

    iterations: int = 5
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: at least one")

    def _update(self, rows: Rows) -> forward.Update:
        def taken(t: Array, ahead: Law, y: Array, z: Array) -> tuple[Law, Law, Array]:
            def sight(at: Law) -> Affine:
                return rows.emission_affine(t, rows.covariance(at), y)

            def again(at: Law, _: None) -> tuple[Law, None]:
                return rows.updated(ahead, sight(at), z)[0], None

            at = ahead
            if self.iterations > 1:
                at = jax.lax.scan(again, ahead, None, length=self.iterations - 1)[0]
            after, term = rows.scored(t, ahead, sight(at), y, z)
            return after, at, term

        return taken

    def _smoothed(
        self, rows: Rows, y: Float[Array, "T m"]
    ) -> tuple[backward.Linearised, Law, Law, Float[Array, " T"]]:
        linear, laws, ahead, terms = super()._smoothed(rows, y)
        z = rows.statistic(y)
        State = tuple[backward.Linearised, Law, Law, Array]

        def again(now: State) -> State:
            _, laws, ahead, _ = now
            linear = linearised(rows, ahead, laws, laws, y)
            ahead, _ = backward.ahead_of(linear, z, rows.fused)
            found = backward.smoothed(linear, ahead, z, rows.fused)
            scale = jnp.sqrt(jnp.diagonal(found.cov, axis1=1, axis2=2))
            moved = jnp.abs(found.mean - laws.mean) > self.tolerance * (scale + jnp.abs(found.mean) * 1e-8)
            return linear, found, ahead, jnp.any(moved)

        def step(now: State, _: None) -> tuple[State, None]:
            return jax.lax.cond(now[3], again, lambda now: now, now), None

        begun = (linear, laws, ahead, jnp.asarray(True))
        (linear, laws, ahead, _), _ = jax.lax.scan(step, begun, None, length=self.iterations)
        return linear, laws, ahead, terms
