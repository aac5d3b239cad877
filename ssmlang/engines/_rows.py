"""The Markov form row by row: what is constant in time is closed over, what varies is fed to the scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._products import symmetric
from ssmlang.engines.companion import Markov


class Row(NamedTuple):
    """The numbers of one row: its emission, and the transition that leads to the next row."""

    top: Float[Array, "n read"]
    Q: Float[Array, "N N"]
    a: Float[Array, " N"]
    Z: Float[Array, "m N"]
    d: Float[Array, " m"]
    R: Float[Array, " m"]
    C: Float[Array, "m m"] | None = None


_DIMENSIONS = {"top": 2, "Q": 2, "a": 1, "Z": 2, "d": 1, "R": 1, "C": 2}
_TRANSITION = ("top", "Q", "a")


@partial(jax.tree_util.register_dataclass, data_fields=["constant", "varying"], meta_fields=["steps"])
@dataclass(frozen=True)
class Rows:
    """Rows of a Markov form for `steps` rows."""

    constant: dict[str, Array]
    varying: dict[str, Array]
    steps: int

    @classmethod
    def of(cls, markov: Markov, steps: int) -> Rows:
        """Split constant from varying; a varying transition is moved up one row (the last row's is not used)."""
        N = markov.Q.shape[-1]
        a = jnp.pad(markov.a, [(0, 0)] * (markov.a.ndim - 1) + [(0, N - markov.a.shape[-1])])
        arrays = {"top": markov.top, "Q": symmetric(markov.Q), "a": a, "Z": markov.Z, "d": markov.d, "R": markov.R}
        if markov.C is not None:
            arrays["C"] = markov.C
        constant, varying = {}, {}
        for name, array in arrays.items():
            dimensions = _DIMENSIONS[name]
            if array.ndim == dimensions:
                constant[name] = array
            elif array.shape[0] != steps:
                raise ValueError(f"'{name}' has {array.shape[0]} rows, the data have {steps}")
            elif name in _TRANSITION:
                varying[name] = jnp.concatenate([array[1:], array[-1:]])
            else:
                varying[name] = array
        return cls(constant, varying, steps)

    def part(self, start: int, stop: int) -> Rows:
        """Rows start..stop-1."""
        return Rows(self.constant, {name: a[start:stop] for name, a in self.varying.items()}, stop - start)

    def row(self, varying: dict[str, Array]) -> Row:
        """One row from its varying part."""
        return Row(**self.constant, **varying)
