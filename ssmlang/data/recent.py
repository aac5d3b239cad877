"""Data sets bound lately, known again by their contents."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ssmlang.data.binding import Bound, bind
from ssmlang.model.model import Model

KEPT = 4
"""How many data sets are kept for a model."""
LARGEST = 2**20
"""Most numbers of a data set that is kept: to bind a larger one costs little beside what is made of it."""


class Recent:
    """Binds data sets to one model; the same numbers give the same `Bound`, so that what was made of it can be kept.

    A data set is known by what it holds, not by which object it is: one that was changed in place is bound anew. Kept
    are dicts of arrays of numbers and pandas frames of numbers; the arrays of their `Bound` are read-only.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._kept: tuple[tuple[Hashable, Bound], ...] = ()

    def bind(self, data: Any, *, time: Any = None) -> tuple[Bound, ...]:
        """`ssmlang.data.bind`. Raises E401 to E411."""
        contents = contents_of(data) if time is None or isinstance(time, str) else None
        if contents is None:
            return bind(self.model, data, time=time)
        key = (time, contents)
        for known, bound in self._kept:
            if known == key:
                return (bound,)
        (bound,) = bind(self.model, data, time=time)
        for values in (*bound.observations.values(), *bound.inputs.values()):
            values.flags.writeable = False
        self._kept = ((key, bound), *self._kept[: KEPT - 1])
        return (bound,)


def contents_of(data: Any) -> Hashable | None:
    """All that binding reads of a data set, to compare; None where that is not plainly numbers, or too much."""
    if isinstance(data, Mapping):
        if not all(type(name) is str for name in data):
            return None
        arrays = [_array(values) for values in data.values()]
        if any(a is None for a in arrays) or sum(a.size for a in arrays if a is not None) > LARGEST:
            return None
        return ("dict", *zip(data, (_numbers(a) for a in arrays if a is not None)))
    if type(data) is pd.DataFrame and len(data) * len(data.columns) <= LARGEST:
        index, columns, kinds = _times(data.index), tuple(data.columns), data.dtypes.tolist()
        names = all(type(name) is str for name in columns)
        if index is not None and names and all(isinstance(k, np.dtype) and k.kind in "iuf" for k in kinds):
            return "frame", index, columns, tuple(k.str for k in kinds), _numbers(data.to_numpy())
    return None


def _array(values: Any) -> np.ndarray | None:
    """An array of numbers or dates, of NumPy's or JAX's."""
    if type(values) is not np.ndarray:
        if type(values).__name__ != "ArrayImpl":  # JAX's, by name: not every use of data needs JAX
            return None
        values = np.asarray(values)
    return values if values.dtype.kind in "iufM" else None


def _numbers(array: np.ndarray) -> Hashable:
    return array.dtype.str, array.shape, array.tobytes()


def _times(index: pd.Index) -> Hashable | None:
    if isinstance(index, pd.RangeIndex):
        return index.start, index.stop, index.step, index.name
    if isinstance(index, pd.DatetimeIndex):
        return str(index.dtype), str(index.freq), index.name, index.asi8.tobytes()
    if index.dtype.kind in "iuf" and isinstance(index.dtype, np.dtype):
        return index.dtype.str, index.name, index.to_numpy().tobytes()
    return None
