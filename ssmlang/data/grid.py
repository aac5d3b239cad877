"""Regular grids of times: the step a time index was made with, and where it has gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MOST_ROWS_PER_SEEN = 100
"""A grid with more rows than this for each row seen is no grid."""
LEAST_SHARE = 0.5
"""At least this share of the steps must be single steps of the grid; else the times are irregular."""


@dataclass(frozen=True, eq=False)
class Grid:
    """`index`: the whole grid from first to last time; `rows`: where the given times stand in it; `step`: a pandas
    offset, an integer or a float."""

    index: pd.Index
    rows: np.ndarray
    step: Any

    @property
    def gaps(self) -> int:
        return len(self.index) - len(self.rows)


def find_grid(index: pd.Index) -> Grid | None:
    """The coarsest regular grid that holds every time of a sorted index without duplicates, or None.

    A single time has no step: None. Months (from their start, end, first or last business day, or on one day of the
    month), days and weeks are counted on the wall clock of the index's zone, shorter steps in UTC.
    """
    if len(index) < 2:
        return None
    if isinstance(index, pd.DatetimeIndex):
        return _date_grid(index)
    if np.issubdtype(index.dtype, np.integer):
        return _integer_grid(index)
    return _float_grid(index)


def extend(index: pd.Index, step: Any, count: int) -> pd.Index:
    """The `count` times that follow the last one of `index`."""
    if isinstance(index, pd.DatetimeIndex):
        return pd.date_range(index[-1], periods=count + 1, freq=step, unit=index.unit)[1:]
    return pd.Index(index[-1] + step * np.arange(1, count + 1))


def _date_grid(index: pd.DatetimeIndex) -> Grid | None:
    best: Grid | None = None
    steps: Iterator[tuple[Any, int]] = iter([(index.freq, len(index))]) if index.freq is not None else _steps(index)
    for step, expected in steps:
        if expected > MOST_ROWS_PER_SEEN * len(index) or (best is not None and expected > len(best.index)):
            continue
        whole = pd.date_range(index[0], index[-1], freq=step, unit=index.unit)
        found = _placed(index, whole, step)
        if found is not None and (best is None or len(found.index) < len(best.index)):
            best = found
    return best


def _placed(index: pd.Index, whole: pd.Index, step: Any) -> Grid | None:
    rows = whole.get_indexer(index)
    if (rows < 0).any() or np.mean(np.diff(rows) == 1) < LEAST_SHARE:
        return None
    return Grid(whole, rows, step)


def _steps(index: pd.DatetimeIndex) -> Iterator[tuple[Any, int]]:
    """Steps that could have made these times, with the number of rows their grid would have; likelier ones first."""
    wall = index.tz_localize(None)
    same_clock = bool((wall - wall.normalize() == wall[0] - wall[0].normalize()).all())
    if same_clock:
        months = np.diff(wall.year * 12 + wall.month)
        k = int(np.gcd.reduce(months))
        if k > 0:
            count = int(months.sum()) // k + 1
            for aligned, name in (
                (wall.is_month_start, "MS"),
                (wall.is_month_end, "ME"),
                (_is_business_edge(wall, "BMS"), "BMS"),
                (_is_business_edge(wall, "BME"), "BME"),
            ):
                if aligned.all():
                    yield pd.tseries.frequencies.to_offset(f"{k}{name}"), count
            if (wall.day == wall[0].day).all():
                yield pd.DateOffset(months=k), count
        days = np.diff(wall.normalize().to_numpy()).astype("timedelta64[D]").astype(int)
        k = int(np.gcd.reduce(days))
        if k == 7:
            yield pd.offsets.Week(weekday=int(wall[0].weekday())), int(days.sum()) // 7 + 1
        if k > 0:
            yield pd.DateOffset(days=k), int(days.sum()) // k + 1
        if (wall.day_of_week < 5).all():
            yield pd.offsets.BDay(), int(np.busday_count(wall[0].date(), wall[-1].date())) + 1
    steps = np.diff(index.asi8)
    k = int(np.gcd.reduce(steps))
    yield (
        pd.tseries.frequencies.to_offset(pd.Timedelta(k, unit=index.unit)),
        int(index.asi8[-1] - index.asi8[0]) // k + 1,
    )


def _is_business_edge(wall: pd.DatetimeIndex, name: str) -> np.ndarray:
    offset = pd.tseries.frequencies.to_offset(name)
    return np.array([offset.is_on_offset(day) for day in wall])


def _integer_grid(index: pd.Index) -> Grid | None:
    values = index.to_numpy().astype(np.int64)
    step = int(np.gcd.reduce(np.diff(values)))
    count = int(values[-1] - values[0]) // step + 1
    if count > MOST_ROWS_PER_SEEN * len(values):
        return None
    return _placed(pd.Index(values), pd.Index(values[0] + step * np.arange(count)), step)


def _float_grid(index: pd.Index) -> Grid | None:
    values = index.to_numpy().astype(float)
    differences = np.diff(values)
    counts = np.rint(differences / np.median(differences)).astype(np.int64)
    if (counts < 1).any() or counts.sum() >= MOST_ROWS_PER_SEEN * len(values) or np.mean(counts == 1) < LEAST_SHARE:
        return None
    rows = np.concatenate([[0], np.cumsum(counts)])
    step = float((values[-1] - values[0]) / rows[-1])
    # Decimal years (1958.25, 1958.33, 1958.42) are rounded: a month is off by up to 6 % of itself.
    if np.abs(values - values[0] - step * rows).max() > 0.08 * step:
        return None
    grid = values[0] + step * np.arange(rows[-1] + 1)
    grid[rows] = values
    return Grid(pd.Index(grid), rows, step)


_UNITS = {
    "YS": "year", "YE": "year", "QS": "quarter", "QE": "quarter", "MS": "month", "ME": "month", "BMS": "month",
    "BME": "month", "B": "business day", "D": "day", "h": "hour", "min": "minute", "s": "second",
    "ms": "millisecond", "us": "microsecond", "ns": "nanosecond",
}  # fmt: skip


def describe_step(step: Any, article: str = "") -> str:
    """A step in words: `month`, `3 months`, `week`, `15 minutes`, `0.25`; one of a unit with `article` before it."""
    if not isinstance(step, pd.tseries.offsets.BaseOffset):
        return f"{step:g}"
    if isinstance(step, pd.offsets.Week):
        number, unit = step.n, "week"
    elif type(step) is pd.DateOffset:
        ((unit, number),) = step.kwds.items()
        unit = unit.removesuffix("s")
    else:
        number, unit = step.n, _UNITS.get(step.rule_code.split("-")[0], step.freqstr)
    if unit == "month" and number % 12 == 0:
        number, unit = number // 12, "year"
    return f"{article}{unit}" if number == 1 else f"{number} {unit}s"


def step_to_text(step: Any) -> str:
    """A step as an attribute of a file can hold it; `step_from_text` reads it back."""
    if isinstance(step, pd.tseries.offsets.BaseOffset):
        if type(step) is pd.DateOffset:
            return ",".join(f"{unit}={number}" for unit, number in step.kwds.items())
        return str(step.freqstr)
    return repr(step)


def step_from_text(text: str, *, dates: bool) -> Any:
    """The step that `step_to_text` wrote."""
    if not dates:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if "=" in text:
        return pd.DateOffset(**{k: int(v) for k, v in (part.split("=") for part in text.split(","))})
    return pd.tseries.frequencies.to_offset(text)
