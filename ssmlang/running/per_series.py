"""What runs engines that take one series at a time, whatever the kind of their programs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ssmlang.engines.base import Engine
from ssmlang.running.execution import Execution, Params, Series, Setting, What


class PerSeries(Execution):
    """An execution whose functions are those of one series, mapped over all of them."""

    @abstractmethod
    def _ask(self, method: str, setting: Setting, adjoint: bool = False, engine: Engine | None = None
             ) -> Callable[[Params, Series], Any]:  # fmt: skip
        """What a method of the engine, or of the same with other options, gives for one series."""

    def _told(self, what: What, setting: Setting, engine: Engine | None) -> Callable[[Params, Series], Any]:
        """What `filter` and `smooth` find of one series."""
        return self._ask(what, setting, engine=engine)

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
            self._compiled[key] = jax.jit(function)
        return self._compiled[key]
