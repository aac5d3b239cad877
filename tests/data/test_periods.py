"""Periods as text, and an index that a CSV file holds as its first column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssmlang.data.binding import bind
from ssmlang.data.periods import read_periods
from ssmlang.language.diagnostics import SsmError
from tests.data.programs import LEVEL, model


def frame(index: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": np.arange(float(len(index)))}, index=index)


@pytest.mark.parametrize("freq", ["Y", "Q", "2Q", "M", "3M", "W", "W-WED", "D", "h", "min", "s"])
@pytest.mark.parametrize("header", [None, "date"])
def test_every_period_of_pandas_is_the_same_time_in_memory_and_in_a_file(
    freq: str, header: str | None, tmp_path: Path
) -> None:
    table = frame(pd.period_range("2020-01-06", periods=6, freq=freq)).rename_axis(header)
    table.to_csv(tmp_path / "y.csv")
    (here,) = bind(model(LEVEL), table)
    (there,) = bind(model(LEVEL), str(tmp_path / "y.csv"))
    assert here.time.index[0] == table.index[0].start_time
    if freq == "Y":  # a file holds years as numbers
        assert list(there.time.future(2).index) == [2026, 2027]
    else:
        assert there.time.index.equals(here.time.index)
        assert there.time.future(3).index.equals(here.time.future(3).index)
    assert [n.code for n in there.notes] == (["N411"] if header is None else [])


@pytest.mark.parametrize(
    ("texts", "starts"),
    [
        (["1959Q4", "1960Q1"], ["1959-10-01", "1960-01-01"]),
        (["1959-q4", "1960-q1"], ["1959-10-01", "1960-01-01"]),
        (["Q4 1959", "Q1 1960"], ["1959-10-01", "1960-01-01"]),
        (["1959:4", "1960:1"], ["1959-10-01", "1960-01-01"]),
        (["1959:12", "1960:01"], ["1959-12-01", "1960-01-01"]),
        (["1959m9", "1959m10"], ["1959-09-01", "1959-10-01"]),
        (["2020-W53", "2021-W01"], ["2020-12-28", "2021-01-04"]),
        (["2020-01-06/2020-01-12"], ["2020-01-06"]),
        (["Dec 2019", "Jan 2020"], ["2019-12-01", "2020-01-01"]),
        (["2019 DEC", "2020 JAN"], ["2019-12-01", "2020-01-01"]),
        (["SEPT-2019", "October-2019"], ["2019-09-01", "2019-10-01"]),
        (["5-Jan-2020", "12-Feb-2020"], ["2020-01-05", "2020-02-12"]),
        (["May 31, 2020", "June 1, 2020"], ["2020-05-31", "2020-06-01"]),
        (["2021-W53"], None),
        (["Mai 2020"], None),
        (["Room 2020", "Jan 2020"], None),
        (["1959Q4", "1960"], None),
        (["1959Q5"], None),
        ([], None),
    ],
)
def test_periods_of_other_programs(texts: list[str], starts: list[str] | None) -> None:
    assert read_periods(texts) == starts


def test_what_was_made_of_the_first_column_is_said(tmp_path: Path) -> None:
    path = tmp_path / "y.csv"

    def note(index: Any, header: str | None = None) -> str:
        frame(index).rename_axis(header).to_csv(path)
        (bound,) = bind(model(LEVEL), path)
        return " ".join(f"{n.message} {n.help}" for n in bound.notes)

    assert "read as time: 1959-01-01 to 1959-07-01" in note(["1959Q1", "1959Q2", "1959Q3"])
    assert note(range(3)) == ""
    assert "which has no name, is no time" in note(["a", "b", "c"])
    assert "--time quarter" in note(["1959Q1", "1959Q2", "1959Q3"], "quarter")
    assert note(["a", "b", "c"], "name") == ""
    assert note([1, 2, 3], "age") == ""


def test_a_table_of_another_library_has_its_first_column_too() -> None:
    polars = pytest.importorskip("polars")
    (bound,) = bind(model(LEVEL), polars.DataFrame({"": ["1959Q1", "1959Q2"], "y": [1.0, 2.0]}))
    assert bound.time.index[1] == pd.Timestamp("1959-04-01") and bound.notes[0].code == "N411"


def test_what_can_be_read_is_said_where_a_time_cannot() -> None:
    with pytest.raises(SsmError, match="2024Q1"):
        bind(model(LEVEL), {"y": [1.0, 2.0], "date": ["1st week", "2nd week"]})
    with pytest.raises(SsmError, match="dayfirst"):  # nothing says which number is the day
        bind(model(LEVEL), {"y": [1.0, 2.0], "date": ["01/02/2020", "01/03/2020"]})
