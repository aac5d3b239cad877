"""A program's functions over many particles: arrays of memories (N, P), particles last."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines.counters import normals, words
from ssmlang.engines.nonlinear import Nonlinear


def begun(program: Nonlinear, key: Key[Array, ""], P: int) -> Float[Array, "N P"]:
    """Draws of the memory of row 0."""
    if program.facts.gaussian_transition:
        return jax.vmap(program.first, 1, 1)(normals(words(key), program.facts.first_noises, P))
    return jax.vmap(program.sample_first, 0, 1)(jax.random.split(key, P))


def moved(program: Nonlinear, seed: Array, t: Array, s: Float[Array, "N P"]) -> Float[Array, "N P"]:
    """A draw of each particle's next memory."""
    if program.facts.gaussian_step:
        e = normals(seed, program.facts.noises, s.shape[1])
        return jax.vmap(program.transition, (None, 1, 1), 1)(t, s, e)
    return jax.vmap(program.sample, (0, None, 1), 1)(jax.random.split(seed, s.shape[1]), t, s)


def log_emission(program: Nonlinear, t: Array, s: Float[Array, "N P"], y: Array) -> Float[Array, " P"]:
    return jax.vmap(program.log_emission, (None, 1, None))(t, s, y)


class Weighted(NamedTuple):
    """Normalised weights."""

    logs: Float[Array, " P"]
    weights: Float[Array, " P"]
    ess: Float[Array, ""]
    """effective number of particles, 1 / sum of squared weights"""


def normalised(logs: Float[Array, " P"]) -> tuple[Weighted, Float[Array, ""]]:
    """Weights from their logarithms, and the logarithm of their sum.

    A particle without a number has no weight. Where none has any the sum is -inf, NaN if none has a number, and all
    count the same from there on.
    """
    P = len(logs)
    given, logs = logs, jnp.where(jnp.isnan(logs), -jnp.inf, logs)
    top = jnp.max(logs)
    alive = top > -jnp.inf
    each = jnp.where(alive, jnp.exp(logs - jnp.where(alive, top, 0.0)), 1.0)
    total = jnp.sum(each)
    dead = lambda: jnp.where(jnp.isnan(given).all(), jnp.nan, -jnp.inf)
    log_sum = jax.lax.cond(alive, lambda: top + jnp.log(total), dead)
    even = -jnp.log(float(P))
    found = Weighted(jnp.where(alive, logs - log_sum, even), each * (1 / total), total**2 / jnp.sum(each**2))
    return found, log_sum


class Moments(NamedTuple):
    """Mean and covariance of a weighted cloud."""

    mean: Float[Array, " k"]
    cov: Float[Array, "k k"]


def spread(x: Float[Array, "k P"], weights: Float[Array, " P"]) -> Moments:
    """Moments of what particles have; those without weight need have no number."""
    x = jnp.where(weights > 0, x, 0.0)
    mean = x @ weights
    off = x - mean[:, None]
    return Moments(mean, (off * weights) @ off.T)


def seen(program: Nonlinear, t: Array, s: Float[Array, "N P"], weights: Float[Array, " P"], *, noise: bool) -> Moments:
    """Moments of y_t over particles, or of its mean given s_t without `noise`."""
    law = jax.vmap(program.observed, (None, 1), -1)(t, s)
    mean, cov = spread(law.mean, weights)
    if not noise:
        return Moments(mean, cov)
    return Moments(mean, cov + jnp.where(weights > 0, law.cov, 0.0) @ weights)


def marked(program: Nonlinear, s: Float[Array, "N P"], weights: Float[Array, " P"]) -> Float[Array, " d"] | None:
    """Probabilities of the values of discrete states; None where a program marks none."""
    return None if program.marks is None else jax.vmap(program.marks, 1, 1)(s) @ weights


def deviations(cov: Float[Array, "*T k k"]) -> Float[Array, "*T k"]:
    """Standard deviations of a covariance matrix."""
    return jnp.sqrt(jnp.maximum(jnp.diagonal(cov, axis1=-2, axis2=-1), 0.0))
