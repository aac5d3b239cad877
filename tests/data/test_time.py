"""Time bases: rows, integers, dates of every kind, their gaps, their faults, and what comes next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssmlang.data.binding import Bound, bind
from ssmlang.data.future import future_rows
from ssmlang.data.time import TimeBase
from ssmlang.language.diagnostics import SsmError
from tests.data.programs import DRIFT, LEVEL, NUMBERED, model


def one(text: str, data: Any, **how: Any) -> Bound:
    (bound,) = bind(model(text), data, **how)
    return bound


def series(index: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": np.arange(float(len(index)))}, index=index)


def code(text: str, data: Any) -> tuple[str, str]:
    with pytest.raises(SsmError) as caught:
        bind(model(text), data)
    return caught.value.diagnostics[0].code, str(caught.value)


@pytest.mark.parametrize(
    ("index", "after"),
    [
        (pd.date_range("2020-01-31", periods=6, freq="ME"), "2020-07-31"),
        (pd.date_range("2020-01-01", periods=5, freq="B"), "2020-01-08"),
        (pd.date_range("2020-01-01", periods=5, freq="15min"), "2020-01-01 01:15"),
        (pd.period_range("2020-01", periods=6, freq="M"), "2020-07-01"),
        (pd.period_range("2020Q1", periods=6, freq="Q"), "2021-07-01"),
    ],
)
def test_dates_go_on(index: Any, after: str) -> None:
    bound = one(LEVEL, series(index))
    assert bound.notes == () and bound.time.future(1).index[0] == pd.Timestamp(after)


def test_zones_are_kept_and_computed_in_utc() -> None:
    # A change of the clock lies between: days keep their midnight, hours their length.
    days = one(LEVEL, series(pd.date_range("2021-03-25", periods=5, freq="D", tz="Europe/Berlin"))).time
    assert days.zone == "Europe/Berlin"
    assert [t.hour for t in days.future(3).index] == [0, 0, 0]
    time = days.coordinate()
    assert time.attrs["timezone"] == "Europe/Berlin" and time.dtype == np.dtype("datetime64[ns]")
    assert time.values[0] == np.datetime64("2021-03-24T23:00") and time.values[-1] == np.datetime64("2021-03-28T22:00")
    again = TimeBase.from_coordinate(time)
    assert again.index.equals(days.index) and again.future(2).index.equals(days.future(2).index)
    hours = one(LEVEL, series(pd.date_range("2021-03-27 22:00", periods=6, freq="h", tz="Europe/Berlin"))).time
    assert hours.future(1).index[0] == pd.Timestamp("2021-03-28 05:00", tz="Europe/Berlin")


def test_offsets_in_text_become_utc(tmp_path: Any) -> None:
    path = tmp_path / "y.csv"
    path.write_text("date,y\n2021-03-27T12:00+01:00,1\n2021-03-28T12:00+02:00,2\n2021-03-29T11:00+02:00,3\n")
    assert one(LEVEL, path).time.zone == "UTC"


def test_gaps_become_missing_rows_and_are_said() -> None:
    whole = pd.date_range("2020-01-31", periods=12, freq="ME")
    bound = one(LEVEL, series(whole).drop(whole[[3, 7]]))
    assert bound.steps == 12 and list(np.flatnonzero(np.isnan(bound.observations["y"]))) == [3, 7]
    (note,) = bound.notes
    assert note.severity == "note" and "2 rows are absent" in note.message and "2020-04-30, 2020-08-31" in note.why[0]
    years = one(LEVEL, series([1871, 1872, 1874, 1875]))
    assert years.steps == 5 and years.time.label(2) == "row 2 (1873)" and years.time.future(1).index[0] == 1876


def test_an_axis_of_ones_own() -> None:
    counted = one(LEVEL, {"y": [1, 2, 3]}).time
    assert list(counted.future(2).index) == [3, 4] and counted.label(1) == "row 1"
    sliced = one(LEVEL, series(range(10)).iloc[4:]).time
    assert list(sliced.coordinate().values) == [4, 5, 6, 7, 8, 9] and list(sliced.future(1).index) == [10]
    words = one(LEVEL, series(["a", "b", "c"]))
    assert list(words.time.index) == [0, 1, 2] and "counted 0, 1, 2" in words.notes[0].message


def test_repeated_times() -> None:
    found, text = code(
        LEVEL, series(pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-02", "2020-01-02", "2020-01-01"]))
    )
    assert found == "E408" and "3 times are" in text
    assert "row 2 (2020-01-02), row 3 (2020-01-02), row 4 (2020-01-01) come again" in text
    found, text = code(LEVEL, series([1, 1, 2, 2, 3, 3, 4, 4]))
    assert "row 1 (1), row 3 (2), row 5 (3) and 1 more come again" in text


def test_unsorted_times() -> None:
    found, text = code(LEVEL, series(pd.DatetimeIndex(["2020-01-03", "2020-01-01", "2020-01-02"])))
    assert found == "E408" and "not sorted" in text and "row 1 (2020-01-01)" in text and "sort_index" in text


def test_irregular_times() -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-07", "2020-01-20", "2020-02-14"])
    found, text = code(LEVEL, series(days))
    assert found == "E409" and "resample" in text and "input dt" in text
    drift = one(DRIFT, series(days))
    assert drift.steps == 5 and drift.time.step is None
    with pytest.raises(SsmError) as caught:
        drift.time.future(2)
    assert caught.value.diagnostics[0].code == "E409"


def test_unreadable_times() -> None:
    assert code(LEVEL, {"y": [1, 2], "time": ["2020-01-01", "soon"]})[0] == "E411"
    found, text = code(LEVEL, {"y": [1, 2, 3], "time": pd.DatetimeIndex(["2020-01-01", None, "2020-01-03"])})
    assert found == "E411" and "row 1 is missing" in text
    zones = ["2020-03-28T00:00+01:00", "2020-03-29T00:00+01:00", "2020-03-30T00:00"]
    found, text = code(LEVEL, {"y": [1, 2, 3], "time": zones})
    assert found == "E411" and "row 2 is `2020-03-30T00:00`, without the zone that row 0 has" in text
    panel = pd.DataFrame({"y": [1.0, 2.0]}, index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    assert code(LEVEL, panel)[0] == "E411"
    found, text = code(LEVEL, pd.DataFrame({"date": ["2020-01-01"], "time": ["12:00"], "y": [1.0]}))
    assert found == "E411" and 'time="date"' in text


def test_future_rows_follow_the_data() -> None:
    program = model(NUMBERED)
    days = pd.date_range("2021-01-01", periods=8, freq="D")
    x = np.arange(8.0)
    whole = {"y": np.zeros((8, 3)), "x": x, "H": np.ones((8, 3, 2))}
    (history,) = bind(program, {k: v[:5] for k, v in whole.items()} | {"time": days[:5]})
    for future in (
        {k: v[5:] for k, v in whole.items() if k != "y"},  # rows without times follow on
        {k: v[5:] for k, v in whole.items() if k != "y"} | {"time": days[5:]},
        {k: v for k, v in whole.items() if k != "y"} | {"time": days},  # the history is there too
    ):
        rows = future_rows(program, history, 3, future)
        np.testing.assert_array_equal(rows.inputs["x"], x[5:])
        assert rows.time.index.equals(pd.DatetimeIndex(days[5:], freq=None)) and np.isnan(rows.observations["y"]).all()
    for future, words in (
        (None, "`x`, `H`"),
        ({"x": x[:2], "H": np.ones((2, 3, 2))}, "2 rows, and 3 rows"),
        ({"x": x[6:], "H": np.ones((2, 3, 2)), "time": days[6:]}, "no row for 2021-01-06"),
    ):
        with pytest.raises(SsmError) as caught:
            future_rows(program, history, 3, future)
        assert caught.value.diagnostics[0].code == "E412" and words in str(caught.value)


def test_future_of_irregular_times() -> None:
    program = model(DRIFT)
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-07", "2020-01-20", "2020-02-14"])
    (history,) = bind(program, series(days[:3]))
    rows = future_rows(program, history, 2, {"time": days[3:]})
    np.testing.assert_allclose(rows.inputs["dt"], [13, 25])
    assert rows.time.index.equals(days[3:])
    (regular,) = bind(program, series(pd.date_range("2020-01-01", periods=3, freq="D")))
    np.testing.assert_allclose(future_rows(program, regular, 2).inputs["dt"], [1, 1])


def test_forecast_dates_of_no_history_step() -> None:
    with pytest.raises(SsmError) as caught:
        one(LEVEL, series(pd.DatetimeIndex(["2020-01-01"]))).time.future(1)
    assert caught.value.diagnostics[0].code == "E409" and "one row" in str(caught.value)


def test_dates_beyond_nanoseconds() -> None:
    old = pd.DatetimeIndex(np.array(["1500-01-01", "1501-01-01", "1502-01-01"], "M8[s]"))
    time = one(LEVEL, series(old)).time
    assert str(time.future(1).index[0].date()) == "1503-01-01"
    if int(xr.__version__.partition(".")[0]) >= 2025:  # older ones know nanoseconds alone
        assert str(np.datetime64(time.coordinate().values[0], "Y")) == "1500"


def test_fiscal_quarters_stand_at_their_own_first_days() -> None:
    fiscal = pd.period_range("2000Q1", periods=4, freq="Q-MAR")
    bound = one(LEVEL, series(fiscal))
    assert bound.time.label(0) == "row 0 (1999-04-01)" and bound.time.future(1).index[0] == pd.Timestamp("2000-04-01")
    with pytest.raises(SsmError, match=r"no row for 2000-04-01(?s:.*)its rows are 2000-01-01 to 2000-04-02"):
        future_rows(model(LEVEL), bound, 2, series(pd.to_datetime(["2000-01-01", "2000-04-02"])))


def test_steps_given_for_the_coming_rows_are_their_times() -> None:
    program = model(DRIFT)
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-07"])
    (history,) = bind(program, series(days))
    assert list(future_rows(program, history, 2, {"dt": [0.5, 2]}).time.index) == list(
        pd.to_datetime(["2020-01-07 12:00", "2020-01-09 12:00"])
    )
    with pytest.raises(SsmError, match="E416"):
        future_rows(program, history, 2, {"dt": [1.0, -1.0]})
    (seconds,) = bind(program, series([0.0, 0.1, 0.25]))
    np.testing.assert_allclose(future_rows(program, seconds, 2, {"dt": [0.5, 2]}).time.index, [0.75, 2.75])
    (even,) = bind(program, series([0, 1, 2]))
    np.testing.assert_allclose(future_rows(program, even, 2, {"dt": [0.5, 2]}).time.index, [2.5, 4.5])
    (counted,) = bind(program, {"y": [1.0, 2.0], "dt": [np.nan, 0.3]})
    assert list(future_rows(program, counted, 2, {"dt": [0.5, 2]}).time.index) == [2, 3]
