"""From what a column holds to float64 with NaN for what is missing, or an error that names the row."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import did_you_mean
from ssmlang.model.model import Values

RowLabel = Callable[[int], str]


def to_numbers(raw: Any, column: str, label: RowLabel) -> np.ndarray:
    """A new float64 array of the same shape; None, NaN, NA and masked entries are NaN.

    Raises E404 for a value that is no number and E405 for an infinite one, with its row (`label` words it).
    """
    masked = np.ma.getmaskarray(raw) if isinstance(raw, np.ma.MaskedArray) else None
    array = _plain(raw, column)
    if array.dtype.kind in "fiub":
        numbers_ = np.array(array, dtype=np.float64, copy=True)
    elif array.dtype.kind in "OU":
        numbers_ = _from_objects(array, column, label)
    else:
        raise _no_number(column, _first_value(array, label), dtype=array.dtype)
    if masked is not None:
        numbers_[masked] = np.nan
    infinite = np.argwhere(np.isinf(numbers_))
    if len(infinite):
        raise SsmError(
            Diagnostic(
                "E405",
                f"`{column}` is infinite at {label(int(infinite[0][0])) if numbers_.ndim else 'a row'}",
                why=(f"{len(infinite)} values of it are",) if len(infinite) > 1 else (),
                help=("a missing value is NaN or an empty cell",),
            )
        )
    return numbers_


def to_codes(raw: Any, column: str, values: Values, label: RowLabel) -> np.ndarray:
    """Values of a discrete observation, as float64 with NaN for missing ones: positions on its axis, or the integers.

    On an axis with names both the names and the positions 0, 1, ... are taken; on a numbered axis the labels. Raises
    E406 for a value that is none of them, with its row.
    """
    array = _plain(raw, column)
    flat = array.ravel()
    missing = np.asarray(pd.isna(flat), dtype=bool)
    if isinstance(raw, np.ma.MaskedArray):
        missing |= np.ma.getmaskarray(raw).ravel()
    codes = np.full(flat.shape, np.nan)
    per_row = max(1, flat.size // max(1, array.shape[0])) if array.ndim else 1
    cache: dict[Any, float | None] = {}
    for i in np.flatnonzero(~missing):
        value = flat[i]
        if value not in cache:
            cache[value] = _code(value, values)
        code = cache[value]
        if code is None:
            raise _no_value(value, column, values, label(int(i) // per_row))
        codes[i] = code
    return codes.reshape(array.shape)


def _code(value: Any, values: Values) -> float | None:
    axis = values.axis
    if axis is not None and isinstance(value, str):
        text = value.strip()
        labels = [str(x) for x in axis.labels]
        return float(labels.index(text)) if text in labels else None
    if isinstance(value, str) or not isinstance(value, numbers.Real | np.number | np.bool_ | Decimal):
        return None
    number = float(value)
    if not np.isfinite(number) or number != np.rint(number):
        return None
    if axis is None:
        inside = (values.lower is None or number >= values.lower) and (values.upper is None or number <= values.upper)
        return number if inside else None
    position = number if axis.is_named else number - float(axis.labels[0])
    return position if 0 <= position < axis.size else None


def _plain(raw: Any, column: str) -> np.ndarray:
    if isinstance(raw, pd.Series | pd.Index):
        dtype = raw.dtype
        if isinstance(dtype, np.dtype):
            return raw.to_numpy()
        if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
            return raw.to_numpy(dtype=np.float64, na_value=np.nan)
        return raw.to_numpy(dtype=object)
    if isinstance(raw, np.ma.MaskedArray):
        raw = raw.data
    try:
        return np.asarray(raw)
    except ValueError:
        raise SsmError(
            Diagnostic(
                "E403",
                f"the rows of `{column}` differ in length",
                help=("every row has the same entries; one that is missing is NaN",),
            )
        ) from None


def _from_objects(array: np.ndarray, column: str, label: RowLabel) -> np.ndarray:
    numbers_ = np.empty(array.shape, np.float64)
    written: tuple[int, ...] | None = None  # a number as text: what made the column text is likely another value
    for at in np.ndindex(*array.shape):
        value = array[at]
        if value is None or value is pd.NA or value is pd.NaT:
            numbers_[at] = np.nan
        elif isinstance(value, numbers.Real | Decimal | np.number | np.bool_) and not isinstance(value, complex):
            try:
                numbers_[at] = float(value)
            except OverflowError:  # whole numbers have no bound in Python
                numbers_[at] = np.inf if value > 0 else -np.inf
        elif isinstance(value, str) and _reads_as_number(value):
            written = at if written is None else written
        else:
            raise _no_number(column, _seen(value, at, label), _text_mend(value))
    if written is not None:
        raise _no_number(column, _seen(array[written], written, label) + ", as text")
    return numbers_


def _seen(value: Any, at: tuple[int, ...], label: RowLabel) -> str:
    return f"{label(at[0]) if at else 'it'} holds `{str(value)[:40]}`"


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_mend(value: Any) -> str:
    """What to do about a text that is no number as it stands."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d[\d,.' ]*", value.strip()):
        return "write numbers with a point and without marks of thousands, as 1234.5"
    return "convert it first (`pandas.to_numeric`); a missing value is NaN or an empty cell"


def _first_value(array: np.ndarray, label: RowLabel) -> str:
    if not array.size:
        return "it is empty"
    return f"{label(0)} holds `{str(array.ravel()[0])[:40]}`"


def _no_number(column: str, seen: str, mend: str = "", dtype: Any = None) -> SsmError:
    return SsmError(
        Diagnostic(
            "E404",
            f"`{column}` is not a column of numbers",
            why=(seen,) if dtype is None else (f"its type is {dtype}", seen),
            help=(mend or _text_mend(None),),
        )
    )


def _no_value(value: Any, column: str, values: Values, row: str) -> SsmError:
    shown = str(value)[:40]
    if values.axis is not None:
        labels = [str(x) for x in values.axis.labels]
        allowed = f"its values are {', '.join(labels[:12])}{', ...' if len(labels) > 12 else ''}"
        guess = did_you_mean(shown, labels) if isinstance(value, str) else ""
    else:
        lower = "..." if values.lower is None else str(values.lower)
        upper = "..." if values.upper is None else str(values.upper)
        allowed, guess = f"its values are the integers {lower} to {upper}", ""
    return SsmError(
        Diagnostic(
            "E406", f"`{column}` cannot be `{shown}`, as at {row}", why=(allowed,), help=(guess,) if guess else ()
        )
    )
