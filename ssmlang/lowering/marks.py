"""Which values discrete states have, as ones and zeros: their means are the probabilities of the values."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.lowering.memory import Memory
from ssmlang.model.model import Model, State

MOST_VALUES = 64
"""Values of a discrete state up to which each is given its probability."""


def valued(model: Model) -> list[State]:
    """Discrete states whose values are few enough for each to be given its probability."""
    return [v for v in model.states.values() if v.values is not None and np.ptp(v.values.ends) < MOST_VALUES]


def marks(states: Sequence[State], memory: Memory, s: Array) -> Array:
    """Ones and zeros: which of its values each entry of each of these states has."""
    parts = []
    for v in states:
        assert v.values is not None
        low, high = v.values.ends
        parts.append(memory.get(s, "state", v.name, 0).ravel()[:, None] == jnp.arange(low, high + 1))
    return jnp.concatenate([p.ravel() for p in parts]).astype(float)
