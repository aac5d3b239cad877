"""What a fit that drew the states together with the parameters says of them: no engine runs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ssmlang.data import Bound
from ssmlang.data.time import TimeBase
from ssmlang.engines.nonlinear import Estimated
from ssmlang.inference.quick import quickly_compiled
from ssmlang.running.estimate import States
from ssmlang.running.execution import Execution, Series, floats
from ssmlang.running.general import GeneralMoments
from ssmlang.running.groups import CONDITIONAL, log_likelihood

if TYPE_CHECKING:
    from ssmlang.compiled import Model


class Draw(dict[str, Any]):
    """The parameters of one draw, and which of the kept draws of the states came with them."""

    def __init__(self, params: Mapping[str, Any], number: int) -> None:
        super().__init__(params)
        self.number = number


def draws_with_states(draws: Mapping[str, np.ndarray], states: States, count: int) -> list[Draw]:
    """At most `count` draws of those whose states were kept, spread over all of them."""
    chains, kept = states.memory[0].shape[:2]
    at = np.unique(np.linspace(0, chains * kept - 1, min(count, chains * kept)).round().astype(int))
    found = []
    for number in at:
        chain, i = divmod(int(number), kept)
        found.append(Draw({n: v[chain, i * states.every] for n, v in draws.items()}, int(number)))
    return found


class DrawnMoments(GeneralMoments):
    """Smoothing and forecasts of one series from draws of its states: each draw is a law without variance.

    In a forecast the states go on from their last row by draws of their own.
    """

    def __init__(self, model: Model, execution: Execution, verb: Literal["smooth", "forecast"], bound: Bound, *,
                 memory: np.ndarray, seed: int, steps: int = 0, future: Any = None) -> None:  # fmt: skip
        super().__init__(model, execution, verb, bound, steps=steps, future=future)
        self.memory = memory.reshape(-1, *memory.shape[2:])
        self.known, self.seed = bound.steps, seed
        key = ("drawn", self.setting.latent, self.setting.substeps, verb)
        store = vars(execution).setdefault("_drawn", {})
        if key not in store:
            store[key] = quickly_compiled(self._of_draw)
        self._drawn = store[key]

    def _of_draw(self, params: Any, series: Series, memory: Array, known: Array, key: Array) -> tuple[Array, Estimated]:
        steps = memory.shape[0]
        program, _ = self.general.program(params, series["observations"], series["inputs"], steps)
        n = program.facts.n

        def body(s: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            t, given = row
            ahead = program.sample(jax.random.fold_in(key, t), t, s)
            now = jnp.where(t < known, given, ahead)
            return now, now

        t = jnp.arange(steps)
        if self.verb == "forecast":
            _, memory = jax.lax.scan(body, memory[0], (t, memory))
        observed = jax.vmap(program.observed)(t, memory)
        lets = jax.vmap(program.definitions)(t, memory)
        cov = observed.cov if self.verb == "forecast" else jnp.zeros_like(observed.cov)
        return memory[:, :n], Estimated(memory[:, :n], jnp.zeros((steps, n, n)), observed.mean, cov, jnp.zeros(steps),
                                        definition_mean=lets, definition_sd=jnp.zeros_like(lets),
                                        marks=jax.vmap(program.marks)(memory) if program.marks else None)  # fmt: skip

    def _found(self, params: Mapping[str, Any]) -> tuple[Array, Estimated]:
        assert isinstance(params, Draw)
        rows = next(iter(self.series["observations"].values())).shape[0]
        given = self.memory[params.number]
        given = np.concatenate([given, np.repeat(given[-1:], rows - len(given), axis=0)])
        key = jax.random.fold_in(jax.random.key(self.seed), params.number)
        return self._drawn(floats(params), self.series, jnp.asarray(given), jnp.asarray(self.known), key)

    def arrays(self, params: Mapping[str, Any], seed: int = 0, number: int = 0, paths: int = 0
               ) -> dict[str, np.ndarray]:  # fmt: skip
        """By name, of one draw: its states are numbers, and nothing is drawn but what follows them."""
        del seed, number, paths
        return self._named(self._found(params)[1], params)

    def with_paths(self, smoothed: xr.Dataset, draws: Sequence[Draw], count: int) -> xr.Dataset:
        """A Dataset with `count` paths: those of the draws, in turn."""
        n = self.general.facts.n
        each = [self.memory[d.number][:, :n] for d in draws]
        paths = np.stack([each[i % len(each)] for i in range(count)])
        return smoothed.assign(paths=(("path", "time", "state"), paths)).assign_coords(path=np.arange(count))


def conditional_terms(model: Model, execution: Any, bounds: Sequence[Bound], draws: Mapping[str, np.ndarray],
                      states: States) -> xr.Dataset:  # fmt: skip
    """The log_likelihood group of log p(y_t | s_t, params), for each kept draw."""
    setting = execution.setting(bounds)
    lowering = execution.general(setting.latent, setting.substeps)

    def terms(params: Any, series: Series, memory: Array) -> Array:
        program, y = lowering.program(params, series["observations"], series["inputs"], len(memory))
        return jax.vmap(program.log_emission)(jnp.arange(len(memory)), memory, y[: len(memory)])

    every = quickly_compiled(
        lambda draws, series, memory: jax.lax.map(lambda d: terms(d[0], series, d[1]), (draws, memory))
    )
    found = []
    for bound, memory in zip(bounds, states.memory):
        chains, kept = memory.shape[:2]
        some = {n: np.asarray(v[:, :: states.every][:, :kept], float) for n, v in draws.items()}
        flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in some.items()}
        cut = lambda a, steps=bound.steps: a[:steps]
        single = execution.single(bound)
        single = {sort: {n: cut(v) for n, v in single[sort].items()} for sort in ("observations", "inputs")}
        rows = every(flat, single, jnp.asarray(memory.reshape(-1, *memory.shape[2:])))
        found.append(np.asarray(rows).reshape(chains, kept, -1))
    times: list[TimeBase] = [b.time for b in bounds]
    return log_likelihood(model.spec, found, times, CONDITIONAL)
