"""What the probabilities of chains say in the model's terms: of states, observations and definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.lowering.cumulative import cumulative
from ssmlang.lowering.densities import number_moments
from ssmlang.lowering.discrete import ChainLowering, Numbers, Rows
from ssmlang.lowering.evaluate import evaluate
from ssmlang.lowering.window import marked
from ssmlang.model import expr
from ssmlang.model.additive import Additive
from ssmlang.model.model import Definition, Equation, nodes_of

DRAWS = 2_000
"""Draws of what a definition reads, where it is no sum of functions of separate components; of a fixed seed."""
Probabilities = Sequence[Float[Array, "B T N"]]
"""Of the memory of each member of each group."""


class Moment(NamedTuple):
    mean: Array
    cov: Array


def state_probabilities(lowering: ChainLowering, found: Probabilities) -> dict[str, Float[Array, "T size K"]]:
    """For each state the probabilities of its values, entry by entry."""
    parts: dict[int, Array] = {}
    for own, p in zip(lowering.groups, found):
        for v in range(own.entries.shape[1]):
            each = own.memory.marginal(p, v)
            for member, entry in enumerate(own.entries[:, v].tolist()):
                parts[entry] = each[member]
    first = lowering.form.first
    return {s.name: jnp.stack([parts[first[s.name] + i] for i in range(s.size)], axis=1)
            for s in lowering.model.states.values()}  # fmt: skip


def state_moments(lowering: ChainLowering, found: Probabilities) -> Moment:
    """Mean (T, n) and covariance (T, n, n) of all state entries as numbers (labels by their positions)."""
    n = lowering.form.n
    steps = found[0].shape[1]
    mean, cov = jnp.zeros((steps, n)), jnp.zeros((steps, n, n))
    now = np.asarray(lowering.memories[0], float)
    for own, p in zip(lowering.groups, found):
        if not own.entries.shape[1]:
            continue
        values = jnp.asarray(now[: own.memory.size][:, own.entries])  # (N, B, V)
        first = jnp.einsum("btc,cbv->tbv", p, values)
        second = jnp.einsum("btc,cbv,cbw->tbvw", p, values, values) - first[..., :, None] * first[..., None, :]
        at = own.entries.astype(np.int32)
        mean = mean.at[:, at].set(first)
        cov = cov.at[:, at[:, :, None], at[:, None, :]].set(second)
    return Moment(mean, cov)


class Observed:
    """Mean and covariance of the observations, from probabilities of the memory of their row."""

    def __init__(self, lowering: ChainLowering) -> None:
        self.lowering = lowering
        m = lowering.form.m
        self.component = np.zeros(m, int)
        for i, c in enumerate(lowering.form.components):
            self.component[list(c.observations)] = i
        self._together = self.component[:, None] == self.component[None, :]
        self.unknown = self._unknown()

    def _unknown(self) -> np.ndarray:
        """(m,): entries whose mean is not worked out: labels, and what reads observations of its own row."""
        out = np.zeros(self.lowering.form.m, bool)
        for e in self.lowering._emissions:
            places = self.lowering._seen_places(e)
            labels = self.lowering._values(e)
            out[places] |= labels is not None and labels.axis is not None and labels.axis.is_named
            out[places] |= any(sort == "obs" and lag == 0 for sort, _, lag in expr.references(nodes_of(e)))
        return out

    def moments(self, params: Numbers, observations: Rows, inputs: Rows, found: Probabilities, noise: bool,
                first: Any = 0) -> Moment:  # fmt: skip
        """(T, m) and (T, m, m); `noise`: with that of the observations themselves; `first`: the first row's number."""
        low = self.lowering
        at = low.environments(params, observations, inputs)
        memories = {k: jnp.asarray(v) for k, v in low.memories.items()}
        equations = [e for e in low.model.equations if e.role == "emission"]

        def one(t: Any, memory: Mapping[int, Array]) -> Moment:
            env = at(t, lambda lag: memory[lag])
            mean, cov = jnp.zeros(low.form.m), jnp.zeros((low.form.m, low.form.m))
            for e in equations:
                places = low._seen_places(e)
                first, spread = _of_law(e, env, low)
                mean = mean.at[places].set(first)
                spread = jnp.diag(spread) if spread.ndim == 1 else spread
                cov = cov.at[places[:, None], places[None, :]].set(spread)
            return Moment(mean, cov)

        def row(given: tuple[Array, Sequence[Array]]) -> Moment:
            t, each = given
            weights = self._weights(each)
            means, covs = jax.vmap(one, in_axes=(None, 0))(t, memories)
            # What is not possible has no say, infinite as it may be.
            means = jnp.where(weights > 0, means, 0.0)
            mean = jnp.sum(weights * means, axis=0)
            rest = means - mean
            cov = jnp.einsum("cj,cj,ck->jk", weights, rest, rest)
            if noise:
                cov = cov + jnp.einsum("cj,cjk->jk", weights, jnp.where(weights[:, :, None] > 0, covs, 0.0))
            return Moment(mean, jnp.where(self._together, cov, 0.0))

        times = first + jnp.arange(found[0].shape[1])
        mean, cov = jax.lax.map(row, (times, tuple(jnp.swapaxes(p, 0, 1) for p in found)))
        blank = self.unknown[None, :] | marked(low.form.conditioned | low.form.unavailable, times)
        mean = jnp.where(blank, jnp.nan, mean)
        return Moment(mean, jnp.where(blank[:, :, None] | blank[:, None, :], jnp.nan, cov))


    def cumulative(self, params: Numbers, observations: Rows, inputs: Rows, found: Probabilities,
                   y: Float[Array, "T m"], first: Any = 0) -> Float[Array, "T 2 m"]:  # fmt: skip
        """How probable values below those in y are, and values up to them; NaN where there is no such probability.
        `first`: the first row's number."""
        low = self.lowering
        at = low.environments(params, observations, inputs)
        memories = {k: jnp.asarray(v) for k, v in low.memories.items()}

        def one(t: Any, seen: Array, memory: Mapping[int, Array]) -> Array:
            env, out = at(t, lambda lag: memory[lag]), jnp.full((2, low.form.m), jnp.nan)
            for e in low._emissions:
                places = low._seen_places(e)
                if e.law is not None:
                    args = dict(zip(e.law.args, evaluate(list(e.law.args.values()), env)))
                    own = jnp.stack(cumulative(e.law, args, seen[places], low._values(e)))
                else:
                    value = _of_law(e, env, low)[0]
                    own = jnp.stack([seen[places] > value, seen[places] >= value]).astype(float)
                out = out.at[:, places].set(own)
            return out

        def row(given: tuple[Array, Array, Sequence[Array]]) -> Array:
            t, seen, each = given
            weights = self._weights(each)[:, None, :]
            values = jax.vmap(one, in_axes=(None, None, 0))(t, seen, memories)
            return jnp.sum(jnp.where(weights > 0, weights * values, 0.0), axis=0)

        return jax.lax.map(row, (first + jnp.arange(len(y)), y, tuple(jnp.swapaxes(p, 0, 1) for p in found)))

    def _weights(self, each: Sequence[Array]) -> Float[Array, "C m"]:
        """The probability, for each observation, of each configuration of what it depends on; each: (B, N)."""
        low = self.lowering
        weights = jnp.zeros((len(low.memories[0]), low.form.m))
        for own, group, p in zip(low.groups, low.form.groups, each):
            seen = group.observations.astype(np.int32)
            if seen.shape[1]:
                wide = jnp.broadcast_to(p.T[:, :, None], (own.memory.size, *seen.shape))
                weights = weights.at[: own.memory.size, seen].set(wide)
        return weights


def _of_law(e: Equation, env: Any, low: ChainLowering) -> tuple[Array, Array]:
    if e.law is None:
        assert e.value is not None
        size = sum(len(t.entries) for t in e.targets)
        return jnp.broadcast_to(evaluate([e.value], env)[0].astype(float).ravel(), (size,)), jnp.zeros(size)
    args = dict(zip(e.law.args, evaluate(list(e.law.args.values()), env)))
    return number_moments(e.law, args, low._values(e))


class Definitions:
    """Mean and sd of the definitions with a value a row, from probabilities of the memory of that row."""

    def __init__(self, lowering: ChainLowering) -> None:
        self.lowering = lowering
        form = lowering.form
        self.lets: list[tuple[Definition, Additive | None]] = []
        for d in lowering.model.definitions.values():
            if not d.series or d.value is None or d.name not in form.reads:
                continue
            reads = [r for each in form.reads[d.name] for r in each]
            if any(lag >= form.rows[form.first[name] + i] for name, i, lag in reads):
                continue  # the memory holds too few rows: there would be too many values
            self.lets.append((d, Additive.of(d.value, form)))

    def moments(self, params: Numbers, observations: Rows, inputs: Rows, found: Probabilities, first: Any = 0
                ) -> dict[str, tuple[Array, Array]]:  # fmt: skip
        """Mean and sd, (T, *shape), of each definition by name; `first`: the first row's number."""
        low = self.lowering
        at = low.environments(params, observations, inputs, lambda x: x)
        steps = found[0].shape[1]
        times = first + jnp.arange(steps)
        out = {}
        for d, additive in self.lets:
            made = self._added if additive is not None else self._drawn
            mean, sd = jax.lax.map(lambda given, d=d, a=additive, made=made: made(d, a, at, *given),
                                   (times, tuple(jnp.swapaxes(p, 0, 1) for p in found)))  # fmt: skip
            out[d.name] = (mean.reshape(steps, *d.shape), sd.reshape(steps, *d.shape))
        return out

    def _added(self, d: Definition, additive: Additive, at: Any, t: Any, each: Sequence[Array]) -> tuple[Array, Array]:
        """Exactly: the parts of separate components are independent."""
        low = self.lowering
        memories = {k: jnp.asarray(v) for k, v in low.memories.items()}

        def parts(memory: Mapping[int, Array]) -> tuple[list[Array], list[Array]]:
            env = at(t, lambda lag: memory[lag])
            values = evaluate(list(additive.parts), env)
            return [v.astype(float).ravel() for v in values], evaluate(additive.numbers, env)

        values, numbers = jax.vmap(parts)(memories)
        mean = numbers[0][0].astype(float).ravel()
        variance = jnp.zeros(mean.shape)
        flat = jnp.concatenate(values, axis=1) if values else jnp.zeros((len(low.memories[0]), 0))
        rows = np.concatenate([np.zeros(0, int), *(r for r, _ in additive.places)])
        cols = np.concatenate([np.zeros(0, int), *(c for _, c in additive.places)])
        terms = flat[:, cols.astype(np.int32)] * jnp.concatenate([jnp.zeros(0), *(n[0].ravel() for n in numbers[1:])])
        for own, p in zip(low.groups, each):
            if not own.entries.shape[1]:
                continue
            member = np.full(len(low.form.components) + 1, -1)
            member[low.form.component_of[own.entries[:, 0]]] = np.arange(len(own.entries))
            of = member[additive.component[cols]]
            mine = np.flatnonzero(of >= 0).astype(np.int32)
            N, B = own.memory.size, len(own.entries)
            whole = jnp.zeros((N, B, len(mean))).at[:, of[mine], rows[mine]].add(terms[:N][:, mine])
            first = jnp.einsum("bc,cbr->br", p, whole)
            mean = mean + first.sum(axis=0)
            variance = variance + jnp.einsum("bc,cbr->r", p, (whole - first) ** 2)
        return mean, jnp.sqrt(variance)

    def _drawn(self, d: Definition, additive: None, at: Any, t: Any, each: Sequence[Array]) -> tuple[Array, Array]:
        low = self.lowering
        value = d.value
        assert value is not None
        lags = {k: jnp.broadcast_to(jnp.asarray(low.form.lower), (DRAWS, low.form.n)) for k in low.memories}
        key = jax.random.fold_in(jax.random.key(0), t)
        for i, (own, p) in enumerate(zip(low.groups, each)):
            if not own.entries.shape[1]:
                continue
            drawn = jax.random.categorical(jax.random.fold_in(key, i), jnp.log(p), axis=-1, shape=(DRAWS, len(p)))
            for k, held in low.memories.items():
                table = jnp.asarray(held)[: own.memory.size][:, own.entries.astype(np.int32)]  # (N, B, V)
                picked = table[drawn, np.arange(len(p))[None, :]]
                lags[k] = lags[k].at[:, own.entries.astype(np.int32)].set(picked)
        one = lambda memory: evaluate([value], at(t, lambda lag: memory[lag]))[0].astype(float).ravel()
        values = jax.vmap(one)(lags)
        return values.mean(axis=0), values.std(axis=0)
