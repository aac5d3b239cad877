"""The time from row to row that differential equations take."""

from __future__ import annotations

import numpy as np

from ssmlang.data.time import TimeBase
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.model import Model


def check_steps(model: Model, dt: np.ndarray | None, time: TimeBase, first: int = 1) -> None:
    """Raise E416 where `dt`, (T,), is missing or negative in row `first` or later of a model in continuous time.

    `first`: 1, for nothing leads to row 0 of a data set; 0 for rows that follow others.
    """
    if not model.differentials or dt is None:
        return
    later = np.asarray(dt, float)[first:]
    bad = np.flatnonzero(~(later >= 0))
    if len(bad):
        row = int(bad[0]) + first
        raise SsmError(bad_step(float(dt[row]), f"at {time.label(row)}", len(bad)))


def bad_step(value: float, where: str, count: int = 1) -> Diagnostic:
    """E416 for one step."""
    what = "missing" if np.isnan(value) else f"{value:g}"
    more = (f"{count} rows have no time from the row before",) if count > 1 else ()
    return Diagnostic(
        "E416", f"`dt` is {what} {where}",
        why=("it is the time since the row before, which is never negative", *more),
        help=("sort the rows by time; leave `dt` out, and it is the difference of the times",),
    )  # fmt: skip
