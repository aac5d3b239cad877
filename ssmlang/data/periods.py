"""Periods and dates as statistical offices and programs write them: `1959Q1`, `1959M01`, `2020-W01`, `20200131`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

_FORMS = {
    "quarter": (r"(?P<year>\d{4})[-: ]?Q(?P<part>[1-4])", r"Q(?P<part>[1-4])[-/ ]?(?P<year>\d{4})",
                r"(?P<year>\d{4}):(?P<part>[1-4])"),
    "month": (r"(?P<year>\d{4})[-: ]?M(?P<part>0?[1-9]|1[0-2])", r"(?P<year>\d{4}):(?P<part>0[1-9]|1[0-2])"),
    "week": (r"(?P<year>\d{4})-?W(?P<part>0[1-9]|[1-4]\d|5[0-3])",),
}  # fmt: skip
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_NAME = r"(?P<name>[a-z]{3,9})\.?"
_NAMED = (
    rf"{_NAME}[-/ ]?(?P<year>\d{{4}})", rf"(?P<year>\d{{4}})[-/: ]?{_NAME}",
    rf"(?P<day>\d{{1,2}})[-/. ]{{1,2}}{_NAME}[-/, ]{{1,2}}(?P<year>\d{{4}})",
    rf"{_NAME} (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})",
)  # fmt: skip
_SPAN = re.compile(r"(\d{4}-\d{2}-\d{2}[T \d:.]*)/\d{4}-\d{2}-\d{2}[T \d:.]*")


def read_periods(texts: Iterable[object]) -> list[str] | None:
    """The first day of each period as an ISO date, or None where not all are periods of one form.

    Quarters: `1959Q1`, `1959-Q1`, `1959:Q1`, `Q1 1959`, `1959:1`; months: `1959M01`, `1959m1`, `1959:01` (`1959-01` is
    a date of ISO 8601 already); weeks: `2020-W01`, `2020W01`, from their Monday; months and days by an
    English name: `Jan 2020`, `2020 JAN`, `5-Jan-2020`; any period as pandas writes those that are no calendar unit, by
    its first and last day: `2020-01-06/2020-01-12`. Quarters are those of the calendar year.
    """
    given = [text.strip() if isinstance(text, str) else "" for text in texts]
    if not given or "" in given:
        return None
    spans = [_SPAN.fullmatch(text) for text in given]
    if all(spans):
        return [span[1].strip() for span in spans if span]
    for unit, forms in _FORMS.items():
        for form in forms:
            found = [re.fullmatch(form, text, re.IGNORECASE) for text in given]
            if all(found):
                try:
                    return [_first_day(unit, int(m["year"]), int(m["part"])) for m in found if m]
                except ValueError:  # a week 53 of a year that has 52
                    return None
    for form in _NAMED:
        found = [re.fullmatch(form, text, re.IGNORECASE) for text in given]
        if all(found):
            dates = [_of_named(m.groupdict()) for m in found if m]
            return None if None in dates else [d for d in dates if d is not None]
    return None


def _of_named(parts: dict[str, str]) -> str | None:
    """The ISO date of a year, the name of a month, or its beginning, and a day, the first if there is none."""
    name = parts["name"].casefold()
    month = next((i for i, full in enumerate(_MONTHS, 1) if full.startswith(name)), None)
    return None if month is None else f"{parts['year']}-{month:02d}-{int(parts.get('day') or 1):02d}"


def read_calendar_numbers(numbers: np.ndarray) -> pd.DatetimeIndex | None:
    """Whole numbers that are dates written without dashes, as dates: `20200131`, `202001`; None for other numbers.

    Months only where they go on into another year, in which 202101 follows 202012: else they may count rows.
    """
    days = bool(len(numbers)) and bool(((numbers >= 1600_01_01) & (numbers <= 2299_12_31)).all())
    months = len(numbers) > 2 and bool(((numbers >= 1600_01) & (numbers <= 2299_12)).all())
    if months and (len(set(numbers // 100)) < 2 or not np.isin(numbers % 100, np.arange(1, 13)).all()):
        return None
    if not (days or months):
        return None
    texts = pd.Series(numbers if days else numbers * 100 + 1).astype(str)
    read = pd.to_datetime(texts, format="%Y%m%d", errors="coerce")
    return None if read.isna().any() else pd.DatetimeIndex(read.array)


def _first_day(unit: str, year: int, part: int) -> str:
    if unit == "week":
        return pd.Timestamp.fromisocalendar(year, part, 1).date().isoformat()
    return f"{year:04d}-{3 * part - 2 if unit == 'quarter' else part:02d}-01"
