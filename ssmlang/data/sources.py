"""One view of all the forms data come in: named columns or arrays, time first, and an index of times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssmlang.data.files import read_file
from ssmlang.data.time import format_time, has_times, is_number, read_times
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import did_you_mean
from ssmlang.model.model import Variable

TIME_NAMES = ("time", "date")


@dataclass(frozen=True)
class Source:
    """`columns` read one column each, (T,); `arrays` read a whole variable, (T, ...), in the order of its labels.

    `index`: the times, or None for rows without any; `repeated`: names that more than one column bears; `kind`: what a
    message calls it.
    """

    kind: str
    columns: Mapping[str, Callable[[], Any]]
    arrays: Mapping[str, Callable[[Variable], Any]]
    index: pd.Index | None
    count: int | None = None
    repeated: Collection[str] = ()
    notes: tuple[Diagnostic, ...] = field(default=())


def open_source(data: Any, declared: Collection[str], time: Any = None) -> Source:
    """Look at one data set without copying it.

    `declared`: the names the model gives its observations and inputs. `time`: the name of the column (or dimension)
    that holds the times, or the times themselves. Raises E402 for what is no data set, E411 for unreadable times.
    """
    from_file = isinstance(data, str | Path)
    if from_file:
        data = read_file(data)
    root = type(data).__module__.partition(".")[0]
    if isinstance(data, pd.DataFrame):
        return _pandas(data, declared, time)
    if isinstance(data, pd.Series):
        if data.name is None:
            raise _nameless("a pandas Series without a name", '`series.rename("y")`')
        return _pandas(data.to_frame(), declared, time)
    if root == "xarray":
        return _xarray(data, declared, time)
    if isinstance(data, Mapping):
        return _mapping(data, declared, time)
    if isinstance(data, np.ndarray) or root in ("jax", "jaxlib"):
        raise _nameless("an array", '`{"y": array}`')
    return _frame(data, declared, time)


def _nameless(what: str, mend: str) -> SsmError:
    return SsmError(
        Diagnostic(
            "E402",
            f"{what} has no names, and data are matched to the model by name",
            help=(f"give the name: {mend}",),
        )
    )


def _column_name(column: Any) -> str:
    """`('fix', 'east')`, a column below another, is `fix[east]`."""
    if isinstance(column, tuple):
        parts = [str(c) for c in column if str(c) != ""]
        return parts[0] + (f"[{','.join(parts[1:])}]" if parts[1:] else "")
    return str(column)


# -------------------------------------------------------------------------------------------------------- tables


def _pandas(frame: pd.DataFrame, declared: Collection[str], time: Any) -> Source:
    names = [_column_name(c) for c in frame.columns]
    columns = {name: (lambda i=i: frame.iloc[:, i]) for i, name in enumerate(names)}
    index = frame.index
    notes: tuple[Diagnostic, ...] = ()
    plain = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and index.name is None
    level = time if isinstance(time, str) and time == index.name else None
    if level is not None:
        times: pd.Index | None = read_times(index, level)
    elif time is not None or plain:
        times = _times(columns, declared, time, len(frame))
        if times is None:
            times, notes = _first_column(columns, declared)
    elif isinstance(index, pd.MultiIndex) or has_times(index):
        times = read_times(index, index.name or "index")
    else:
        times, notes = None, (_no_times(index, "index of the table"),)
    return Source(
        "table",
        columns,
        {},
        times,
        len(frame),
        repeated={n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else (),
        notes=notes,
    )


def _no_times(index: pd.Index, what: str) -> Diagnostic:
    return Diagnostic(
        "N411",
        f"the {what} is no time, so the rows are counted 0, 1, 2, ...",
        why=(f"it begins with `{index[0]}`",),
    )


def _not_taken(name: str, index: pd.Index) -> Diagnostic:
    return Diagnostic(
        "N411",
        f"the rows are counted 0, 1, 2, ..., and the times in `{name}` are not used",
        why=(f"it begins with `{index[0]}`, but is called neither `time` nor `date`",),
        help=(f'say `time="{name}"` (on the command line `--time {name}`)',),
    )


def _frame(data: Any, declared: Collection[str], time: Any) -> Source:
    import narwhals.stable.v2 as nw

    try:
        frame = nw.from_native(data)
    except TypeError:
        raise SsmError(
            Diagnostic(
                "E402",
                f"a value of type `{type(data).__name__}` is no data set",
                help=("give a dict of arrays, a table, an xarray Dataset, a path to a file, or a list of these",),
            )
        ) from None
    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    if not isinstance(eager, nw.DataFrame):
        raise _nameless("a column by itself", "a table of one column")
    columns = {name: (lambda name=name: _native(eager[name])) for name in eager.columns}
    times = _times(columns, declared, time, len(eager))
    notes: tuple[Diagnostic, ...] = ()
    if times is None:
        times, notes = _first_column(columns, declared)
    return Source("table", columns, {}, times, len(eager), notes=notes)


def _native(series: Any) -> Any:
    """A column as a pandas Series or NumPy array; its nulls are None or NaN there."""
    if str(series.dtype).startswith(("Datetime", "Date", "Duration")):
        return pd.Series(series.to_list())
    return series.to_numpy()


def _times(
    columns: Mapping[str, Callable[[], Any]],
    declared: Collection[str],
    time: Any,
    count: int | None,
) -> pd.Index | None:
    """The times of a table or mapping: those given, those of the column named, or of a column `time` or `date`."""
    if time is not None and not isinstance(time, str):
        index = read_times(time, "time")
        if count is not None and len(index) != count:
            raise SsmError(Diagnostic("E403", f"`time` has {len(index)} times, and the data have {count} rows"))
        return index
    if isinstance(time, str):
        if time not in columns:
            guess = did_you_mean(time, columns)
            raise SsmError(
                Diagnostic(
                    "E411",
                    f"there is no column `{time}` to take the times from",
                    why=(f"the columns are {', '.join(list(columns)[:20])}",),
                    help=(guess,) if guess else (),
                )
            )
        return read_times(columns[time](), time)
    found = [n for n in columns if n.strip().lower() in TIME_NAMES and n not in declared]
    if len(found) > 1:
        raise SsmError(
            Diagnostic(
                "E411",
                f"the times may be in {' or in '.join(f'`{n}`' for n in found)}",
                help=(f'say which: `time="{found[0]}"` (on the command line `--time {found[0]}`)',),
            )
        )
    if found:
        return read_times(columns[found[0]](), found[0])
    return None


def _first_column(
    columns: Mapping[str, Callable[[], Any]], declared: Collection[str]
) -> tuple[pd.Index | None, tuple[Diagnostic, ...]]:
    """Times in the first column where no column is called so, with a note that says what was made of it.

    A CSV file written from a frame has the frame's index there, without a name; under a name of its own a column of
    dates may be anything, so it is not taken, but said.
    """
    name = next(iter(columns), None)
    if name is None or name in declared:
        return None, ()
    unnamed = not name.strip() or name.startswith("Unnamed: 0")
    index = pd.Index(columns[name]())
    if not len(index) or not has_times(index):
        return None, (_no_times(index, "first column, which has no name,"),) if unnamed and len(index) else ()
    if not unnamed:
        return None, () if is_number(index) and not _are_years(index) else (_not_taken(name, index),)
    times = read_times(index, "the first column")
    if is_number(index) and times[0] == 0 and (np.diff(times) == 1).all():  # a frame that had no times
        return times, ()
    what = f"the first column, which has no name, is read as time: {format_time(times[0])} to {format_time(times[-1])}"
    return times, (Diagnostic("N411", what),)


def _are_years(index: pd.Index) -> bool:
    """Whether numbers look like the years of a yearly series, so that to count rows instead is worth a word."""
    values = index.to_numpy(dtype=float, na_value=np.nan)
    return len(values) > 1 and bool(((values >= 1500) & (values <= 2200)).all() and (np.diff(values) == 1).all())


# -------------------------------------------------------------------------------------------------------- arrays


def _mapping(data: Mapping[Any, Any], declared: Collection[str], time: Any) -> Source:
    items = {_column_name(k): v for k, v in data.items()}
    columns = {k: (lambda v=v: v) for k, v in items.items() if k not in declared}
    arrays = {k: (lambda variable, v=v: _value(v, variable)) for k, v in items.items() if k in declared}
    index = _times(columns | {k: (lambda v=v: v) for k, v in items.items()}, declared, time, None)
    if index is None:
        index = _common_index(items, declared)
    counts = [len(v) for k, v in items.items() if hasattr(v, "__len__") and not isinstance(v, str)]
    return Source("dict", columns, arrays, index, len(index) if index is not None else counts[0] if counts else None)


def _common_index(items: Mapping[str, Any], declared: Collection[str]) -> pd.Index | None:
    """The index that the dict's pandas values and xarray arrays share; E403 if they do not."""
    first: tuple[str, pd.Index] | None = None
    for name, value in items.items():
        if isinstance(value, pd.Series | pd.DataFrame):
            index = value.index
        elif type(value).__module__.startswith("xarray.") and value.dims and value.dims[0] in value.indexes:
            index = value.indexes[value.dims[0]]
        else:
            continue
        if (isinstance(index, pd.RangeIndex) and index.start == 0) or not has_times(index):
            continue
        if first is None:
            first = (name, index)
        elif not first[1].equals(index):
            raise SsmError(
                Diagnostic(
                    "E403",
                    f"`{first[0]}` and `{name}` have different times",
                    help=("put them into one table first: `pandas.concat([a, b], axis=1)`",),
                )
            )
    return None if first is None else read_times(first[1], "index")


def _value(value: Any, variable: Variable) -> Any:
    """A frame for a vector is read by its labels where it has them all, else by position."""
    if isinstance(value, pd.DataFrame) and variable.axes and len(variable.axes) == 1:
        axis = variable.axes[0]
        labels = [str(x) for x in (axis.labels if axis is not None else range(variable.shape[0]))]
        names = [str(c) for c in value.columns]
        if set(labels) <= set(names):
            return value.iloc[:, [names.index(x) for x in labels]].to_numpy()
    if type(value).__module__.startswith("xarray."):
        return _aligned(value, variable, value.dims[0] if value.dims else "")
    if isinstance(value, np.ndarray | pd.Series):
        return value
    if isinstance(value, pd.DataFrame):
        return value.to_numpy()
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    return value


def _xarray(data: Any, declared: Collection[str], time: Any) -> Source:
    import xarray as xr

    if isinstance(data, xr.DataArray):
        if data.name is None:
            raise _nameless("an xarray DataArray without a name", '`array.rename("y")`')
        data = data.to_dataset()
    if not isinstance(data, xr.Dataset):
        raise SsmError(
            Diagnostic(
                "E402",
                f"an xarray `{type(data).__name__}` is no data set",
                help=("give one Dataset: a group of the tree",),
            )
        )
    dim = _time_dimension(data, declared, time)
    if isinstance(time, str) or time is None:
        index = read_times(data.indexes[dim], dim) if dim in data.indexes else None
    else:
        index = _times({}, declared, time, data.sizes.get(dim))
    if index is not None and isinstance(index, pd.DatetimeIndex) and "timezone" in data[dim].attrs:
        index = index.tz_localize("UTC").tz_convert(data[dim].attrs["timezone"])
    columns = {str(n): (lambda n=n: data[n].values) for n in data.data_vars if data[n].dims == (dim,)}
    arrays = {
        str(n): (lambda variable, n=n: _aligned(data[n], variable, dim)) for n in data.variables if str(n) in declared
    }
    notes = told(data.attrs) if "model_hash" in data.attrs else ()  # one that a fit or a simulation made
    return Source("Dataset", columns, arrays, index, data.sizes.get(dim), notes=notes)


def told(attrs: Mapping[Any, Any]) -> tuple[Diagnostic, ...]:
    """What was noted as data were first read, from the attribute `notes` of what was made of them."""
    return (Diagnostic("N409", str(attrs["notes"])),) if "notes" in attrs else ()


def _time_dimension(data: Any, declared: Collection[str], time: Any) -> str:
    if isinstance(time, str):
        if time in data.dims:
            return time
        if time in data.coords and data[time].ndim == 1:
            return str(data[time].dims[0])
        guess = did_you_mean(time, [str(d) for d in data.dims])
        raise SsmError(
            Diagnostic(
                "E411",
                f"the Dataset has no dimension `{time}`",
                why=(f"its dimensions are {', '.join(str(d) for d in data.dims)}",),
                help=(guess,) if guess else (),
            )
        )
    for name in TIME_NAMES:
        if name in data.dims:
            return name
    used = [data[n].dims[0] for n in data.variables if n in declared and data[n].dims]
    return str(used[0]) if used else ""


def _aligned(array: Any, variable: Variable, dim: str) -> np.ndarray:
    """The values with time first and each axis in the order of its labels, where the array bears labels."""
    if dim not in array.dims:
        return np.asarray(array.values)
    array = array.transpose(dim, ...)
    names = [a.name for a in variable.axes if a is not None]
    if len(set(names)) == len(variable.axes) and set(names) == set(array.dims) - {dim}:
        array = array.transpose(dim, *names)
    for axis, at in zip(variable.axes, array.dims[1:]):
        if axis is None or at != axis.name or at not in array.coords:
            continue
        have = [str(x) for x in array[at].values]
        missing = [str(x) for x in axis.labels if str(x) not in have]
        if missing:
            raise SsmError(
                Diagnostic(
                    "E401",
                    f"`{variable.name}` in the data lacks labels of the axis `{axis.name}`",
                    why=(f"{', '.join(missing[:10])} {'is' if len(missing) == 1 else 'are'} not there",),
                )
            )
        array = array.isel({at: [have.index(str(x)) for x in axis.labels]})
    return np.asarray(array.values)
