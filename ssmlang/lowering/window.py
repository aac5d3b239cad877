"""A few rows of a series where rows come one at a time, read by their numbers like the whole series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Int


class Window:
    """The rows that a row's equations read: `values[0]` is row `now`, `values[1]` the one before it, and so on."""

    def __init__(self, values: Any, now: Any) -> None:
        self.values, self.now = values, now

    def __getitem__(self, row: Any) -> Array:
        return jnp.asarray(self.values)[self.now - row]

    def __len__(self) -> int:
        return len(self.values)


Series = Array | Window
"""All rows of a series, or those that one row reads."""


def cleaned(series: Any, clean: Callable[[Array], Array]) -> Series:
    """A series as real numbers, those that are missing as `clean` has them."""
    if isinstance(series, Window):
        return Window(clean(jnp.asarray(series.values, float)), series.now)
    return clean(jnp.asarray(series, float))


def marked(marks: Bool[np.ndarray, "rows k"], times: Int[Array, " T"]) -> Bool[Array, "T k"]:
    """The marks of some rows; there are none after the last."""
    whole = np.concatenate([marks, np.zeros((1, marks.shape[1]), bool)])
    return jnp.asarray(whole)[jnp.minimum(times, len(marks))]
