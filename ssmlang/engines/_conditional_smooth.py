"""Kalman smoothers along given paths of the sampled entries."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ssmlang.engines._conditional_kalman import Particle, begun, moved, updated
from ssmlang.engines.conditionally_linear import ConditionallyLinear
from ssmlang.engines.semidefinite import semidefinite_root


class Smoothed(NamedTuple):
    """Each row given all data and the path of the sampled entries, and a draw of it."""

    particles: Particle
    drawn: Float[Array, "T N"]


def along(given: ConditionallyLinear, line: Float[Array, "T N"], y: Float[Array, "T m"], key: Key[Array, ""]
          ) -> Smoothed:  # fmt: skip
    """The linear entries along one path (Rauch, Tung & Striebel 1965), and a draw of them backwards."""
    at = np.asarray(given.linear, np.int32)
    first, _ = updated(given, jnp.asarray(0), begun(given, line[0]), y[0])

    def forward(before: Particle, row: tuple[Array, Array, Array]) -> tuple[Particle, tuple[Particle, Particle, Array]]:
        t, s, y = row
        ahead, cross = moved(given, t, before, s)
        after, _ = updated(given, t, ahead, y)
        return after, (before, ahead, cross)

    last, (before, ahead, cross) = jax.lax.scan(forward, first, (jnp.arange(1, len(y)), line[1:], y[1:]))
    normal = jax.random.normal(key, (len(y), len(at)))
    start = last.s[at], last.P, last.s[at] + semidefinite_root(last.P) @ normal[-1]

    def backward(later: tuple[Array, Array, Array], row: tuple[Particle, Particle, Array, Array]
                 ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:  # fmt: skip
        mean, cov, drawn = later
        here, ahead, cross, e = row
        G = jnp.linalg.lstsq(ahead.P, cross)[0].T
        m, rest = here.s[at], here.P - G @ ahead.P @ G.T
        found = (m + G @ (mean - ahead.s[at]), here.P + G @ (cov - ahead.P) @ G.T,
                 m + G @ (drawn - ahead.s[at]) + semidefinite_root(0.5 * (rest + rest.T)) @ e)  # fmt: skip
        return found, found

    _, rows = jax.lax.scan(backward, start, (before, ahead, cross, normal[:-1]), reverse=True)
    mean, cov, drawn = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), rows, start)
    return Smoothed(Particle(line.at[:, at].set(mean), cov), line.at[:, at].set(drawn))
