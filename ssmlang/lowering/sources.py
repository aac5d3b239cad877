"""Where the values of random equations come from: standard normal numbers, or a generator's draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.lowering.densities import number_moments
from ssmlang.lowering.draws import draw
from ssmlang.lowering.laws import complete_arguments
from ssmlang.model.model import Dist, Values

EXACT = ("Normal", "MvNormal", "LogNormal")
"""Laws that a map of standard normal numbers gives exactly."""
WITHOUT_MOMENTS = ("Cauchy", "HalfCauchy")


class Source(Protocol):
    """Gives a value of each law in turn."""

    def law(self, law: Dist, args: Mapping[str, Array], values: Values | None = None) -> Array:
        """A value of the law, flat."""
        ...

    def normals(self, size: int) -> Array:
        """So many standard normal numbers."""
        ...


class Normals:
    """Values from standard normal numbers, used up in order; a law without such a form by its mean and covariance."""

    def __init__(self, e: Array) -> None:
        self._e, self.used = e, 0

    def normals(self, size: int) -> Array:
        found = self._e[self.used : self.used + size]
        self.used += size
        return found

    def law(self, law: Dist, args: Mapping[str, Array], values: Values | None = None) -> Array:
        e = self.normals(int(np.prod(law.shape)))
        if law.name == "LogNormal":
            given = complete_arguments(law.name, args)
            return jnp.exp(given["loc"] + given["scale"] * e.reshape(law.shape)).ravel()
        if law.name == "Normal":  # the scale as it stands: no square root of a variance that may be zero
            given = complete_arguments(law.name, args)
            return jnp.broadcast_to(given["loc"] + given["scale"] * e.reshape(law.shape), law.shape).ravel()
        if law.name == "MvNormal":
            given = complete_arguments(law.name, args)
            each = e.reshape(law.shape)
            return (given["loc"] + jnp.einsum("...ij,...j->...i", _root(law, given), each)).ravel()
        mean, cov = number_moments(law, args, values)
        if cov.ndim == 1:
            return mean + jnp.sqrt(cov) * e
        return mean + semidefinite_root(cov) @ e


class Draws:
    """Values drawn from the laws themselves."""

    def __init__(self, key: Array) -> None:
        self._key = key

    def next(self) -> Array:
        """A key that nothing else is drawn from."""
        self._key, key = jax.random.split(self._key)
        return key

    def normals(self, size: int) -> Array:
        return jax.random.normal(self.next(), (size,))

    def law(self, law: Dist, args: Mapping[str, Array], values: Values | None = None) -> Array:
        return draw(self.next(), law, args, values).ravel()


def _root(law: Dist, given: Mapping[str, Array]) -> Array:
    if "scale_tril" in given:
        return jnp.tril(given["scale_tril"])
    cov = jnp.broadcast_to(given["cov"], (*law.shape, law.shape[-1])).reshape(-1, law.shape[-1], law.shape[-1])
    return jax.vmap(semidefinite_root)(cov).reshape(*law.shape, law.shape[-1])
