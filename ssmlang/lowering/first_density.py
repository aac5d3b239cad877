"""The log-density of the first row's states, where they have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.lowering.densities import gaussian_density, log_density
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.first_row import given_first
from ssmlang.model import expr
from ssmlang.model.model import Equation, InitialEquation, nodes_of

if TYPE_CHECKING:
    from ssmlang.lowering.nonlinear import NonlinearLowering


def has_first_density(lowering: NonlinearLowering) -> bool:
    """Whether x_0 has a density given the parameters, but for entries that are known numbers."""
    if lowering.walks or lowering.latent or not lowering.facts.density:
        return False
    if lowering.start is not None and lowering.start.noises:
        return False
    for item in lowering.initials:
        if any(t.row != 0 for t in item.targets):
            return False
        if item.law is None and (expr.references(nodes_of(item)) or expr.parameters(nodes_of(item))):
            return False
    given = given_first(lowering)
    split = lambda e: {bool(given[t.name][list(t.entries)].all()) for t in e.targets}
    return all(len(split(e)) == 1 for e in lowering.moved) and not any(_half(e, given) for e in lowering.moved)


def log_first(lowering: NonlinearLowering, params: Mapping[str, Array], data: Mapping[Any, Any], s: Array) -> Array:
    """log p(x_0 | params), a scalar; where `has_first_density`."""
    memory = lowering.memory

    def series(sort: str, name: str, lag: int) -> Array:
        return memory.get(s, sort, name, lag) if memory.holds(sort, name, lag) else jnp.zeros(
            memory.places[sort, name].size)  # fmt: skip

    env = lowering._environment(params, data, jnp.asarray(0), series)
    total = jnp.zeros(())
    if lowering.start is not None:
        start = lowering.start
        law = start.first(params)
        flat = lambda v: jnp.concatenate([start.rows(v)[n][0] for n in start.states])
        J = jax.jacfwd(flat)(law.mean)
        cov = J @ (law.cov + law.factor @ law.factor.T) @ J.T
        x = jnp.concatenate([memory.get(s, "state", n, 0) for n in start.states])
        total += gaussian_density(x - flat(law.mean), cov)
    given = given_first(lowering)
    late = [e for e in lowering.moved if not all(given[t.name][list(t.entries)].all() for t in e.targets)]
    every: list[Equation | InitialEquation] = [*lowering.initials, *late]
    for item in every:
        if item.law is not None:
            total += _of(lowering, item, env, s)
    return total


def _of(lowering: NonlinearLowering, item: Equation | InitialEquation, env: Environment, s: Array) -> Array:
    assert item.law is not None
    x = jnp.concatenate([lowering.memory.get(s, "state", t.name, 0)[np.asarray(t.entries, np.int32)]
                         for t in item.targets])  # fmt: skip
    args = dict(zip(item.law.args, evaluate(list(item.law.args.values()), env)))
    return log_density(item.law, args, x, lowering._values(item))


def _half(e: Equation, given: Mapping[str, np.ndarray]) -> bool:
    """Whether some of the entries that an equation gives are given at row 0 already, and some are not."""
    parts = np.concatenate([given[t.name][list(t.entries)] for t in e.targets])
    return bool(parts.any() and not parts.all())
