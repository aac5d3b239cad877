"""Which values exist at which rows, entry by entry: what the first rows need and do not have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmlang.model.rows import Rows, at_row


@dataclass(frozen=True)
class Existence:
    """What the first rows lack. Arrays have a leading axis of rows 0, 1, ...; later rows lack nothing.

    `absent`: states without a value. `conditioned`: observations whose equation reaches before the data, so that they
    are known numbers and not scored. `unavailable`: observations that read a state without a value, so that the data
    must lack them too. `never`: states (indices) that never get a value.
    """

    absent: np.ndarray
    conditioned: np.ndarray
    unavailable: np.ndarray
    never: np.ndarray


def existence(
    transition: Rows,
    emission: Rows,
    given: np.ndarray,
    observed_first: np.ndarray,
    state_reach: np.ndarray,
    observed_reach: np.ndarray,
) -> Existence:
    """Follow the first rows, from equations that still read their own row.

    `given` (rows 0, -1, ..., n): states with an initial law; `observed_first` (m,): observations with one. The reaches
    are the deepest rows at which inputs and data are read otherwise than linearly.
    """
    n, m = transition.size, emission.size
    values: dict[int, np.ndarray] = {-k: given[k].copy() for k in range(1, len(given))}
    values[0] = np.zeros(n, bool)
    longest = max(transition.depth("x"), transition.depth("y"), emission.depth("x"), emission.depth("y"), 0,
                  *state_reach.tolist(), *observed_reach.tolist())  # fmt: skip
    absent, conditioned, unavailable = [], [], []
    nothing = np.zeros(n, bool)
    row = 0
    while True:
        system = at_row(transition, row)
        ok = ~_before_data(system, row, n) & (state_reach <= row)
        for lag in system.lags("x"):
            if lag:
                ok &= ~_reads(system, ("x", lag), ~values.get(row - lag, nothing), n)
        begun = np.logical_and.reduce([values[r] for r in range(row)], axis=0) if row else ~nothing
        ok &= ~_reads(system, ("past", 0), ~begun, n)
        if row == 0:
            ok |= given[0]
        while True:
            lost = _reads(system, ("x", 0), ~ok, n) & ok & ~(given[0] if row == 0 else nothing)
            if not lost.any():
                break
            ok &= ~lost
        values[row] = ok
        law = at_row(emission, row)
        early = _before_data(law, row, m) | (observed_reach > row)
        if row == 0:
            early &= ~observed_first
        lacking = np.zeros(m, bool)
        for lag in law.lags("x"):
            lacking |= _reads(law, ("x", lag), ~values.get(row - lag, nothing), m)
        lacking |= _reads(law, ("past", 0), ~begun, m)
        while True:
            more = _reads(law, ("y", 0), lacking & ~early, m) & ~lacking
            if not more.any():
                break
            lacking |= more
        absent.append(~ok)
        conditioned.append(early)
        unavailable.append(lacking & ~early)
        row += 1
        settled = row > longest and all((a == absent[-1]).all() for a in absent[-longest - 1 :])
        if settled or row > (longest + 1) * (n + 2):
            break
    never = np.flatnonzero(absent[-1])
    lacks = [a.any() or c.any() or u.any() for a, c, u in zip(absent, conditioned, unavailable)]
    rows = max((i + 1 for i, lack in enumerate(lacks) if lack), default=0)
    first = lambda found, size: np.array(found[:rows], bool).reshape(rows, size)
    return Existence(first(absent, n), first(conditioned, m), first(unavailable, m), never)


def _reads(system: Rows, slot: tuple[str, int], which: np.ndarray, size: int) -> np.ndarray:
    """The rows of the system that read one of the marked columns of a slot."""
    hit = np.zeros(size, bool)
    matrix = system.terms.get(slot)
    if matrix is not None:
        hit[matrix.rows[which[matrix.cols]]] = True
    return hit


def _before_data(system: Rows, row: int, size: int) -> np.ndarray:
    """The rows of the system that read an observation of a row before 0."""
    hit = np.zeros(size, bool)
    for lag in system.lags("y"):
        if lag > row:
            hit[system.terms["y", lag].rows] = True
    return hit

