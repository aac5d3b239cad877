"""The step of a time index, its gaps, and the times that come next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssmlang.data.grid import describe_step, extend, find_grid, step_from_text, step_to_text

STEPS = ["ME", "MS", "BME", "BMS", "QS-FEB", "QE", "YS", "YE", "W-SAT", "2W-SUN", "D", "3D", "B", "h", "15min", "36h"]
WORDS = {"ME": "month", "QS-FEB": "3 months", "YS": "year", "W-SAT": "week", "D": "day", "B": "business day",
         "15min": "15 minutes", "36h": "36 hours"}  # fmt: skip


def bare(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The index as it comes out of a file: no frequency on it."""
    return pd.DatetimeIndex(index, freq=None)


@pytest.mark.parametrize("freq", STEPS)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/New_York"])
def test_step_found_and_extended(freq: str, zone: str | None) -> None:
    whole = pd.date_range("2019-11-01", periods=60, freq=freq, tz=zone)
    grid = find_grid(bare(whole[:40]))
    assert grid is not None and grid.gaps == 0
    assert extend(grid.index, grid.step, 20).equals(bare(whole[40:]))
    if freq in WORDS:
        assert describe_step(grid.step) == WORDS[freq]
    again = step_from_text(step_to_text(grid.step), dates=True)
    assert extend(grid.index, again, 20).equals(bare(whole[40:]))


@pytest.mark.parametrize("freq", STEPS)
def test_gaps_are_put_back(freq: str) -> None:
    whole = pd.date_range("2020-01-01", periods=40, freq=freq)
    absent = [3, 4, 17, 30]
    grid = find_grid(bare(whole.delete(absent)))
    assert grid is not None and grid.gaps == 4
    assert grid.index.equals(bare(whole))
    assert sorted(set(range(40)) - set(grid.rows)) == absent


def test_frequency_on_the_index_is_believed() -> None:
    index = pd.date_range("2020-01-06", periods=4, freq="B")  # Monday to Thursday: days or business days
    grid = find_grid(index)
    assert grid is not None
    assert extend(grid.index, grid.step, 2)[-1] == pd.Timestamp("2020-01-13")


def test_same_day_of_each_month() -> None:
    grid = find_grid(pd.DatetimeIndex(["2020-01-15", "2020-02-15", "2020-04-15", "2020-05-15"]))
    assert grid is not None and grid.gaps == 1
    assert extend(grid.index, grid.step, 1)[0] == pd.Timestamp("2020-06-15")


def test_numbers() -> None:
    years = find_grid(pd.Index([1871, 1872, 1874, 1875]))
    assert years is not None and years.gaps == 1 and years.step == 1
    tens = find_grid(pd.Index([10, 20, 30]))
    assert tens is not None and list(extend(tens.index, tens.step, 2)) == [40, 50]
    decimal = find_grid(pd.Index(np.round(1958 + np.arange(30) / 12, 2)))
    assert decimal is not None and decimal.step == pytest.approx(1 / 12, rel=1e-2)


def test_no_grid() -> None:
    rng = np.random.default_rng(1)
    scattered = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.sort(rng.uniform(0, 1e6, 50)), unit="s")
    assert find_grid(pd.DatetimeIndex(scattered)) is None
    assert find_grid(pd.Index(np.sort(rng.uniform(0, 10, 50)))) is None
    assert find_grid(pd.Index([1, 2, 10_000_000])) is None
    assert find_grid(pd.DatetimeIndex(["2020-01-01"])) is None


@pytest.mark.filterwarnings("error")
def test_no_warning_of_pandas() -> None:
    for freq in STEPS:
        grid = find_grid(bare(pd.date_range("2020-01-01", periods=9, freq=freq)))
        assert grid is not None
        describe_step(grid.step)
