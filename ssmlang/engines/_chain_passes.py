"""Passes over the rows of a Markov chain: forward, backward, the best path, draws of paths; all in logarithms.

In logarithms nothing underflows: what is improbable by any factor stays what it is, so that a chain that cannot return
by itself (a mixture of two models, say) is right even where the evidence turns after thousands of rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines.markov_chain import MarkovChain, log_sum


class Forward(NamedTuple):
    """Logarithms of probabilities of the memory: of row t given rows before it, and given rows up to it."""

    predicted: Float[Array, "T N"]
    filtered: Float[Array, "T N"]
    log_likelihood: Float[Array, " T"]


def _transition(chain: MarkovChain, row: Array | None) -> Array:
    return chain.log_transition if row is None else row


def _rows(chain: MarkovChain) -> Array | None:
    """Transitions into rows 1, 2, ..., where they change."""
    return chain.log_transition[1:] if chain.varies else None


def _updated(predicted: Array, emission: Array) -> tuple[Array, Array]:
    joint = predicted + emission
    total = log_sum(joint)
    return jnp.where(jnp.isfinite(total), joint - jnp.where(jnp.isfinite(total), total, 0.0), joint), total


def forward(chain: MarkovChain) -> Forward:
    """Predicted and filtered probabilities of each row, and the log-density of each row given those before."""
    filtered, total = _updated(chain.log_initial, chain.log_emission[0])

    def step(last: Array, row: tuple[Array, Array | None]) -> tuple[Array, tuple[Array, Array, Array]]:
        emission, transition = row
        predicted = chain.memory.gather(last[:, None] + _transition(chain, transition), log_sum)
        now, value = _updated(predicted, emission)
        return now, (predicted, now, value)

    _, (p, f, values) = jax.lax.scan(step, filtered, (chain.log_emission[1:], _rows(chain)))
    join = lambda first, rest: jnp.concatenate([first[None], rest])
    return Forward(join(chain.log_initial, p), join(filtered, f), join(total, values))


def row(chain: MarkovChain, before: Float[Array, " N"] | None = None) -> Forward:
    """`forward` of one row, which is all that the chain has: row 0, or the row after that with `before` filtered."""
    predicted = chain.log_initial
    if before is not None:
        moves = chain.log_transition[0] if chain.varies else chain.log_transition
        predicted = chain.memory.gather(before[:, None] + moves, log_sum)
    return Forward(predicted, *_updated(predicted, chain.log_emission[0]))


def terms(chain: MarkovChain) -> Float[Array, " T"]:
    """The log-density of each row given those before."""
    filtered, total = _updated(chain.log_initial, chain.log_emission[0])

    def step(last: Array, row: tuple[Array, Array | None]) -> tuple[Array, Array]:
        emission, transition = row
        return _updated(chain.memory.gather(last[:, None] + _transition(chain, transition), log_sum), emission)

    _, values = jax.lax.scan(step, filtered, (chain.log_emission[1:], _rows(chain)))
    return jnp.concatenate([total[None], values])


def backward(chain: MarkovChain) -> Float[Array, "T N"]:
    """Log-density of the rows after t given the memory of row t, up to a constant a row."""
    last = jnp.zeros(chain.memory.size, chain.log_emission.dtype)

    def step(after: Array, row: tuple[Array, Array | None]) -> tuple[Array, Array]:
        emission, transition = row
        now = log_sum(_transition(chain, transition) + chain.memory.spread(after + emission), axis=1)
        top = jnp.max(now)
        now = now - jnp.where(jnp.isfinite(top), top, 0.0)
        return now, now

    _, found = jax.lax.scan(step, last, (chain.log_emission[1:], _rows(chain)), reverse=True)
    return jnp.concatenate([found, last[None]])


def best_path(chain: MarkovChain, last: Int[Array, ""] | int | None = None) -> Int[Array, " T"]:
    """The memory of each row on the most probable path of rows 0..last (Viterbi); of equally probable ones, one.

    `last`: the last row there is, where those after it are padding: they get the memory of that row.
    """
    best = chain.log_initial + chain.log_emission[0]
    successors = chain.memory.successors

    def step(before: Array, row: tuple[Array, Array | None]) -> tuple[Array, Array]:
        emission, transition = row
        now = chain.memory.gather(before[:, None] + _transition(chain, transition), jnp.max) + emission
        return now, now

    _, rest = jax.lax.scan(step, best, (chain.log_emission[1:], _rows(chain)))
    values = jnp.concatenate([best[None], rest])
    last = len(values) - 1 if last is None else last
    end = jnp.argmax(values[last])

    def back(state: Array, row: tuple[Array, Array, Array | None]) -> tuple[Array, Array]:
        t, value, transition = row
        pairs = jnp.where(successors == state, value[:, None] + _transition(chain, transition), -jnp.inf)
        source = jnp.where(t < last, jnp.argmax(jnp.max(pairs, axis=1)), end)
        return source, source

    rows = (jnp.arange(len(values) - 1), values[:-1], _rows(chain))
    _, path = jax.lax.scan(back, end, rows, reverse=True)
    return jnp.concatenate([path, end[None]])


def draw_path(chain: MarkovChain, filtered: Float[Array, "T N"], key: Key[Array, ""]) -> Int[Array, " T"]:
    """A draw of the memory of each row given all rows: backward from the last."""
    keys = jax.random.split(key, len(filtered))
    end = jax.random.categorical(keys[-1], filtered[-1])
    successors = chain.memory.successors

    def back(state: Array, row: tuple[Array, Array, Array | None]) -> tuple[Array, Array]:
        k, law, transition = row
        weights = jnp.where(successors == state, _transition(chain, transition), -jnp.inf)
        source = jax.random.categorical(k, law + jnp.max(weights, axis=1))
        return source, source

    _, path = jax.lax.scan(back, end, (keys[:-1], filtered[:-1], _rows(chain)), reverse=True)
    return jnp.concatenate([path, end[None]])


@jax.custom_vjp
def total(chain: MarkovChain) -> Float[Array, ""]:
    """The sum of `terms`, with its derivative by Fisher's identity: expected visits and moves given all rows.

    For reverse mode, once: some five times quicker there than through the recursion.
    """
    return jnp.sum(terms(chain))


def _total_forward(chain: MarkovChain) -> tuple[Array, tuple[MarkovChain, Array]]:
    found = forward(chain)
    return jnp.sum(found.log_likelihood), (chain, found.filtered)


def _total_backward(kept: tuple[MarkovChain, Array], slope: Array) -> tuple[MarkovChain]:
    chain, filtered = kept
    memory = chain.memory
    moves = None if chain.varies else jnp.zeros_like(chain.log_transition)

    def step(carry: tuple[Array, Array | None], row: Any) -> tuple[tuple[Array, Array | None], tuple[Array, Any]]:
        after, count = carry
        emission, before, transition = row
        onward = _transition(chain, transition) + memory.spread(after + emission)
        now = log_sum(onward, axis=1)
        top = jnp.max(now)
        shift = jnp.where(jnp.isfinite(top), top, 0.0)
        move = normalised(before[:, None] + onward)
        count = None if count is None else count + move
        return (now - shift, count), (now - shift, move if count is None else None)

    last = jnp.zeros(memory.size, chain.log_emission.dtype)
    rows = (chain.log_emission[1:], filtered[:-1], _rows(chain))
    (_, counts), (after, each) = jax.lax.scan(step, (last, moves), rows, reverse=True)
    visits = jax.vmap(normalised)(filtered + jnp.concatenate([after, last[None]]))
    if counts is None:
        counts = jnp.concatenate([jnp.zeros_like(chain.log_transition[:1]), each])
    return (MarkovChain(slope * visits[0], slope * counts, slope * visits, memory),)


def normalised(logs: Array) -> Array:
    """exp(logs), scaled to sum to one; zeros where nothing is possible."""
    whole = log_sum(logs)
    return jnp.where(jnp.isfinite(whole), jnp.exp(logs - jnp.where(jnp.isfinite(whole), whole, 0.0)), 0.0)


total.defvjp(_total_forward, _total_backward)
