"""Definitions with a value a row (`let effect[t] = ...`), as results: their own posterior mean and sd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.data import Bound
from ssmlang.inference.quick import quickly_compiled
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.linear import affine_definitions
from ssmlang.model.model import Definition, Model
from ssmlang.results.moments import Series

DRAWS = 2_000
"""Draws of what a nonlinear definition reads, where it reads more than one number; antithetic, of a fixed seed."""
NODES = 64
"""Gauss-Hermite nodes where it reads one."""
PREFIX = "read "
_COMPILED: WeakKeyDictionary[GaussianLowering, dict[Node, Callable[..., jax.Array]]] = WeakKeyDictionary()
"""What `_rows` made for each lowering; it goes when the lowering goes."""


def with_reads(model: Model) -> Model:
    """The model with a further definition for each (state, row) that a nonlinear definition may read."""
    extra = {}
    for d in model.definitions.values():
        if not d.series or d.value is None:
            continue
        for node in expr.walk([d.value]):
            if node.op == "ref" and node.attrs[0] == "state" and isinstance(node.attrs[2], int):
                name = f"{PREFIX}{node.attrs[1]} {node.attrs[2]}"
                extra[name] = Definition(name, node.shape, node.axes, d.span, None, node, True)
    return replace(model, definitions={**model.definitions, **extra})


def definitions(
    model: Model, lowering: GaussianLowering, arrays: Mapping[str, np.ndarray], bound: Bound, params: Mapping[str, Any]
) -> dict[str, Series]:
    """Mean and sd of each definition from the moments of an engine's rows.

    An affine one has entries of its own in the state; of another, what it reads has, and it is integrated over their
    joint Gaussian law, row by row. For an engine that takes no such entries (they have no noise) what is read of the
    row itself is integrated over, and what reads further back is left out.
    """
    found: dict[str, Series] = {}
    wanted = [d for d in model.definitions.values() if d.series and d.value is not None]
    if not wanted:
        return found
    affine = set(affine_definitions(model))
    for d in wanted:
        assert d.value is not None
        if d.name in lowering.form.definitions:
            first, last = lowering.form.definitions[d.name]
            shape = (len(arrays["mean"]), *d.shape)
            if "cov" in arrays:
                variance = np.diagonal(arrays["cov"][:, first:last, first:last], axis1=1, axis2=2)
                sd = np.sqrt(np.maximum(variance, 0))
            else:
                sd = arrays["sd"][:, first:last]
            mean = arrays["mean"][:, first:last]
            found[d.name] = Series(mean.reshape(shape), d.axes, sd.reshape(shape))
        else:
            integrated = _integrated(d.value, d.name in affine, lowering, arrays, bound, params)
            if integrated is not None:
                found[d.name] = Series(integrated[0], d.axes, integrated[1])
    return found


def _integrated(
    value: Node, affine: bool, lowering: GaussianLowering, arrays: Mapping[str, np.ndarray], bound: Bound,
    params: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray] | None:  # fmt: skip
    read = sorted({n.attrs[1:] for n in expr.walk([value]) if n.op == "ref" and n.attrs[0] == "state"}, key=str)
    spans = {r: _span_of(lowering, *r) for r in read}
    if None in spans.values() or any(r[0] == "noise" for r in expr.references([value])):
        return None
    if "cov" not in arrays:  # too many states for their joint law
        return None
    at = np.sort(np.concatenate([np.arange(*s) for s in spans.values() if s]) if spans else np.zeros(0, int))
    mean, cov = arrays["mean"][:, at], arrays["cov"][:, at[:, None], at[None, :]]
    points, weights = _axes(len(at)) if affine and len(at) else _points(len(at))
    values, vectors = np.linalg.eigh(np.where(np.isfinite(cov), cov, 0.0))
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    draws = mean[:, None, :] + points @ np.swapaxes(root, 1, 2)
    compiled = _COMPILED.setdefault(lowering, {})
    if value not in compiled:
        first_of = {r: int(np.searchsorted(at, s[0])) for r, s in spans.items() if s}
        compiled[value] = _rows(value, lowering.model, first_of)
    floats = {n: jnp.asarray(v, float) for n, v in params.items()}
    found = np.asarray(compiled[value](floats, dict(bound.inputs), dict(bound.observations), draws))
    weights = weights.reshape(1, -1, *(1,) * (found.ndim - 2))
    first = (weights * found).sum(axis=1)
    second = (weights * (found - first[:, None]) ** 2).sum(axis=1)
    unknown = ~np.isfinite(cov).reshape(len(cov), -1).all(axis=1)
    first[unknown], second[unknown] = np.nan, np.inf
    return first, np.sqrt(second)


def _span_of(lowering: GaussianLowering, name: str, lag: Any) -> tuple[int, int] | None:
    """Where in the state what is read stands: as a definition, or as the state of the row itself."""
    form = lowering.form
    if f"{PREFIX}{name} {lag}" in form.definitions:
        return form.definitions[f"{PREFIX}{name} {lag}"]
    if lag != 0 or form.definitions:
        return None
    first = form.stacking.x[name]
    return first, first + lowering.model.states[name].size


def _rows(value: Node, model: Model, first_of: Mapping[tuple[str, int], int]) -> Callable[..., jax.Array]:
    """A compiled function (params, inputs, observations, draws (T, draws, n)) of a definition's values (T, draws, ...).

    `first_of`: where each (state, lag) that it reads begins among the n numbers of a draw.
    """

    def every(params: Any, inputs: Any, observations: Any, draws: jax.Array) -> jax.Array:
        def at_row(t: Any, row: jax.Array) -> jax.Array:
            def one(draw: jax.Array) -> jax.Array:
                def reader(sort: str, name: str, lag: Any) -> jax.Array:
                    if sort == "state":
                        first, node = first_of[name, lag], model.states[name]
                        return draw[first : first + node.size].reshape(node.shape)
                    series = inputs[name] if sort == "input" else observations[name]
                    return jnp.where(t >= lag, series[jnp.clip(t - lag, 0)], jnp.nan)

                return evaluate([value], Environment(params=params, read=reader, t=t))[0]

            return jax.vmap(one)(row)

        return jax.vmap(at_row)(jnp.arange(len(draws)), draws)

    return quickly_compiled(every)


def _axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights with which the mean and variance of an affine function are exact."""
    points = np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)])
    return points, np.full(2 * size, 0.5 / size)


def _points(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for a standard normal law: quadrature of one number, antithetic draws of several."""
    if size == 0:
        return np.zeros((1, 0)), np.ones(1)
    if size == 1:
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        return nodes[:, None], weights / weights.sum()
    half = np.random.default_rng(0).standard_normal((DRAWS // 2, size))
    return np.concatenate([half, -half]), np.full(DRAWS, 1 / DRAWS)
