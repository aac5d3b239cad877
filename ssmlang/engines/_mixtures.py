"""Gaussian laws side by side: their steps, and mixtures brought back to one law of the same mean and covariance."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines.markov_chain import Memory, log_sum


class Laws(NamedTuple):
    """Gaussian laws with any leading axes."""

    mean: Float[Array, "*L N"]
    cov: Float[Array, "*L N N"]


def predicted(laws: Laws, A: Array, a: Array, Q: Array) -> Laws:
    """A s + a + noise of covariance Q."""
    mean = jnp.einsum("...ij,...j->...i", A, laws.mean) + a
    return Laws(mean, _symmetric(A @ laws.cov @ jnp.swapaxes(A, -1, -2) + Q))


def seen(laws: Laws, Z: Array, d: Array, R: Array) -> Laws:
    """Of the observations."""
    mean = jnp.einsum("...ij,...j->...i", Z, laws.mean) + d
    return Laws(mean, _symmetric(Z @ laws.cov @ jnp.swapaxes(Z, -1, -2) + R))


def updated(laws: Laws, y: Float[Array, " m"], Z: Array, d: Array, R: Array) -> tuple[Laws, Array]:
    """The laws given y, of which NaN is missing, and the log-density of what is there."""
    there = ~jnp.isnan(y)
    observed = seen(laws, Z, d, R)
    both = there[:, None] & there[None, :]
    L = jnp.linalg.cholesky(jnp.where(both, observed.cov, jnp.eye(len(y))))
    rest = jnp.where(there, y - observed.mean, 0.0)
    read = jnp.where(there[:, None], Z, 0.0)
    solve = lambda b: jax.scipy.linalg.solve_triangular(L, b, lower=True)
    white = solve(rest[..., None])[..., 0]
    root = solve(read @ laws.cov)
    logs = jnp.where(there, jnp.log(jnp.diagonal(L, axis1=-2, axis2=-1)) + 0.5 * jnp.log(2 * jnp.pi), 0.0)
    density = -0.5 * jnp.sum(white**2, axis=-1) - jnp.sum(logs, axis=-1)
    turned = jnp.swapaxes(root, -1, -2)
    mean = laws.mean + jnp.einsum("...ij,...j->...i", turned, white)
    # I - K Z from both sides: the covariance stays one, whatever rounding does to the gain.
    gain = jnp.swapaxes(jax.scipy.linalg.solve_triangular(L, root, lower=True, trans=1), -1, -2)
    left = jnp.eye(laws.mean.shape[-1]) - gain @ read
    noise = jnp.where(both, R, 0.0)
    cov = left @ laws.cov @ jnp.swapaxes(left, -1, -2) + gain @ noise @ jnp.swapaxes(gain, -1, -2)
    return Laws(mean, _symmetric(cov)), density


def collapsed(log_weights: Float[Array, "C K"], laws: Laws, memory: Memory) -> tuple[Array, Laws]:
    """For each new memory its log-weight, and the law of the mean and covariance of what leads to it."""
    total = memory.gather(log_weights, log_sum)
    safe = jnp.where(jnp.isfinite(total), total, 0.0)
    share = jnp.where(jnp.isfinite(log_weights), jnp.exp(log_weights - memory.spread(safe)), 0.0)
    mean = memory.gather(share[..., None] * laws.mean, jnp.sum)
    rest = laws.mean - _spread(memory, mean)
    cov = memory.gather(share[..., None, None] * (laws.cov + rest[..., :, None] * rest[..., None, :]), jnp.sum)
    return total, Laws(mean, cov)


def whole(probabilities: Float[Array, " C"], laws: Laws) -> Laws:
    """The one law of the mixture's mean and covariance."""
    mean = jnp.einsum("c,cn->n", probabilities, laws.mean)
    rest = laws.mean - mean
    cov = jnp.einsum("c,cij->ij", probabilities, laws.cov) + jnp.einsum("c,ci,cj->ij", probabilities, rest, rest)
    return Laws(mean, cov)


def gain(cross: Array, cov: Array) -> Array:
    """J with J cov = cross, where the rows of cross lie in the range of cov, of any rank: by its eigenvectors."""
    values, vectors = jnp.linalg.eigh(cov)
    top = jnp.max(jnp.abs(values), axis=-1, keepdims=True, initial=0.0)
    positive = values > cov.shape[-1] * jnp.finfo(cov.dtype).eps * top
    inverse = jnp.where(positive, 1.0 / jnp.where(positive, values, 1.0), 0.0)
    return (cross @ vectors * inverse[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)


def _spread(memory: Memory, values: Float[Array, "C N"]) -> Float[Array, "C K N"]:
    return values[memory.successors]


def _symmetric(cov: Array) -> Array:
    return 0.5 * (cov + jnp.swapaxes(cov, -1, -2))
