"""The values that the states of a model take together, one configuration of every component at a time.

Components never meet, so that all of them can be given their c-th configuration at once: the equations of the whole
model are evaluated as often as the largest component has configurations, never for products of components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ssmlang.engines.markov_chain import Memory
from ssmlang.model.chains import ChainForm

Lags = Mapping[int, Int[np.ndarray, "C n"]]
"""By lag, the value of every entry in every configuration."""


@dataclass(frozen=True)
class Own:
    """Components of one form: their entries, (members, variables), and what is remembered of them."""

    entries: Int[np.ndarray, "B V"]
    memory: Memory


def remembered(form: ChainForm, groups: Sequence[Own]) -> Lags:
    """The entries' values at each lag in configuration c of the memory; the last one again where there are fewer, and
    the lowest value where nothing is remembered."""
    count = max((g.memory.size for g in groups), default=1)
    depth = max((max(g.memory.rows, default=1) for g in groups), default=1)
    out = {lag: np.tile(form.lower, (count, 1)) for lag in range(depth)}
    for g in groups:
        at = np.minimum(np.arange(count), g.memory.size - 1)
        for slot, (v, lag) in enumerate(g.memory.slots):
            entries = g.entries[:, v]
            out[lag][:, entries] = g.memory.configurations[at, slot][:, None] + form.lower[entries]
    return out


def rows(form: ChainForm, groups: Sequence[Own]) -> Int[np.ndarray, "C n"]:
    """The entries' values in joint value k of a row."""
    count = max((g.memory.row_size for g in groups), default=1)
    out = np.tile(form.lower, (count, 1))
    for g in groups:
        at = np.minimum(np.arange(count), g.memory.row_size - 1)
        for v in range(g.entries.shape[1]):
            entries = g.entries[:, v]
            out[:, entries] = g.memory.row_configurations[at, v][:, None] + form.lower[entries]
    return out
