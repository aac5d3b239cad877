"""A switching form of a model to a switching program: the chain's numbers, and the matrices of each of its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines.companion import companion, memory_transition
from ssmlang.engines.discrete import Chains
from ssmlang.engines.layout import Layout
from ssmlang.engines.markov_chain import MarkovChain, Memory
from ssmlang.engines.switching import Switching
from ssmlang.lowering.discrete import ChainLowering, Rows
from ssmlang.lowering.evaluate import Environment
from ssmlang.lowering.gaussian import GaussianLowering, Values
from ssmlang.lowering.window import Series
from ssmlang.model.model import Model
from ssmlang.model.switching import REGIME, SwitchingForm

_Regimes = Mapping[int, Array]
"""By lag, the values of all regime entries."""


class RegimeLowering(GaussianLowering):
    """The linear part, whose expressions read regimes: those of `given`."""

    def __init__(self, model: Model, form: SwitchingForm) -> None:
        super().__init__(form.linear_model, form.linear)
        self.whole, self.chain = model, form.chain
        self._given: _Regimes = {}

    def given(self, regimes: _Regimes) -> RegimeLowering:
        """This lowering where the regimes of a row, and of those before it, are known."""
        own = copy(self)
        own._given = regimes
        return own

    def _regime(self, name: str, lag: Any) -> Array:
        state = self.whole.states[name]
        first = self.chain.first[name]
        return self._given[lag][first : first + state.size].reshape(state.shape)

    def still(self, params: Values) -> Environment:
        return Environment(params, lambda sort, name, lag: self._regime(name, lag))

    def environments(self, params: Values, observations: Mapping[str, Series], inputs: Mapping[str, Series],
                     clean: Callable[[Array], Array] | None = None) -> Callable[[Array], Environment]:  # fmt: skip
        outer = super().environments(params, observations, inputs, clean)

        def at(t: Array) -> Environment:
            found = outer(t)
            read = lambda sort, name, lag: self._regime(name, lag) if sort == REGIME else found.read(sort, name, lag)
            return replace(found, read=read)

        return at


class SwitchingLowering:
    """The road from parameters and data to a `Switching` program."""

    def __init__(self, model: Model, form: SwitchingForm) -> None:
        self.model, self.form = model, form
        self.chains = ChainLowering(form.chain_model, form.chain)
        self.linear = RegimeLowering(model, form)
        self.layout = Layout(self.linear.structure, whole=True, correlated=True)

    @property
    def memory(self) -> Memory:
        """What is remembered of the regimes."""
        return next(g.memory for g in self.chains.groups if g.entries.size)

    def program(self, params: Values, observations: Values, inputs: Values, steps: int
                ) -> tuple[Switching, Float[Array, "T m"]]:  # fmt: skip
        """The program and the data of its linear part; arguments as of `GaussianLowering.program`."""
        scored = self.chains.data(observations, steps)
        return self.over(params, observations, inputs, scored, jnp.arange(steps)), self.data(observations, steps)

    def over(self, params: Values, observations: Rows, inputs: Rows, scored: Float[Array, "T k"],
             times: Int[Array, " T"]) -> Switching:  # fmt: skip
        """The program over some rows; `scored`: the data of the chain."""
        one = lambda memory: self._matrices(memory, params, observations, inputs, times)
        regimes = {k: jnp.asarray(v) for k, v in self.chains.memories.items()}
        found = jax.vmap(one)(regimes)
        ndim = {"A": 2, "a": 1, "Q": 2, "Z": 2, "d": 1, "R": 2, "mean": 1, "cov": 2}
        # The axis of rows comes before that of regimes.
        arrays = {k: jnp.swapaxes(v, 0, 1) if v.ndim > ndim[k] + 1 else v for k, v in found.items()}
        chain = self._chain(self.chains.over(params, observations, inputs, scored, times))
        return Switching(chain=chain, **arrays, n=self.linear.n)

    def data(self, observations: Values, steps: int) -> Float[Array, "T m"]:
        """The stacked data of the linear part as they are scored."""
        y = self.linear.data(observations, steps)
        late = self.form.unavailable[:steps]
        if not late.any():
            return y
        mask = np.zeros((steps, self.linear.m), bool)
        mask[: len(late)] = late
        return jnp.where(mask, jnp.nan, y)

    def undefined(self, params: Values, observations: Values, inputs: Values, steps: int) -> np.ndarray:
        """(T,): rows in which something missing leaves something needed without a value, in any regime."""
        bad = self.chains.undefined(params, observations, inputs, steps)
        for c in range(len(self.chains.memories[0])):
            regimes = {k: jnp.asarray(v[c]) for k, v in self.chains.memories.items()}
            found = self.linear.given(regimes).undefined(params, observations, inputs, steps)
            bad |= np.asarray(found["transition"].any(axis=1) | found["emission"].any(axis=1))
            bad[0] |= bool(found["initial"])
        return bad

    def _chain(self, chains: Chains) -> MarkovChain:
        whole: MarkovChain | None = None
        alone: Any = 0.0
        for own, group in zip(self.chains.groups, chains.groups):
            c = group.chain
            if own.entries.size:
                whole = MarkovChain(c.log_initial[0], c.log_transition[0], c.log_emission[0], c.memory)
            else:  # observations that read no regime
                alone = alone + c.log_emission[:, :, 0].sum(axis=0)[:, None]
        assert whole is not None
        return replace(whole, log_emission=whole.log_emission + alone)

    def _matrices(self, regimes: _Regimes, params: Values, observations: Rows, inputs: Rows, times: Array
                  ) -> dict[str, Array]:  # fmt: skip
        program = self.linear.given(regimes).over(params, observations, inputs, times)
        A, a, B = memory_transition(program)
        markov = companion(program, self.layout)
        R = markov.R[..., None] * jnp.eye(self.linear.m)
        if markov.C is not None:
            R = R + markov.C
        exists = program.initial.exists
        mean = markov.mean if exists is True else jnp.where(exists, markov.mean, jnp.nan)
        return {"A": A, "a": a, "Q": B @ jnp.swapaxes(B, -1, -2), "Z": markov.Z, "d": markov.d, "R": R,
                "mean": mean, "cov": markov.cov}  # fmt: skip
