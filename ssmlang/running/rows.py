"""What a stream goes by: where it stands after some rows, and the functions that take it a row further."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ssmlang.data.row import RowReader
from ssmlang.data.time import TimeBase
from ssmlang.engines.base import Engine
from ssmlang.model.model import Model

Windows = dict[tuple[str, str], np.ndarray]
"""By ("obs" or "input", name): the values of the last row, of the row before it, ..., NaN where missing."""
Moments = dict[str, np.ndarray]
"""What is known when a row has been taken in, by name, without an axis of rows; its `log_likelihood` among it."""


class At(NamedTuple):
    """Where a stream stands."""

    windows: Windows
    carried: Any = None
    """what the engine carries from row to row; None before any"""
    exists: Any = True
    """whether the parameters allow an initial law"""
    given: Any = None
    """what is the same in every row, where it is kept on the device"""
    latent: tuple[str, ...] = ()
    """observations that are read back, and part of the state from the first row in which they were missing"""
    substeps: int = 1
    seed: int = 0


class Stepping(ABC):
    """The functions of one model and one engine, a row at a time."""

    model: Model
    engine: Engine
    states: list[str]
    observations: list[str]
    rows: Mapping[tuple[str, str], int]
    """how many rows of each series the equations read, this one included"""
    reader: RowReader

    def empty(self) -> Windows:
        """Windows before any row."""
        variables = {**self.model.observations, **self.model.inputs}
        return {key: np.full((rows, *variables[key[1]].shape), np.nan) for key, rows in self.rows.items()}

    def moved(self, windows: Windows, values: Mapping[str, np.ndarray]) -> Windows:
        """Windows with one more row."""
        return {key: np.concatenate([values[key[1]][None], w[:-1]]) for key, w in windows.items()}

    def begun(self, seed: int) -> At:
        """Before any row."""
        windows = self.empty()
        for w in windows.values():
            w.flags.writeable = False
        return At(windows, seed=seed)

    @abstractmethod
    def before(self, params: Mapping[str, np.ndarray], at: At) -> Moments:
        """What is known of row 0 before it; NaN where its law waits for inputs of that row."""

    @abstractmethod
    def step(self, params: Mapping[str, np.ndarray], at: At, values: Mapping[str, np.ndarray], t: int
             ) -> tuple[At, Moments]:  # fmt: skip
        """Row t, with its values. Raises E205, E407, E413, E721, E723."""

    @abstractmethod
    def template(self, params: Mapping[str, np.ndarray], at: At) -> Any:
        """The shapes of what is carried where a stream stands, in the precision that is entered."""

    @abstractmethod
    def dataset(self, moments: Moments, t: int) -> xr.Dataset:
        """What `filter` would give of the row, without its time."""


def one_row(dataset: xr.Dataset) -> xr.Dataset:
    """A Dataset of one row without its time."""
    return dataset.isel(time=0, drop=True)


def time_of(t: int) -> TimeBase:
    """The time base of one row."""
    return TimeBase.rows(1, max(t, 0))
