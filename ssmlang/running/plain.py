"""Definitions without a row (`let F = ...`): their values at parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.inference.priors import Priors
from ssmlang.inference.quick import quickly_compiled
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model.expr import references
from ssmlang.model.model import Model


class PlainDefinitions:
    """The definitions of a model that follow from its parameters alone, compiled when first asked for."""

    def __init__(self, model: Model) -> None:
        plain = {n: d.value for n, d in model.definitions.items() if not d.series and d.value is not None}
        self._nodes = {n: v for n, v in plain.items() if not references([v])}
        self._one = jax.jit(self.values)
        self._all = jax.jit(jax.vmap(jax.vmap(self.values)))
        self._sloping: dict[Priors, Any] = {}

    def values(self, params: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Values by name, for traced parameters too."""
        found = evaluate(list(self._nodes.values()), Environment({k: jnp.asarray(v) for k, v in params.items()}))
        return {name: jnp.asarray(value) for name, value in zip(self._nodes, found)}

    def at(self, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values by name."""
        return _on_host(self._one, params) if self._nodes else {}

    def each(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values (chain, draw, *shape) for draws of the parameters, in double precision."""
        if not self._nodes:
            return {}
        with jax.enable_x64(True):
            return _on_host(self._all, draws)

    def with_slopes(self, priors: Priors, z: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Values and their derivatives in the unconstrained parameters, in double precision."""
        values = lambda z: self.values(priors.constrain(priors.unravel(z))[0])
        if priors not in self._sloping:
            self._sloping[priors] = quickly_compiled(lambda z: (values(z), jax.jacfwd(values)(z)))
        with jax.enable_x64(True):
            found: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = jax.device_get(self._sloping[priors](z))
        return found


def _on_host(function: Any, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = jax.device_get(function({n: np.asarray(v, float) for n, v in params.items()}))
    return found
