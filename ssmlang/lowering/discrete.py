"""A discrete form of a model to chains: its laws evaluated for every value of the states.

What is static is planned once, on the host; `ChainLowering.program` is a pure function of parameters and data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssmlang.engines.discrete import ChainGroup, Chains
from ssmlang.engines.markov_chain import MarkovChain, Memory, log_sum, stationary_log_law
from ssmlang.lowering.chain_laws import entry_log_density
from ssmlang.lowering.configurations import Own, remembered, rows
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.window import Series, cleaned
from ssmlang.model import expr
from ssmlang.model.chains import ChainForm
from ssmlang.model.model import Equation, InitialEquation, Model, Values, nodes_of

Numbers = Mapping[str, Array]
Rows = Mapping[str, Series]
Clean = Callable[[Array], Array]
"""What missing numbers of the data count as where they are read."""
Now = Callable[[int], Array]
"""The entries of all states, flat, at a lag."""


class ChainLowering:
    """The road from parameters and data to `Chains`, for the discrete form of a model."""

    def __init__(self, model: Model, form: ChainForm) -> None:
        self.model, self.form = model, form
        self.groups = tuple(Own(g.entries, Memory(g.values, g.rows)) for g in form.groups)
        self._first = tuple(Own(g.entries, Memory(g.values, g.first_rows)) for g in form.groups)
        equations = [e for e in model.equations if e.role == "transition"]
        self._fixed = [e for e in equations if not expr.varies(nodes_of(e))]
        self._moving = [e for e in equations if expr.varies(nodes_of(e))]
        self._emissions = [e for e in model.equations if e.role == "emission"]

    @property
    def states(self) -> list[str]:
        """Names of the entries of all states, in order."""
        return [name for s in self.model.states.values() for name in s.entry_names()]

    @property
    def observations(self) -> list[str]:
        """Names of the entries of all observations, in order."""
        return [name for o in self.model.observations.values() for name in o.entry_names()]

    @cached_property
    def memories(self) -> dict[int, np.ndarray]:
        """What each configuration of the memory holds, by lag."""
        return dict(remembered(self.form, self.groups))

    # ------------------------------------------------------------------------------------------------ program

    def program(self, params: Numbers, observations: Numbers, inputs: Numbers, steps: int
                ) -> tuple[Chains, Float[Array, "T m"]]:  # fmt: skip
        """The chains and the stacked data as they are scored, NaN where missing.

        params: by name, on the constrained scale. observations, inputs: by name, time first, `steps` rows. What an
        equation reads of them where they are NaN counts as zero; `undefined` tells where that matters.
        """
        y = self.data(observations, steps)
        return self.over(params, observations, inputs, y, jnp.arange(steps)), y

    def over(self, params: Numbers, observations: Rows, inputs: Rows, y: Float[Array, "T m"], times: Int[Array, " T"]
             ) -> Chains:  # fmt: skip
        """The chains over some rows, whose data as they are scored are y."""
        parts = self._parts(params, observations, inputs, y, times)
        return Chains(tuple(self._group(i, *parts) for i in range(len(self.groups))))

    def data(self, observations: Numbers, steps: int) -> Float[Array, "T m"]:
        """The stacked data as they are scored."""
        columns = [jnp.reshape(jnp.asarray(observations[n], float), (steps, -1)) for n in self.model.observations]
        y = jnp.concatenate(columns, axis=1) if columns else jnp.zeros((steps, 0))
        unscored = (self.form.conditioned | self.form.unavailable)[:steps]
        if not unscored.any():
            return y
        mask = np.zeros((steps, self.form.m), bool)
        mask[: len(unscored)] = unscored
        return jnp.where(mask, jnp.nan, y)

    def undefined(self, params: Numbers, observations: Numbers, inputs: Numbers, steps: int) -> np.ndarray:
        """(T,): rows in which an input or an observation that is missing leaves something needed without a value."""
        return np.array(self.lacking(params, observations, inputs, self.data(observations, steps), jnp.arange(steps)))

    def lacking(self, params: Numbers, observations: Rows, inputs: Rows, y: Float[Array, "T m"],
                times: Int[Array, " T"]) -> Bool[Array, " T"]:  # fmt: skip
        """`undefined` over some rows."""
        first, _, moving, emission = self._parts(params, observations, inputs, y, times, lambda x: x)
        bad = jnp.isnan(emission).any(axis=(1, 2))
        if moving is not None:
            bad |= jnp.isnan(moving).any(axis=(1, 2, 3)) & (times > 0)
        return bad | (jnp.isnan(first).any() & (times == 0))

    def _parts(self, params: Numbers, observations: Rows, inputs: Rows, y: Array, times: Array, clean: Clean
               = jnp.nan_to_num) -> tuple[Array, Array, Array | None, Array]:  # fmt: skip
        """Of every entry: initial log-laws (C0, n) at their own lags summed, log-transitions (C, K, n) that do not
        change and (T, C, K, n) that do, log-densities of observations (T, C, m)."""
        at = self.environments(params, observations, inputs, clean)
        old, new = self.memories, rows(self.form, self.groups)
        fixed = self._transitions(self._fixed, at, jnp.asarray(1), old, new)
        moving = None
        if self._moving:
            moving = jax.vmap(lambda t: self._transitions(self._moving, at, t, old, new))(times)
        emission = jax.vmap(lambda t, seen: self._emitted(at, t, seen, old))(times, y)
        return self._initial(at), fixed, moving, emission

    def environments(self, params: Numbers, observations: Rows, inputs: Rows, clean: Clean = jnp.nan_to_num
                     ) -> Callable[[Any, Now], Environment]:  # fmt: skip
        """What the leaves of expressions are at row t, where states have given values."""
        series = {("obs", k): cleaned(v, clean) for k, v in observations.items()}
        series |= {("input", k): cleaned(v, clean) for k, v in inputs.items()}
        kinds = {**self.model.states, **self.model.observations}

        def make(t: Any, now: Now) -> Environment:
            def read(sort: str, name: str, lag: Any) -> Array:
                if sort == "state":
                    first, state = self.form.first[name], self.model.states[name]
                    return now(lag)[first : first + state.size].reshape(state.shape)
                values = series[sort, name]
                found = values[t] if isinstance(lag, int) and lag == 0 else jnp.where(
                    t >= lag, values[jnp.maximum(t - lag, 0)], 0.0)  # fmt: skip
                return found.astype(int) if getattr(kinds.get(name), "values", None) is not None else found

            return Environment(params, read, t, horizon=max((len(v) for v in series.values()), default=1) - 1)

        return make

    # ------------------------------------------------------------------------------------------- log-densities

    def _transitions(self, equations: Sequence[Equation], at: Callable[[Any, Now], Environment], t: Any,
                     old: Mapping[int, np.ndarray], new: np.ndarray) -> Array:  # fmt: skip
        """(C, K, n): the log-law of each entry at new row k given memory c; zero for other equations' entries."""
        def pair(before: Mapping[int, Array], now: Array) -> Array:
            env = at(t, lambda lag: now if lag == 0 else before[lag - 1])
            out = jnp.zeros(self.form.n)
            for e in equations:
                places = self._places(e)
                out = out.at[places].set(self._log_law(e, env, now[places], self._values(e)))
            return out

        each = jax.vmap(jax.vmap(pair, in_axes=(None, 0)), in_axes=(0, None))
        return each({k: jnp.asarray(v) for k, v in old.items()}, jnp.asarray(new))

    def _emitted(self, at: Callable[[Any, Now], Environment], t: Any, y: Array, old: Mapping[int, np.ndarray]) -> Array:
        """(C, m): the log-density of each observation of a row given memory c."""
        starts = {i: item for i, item in enumerate(self.model.initials) if item.targets[0].name in self.form.first_seen}

        def one(memory: Mapping[int, Array]) -> Array:
            env, out = at(t, lambda lag: memory[lag]), jnp.zeros(self.form.m)
            for e in self._emissions:
                places = self._seen_places(e)
                out = out.at[places].set(self._log_law(e, env, y[places], self._values(e)))
            for item in starts.values():
                places = self._seen_places(item)
                law = self._log_law(item, env, y[places], self._values(item))
                out = out.at[places].set(jnp.where(t == 0, law, out[places]))
            return out

        return jax.vmap(one)({k: jnp.asarray(v) for k, v in old.items()})

    def _log_law(self, e: Equation | InitialEquation, env: Environment, x: Array, values: Values | None) -> Array:
        """The log-law of an equation's targets at x, entry by entry; 0 where x is NaN."""
        if e.law is not None:
            args = dict(zip(e.law.args, evaluate(list(e.law.args.values()), env)))
            return entry_log_density(e.law, args, x.astype(float), values)
        assert e.value is not None
        value = jnp.broadcast_to(evaluate([e.value], env)[0].astype(float).ravel(), x.shape)
        # What is not a number stays one, for `undefined` to find.
        found = jnp.where(x.astype(float) == value, 0.0, jnp.where(jnp.isnan(value), jnp.nan, -jnp.inf))
        return jnp.where(jnp.isnan(x.astype(float)), 0.0, found)

    def _places(self, e: Equation | InitialEquation) -> np.ndarray:
        return np.array([self.form.first[t.name] + i for t in e.targets for i in t.entries], np.int32)

    def _seen_places(self, e: Equation | InitialEquation) -> np.ndarray:
        return np.array([self.form.first_seen[t.name] + i for t in e.targets for i in t.entries], np.int32)

    def _values(self, e: Equation | InitialEquation) -> Values | None:
        name = e.targets[0].name
        return (self.model.states.get(name) or self.model.observations[name]).values

    # ------------------------------------------------------------------------------------------------ first rows

    def _initial(self, at: Callable[[Any, Now], Environment]) -> Array:
        """(C0, n): the log-law of each entry's first rows, in configurations of the first memory; what has no law or
        no value there stands at its lowest value."""
        first = remembered(self.form, self._first)
        held = np.zeros((len(first), self.form.n), bool)
        for own in self._first:
            for v, lag in own.memory.slots:
                held[lag, own.entries[:, v]] = True
        lawless = held.copy()
        lawless[: len(self.form.given)] &= ~self.form.given[: len(first)]
        pinned = sum(
            np.where(lawless[lag] & (values != self.form.lower), -np.inf, 0.0) for lag, values in first.items()
        )  # fmt: skip
        items = [i for i in self.model.initials if i.special is None and i.targets[0].name in self.form.first]

        def one(memory: Mapping[int, Array]) -> Array:
            env, out = at(jnp.asarray(0), lambda lag: memory[lag]), jnp.zeros(self.form.n)
            for item in items:
                places = self._places(item)
                back = np.repeat([-t.row for t in item.targets], [len(t.entries) for t in item.targets])
                values = jnp.stack([memory[int(b)][p] for b, p in zip(back, places)])
                out = out.at[places].add(self._log_law(item, env, values, self._values(item)))
            for e in [*self._fixed, *self._moving]:
                places = self._places(e)
                here = self.form.from_transition[places]
                if here.any():
                    law = self._log_law(e, env, memory[0][places], self._values(e))
                    out = out.at[places].add(jnp.where(here, law, 0.0))
            return out

        found = jax.vmap(one)({k: jnp.asarray(v) for k, v in first.items()})
        return found + jnp.asarray(pinned) + self._stationary(at, first)

    def _stationary(self, at: Callable[[Any, Now], Environment], first: Mapping[int, np.ndarray]) -> Array | float:
        """(C0, n): the stationary log-law of those that start so, at the first entry of each member."""
        if not self.form.stationary.any():
            return 0.0
        subs, slots = [], []
        for own in self._first:
            v = np.flatnonzero(self.form.stationary[own.entries[0]]) if own.entries.size else np.zeros(0, int)
            memory = Memory(tuple(own.memory.values[i] for i in v), tuple(own.memory.rows[i] for i in v))
            subs.append(Own(own.entries[:, v], memory))
            slots.append([i for i, (variable, _) in enumerate(own.memory.slots) if variable in v])
        wanted = [s for s in subs if s.entries.size]
        old, new = remembered(self.form, wanted), rows(self.form, wanted)
        logs = self._transitions(self._fixed, at, jnp.asarray(1), old, new)
        out = jnp.zeros((len(first[0]), self.form.n))
        for own, sub, kept in zip(self._first, subs, slots):
            if not sub.entries.size:
                continue
            moves = logs[: sub.memory.size, : sub.memory.row_size][..., sub.entries].sum(axis=-1)
            law = jax.vmap(lambda m, sub=sub: stationary_log_law(m, sub.memory))(jnp.moveaxis(moves, -1, 0))
            law = jnp.where(jnp.isnan(law), -jnp.inf, law)
            number = np.ravel_multi_index(tuple(own.memory.configurations[:, kept].T), sub.memory.shape)
            each = jnp.zeros((len(first[0]), len(law))).at[: own.memory.size].set(law[:, number].T)
            out = out.at[:, sub.entries[:, 0]].set(each)
        return out

    # ------------------------------------------------------------------------------------------------- groups

    def _group(self, i: int, first: Array, fixed: Array, moving: Array | None, emission: Array) -> ChainGroup:
        own, start, seen = self.groups[i], self._first[i], self.form.groups[i].observations
        memory, members = own.memory, len(own.entries)
        at = own.entries.astype(np.int32)
        N, K = memory.size, memory.row_size
        pick = lambda a, at, *size: a[tuple(slice(s) for s in size)][..., at].sum(axis=-1)
        if not at.shape[1]:
            initial = jnp.zeros((members, 1))
            moves = jnp.zeros((members, 1, 1))
        else:
            initial = _reduced(jnp.moveaxis(pick(first, at, start.memory.size), -1, 0), start.memory, memory)
            moves = jnp.moveaxis(pick(fixed, at, N, K), -1, 0)
            mine = {int(p) for e in self._moving for p in self._places(e)}
            if moving is not None and mine & set(at.reshape(-1).tolist()):
                moves = moves[:, None] + jnp.moveaxis(moving[:, :N, :K][..., at].sum(axis=-1), -1, 0)
        densities = jnp.moveaxis(emission[:, :N][..., seen.astype(np.int32)].sum(axis=-1), -1, 0)
        return ChainGroup(MarkovChain(initial, moves, densities, memory))


def _reduced(law: Float[Array, "B C"], deep: Memory, memory: Memory) -> Float[Array, "B N"]:
    """A log-law over a deeper memory, over what is remembered of it."""
    axes = tuple(1 + i for i, (v, lag) in enumerate(deep.slots) if lag >= memory.rows[v])
    whole = law.reshape(len(law), *deep.shape)
    return (log_sum(whole, axis=axes) if axes else whole).reshape(len(law), memory.size)
