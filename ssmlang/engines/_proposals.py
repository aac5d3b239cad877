"""Where particles are sent: Gaussian laws of the noises of a row given what is observed in it.

Proposals live in the space of the standard normal numbers e that drive a row, s_t = transition(t, s_{t-1}, e): the
prior of e is N(0, I) whatever the rank of the noise in s_t, and no transition density is needed. A proposal
N(mu, (L L')^-1) has the precision I plus what the observation says of e.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from ssmlang.engines._small_matrices import cholesky, solve_lower, solve_lower_transposed
from ssmlang.engines.nonlinear import Nonlinear

STEPS = 5
"""Newton steps to the mode of e."""
SHARES = np.array([1.0, 0.25, 0.0625, 0.015625, 0.0])
"""of a step that are tried"""
ROUNDING = 1000.0
"""Scores that differ by less, in units of the precision, are the same: the first share is taken."""
PRIOR = 0.1
"""The share of particles that are sent by the prior all the same where a proposal is a guess, which bounds how wrong it
can go: their weights are at most ten times those of a bootstrap filter (Hesterberg 1995)."""


class Proposal(NamedTuple):
    """The law of e for one particle."""

    mean: Float[Array, " r"]
    root: Float[Array, "r r"]
    """L, the lower factor of the precision"""
    log_predictive: Float[Array, ""]
    """log-density of the row's observations given s_{t-1}; exact where the law of e is"""


def exact(program: Nonlinear, t: Array, s: Array, y: Array) -> Proposal:
    """The locally optimal proposal (Doucet, Godsill & Andrieu 2000, section II.D) where the observations are affine in
    e with Gaussian noise that does not depend on it."""
    found = _residuals(program, t, s, y, jnp.zeros(program.facts.noises))
    v, W = found.v, found.W
    L = cholesky(jnp.eye(W.shape[1]) + W.T @ W)
    half = solve_lower(L, W.T @ v)
    predictive = -0.5 * (v @ v - half @ half) - found.log_scale - jnp.sum(jnp.log(jnp.diagonal(L)))
    return Proposal(solve_lower_transposed(L, half), L, predictive)


def at_mode(program: Nonlinear, t: Array, s: Array, y: Array) -> Proposal:
    """The Gaussian law at the mode of p(e | y, s_{t-1}), by its curvature there, by Gauss and Newton's where the
    observations are Gaussian; the prior of e where the curvature is not that of a maximum.

    Of the shares of a step the best is taken: a step from where the observations bend may lead far beyond them.
    """
    score = lambda e: program.log_emission(t, program.transition(t, s, e), y)

    def expanded(e: Array) -> tuple[Array, Array]:
        """Gradient and negative Hessian of the score."""
        if program.facts.gaussian_emission:
            found = _residuals(program, t, s, y, e)
            return found.W.T @ found.v, found.W.T @ found.W
        return curvature(score, e)

    e, L = mode(expanded, score, jnp.zeros(program.facts.noises), SHARES, STEPS)
    return Proposal(e, L, score(e) - 0.5 * e @ e - jnp.sum(jnp.log(jnp.diagonal(L))))


def mode(expanded: Callable[[Array], tuple[Array, Array]], score: Callable[[Array], Array], start: Float[Array, " r"],
         shares: Float[np.ndarray, " k"], steps: int) -> tuple[Float[Array, " r"], Float[Array, "r r"]]:  # fmt: skip
    """The maximum of score(e) - e'e / 2 by so many Newton steps, of each the best of some `shares`, and the factor of
    the precision there; the prior where nothing is found. `expanded`: gradient and negative Hessian of the score."""
    r = len(start)

    def value(e: Array) -> Array:
        found = score(e) - 0.5 * e @ e
        return jnp.where(jnp.isnan(found), -jnp.inf, found)

    def step(e: Array, _: None) -> tuple[Array, None]:
        g, B = expanded(e)
        L = cholesky(jnp.eye(r) + B)
        d = solve_lower_transposed(L, solve_lower(L, g - e))
        tried = e + shares[:, None] * jnp.where(jnp.isfinite(d).all(), d, g - e)
        values = jax.vmap(value)(tried)
        # Near the mode shares differ by rounding alone, which two compilers of the same row do not share.
        best = jnp.max(values)
        return tried[jnp.argmax(values >= best - ROUNDING * jnp.finfo(best.dtype).eps * (1 + jnp.abs(best)))], None

    # One step in the program, whatever their number: derivatives of a whole row are most of what is compiled.
    e, _ = jax.lax.scan(step, start, None, length=steps)
    L = cholesky(jnp.eye(r) + expanded(e)[1])
    sound = jnp.isfinite(e).all() & jnp.isfinite(L).all()
    return jnp.where(sound, e, 0.0), jnp.where(sound, L, jnp.eye(r))


def curvature(score: Callable[[Array], Array], e: Float[Array, " r"]) -> tuple[Array, Float[Array, "r r"]]:
    """Gradient and negative Hessian."""
    g, push = jax.linearize(jax.grad(score), e)
    B = -jax.vmap(push)(jnp.eye(len(e)))
    return g, 0.5 * (B + B.T)


class _Residuals(NamedTuple):
    """Of Gaussian observations, in units of their noise; zero where they are missing."""

    v: Float[Array, " k"]
    W: Float[Array, "k r"]
    """derivative of their means in e"""
    log_scale: Float[Array, ""]


def _residuals(program: Nonlinear, t: Array, s: Array, y: Array, e: Array) -> _Residuals:
    def seen(e: Array) -> tuple[Array, Array]:
        law = program.emission(t, program.transition(t, s, e), y)
        return law.mean, law.cov

    (mean, cov), H = seen(e), jax.jacfwd(lambda e: seen(e)[0])(e)
    z = program.statistic(y)
    there = ~jnp.isnan(z)
    R = cholesky(jnp.where(there[:, None] & there[None, :], cov, jnp.eye(len(z))))
    v = solve_lower(R, jnp.where(there, z - mean, 0.0))
    logs = jnp.sum(jnp.where(there, jnp.log(jnp.diagonal(R)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
    return _Residuals(v, solve_lower(R, jnp.where(there[:, None], H, 0.0)), logs)


def drawn(proposal: Proposal, standard: Float[Array, " r"]) -> tuple[Float[Array, " r"], Float[Array, ""]]:
    """A draw of e made of standard normal numbers, and log N(e; 0, I) - log of its density."""
    e = proposal.mean + solve_lower_transposed(proposal.root, standard)
    logs = jnp.sum(jnp.log(jnp.diagonal(proposal.root)))
    return e, 0.5 * (standard @ standard - e @ e) - logs


def drawn_with_prior(
    proposal: Proposal, standard: Float[Array, " r+1"]
) -> tuple[Float[Array, " r"], Float[Array, ""]]:
    """The same from a mixture of the proposal with the prior of e; the last number tells which it is."""
    by_prior = standard[-1] < ndtri(PRIOR)
    e = jnp.where(by_prior, standard[:-1], drawn(proposal, standard[:-1])[0])
    back = proposal.root.T @ (e - proposal.mean)
    ratio = jnp.sum(jnp.log(jnp.diagonal(proposal.root))) + 0.5 * (e @ e - back @ back)
    return e, -jnp.logaddexp(np.log1p(-PRIOR) + ratio, np.log(PRIOR))
