"""The passes over a Markov chain in logarithmic depth: associative scans over its moves from memory to memory.

Sarkka & Garcia-Fernandez, "Temporal parallelization of inference in hidden Markov models" (2021). Each element is the
N x N table of a row's move and density; tables are joined in logarithms. More work than the passes row by row, by a
factor of about N, and fewer steps: for GPUs and long series of few values.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines._chain_passes import Forward
from ssmlang.engines.markov_chain import MarkovChain, log_sum


def _tables(chain: MarkovChain) -> Float[Array, "T N N"]:
    """Row t: the log-weights of moving from the memory of row t-1 to that of row t; of row 0 from anywhere."""
    N, K, steps = chain.memory.size, chain.memory.row_size, len(chain.log_emission)
    moves = chain.log_transition if chain.varies else chain.log_transition[None]
    dense = jnp.full((len(moves), N, N), -jnp.inf).at[:, np.arange(N)[:, None], chain.memory.successors].set(
        moves.reshape(len(moves), N, K)
    )
    first = jnp.broadcast_to(chain.log_initial, (1, N, N))
    rest = jnp.broadcast_to(dense[-1:] if not chain.varies else dense[1:], (steps - 1, N, N))
    return jnp.concatenate([first, rest]) + chain.log_emission[:, None, :]


def _join(a: Array, b: Array) -> Array:
    return log_sum(a[..., :, :, None] + b[..., None, :, :], axis=-2)


def forward(chain: MarkovChain) -> Forward:
    """As `_chain_passes.forward`."""
    joint = jax.lax.associative_scan(_join, _tables(chain))[:, 0, :]
    so_far = log_sum(joint, axis=1)
    filtered = joint - jnp.where(jnp.isfinite(so_far), so_far, 0.0)[:, None]
    before = jnp.concatenate([jnp.zeros(1), so_far[:-1]])
    terms = jnp.where(jnp.isfinite(before), so_far - jnp.where(jnp.isfinite(before), before, 0.0), -jnp.inf)
    moves = chain.log_transition[1:] if chain.varies else None
    ahead = lambda last, move: chain.memory.gather(last[:, None] + move, log_sum)
    rest = jax.vmap(ahead)(filtered[:-1], moves) if chain.varies else jax.vmap(
        lambda last: ahead(last, chain.log_transition))(filtered[:-1])  # fmt: skip
    return Forward(jnp.concatenate([chain.log_initial[None], rest]), filtered, terms)


def backward(chain: MarkovChain) -> Float[Array, "T N"]:
    """As `_chain_passes.backward`."""
    N = chain.memory.size
    after = jax.lax.associative_scan(lambda a, b: _join(b, a), _tables(chain)[1:], reverse=True)
    found = jnp.concatenate([log_sum(after, axis=2), jnp.zeros((1, N))])
    top = jnp.max(found, axis=1, keepdims=True)
    return found - jnp.where(jnp.isfinite(top), top, 0.0)
