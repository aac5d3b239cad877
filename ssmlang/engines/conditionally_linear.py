"""The program that is linear and Gaussian in a part of its memory, given the path of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from ssmlang.engines.nonlinear import Nonlinear


@dataclass(frozen=True)
class ConditionallyLinear:
    """A general program, and how the entries `linear` of its memory follow from those that are sampled.

    `moved(t, s, after, e)` is the memory of row t whose sampled entries are those of `after`: affine in the linear
    entries of s and in e ~ N(0, I). `begun(s, e)`: the memory of row 0 whose sampled entries are those of s.
    """

    program: Nonlinear
    linear: tuple[int, ...]
    noises: int
    """numbers that `moved` takes"""
    first_noises: int
    begun: Callable[[Float[Array, " N"], Float[Array, " r0"]], Float[Array, " N"]]
    moved: Callable[[Int[Array, ""], Float[Array, " N"], Float[Array, " N"], Float[Array, " r"]], Float[Array, " N"]]
    gaussian: Bool[np.ndarray, " m"]
    """Entries of y that are Gaussian, and affine in the linear entries, given the memory's rest"""
    statistic: Bool[np.ndarray, " k"]
    """The same entries of the statistic"""
