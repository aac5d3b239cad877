"""Where a filter of augmented parameters starts, if at their prior means nothing it sees could ever move them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines.nonlinear import Nonlinear

PROBED = 8
"""Rows in which it is looked for what depends on a parameter: data that equations read can be zero in one."""


def unstuck(program: Nonlinear, mean: Float[Array, " N"], sd: Float[Array, " N"], key: Array,
            times: Int[Array, " rows"]) -> Float[Array, " N"]:  # fmt: skip
    """The means of row 0 with parameters drawn that no observation depends on there, however long it waits.

    Where hidden units can change places or signs the posterior mean of their weights is zero whatever the data are, and
    a Gaussian that starts there stays: a draw says which of the equal modes is meant. A parameter is moved if an
    observation reads it, or a state that observations tell of. Such states are drawn for the test, so that no chance
    zero counts; the others stay where they are, for nothing moves them either.
    """
    shared = np.array(program.facts.augmented, int)
    own = np.setdiff1d(np.arange(program.facts.N), shared)
    key_x, key_w = jax.random.split(key)
    still, seen = jnp.zeros(program.facts.noises), jnp.full(program.facts.m, jnp.nan)
    x = mean[own] + sd[own] * jax.random.normal(key_x, own.shape)
    at = mean.at[own].set(x + 0.1 * jax.random.normal(jax.random.fold_in(key_x, 1), own.shape))

    def slopes(t: Array, s: Array) -> tuple[Array, Array]:
        """What an emission reads, and what states read: (N,), (own, N)."""
        H = _jacobian(lambda s: program.emission(t, s, seen).mean, s)
        return jnp.any(H != 0, axis=0), _jacobian(lambda s: program.transition(t + 1, s, still)[own], s) != 0

    read, moved = (jnp.any(a, axis=0) for a in jax.lax.map(lambda t: slopes(t, at), times))
    told = read[own]
    for _ in range(len(own).bit_length()):  # what states that are told of read is told of too
        told = told | jnp.any(moved[:, own] & told[:, None], axis=0)
    start = mean.at[own].set(jnp.where(told, at[own], mean[own]))

    def row(s: Array, t: Array) -> tuple[Array, Array]:
        sees, moves = slopes(t, s)
        after = program.transition(t + 1, s, still)
        kept = s.at[own].set(jnp.where(told, s[own], after[own]))
        return kept, (sees | jnp.any(moves & told[:, None], axis=0))[shared]

    blind = ~jnp.any(jax.lax.scan(row, start, times)[1], axis=0)
    drawn = mean[shared] + sd[shared] * jax.random.normal(key_w, shared.shape)
    return mean.at[shared].set(jnp.where(blind, drawn, mean[shared]))


def _jacobian(f: Callable[[Array], Array], s: Array) -> Array:
    size = jax.eval_shape(f, s).shape[0]
    return (jax.jacrev if size < len(s) else jax.jacfwd)(f)(s)
