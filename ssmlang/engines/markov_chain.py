"""The discrete program: variables with finitely many values, in a Markov chain of any order, seen through densities.

A row has variables v = 1..V with `values[v]` values each; joint, they have K values. The memory of row t holds the last
`rows[v]` rows of each variable, so that it has N = prod values[v] ** rows[v] values: order p stays order p, and a step
costs N K, not N N. A value of the memory is numbered in C order of its slots: row t's variables in their order, then
those of row t-1 that it holds, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@dataclass(frozen=True)
class Memory:
    """Which values of which rows are remembered. Hashable, so that compiled functions are cached by it."""

    values: tuple[int, ...]
    """number of values of each variable"""
    rows: tuple[int, ...]
    """how many rows of each the memory holds, at least one"""

    @cached_property
    def slots(self) -> tuple[tuple[int, int], ...]:
        """(variable, lag) of each axis of the memory."""
        return tuple((v, lag) for lag in range(max(self.rows, default=0)) for v, r in enumerate(self.rows) if lag < r)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """How many values each slot has."""
        return tuple(self.values[v] for v, _ in self.slots)

    @property
    def size(self) -> int:
        """N: how many values the memory has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def row_size(self) -> int:
        """K: how many values a row has."""
        return int(np.prod(self.values, dtype=np.int64))

    @cached_property
    def _dropped(self) -> tuple[int, ...]:
        return tuple(i for i, (v, lag) in enumerate(self.slots) if lag == self.rows[v] - 1)

    @cached_property
    def configurations(self) -> Int[np.ndarray, "N slots"]:
        """The value of each slot for each value of the memory."""
        return _every(self.shape)

    @cached_property
    def row_configurations(self) -> Int[np.ndarray, "K V"]:
        """The value of each variable for each joint value of a row."""
        return _every(self.values)

    @cached_property
    def successors(self) -> Int[np.ndarray, "N K"]:
        """The memory that follows each memory with each value of the next row."""
        whole = np.arange(self.size).reshape(self.row_size, -1)
        return np.broadcast_to(np.asarray(self.spread(whole.reshape(-1))), (self.size, self.row_size))

    def gather(self, pairs: Float[Array, "N K ..."], reduce: Callable[..., Any]) -> Float[Array, "N ..."]:
        """Over what is forgotten of the old memory, `reduce` what belongs to each new one."""
        more = pairs.shape[2:]
        kept = reduce(pairs.reshape(*self.shape, self.row_size, *more), axis=self._dropped)
        return jnp.moveaxis(kept, len(self.shape) - len(self._dropped), 0).reshape(self.size, *more)

    def spread(self, new: Any) -> Any:
        """An array over new memories as one over (old memory, next row), of a shape that broadcasts to (N, K)."""
        kept = [n for i, n in enumerate(self.shape) if i not in self._dropped]
        turned = np.moveaxis if isinstance(new, np.ndarray) else jnp.moveaxis
        value = turned(new.reshape(self.row_size, *kept), 0, -1)
        at = iter(kept)
        shape = [1 if i in self._dropped else next(at) for i in range(len(self.shape))]
        whole = value.reshape(*shape, self.row_size)
        broadcast = np.broadcast_to if isinstance(new, np.ndarray) else jnp.broadcast_to
        return broadcast(whole, (*self.shape, self.row_size)).reshape(self.size, self.row_size)

    def marginal(self, probabilities: Float[Array, "*lead N"], variable: int, lag: int = 0) -> Float[Array, "*lead K"]:
        """The probabilities of one variable, `lag` rows back."""
        lead = probabilities.shape[:-1]
        axis = self.slots.index((variable, lag))
        others = tuple(len(lead) + i for i in range(len(self.slots)) if i != axis)
        return probabilities.reshape(*lead, *self.shape).sum(axis=others)


def _every(sizes: tuple[int, ...]) -> Int[np.ndarray, "N slots"]:
    """All combinations, in C order."""
    if not sizes:
        return np.zeros((1, 0), int)
    return np.stack(np.unravel_index(np.arange(int(np.prod(sizes, dtype=np.int64))), sizes), axis=-1)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["log_initial", "log_transition", "log_emission"],
    meta_fields=["memory"],
)
@dataclass(frozen=True)
class MarkovChain:
    """A chain with its numbers, and the densities of what was seen.

    log_initial: (N,), of the memory of row 0; log_transition: (N, K) or (T, N, K), of row t's joint value given the
    memory of row t-1 (row 0 is not used); log_emission: (T, N), the log-density of row t's observations given the
    memory of row t, 0 where nothing was seen. Impossible is -inf.
    """

    log_initial: Float[Array, " N"]
    log_transition: Float[Array, "N K"] | Float[Array, "T N K"]
    log_emission: Float[Array, "T N"]
    memory: Memory

    @classmethod
    def of(cls, initial: Any, transition: Any, log_emission: Any) -> MarkovChain:
        """A chain of order one from probabilities: initial (K,), transition (K, K) or (T, K, K)."""
        K = np.shape(initial)[-1]
        log = lambda p: jnp.log(jnp.asarray(p, float))
        return cls(log(initial), log(transition), jnp.asarray(log_emission, float), Memory((K,), (1,)))

    @property
    def varies(self) -> bool:
        """Whether the transition changes from row to row."""
        return self.log_transition.ndim == 3


def log_sum(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """log(sum(exp(x))); -inf where all is, with derivatives that are zero there."""
    top = jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(x - top), axis=axis)
    found = jnp.log(jnp.where(total > 0, total, 1.0)) + top.reshape(total.shape)
    return jnp.where(total > 0, found, -jnp.inf)


def stationary_log_law(log_transition: Float[Array, "N K"], memory: Memory) -> Float[Array, " N"]:
    """The stationary law of the memory of a chain whose transition does not change; NaN where there is not one alone.

    pi (A - I) = 0 with sum(pi) = 1 as one regular system, A the transition from memory to memory.
    """
    N, K = memory.size, memory.row_size
    A = jnp.zeros((N, N)).at[np.arange(N)[:, None], memory.successors].add(jnp.exp(log_transition).reshape(N, K))
    pi = jnp.linalg.solve(A.T - jnp.eye(N) + 1.0, jnp.ones(N))
    positive = pi > 1e-300
    return jnp.where(jnp.isnan(pi), jnp.nan, jnp.where(positive, jnp.log(jnp.where(positive, pi, 1.0)), -jnp.inf))
