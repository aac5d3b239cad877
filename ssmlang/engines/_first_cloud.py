"""Particles of row 0, sent where its observations are if these are sharp compared to the law of the states there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ssmlang.engines._proposals import curvature, mode
from ssmlang.engines._small_matrices import solve_lower_transposed
from ssmlang.engines._swarm import begun, log_emission, normalised
from ssmlang.engines.counters import bits, normals
from ssmlang.engines.nonlinear import Facts, Nonlinear
from ssmlang.engines.semidefinite import positive_part

SHARP = 0.05
"""Below this share of effective particles among draws of the first law alone the observations are sharp."""
BLIND = 0.1
"""Share of the particles that are drawn from the first law all the same: no weight is beyond its inverse."""
MOST = 50
"""Up to so many numbers drive the first row where a mode of theirs is looked for."""
MODES = 8
"""Places from which modes are looked for: the draws of the first law that the observations tell most for."""
STEPS, SHARES = 40, np.append(0.5 ** np.arange(12), 0.0)
"""Newton steps, and the shares of each that are tried"""


def can_be_sent(facts: Facts) -> bool:
    """Whether the first law is a map of standard normal numbers, few enough."""
    return facts.gaussian_transition and 0 < facts.first_noises <= MOST


def sent(program: Nonlinear, key: Array, words: Array, y: Float[Array, " m"], P: int
         ) -> tuple[Float[Array, "N P"], Float[Array, " P"]]:  # fmt: skip
    """Particles of row 0 before its observations, and log of prior over proposal of each.

    A pilot, drawn apart from them, tells whether observations are sharp, so that the likelihood stays unbiased. Where
    they are, particles come from the Gaussian laws at modes of p(e_0 | y_0), in a mixture with the prior whose parts
    have fixed numbers of them; weights are those of the mixture (Owen & Zhou 2000).
    """
    r, zero = program.facts.first_noises, jnp.asarray(0)
    lead = bits(words, 2, 2)
    pilot = normals(lead[0], r, P)
    logs = log_emission(program, zero, jax.vmap(program.first, 1, 1)(pilot), y)
    weighed, total = normalised(logs - jnp.log(float(P)))

    def plain() -> tuple[Array, Array]:
        return begun(program, key, P), jnp.zeros(P)

    def near() -> tuple[Array, Array]:
        best = jax.lax.top_k(jnp.where(jnp.isnan(logs), -jnp.inf, logs), min(MODES, P))[1]
        mean, L = jax.vmap(lambda e: _mode(program, y, e), 1)(pilot[:, best])
        # Each part has a fixed number of particles; the last is the prior.
        part = np.asarray(np.arange(P) * (len(mean) / (1 - BLIND)) // P, np.int32)
        counts = np.bincount(part, minlength=len(mean) + 1)
        z = normals(lead[1], r, P)
        placed = jax.vmap(lambda m, L: m[:, None] + solve_lower_transposed(L, z))(mean, L)
        e = jnp.concatenate([placed, z[None]])[part, :, jnp.arange(P)].T
        prior = -0.5 * jnp.sum(e * e, axis=0)

        def density(m: Array, L: Array) -> Array:
            white = L.T @ (e - m[:, None])
            return -0.5 * jnp.sum(white * white, axis=0) + jnp.sum(jnp.log(jnp.diagonal(L)))

        each = jnp.concatenate([jax.vmap(density)(mean, L), prior[None]]) + jnp.log(counts / P)[:, None]
        return jax.vmap(program.first, 1, 1)(e), prior - logsumexp(each, axis=0)

    return jax.lax.cond((weighed.ess < SHARP * P) & (total < jnp.inf), near, plain)


def _mode(program: Nonlinear, y: Array, start: Float[Array, " r"]) -> tuple[Float[Array, " r"], Float[Array, "r r"]]:
    """The mode of p(e_0 | y_0), and the factor of the precision there."""
    score = lambda e: program.log_emission(jnp.asarray(0), program.first(e), y)

    def expanded(e: Array) -> tuple[Array, Array]:
        g, B = curvature(score, e)
        return g, positive_part(B)  # what bends the wrong way is left to the prior, so that each step leads up

    return mode(expanded, score, start, SHARES, STEPS)
