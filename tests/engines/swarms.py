"""Models for the tests of particle engines, lowered and run by many keys at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ssmlang
from ssmlang.inference.augmented import walks_of
from ssmlang.lowering.nonlinear import NonlinearLowering

LEVEL = """
param q, r
state x
obs y
let step[t] = x[t] - x[t-1]
init x ~ Normal(0, 1)
init x[-1] ~ Normal(0, 1)
x[t] ~ Normal(0.9 * x[t-1], q)
y[t] ~ Normal(x[t], r)
"""
VOLATILITY = """
state h
obs r
init h ~ Normal(-1, 0.6)
h[t] ~ Normal(-1 + 0.9 * (h[t-1] + 1), 0.4)
r[t] ~ Normal(0, exp(h[t] / 2))
"""
SWITCHING = """
axis regime = {up, down}
let P = [[0.9, 0.1], [0.2, 0.8]]
let growth[regime] = [1, -1]
state s in regime
obs y
init s ~ Categorical([0.6, 0.4])
s[t] ~ Categorical(P[s[t-1]])
y[t] ~ Normal(growth[s[t]], 0.8)
"""


class Swarm:
    """A model, some data, and an engine's methods under many keys."""

    def __init__(self, text: str, params: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self.model, self.params, self.data = ssmlang.compile(text), dict(params), dict(data)
        self.lowering = NonlinearLowering(self.model.spec, walks_of(self.model.spec))

    @property
    def facts(self) -> Any:
        return self.lowering.facts

    def run(self, engine: Any, method: str, keys: int, first: int = 0) -> Any:
        """What a method gives under each of some keys, stacked."""
        values = {n: np.asarray(v, float) for n, v in self.params.items()}
        data = {n: np.asarray(v, float) for n, v in self.data.items()}
        steps = len(next(iter(data.values())))

        def one(key: jax.Array) -> Any:
            program, y = self.lowering.program(values, data, {}, steps)
            found = getattr(engine, method)(program, y, key)
            return found._asdict() if hasattr(found, "_asdict") else found

        each = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(first, first + keys))
        found = jax.jit(lambda keys: jax.lax.map(one, keys))(each)
        return jax.tree.map(np.asarray, found)

    def exact(self, verb: str, engine: str) -> Any:
        """What an exact engine gives."""
        return getattr(self.model, verb)(self.data, self.params, engine=engine)


def unbiased(logs: np.ndarray, exact: float) -> float:
    """How many standard errors the mean of exp(logs - exact) is away from one."""
    ratio = np.exp(logs - exact)
    return float(abs(ratio.mean() - 1) / (ratio.std(ddof=1) / np.sqrt(len(ratio))))


def off(draws: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance of the mean over keys from the truth, in standard errors."""
    error = np.maximum(draws.std(0, ddof=1) / np.sqrt(len(draws)), 1e-9)
    return float(np.max(np.abs(draws.mean(0) - exact) / error))
