"""Linearisation about the posterior that it leads to, repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _moment_filter as forward
from ssmlang.engines import _moment_parallel as at_once
from ssmlang.engines import _moment_smooth as backward
from ssmlang.engines._linearise import Affine, Sigma
from ssmlang.engines._moment_engine import MomentEngine, linearised
from ssmlang.engines._moment_rows import Rows
from ssmlang.engines.nonlinear import Law


class _Pass(NamedTuple):
    """Where the smoother stands: what it goes through next, the laws of the rows given all and ahead of their
    observations, and whether it goes on."""

    linear: backward.Linearised
    laws: Law
    ahead: Law
    going: Bool[Array, ""]


@dataclass(frozen=True)
class IteratedEngine(MomentEngine):
    """The filter takes each row's emission anew about the law it leads to, `iterations` times; the smoother all maps
    about the smoothed laws, until these move by less than `tolerance` standard deviations or `iterations` times.

    Log-densities are those of the last affine emission under the law ahead of the row, so that they never look at later
    rows; the smoother hands out the filter's.

    `parallel=True`: the smoother goes through all rows at once, in logarithmic depth, each time (Yaghoobi, Corenflos,
    Hassan & Sarkka 2025), for long series on a GPU; the filter that it begins from stays as it is. No observation may
    then be known exactly from the row before (NaN where one is).
    """

    iterations: int = 5
    tolerance: float = 1e-8
    parallel: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: at least one")

    def _of_all(self, rows: Rows) -> Rows:
        """No root is a native function then, which rows would queue for."""
        if not self.parallel or not isinstance(rows.way, Sigma):
            return rows
        return type(rows)(rows.program, replace(rows.way, kernels=False))

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

    def _smoothed(self, rows: Rows, y: Float[Array, "T m"]) -> tuple[backward.Linearised, Law, Law, forward.Passed]:
        found = forward.passed(rows, self._update(rows), y)
        z = rows.statistic(y)
        rows = self._of_all(rows)

        def again(now: _Pass, round: Array) -> _Pass:
            if self.parallel:
                ahead, laws = at_once.smoothed(now.linear, z, rows.fused)
            else:
                ahead, laws = now.ahead, backward.smoothed(now.linear, now.ahead, z, rows.fused)
            scale = jnp.sqrt(jnp.diagonal(laws.cov, axis1=1, axis2=2))
            moved = jnp.abs(laws.mean - now.laws.mean) > self.tolerance * (scale + jnp.abs(laws.mean) * 1e-8)
            going = (jnp.any(moved) | (round == 0)) & (round < self.iterations)

            def anew() -> tuple[backward.Linearised, Law]:
                linear = linearised(rows, ahead, laws, laws, y)
                return linear, ahead if self.parallel else backward.ahead_of(linear, z, rows.fused)[0]

            linear, ahead = jax.lax.cond(going, anew, lambda: (now.linear, ahead))
            return _Pass(linear, laws, ahead, going)

        def step(now: _Pass, round: Array) -> tuple[_Pass, None]:
            return jax.lax.cond(now.going, again, lambda now, _: now, now, round), None

        linear = linearised(rows, found.ahead, found.after, found.at, y)
        begun = _Pass(linear, found.after, found.ahead, jnp.asarray(True))
        end = jax.lax.scan(step, begun, jnp.arange(self.iterations + 1))[0]
        return end.linear, end.laws, end.ahead, found
