"""A step of a Kalman filter for each particle, over the entries of the memory that are linear given the others.

Matrices are derivatives of the program's maps, which are affine in these entries: they are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines._small_matrices import cholesky, solve_lower
from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.engines.nonlinear import Law


class Particle(NamedTuple):
    """A particle: the memory, with the mean in its linear entries, and their covariance."""

    s: Float[Array, " N"]
    P: Float[Array, "l l"]


class Moved(NamedTuple):
    """A particle one row ahead, and the matrix F P that ties the row before to it."""

    ahead: Particle
    cross: Float[Array, "l l"]


def begun(given: ConditionallyLinear, s: Float[Array, " N"]) -> Particle:
    """Row 0, given a draw of its sampled entries."""
    at = np.asarray(given.linear, np.int32)
    still = jnp.zeros(given.first_noises)
    G = jax.jacfwd(lambda e: given.begun(s, e)[at])(still)
    return Particle(given.begun(s, still), G @ G.T)


def moved(given: ConditionallyLinear, t: Array, before: Particle, after: Float[Array, " N"]) -> Moved:
    """Row t, given a draw of its sampled entries."""
    at = np.asarray(given.linear, np.int32)
    still = jnp.zeros(given.noises)

    def state(z: Array, e: Array) -> Array:
        return given.moved(t, before.s.at[at].set(z), after, e)

    z = before.s[at]
    F = jax.jacfwd(lambda z: state(z, still)[at])(z)
    G = jax.jacfwd(lambda e: state(z, e)[at])(still)
    cross = F @ before.P
    return Moved(Particle(state(z, still), cross @ F.T + G @ G.T), cross)


def updated(given: ConditionallyLinear, t: Array, ahead: Particle, y: Float[Array, " m"]
            ) -> tuple[Particle, Float[Array, ""]]:  # fmt: skip
    """The particle given a row's observations, and their log-density given the particle's past."""
    program, at = given.program, np.asarray(given.linear, np.int32)
    value = program.statistic(y)
    seen = ~jnp.isnan(value) & given.statistic
    law = program.emission(t, ahead.s, y)
    H = jax.jacfwd(lambda z: program.emission(t, ahead.s.at[at].set(z), y).mean)(ahead.s[at])
    H = jnp.where(seen[:, None], H, 0.0)
    R = jnp.where(seen[:, None] & seen[None, :], law.cov, jnp.diag(jnp.where(seen, 0.0, 1.0)))
    v = jnp.where(seen, value - law.mean, 0.0)
    HP = H @ ahead.P
    L = cholesky(HP @ H.T + R)
    W, u = solve_lower(L, HP), solve_lower(L, v)
    logs = jnp.sum(jnp.where(seen, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
    rest = program.log_emission(t, ahead.s, jnp.where(given.gaussian, jnp.nan, y))
    P = ahead.P - W.T @ W
    return Particle(ahead.s.at[at].add(W.T @ u), 0.5 * (P + P.T)), -0.5 * u @ u - logs + rest


def spread_through(given: ConditionallyLinear, f, particle: Particle) -> Law:  # type: ignore[no-untyped-def]
    """Moments of a function of the memory, affine in its linear entries or taken to be so at their mean."""
    at = np.asarray(given.linear, np.int32)
    J = jax.jacfwd(lambda z: f(particle.s.at[at].set(z)))(particle.s[at])
    return Law(f(particle.s), J @ particle.P @ J.T)
