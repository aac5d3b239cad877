"""Where particles are sent: Gaussian laws of the noises of a row given what is observed in it.

Proposals live in the space of the standard normal numbers e that drive a row, s_t = transition(t, s_{t-1}, e): the
prior of e is N(0, I) whatever the rank of the noise in s_t, and no transition density is needed. A proposal
N(mu, (L L')^-1) has the precision I plus what the observation says of e.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._small_matrices import cholesky, solve_lower, solve_lower_transposed
from ssmlang.engines.nonlinear import Nonlinear

STEPS = 3
"""Newton steps to the mode of e."""


class Proposal(NamedTuple):
    """The law of e for one particle."""

    mean: Float[Array, " r"]
    root: Float[Array, "r r"]
    """L, the lower factor of the precision"""
    log_predictive: Float[Array, ""]
    """log-density of the row's observations given s_{t-1}; exact where the law of e is"""


def linearised(program: Nonlinear, t: Array, s: Array, y: Array) -> Proposal:
    """Exact where the observations are affine in e with Gaussian noise that does not depend on it: the locally optimal
    proposal (Doucet, Godsill & Andrieu 2000, section II.D). Else by the derivative at e = 0."""
    r = program.facts.noises

    def seen(e: Array) -> tuple[Array, Array]:
        law = program.emission(t, program.transition(t, s, e), y)
        return law.mean, law.cov

    still = jnp.zeros(r)
    (mean, cov), H = seen(still), jax.jacfwd(lambda e: seen(e)[0])(still)
    z = program.statistic(y)
    there = ~jnp.isnan(z)
    H = jnp.where(there[:, None], H, 0.0)
    R = cholesky(jnp.where(there[:, None] & there[None, :], cov, jnp.eye(len(z))))
    v = solve_lower(R, jnp.where(there, z - mean, 0.0))
    W = solve_lower(R, H)
    L = cholesky(jnp.eye(r) + W.T @ W)
    half = solve_lower(L, W.T @ v)
    logs = jnp.sum(jnp.where(there, jnp.log(jnp.diagonal(R)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
    predictive = -0.5 * (v @ v - half @ half) - logs - jnp.sum(jnp.log(jnp.diagonal(L)))
    return Proposal(solve_lower_transposed(L, half), L, predictive)


def at_mode(program: Nonlinear, t: Array, s: Array, y: Array) -> Proposal:
    """The Gaussian law at the mode of p(e | y, s_{t-1}), by its curvature there; the prior of e where the curvature is
    not that of a maximum."""
    r = program.facts.noises
    score = lambda e: program.log_emission(t, program.transition(t, s, e), y)

    def newton(now: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        e = now[0]
        g, push = jax.linearize(jax.grad(score), e)
        B = -jax.vmap(push)(jnp.eye(r))
        L = cholesky(jnp.eye(r) + 0.5 * (B + B.T))
        return (solve_lower_transposed(L, solve_lower(L, g + B @ e)), L), None

    # One step in the program, whatever their number: derivatives of a whole row are most of what is compiled.
    (e, L), _ = jax.lax.scan(newton, (jnp.zeros(r), jnp.eye(r)), None, length=STEPS)
    sound = jnp.isfinite(e).all() & jnp.isfinite(L).all()
    e, L = jnp.where(sound, e, 0.0), jnp.where(sound, L, jnp.eye(r))
    predictive = score(e) - 0.5 * e @ e - jnp.sum(jnp.log(jnp.diagonal(L)))
    return Proposal(e, L, predictive)


def drawn(proposal: Proposal, standard: Float[Array, " r"]) -> tuple[Float[Array, " r"], Float[Array, ""]]:
    """A draw of e made of standard normal numbers, and log N(e; 0, I) - log of its density."""
    e = proposal.mean + solve_lower_transposed(proposal.root, standard)
    logs = jnp.sum(jnp.log(jnp.diagonal(proposal.root)))
    return e, 0.5 * (standard @ standard - e @ e) - logs
