"""The rows that come after a data set: their times, and the inputs a caller gives for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ssmlang.data.binding import Bound, bind
from ssmlang.data.steps import bad_step, check_steps
from ssmlang.data.time import TimeBase, format_time
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model.model import Model


def future_rows(model: Model, history: Bound, steps: int, data: Any = None, *, time: Any = None) -> Bound:
    """The `steps` rows after `history`, with their inputs (and any observations already known) taken from `data`.

    Rows of `data` with times are found by their times, so that it may hold the history too; rows without times follow
    on. Without `data` all observations are missing, and a model with inputs raises E412, which lists them. Raises E409
    where the times are not known and E412 where rows are absent.
    """
    by_time = "dt" in model.inputs and not model.inputs["dt"].shape
    if data is None:
        names = [n for n in model.inputs if n != "dt" or not by_time]
        if names:
            raise SsmError(
                Diagnostic(
                    "E412",
                    f"the coming rows need the model's input{'s' if len(names) > 1 else ''} "
                    + ", ".join(f"`{n}`" for n in names),
                    help=(
                        f"give `future=` a table with {'them' if len(names) > 1 else 'it'} for {_rows(steps)} "
                        "(on the command line `--future`)",
                    ),
                )
            )
        empty = {n: np.full((steps, *v.shape), np.nan) for n, v in model.observations.items()}
        times = history.time.future(steps)
        inputs = {"dt": times.differences(history.time)} if by_time else {}
        return Bound(steps, empty, inputs, times, (), by_time)
    given = bind(model, data, time=time, observations=False, future=True)
    if len(given) != 1:
        raise SsmError(Diagnostic("E402", "`future=` is one data set, not a list"))
    (bound,) = given
    rows = _rows_of(history, bound, steps)
    times = _times_of(history, bound, rows, steps)
    part = _take(bound, rows)
    if bound.derived_dt:
        part = replace(part, inputs={**part.inputs, "dt": times.differences(history.time)})
    check_steps(model, part.inputs.get("dt"), times, first=0)
    return replace(part, time=times)


def _has_times(bound: Bound) -> bool:
    return not isinstance(bound.time.index, pd.RangeIndex)


def _rows_of(history: Bound, bound: Bound, steps: int) -> np.ndarray:
    if not _has_times(bound):
        if bound.steps < steps:
            raise _absent(f"`future=` has {_rows(bound.steps)}, and {_rows(steps)} are asked for")
        return np.arange(steps)
    have = bound.time.index
    if isinstance(have, pd.DatetimeIndex) != history.time.is_dates:
        raise _absent("the data count rows by " + ("date" if history.time.is_dates else "number")
                      + ", and `future=` by " + ("date" if bound.time.is_dates else "number"))  # fmt: skip
    if isinstance(have, pd.DatetimeIndex) and (have.tz is None) != (history.time.zone is None):
        raise _absent("one of the data and `future=` has a time zone, the other none")
    if history.time.step is None:
        rows = np.flatnonzero(have > history.time.index[-1])
        if len(rows) < steps:
            raise _absent(
                f"`future=` has {_rows(len(rows))} after {format_time(history.time.index[-1])}, "
                f"and {_rows(steps)} are asked for"
            )
        return rows[:steps]
    wanted = history.time.future(steps).index
    rows = have.get_indexer(wanted)
    if (rows < 0).any():
        at = wanted[int(np.flatnonzero(rows < 0)[0])]
        has = f"its rows are {format_time(have[0])} to {format_time(have[-1])}" if len(have) else "it has no rows"
        raise _absent(f"`future=` has no row for {format_time(at)}, a step after the data", has)
    return rows


def _times_of(history: Bound, bound: Bound, rows: np.ndarray, steps: int) -> TimeBase:
    if history.time.step is None and _has_times(bound):
        return TimeBase(bound.time.index[rows], None)
    measured = history.time.step is None or history.derived_dt  # times that say more than which row it is
    given = "dt" in bound.inputs and not bound.derived_dt and bound.inputs["dt"].ndim == 1
    if measured and given and not _has_times(bound):
        return TimeBase(_after(history.time.index, bound.inputs["dt"][rows]), None)
    return history.time.future(steps)


def _after(index: pd.Index, dt: np.ndarray) -> pd.Index:
    """The times that follow the last one by the steps `dt`, (steps,): days where times are dates. Raises E416."""
    bad = np.flatnonzero(~(dt >= 0))
    if len(bad):
        raise SsmError(bad_step(float(dt[bad[0]]), f"in row {bad[0]} of `future=`", len(bad)))
    later = np.cumsum(dt)
    if isinstance(index, pd.DatetimeIndex):
        return index[-1] + pd.to_timedelta(later, unit="D")
    return pd.Index(float(index[-1]) + later)


def _take(bound: Bound, rows: np.ndarray) -> Bound:
    return replace(
        bound,
        steps=len(rows),
        observations={n: v[rows] for n, v in bound.observations.items()},
        inputs={n: v[rows] for n, v in bound.inputs.items()},
    )


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _absent(message: str, *why: str) -> SsmError:
    return SsmError(Diagnostic("E412", message, why=why, help=("give a row of inputs for every row asked for",)))
