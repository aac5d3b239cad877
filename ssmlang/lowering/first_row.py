"""What row 0 begins with: entries that `init` gives, and noises of the rows before it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ssmlang.model import expr
from ssmlang.model.model import Noise, nodes_of

if TYPE_CHECKING:
    from ssmlang.lowering.nonlinear import NonlinearLowering


def given_first(lowering: NonlinearLowering) -> dict[str, np.ndarray]:
    """Which entries of each state, and of each observation that is one, `init` gives at row 0."""
    model = lowering.model
    found = {n: np.zeros(v.size, bool) for n, v in (*model.states.items(), *model.observations.items())}
    for name in lowering.start.states if lowering.start is not None else ():
        found[name][:] = True
    for item in lowering.initials:
        for t in item.targets:
            if t.row == 0:
                found[t.name][list(t.entries)] = True
    return found


def noises_before(lowering: NonlinearLowering, drawn: Collection[str]) -> list[tuple[Noise, int]]:
    """The noises that are drawn with row 0, with how many rows before it: of those `drawn` in every row what the memory
    holds, and of all what the equations that hold from row 0 on read of the rows before."""
    places, given = lowering.memory.places, given_first(lowering)
    lags = {n: set(range(places["noise", n].depth if ("noise", n) in places else 1)) for n in drawn}
    for e in lowering.moved:
        if not all(given[t.name][list(t.entries)].all() for t in e.targets):
            for sort, name, lag in expr.references(nodes_of(e)):
                if sort == "noise" and isinstance(lag, int) and lag > 0:
                    lags.setdefault(name, set()).add(lag)
    return [(v, lag) for v in lowering.model.noises.values() for lag in sorted(lags.get(v.name, ()))]
