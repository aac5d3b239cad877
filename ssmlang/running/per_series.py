"""What runs engines that take one series at a time, whatever the kind of their programs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ssmlang.engines.base import Engine
from ssmlang.inference.quick import quickly_compiled
from ssmlang.running.execution import DRAWS, Execution, Params, Series, Setting, What, steps_of


class PerSeries(Execution):
    """An execution whose functions are those of one series, mapped over all of them."""

    @abstractmethod
    def _lowering_for(self, setting: Setting) -> Any:
        """The lowering whose `program(params, observations, inputs, steps)` the engine runs."""

    def _ask(self, method: str, setting: Setting, adjoint: bool = False, engine: Engine | None = None
             ) -> Callable[[Params, Series], Any]:  # fmt: skip
        """What a method of the engine, or of the same with other options, gives for one series."""
        ask = getattr((engine or self.engine).for_data(setting.known, adjoint=adjoint), method)
        lowering = self._lowering_for(setting)

        def asked(params: Params, series: Series) -> Any:
            program, y = lowering.program(params, series["observations"], series["inputs"], steps_of(series))
            return ask(program, y, *self._keys(series))

        return asked

    def _keys(self, series: Series) -> list[Array]:
        """What an engine that draws takes beside data."""
        return [jax.random.wrap_key_data(series["draw"]["key"])] if self.engine.requires.random else []

    def _told(self, what: What, setting: Setting, engine: Engine | None) -> Callable[[Params, Series], Any]:
        """What `filter` and `smooth` find of one series."""
        return self._ask(what, setting, engine=engine)

    def judged(self, setting: Setting) -> Callable[..., list[tuple[Array, Array]]]:
        """log p(data | params) of each series of each group, and how many draws it rests on, of (params, data); of
        engines that draw."""
        key = ("judged", self.key(setting))
        if key not in self._compiled:
            one = self._ask("judged", setting)
            each = lambda params, data: [jax.lax.map(lambda s: one(params, s), group) for group in data]
            self._compiled[key] = quickly_compiled(each, self.work)
        return self._compiled[key]

    @abstractmethod
    def _cumulative(self, setting: Setting) -> Callable[[Params, Series, Array, Any], Array]:
        """What `cumulative` compiles, for values (R, m)."""

    def cumulative(self, setting: Setting) -> Callable[..., Array]:
        """Of (params, series, values, first), values (K, R, m) for the rows from `first` on, (K, R, 2, m): how probable
        values below these are given the rows before, and values up to them."""
        key = ("cumulative", self.key(setting))
        if key not in self._compiled:
            every = jax.vmap(self._cumulative(setting), in_axes=(None, None, 0, None))
            self._compiled[key] = quickly_compiled(every, self.work)
        return self._compiled[key]

    def likelihood(self, setting: Setting = Setting(), *, adjoint: bool = False  # noqa: B008
                   ) -> Callable[[Params, tuple[Series, ...]], Array]:  # fmt: skip
        one = self._ask("log_likelihood", setting, adjoint)

        def total(params: Params, data: tuple[Series, ...]) -> Array:
            return sum((jax.lax.map(lambda s: one(params, s), group).sum() for group in data), jnp.zeros(()))

        return total

    def compiled(self, what: What, setting: Setting, engine: Engine | None = None) -> Callable[..., Any]:
        key = (what, self.key(setting), engine)
        if key not in self._compiled:
            if what == "likelihood":
                function: Callable[..., Any] = self.likelihood(setting)
            elif what in ("terms", "terms_of_draws"):
                one = self._ask("log_likelihood_terms", setting)
                many = lambda draws, series: jax.lax.map(lambda params: one(params, series), draws)
                function = one if what == "terms" else many
            else:
                function = self._told(what, setting, engine)
            self._compiled[key] = quickly_compiled(function, self.work * (DRAWS if what == "terms_of_draws" else 1))
        return self._compiled[key]
