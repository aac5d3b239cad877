"""The Markov form row by row: what is constant in time is closed over, what varies is fed to the scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines.companion import Markov


class Row(NamedTuple):
    """The numbers of one row: its emission, and the transition that leads to the next row."""

    top: Float[Array, "n read"]
    a: Float[Array, " n"]
    Q: Float[Array, "N N"]
    Z: Float[Array, "m N"]
    d: Float[Array, " m"]
    R: Float[Array, " m"]


_DIMENSIONS = {"top": 2, "a": 1, "Q": 2, "Z": 2, "d": 1, "R": 1}
_TRANSITION = ("top", "a", "Q")


@dataclass(frozen=True)
class Rows:
    """Rows of a Markov form for `steps` rows."""

    constant: dict[str, Array]
    varying: dict[str, Array]
    steps: int

    @classmethod
    def of(cls, markov: Markov, steps: int) -> Rows:
        """Split constant from varying; a varying transition is moved up one row (the last row's is not used)."""
        constant, varying = {}, {}
        for name, dimensions in _DIMENSIONS.items():
            array = getattr(markov, name)
            if array.ndim == dimensions:
                constant[name] = array
            elif array.shape[0] != steps:
                raise ValueError(f"'{name}' has {array.shape[0]} rows, the data have {steps}")
            elif name in _TRANSITION:
                varying[name] = jnp.concatenate([array[1:], array[-1:]])
            else:
                varying[name] = array
        return cls(constant, varying, steps)

    def between(self, start: int, stop: int) -> dict[str, Array]:
        """What varies, for rows start..stop-1: an input of a scan."""
        return {name: array[start:stop] for name, array in self.varying.items()}

    def row(self, varying: dict[str, Array]) -> Row:
        """One row from its varying part."""
        return Row(**self.constant, **varying)
