"""Parameters and standard normal numbers together, as one set of unknowns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax import Array

from ssmlang.inference.priors import Priors

NOISE = "noise[*]"
"""The entry that holds the numbers; no name of a model file can be this."""


@dataclass(frozen=True)
class _Noise:
    """The numbers as a sample site."""

    size: int
    is_flat: bool = False

    def law(self, values: Mapping[str, Any]) -> dist.Distribution:
        del values
        return dist.Normal(0.0, 1.0).expand((self.size,))


class Joint(Priors):
    """The sites of a model's parameters and, last, `size` standard normal numbers under the name NOISE.

    `parameters` are the model's own; what `constrain` and `evaluate` give holds the numbers too.
    """

    def __init__(self, priors: Priors, size: int) -> None:
        self.parameters = priors.parameters
        self.size_of_noise = size
        self.sites = {**priors.sites, NOISE: _Noise(size)}  # type: ignore[dict-item]
        self._own = priors
        self._drawing = {}

    def unconstrained_shapes(self) -> dict[str, tuple[int, ...]]:
        return {**self._own.unconstrained_shapes(), NOISE: (self.size_of_noise,)}

    def _in_file_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._in_file_order(values), **({NOISE: values[NOISE]} if NOISE in values else {})}


def thinning(numbers: int, draws: int, most: int = 25_000_000) -> int:
    """Of which draws the states are kept: every one, or every 2nd, 4th, ..., so that `most` numbers are not passed.

    A divisor of 100, the length of a sampler's block.
    """
    kept = lambda every: numbers * -(-draws // every)
    return next((k for k in (1, 2, 4, 5, 10, 20, 25, 50) if kept(k) <= most), 100)


def split(noise: Array | np.ndarray, sizes: list[int]) -> list[Any]:
    """The numbers of each series."""
    ends = np.cumsum([0, *sizes])
    return [noise[a:b] for a, b in pairwise(ends)]
