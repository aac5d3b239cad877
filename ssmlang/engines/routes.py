"""Which way the exact filter goes through the rows, decided before anything is compiled. No JAX here."""

from __future__ import annotations

from typing import NamedTuple

SETTLING_ROWS = 500
"""A series shorter than this is taken row by row: what the settled rows would save goes into their set-up."""

FREEZING_ROWS = 2000
"""A series with gaps that is shorter than this is worked out row by row: a second way through them compiles longer."""

SMOOTHING_WORK = 80_000
"""A smoother goes through fewer entries of covariances than this row by row: the other way compiles twice as long."""

STEADY_WORK = 2**20
"""From so many entries of covariances on, and where products are a library's, the steady covariance is worked out
before the rows: for fewer, that takes longer than the rows until the gain has settled usually do."""

ROW_BLOCK = 32
"""Rows a block where each is worked out in full."""


class Route(NamedTuple):
    """How the rows of a likelihood are taken in."""

    block: int
    """rows worked through between two tests, and between two moments kept for the derivative"""
    settles: bool
    """whether to take the rows after the covariance has settled as matrix products"""
    freezes: bool = False
    """whether to leave the covariance alone from where it has settled to the next gap"""


def described(*, constant: bool, exact: bool, alike: bool) -> tuple[str, ...]:
    """The ways `route` takes for a model, in words; `alike`: whether its matrices are the same for every data set."""
    if not constant:
        how = "row by row, for a matrix changes with time"
    elif exact:
        how = "row by row, for an observation can be predicted without error"
    else:
        how = (
            "row by row until the gain has settled, all through a short series; after that "
            f"in blocks of rows as matrix products (from {SETTLING_ROWS} rows on, no gaps), or the means alone up to "
            f"the next gap (from {FREEZING_ROWS:,} rows on); a large model, and a long series without gaps, as matrix "
            "products from the first row on, the first law accounted for exactly, where the gain has a steady value"
        )
    shared = ("series with the same gaps share their covariances",) if alike else ()
    return (f"route of kalman: {how}", *shared)


def route(entries: int, steps: int, *, constant: bool, complete: bool, exact: bool) -> Route:
    """The way for rows with `entries` observations each.

    constant: whether transition, noises and emission are the same in every row (offsets of the observations may vary);
    complete: whether no entry is missing before the last row with any; exact: whether an observation may be predicted
    without error.
    """
    settles = constant and complete and not exact and entries > 0 and steps >= SETTLING_ROWS
    if settles:
        return Route(max(8, min(32, 1 << (64 // max(entries, 1)).bit_length() - 1)), True)
    return Route(ROW_BLOCK, False, constant and not exact and entries > 0 and steps >= FREEZING_ROWS)
