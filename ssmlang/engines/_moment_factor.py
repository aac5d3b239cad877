"""Rows of a filter that carries a factor L of its covariance L L', which therefore never is indefinite.

A linearisation in the coordinates of the factor is y = mean + B z + C e with s = m + L z and z, e standard normal. The
time update puts [B C] into as few columns as there are rows; the update by an observation is Joseph's, in factors:

    L+ = [L - K B, K C],      K = L B' (B B' + C C')^-1

See `triangular.tria` for the derivatives: they are of first order. Fields named `cov` hold the factor here.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines._linearise import Affine, Linearisation, Map, Moments, Taylor, points_of, value_and_jacobian
from ssmlang.engines._moment_rows import Rows, innovations, standard
from ssmlang.engines.nonlinear import Law, Nonlinear
from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.engines.triangular import Rule, tria


class FactorRows(Rows):
    """`Rows` in factor form; points need weights that are not negative."""

    repeatable: ClassVar[bool] = False
    """Where rank is lost rounding decides how a factor is turned, and a derivative belongs to one way of turning it"""

    def first(self, times: Int[Array, " rows"], probe: Nonlinear | None = None) -> Law:
        found = super().first(times, probe)
        return Law(found.mean, semidefinite_root(found.cov))

    def moved(self, t: Array, law: Law) -> Law:
        mean, B, C = columns(self._moving, self.transition(t), law)
        return Law(mean, self._narrowed(jnp.concatenate([B, C], axis=1)))

    def _taken(self, t: Array, ahead: Law, y: Array, z: Array) -> tuple[Law, Float[Array, ""]]:
        return self._updated(ahead, *columns(self._seeing, self.emission(t, y), ahead), z)

    def updated(self, ahead: Law, sight: Affine, z: Array) -> tuple[Law, Float[Array, ""]]:
        mean = sight.A @ ahead.mean + sight.b
        return self._updated(ahead, mean, sight.A @ ahead.cov, semidefinite_root(sight.Omega), z)

    def covariance(self, law: Law) -> Law:
        return Law(law.mean, law.cov @ law.cov.T)

    def _updated(self, ahead: Law, mean: Array, B: Array, C: Array, z: Array) -> tuple[Law, Float[Array, ""]]:
        L = ahead.cov
        of = Moments(mean, B @ B.T + C @ C.T, L @ B.T)
        X, e, w, term = innovations(len(L), of, z, False)
        half = standard(w)
        V = half[:, None] * X
        K = (of.cross @ V.T) @ V
        after = self._narrowed(jnp.concatenate([L - K @ B, K @ C], axis=1))
        return Law(ahead.mean + of.cross @ (V.T @ (half * e)), after), term

    def _narrowed(self, M: Float[Array, "N q"]) -> Float[Array, "N N"]:
        # What derivatives read alone does not depend on how the factor is turned; what points read does.
        rule: Rule = "constant" if isinstance(self.way, Taylor) else "column_space"
        L = tria(M, rule)
        return jnp.pad(L, ((0, 0), (0, len(L) - L.shape[1])))


def columns(way: Linearisation, f: Map, law: Law) -> tuple[Float[Array, " k"], Float[Array, "k N"], Array]:
    """mean, B and C of a map of s = m + L z."""
    m, L = law
    if isinstance(way, Taylor):
        still = jnp.zeros(f.noises, m.dtype)
        mean, B = value_and_jacobian(lambda z: f.value(m + L @ z, still), jnp.zeros(L.shape[1], m.dtype))
        parts = [value_and_jacobian(lambda e: f.value(m, e), still)[1]] if f.noises else []
        parts += [semidefinite_root(f.spread(m))] if f.spread is not None else []
        return mean, B, jnp.concatenate(parts, axis=1) if parts else jnp.zeros((len(mean), 0), m.dtype)
    found = points_of(way.rule, f, law.mean, L, False)
    weights = way.rule.points(len(m) + f.noises).cov
    if (weights < 0).any():
        raise ValueError('covariance="factor" needs sigma points whose weights are not negative')
    left = np.sqrt(weights) * (found.off - found.B @ found.at)
    parts = [left] if found.spread is None else [left, semidefinite_root(found.spread)]
    return found.mean, found.B, jnp.concatenate(parts, axis=1)
