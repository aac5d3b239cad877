"""The time base of a series: which time each row t = 0, 1, 2, ... stands for, and which times come next."""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ssmlang.data import grid
from ssmlang.data.periods import read_calendar_numbers, read_periods
from ssmlang.language.diagnostics import Diagnostic, SsmError

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class TimeBase:
    """Times of the rows, sorted and without duplicates.

    `index`: integers, floats or dates (with their zone). `step`: what leads from one row to the next (a pandas offset,
    an integer, a float), or None: irregular, or too few rows to say.
    """

    index: pd.Index
    step: Any

    @staticmethod
    def rows(count: int, start: int = 0) -> TimeBase:
        """Rows counted from `start`, for data without times of their own."""
        return TimeBase(pd.RangeIndex(start, start + count), 1)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def is_dates(self) -> bool:
        return isinstance(self.index, pd.DatetimeIndex)

    @property
    def zone(self) -> str | None:
        """The name of the dates' time zone."""
        return str(self.index.tz) if isinstance(self.index, pd.DatetimeIndex) and self.index.tz is not None else None

    def coordinate(self) -> xr.Variable:
        """The `time` coordinate: numbers, or datetime64 in UTC; the zone and the step are its attributes."""
        import xarray as xr

        attrs: dict[str, Any] = {}
        if self.step is not None:
            attrs["step"] = grid.step_to_text(self.step)
        values = self.index
        if isinstance(values, pd.DatetimeIndex):
            if values.tz is not None:
                attrs["timezone"] = self.zone
                values = values.tz_convert("UTC").tz_localize(None)
            # Nanoseconds are what every xarray reads; they end in the years 1677 and 2262.
            fits = len(values) == 0 or (values[0].year > 1677 and values[-1].year < 2262)
            return xr.Variable("time", values.to_numpy().astype("datetime64[ns]" if fits else "datetime64[s]"), attrs)
        return xr.Variable("time", values.to_numpy(), attrs)

    @staticmethod
    def from_coordinate(time: xr.DataArray | xr.Variable) -> TimeBase:
        """The time base whose `coordinate()` this is."""
        index = pd.Index(time.values)
        step = time.attrs.get("step")
        if isinstance(index, pd.DatetimeIndex) and "timezone" in time.attrs:
            index = index.tz_localize("UTC").tz_convert(time.attrs["timezone"])
        dates = isinstance(index, pd.DatetimeIndex)
        return TimeBase(index, None if step is None else grid.step_from_text(step, dates=dates))

    def future(self, steps: int) -> TimeBase:
        """The times of the `steps` rows that come after the last one.

        Raises E409 where the times are irregular, or a single date, so that no step is known.
        """
        if self.step is None:
            raise SsmError(
                Diagnostic(
                    "E409",
                    "the times of the coming rows are not known",
                    why=(
                        "the data have one row, from which no step can be told"
                        if len(self) == 1
                        else "the times of the data are irregular",
                    ),
                    help=(
                        "give `future=` (on the command line `--future`) a table with the times of the rows to "
                        "forecast, or with the steps `dt` between them where the model has such an input",
                    ),
                )
            )
        if isinstance(self.index, pd.RangeIndex) and self.index.step == 1:
            return TimeBase.rows(steps, self.index.stop)
        return TimeBase(grid.extend(self.index, self.step, steps), self.step)

    def differences(self, previous: TimeBase | None = None) -> np.ndarray:
        """Time from row t-1 to row t, (T,): dates in days, else in the index's own unit.

        Row 0 is counted from the last row of `previous`; without one it is 0.
        """
        index = self.index
        if previous is not None and len(previous):
            index = previous.index[-1:].append(index)
        if isinstance(index, pd.DatetimeIndex):
            steps = np.diff(index.asi8) * (pd.Timedelta(1, unit=index.unit) / pd.Timedelta(1, unit="D"))
        else:
            steps = np.diff(index.to_numpy().astype(float))
        return steps if len(steps) == len(self) else np.concatenate([[0.0], steps])

    def label(self, row: int) -> str:
        """A row for a message: `row 12`, `row 12 (1883)`, `row 12 (2020-03-01)`."""
        value = self.index[row]
        if isinstance(self.index, pd.RangeIndex):
            return f"row {row}" if value == row else f"row {row} ({value})"
        return f"row {row} ({format_time(value)})"


def format_time(value: Any) -> str:
    """A time as a person writes it: a date without a clock where the clock is at midnight."""
    if not isinstance(value, pd.Timestamp):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return value.strftime("%Y-%m-%d") if value == value.normalize() else str(value)


def read_times(values: Any, name: str) -> pd.Index:
    """Times as an index: dates, periods (their start), integers or floats; text as ISO 8601 dates, or as periods.

    Whole numbers that are dates, `20200131` or `202001`, are these dates: as numbers they jump at each month's end.
    Raises E411 if they cannot be read as times, with the first row that cannot.
    """
    try:
        index = values if isinstance(values, pd.Index) else pd.Index(values)
    except (TypeError, ValueError):
        raise SsmError(
            Diagnostic("E411", f"`{name}` is no list of times", help=("give one time for each row",))
        ) from None
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp(how="start")
    if isinstance(index, pd.MultiIndex):
        raise SsmError(
            Diagnostic(
                "E411",
                "the index has several levels, so it is no time",
                why=("a model describes one series; several are given as a list",),
                help=("`data=[g.droplevel(0) for _, g in frame.groupby(level=0)]` for one series a first level",),
            )
        )
    index = index.infer_objects()
    if isinstance(index, pd.DatetimeIndex) or is_number(index):
        missing = np.flatnonzero(index.isna())
        if len(missing):
            raise _unreadable(name, int(missing[0]), "missing")
        if pd.api.types.is_float_dtype(index.dtype):
            numbers = index.to_numpy(dtype=float)
            if np.isinf(numbers).any():
                raise _unreadable(name, int(np.flatnonzero(np.isinf(numbers))[0]), "infinite")
            whole = (numbers == np.rint(numbers)).all() and (np.abs(numbers) < 2**53).all()
            return _dates_or_counts(numbers.astype(np.int64)) if whole else pd.Index(numbers)
        if not isinstance(index, pd.DatetimeIndex | pd.RangeIndex):
            return _dates_or_counts(index.to_numpy(dtype=np.int64))
        return index
    return _dates_of(index, name)


def _dates_or_counts(numbers: np.ndarray) -> pd.Index:
    dates = read_calendar_numbers(numbers)
    return pd.Index(numbers) if dates is None else dates


def has_times(index: pd.Index) -> bool:
    """Whether an index is meant as times: dates and numbers are, text if it is all dates."""
    if isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) or is_number(index):
        return True
    try:
        read_times(index, "index")
    except SsmError:
        return False
    return True


def is_number(index: pd.Index) -> bool:
    """Whether an index holds integers or floats."""
    types = pd.api.types
    return types.is_integer_dtype(index.dtype) or types.is_float_dtype(index.dtype)


def _dates_of(index: pd.Index, name: str) -> pd.DatetimeIndex:
    texts = pd.Series(index.to_numpy(dtype=object))
    starts = read_periods(texts)
    if starts is not None:
        texts = pd.Series(starts, dtype=object)
    strange = [i for i, v in enumerate(texts) if not (isinstance(v, str | datetime.date) or pd.isna(v) is True)]
    if strange:
        raise _unreadable(name, strange[0], f"`{texts.iloc[strange[0]]}`")
    try:
        with warnings.catch_warnings():  # of several offsets, which pandas before 3 only warns of
            warnings.simplefilter("ignore", FutureWarning)
            return pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", errors="raise").array)
    except (ValueError, TypeError, OverflowError):
        pass
    try:  # clocks on both sides of a change of the zone's offset
        both = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", errors="raise", utc=True).array)
    except (ValueError, TypeError, OverflowError):
        read = pd.to_datetime(texts.astype(str), format="ISO8601", errors="coerce", utc=True)
        bad = np.flatnonzero(read.isna())
        row = int(bad[0]) if len(bad) else 0
        raise _unreadable(name, row, f"`{texts.iloc[row]}`" if len(texts) else "empty") from None
    if both.isna().any():
        raise _unreadable(name, int(np.flatnonzero(both.isna())[0]), "missing")
    zoned = np.array([pd.Timestamp(v).tzinfo is not None for v in texts])
    if not zoned.all() and zoned.any():
        bare, other = int(np.flatnonzero(~zoned)[0]), int(np.flatnonzero(zoned)[0])
        raise _unreadable(name, bare, f"`{texts.iloc[bare]}`, without the zone that row {other} has")
    return both


_EITHER_WAY = re.compile(r"`\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*")


def _unreadable(name: str, row: int, what: str) -> SsmError:
    if _EITHER_WAY.fullmatch(what):
        mends: tuple[str, ...] = (
            "write dates as 2024-03-01, which says what is the day and what the month",
            "in Python, `pandas.to_datetime(column, dayfirst=True)` reads days before months",
        )
        return SsmError(
            Diagnostic("E411", f"the times in `{name}` cannot be read", why=(f"row {row} is {what}",), help=mends)
        )
    return SsmError(
        Diagnostic(
            "E411",
            f"the times in `{name}` cannot be read",
            why=(f"row {row} is {what}",),
            help=("write dates as 2024-03-01 or 2024-03-01T12:30, periods as 2024Q1 or 2024-W09, or give numbers",),
        )
    )


def check_order(index: pd.Index) -> None:
    """Raise E408, naming the first three offenders, if times repeat or are not sorted."""
    if isinstance(index, pd.RangeIndex) and index.step > 0:
        return
    repeated = np.flatnonzero(index.duplicated())
    if len(repeated):
        raise SsmError(
            Diagnostic(
                "E408",
                f"{_count(len(repeated), 'time is', 'times are')} in the data more than once",
                why=(_offenders(index, repeated),),
                help=(
                    "keep one row a time (`frame[~frame.index.duplicated()]`), or average them; several series are "
                    'given as a list, one data set each: `[g for _, g in frame.groupby("id")]`',
                ),
            )
        )
    values = index.asi8 if isinstance(index, pd.DatetimeIndex) else index.to_numpy()
    back = np.flatnonzero(np.diff(values) < 0) + 1
    if len(back):
        raise SsmError(
            Diagnostic(
                "E408",
                "the times are not sorted",
                why=(_offenders(index, back) + " before the row above",),
                help=("sort the table by time: `frame.sort_index()`",),
            )
        )


def _offenders(index: pd.Index, rows: Sequence[int] | np.ndarray) -> str:
    shown = ", ".join(f"row {r} ({format_time(index[r])})" for r in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"{shown}{more} {'comes' if len(rows) == 1 else 'come'}" + (" again" if index.duplicated().any() else "")


def _count(n: int, one: str, many: str) -> str:
    return f"1 {one}" if n == 1 else f"{n} {many}"


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the given rows stand in the time base, and what was noted on the way."""

    time: TimeBase
    rows: np.ndarray
    notes: tuple[Diagnostic, ...]


def place(index: pd.Index, *, irregular: bool) -> Placement:
    """The time base of checked times: gaps in a regular grid become rows of their own, and a note says how many.

    `irregular`: the program takes times as they come (it has an `input dt`), so no row is inserted. Otherwise times on
    no regular grid raise E409.
    """
    check_order(index)
    count = len(index)
    if isinstance(index, pd.RangeIndex) and index.step > 0:
        return Placement(TimeBase(index, index.step), np.arange(count), ())
    found = grid.find_grid(index)
    if irregular:
        step = found.step if found is not None and not found.gaps else None
        return Placement(TimeBase(index, step), np.arange(count), ())
    if found is None:
        if count < 2:
            step = None if isinstance(index, pd.DatetimeIndex) else 1
            return Placement(TimeBase(index, step), np.arange(count), ())
        raise _irregular(index)
    if isinstance(found.index, pd.DatetimeIndex):
        found_index: pd.Index = pd.DatetimeIndex(found.index, freq=None)
    else:
        found_index = found.index
    notes: tuple[Diagnostic, ...] = ()
    if found.gaps:
        absent = np.setdiff1d(np.arange(len(found_index)), found.rows)
        shown = ", ".join(format_time(found_index[r]) for r in absent[:3]) + (", ..." if len(absent) > 3 else "")
        notes = (
            Diagnostic(
                "N409",
                f"{_count(found.gaps, 'row is', 'rows are')} absent from a regular series, and taken as missing",
                why=(f"the step is {grid.describe_step(found.step, article='one ')}; there is nothing at {shown}",),
            ),
        )
    return Placement(TimeBase(found_index, found.step), found.rows, notes)


def _irregular(index: pd.Index) -> SsmError:
    if isinstance(index, pd.DatetimeIndex):
        steps = pd.Series(np.diff(index.tz_localize(None).to_numpy()))
        common = steps.value_counts().index[:3]
        seen = ", ".join(str(pd.Timedelta(s)).removesuffix(" 00:00:00") for s in common)
        mend = 'bring them to a regular step, as `frame.resample("D").mean()` or `frame.asfreq("D")` does'
    else:
        steps = pd.Series(np.diff(index.to_numpy()))
        seen = ", ".join(f"{s:g}" for s in steps.value_counts().index[:3])
        mend = "leave the times out (`frame.reset_index(drop=True)`) if the rows follow each other evenly"
    return SsmError(
        Diagnostic(
            "E409",
            "the times are irregular, and this model counts rows",
            why=(f"the commonest steps between rows are {seen}",),
            help=(mend, "or write the model in continuous time, with `input dt`"),
        )
    )
