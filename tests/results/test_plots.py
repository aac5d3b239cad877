"""Figures hold what they are given: every point, band, gap and date; and pyplot is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes

from ssmlang.data import TimeBase
from ssmlang.results.moments import Series, moments
from ssmlang.results.plots import plot_fit, plot_forecast
from ssmlang.results.style import FORECAST, MISSING, Plot

T, H = 30, 6


def dataset(start: str, rows: int, seed: int, obs: tuple[str, ...] = ("y",), zone: str | None = None) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    time = TimeBase(pd.date_range(start, periods=rows, freq="MS", tz=zone), pd.offsets.MonthBegin())
    m = len(obs)
    return moments(
        {
            "mean": rng.normal(size=(rows, 2)),
            "cov": np.eye(2)[None].repeat(rows, 0),
            "observed_mean": rng.normal(size=(rows, m)),
            "observed_cov": 4 * np.eye(m)[None].repeat(rows, 0),
        },
        states=["level", "slope"],
        observations=list(obs),
        time=time,
        definitions={"trend": Series(rng.normal(size=rows), sd=np.ones(rows)), "plain": Series(np.arange(float(rows)))},
    )


def observed(data: xr.Dataset, name: str = "y") -> xr.Dataset:
    values = np.arange(float(data.sizes["time"]))
    values[[3, 4]] = np.nan
    return xr.Dataset({name: ("time", values)}, {"time": data["time"]})


def lines(axes: Axes, label: str) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in axes.lines if line.get_label() == label]


def texts(figure: Plot) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def bands(axes: Axes) -> list[tuple[float, float]]:
    """The lowest and highest point of each band."""
    boxes = [c.get_paths()[0].get_extents() for c in axes.collections]
    return [(float(b.y0), float(b.y1)) for b in boxes]


def test_fit() -> None:
    smoothed, forecast = dataset("2020-01-01", T, 0), dataset("2022-07-01", H, 1)
    seen = observed(smoothed)
    figure = plot_fit(seen, smoothed, forecast, heading="a heading")
    assert texts(figure) == ["y", "trend", "plain"]
    main = figure.axes[0]
    np.testing.assert_array_equal(lines(main, "data")[0], seen["y"])
    np.testing.assert_array_equal(lines(main, "fit")[0], smoothed["observed_mean"].values[:, 0])
    (missing,) = (line for line in main.lines if line.get_label() == "missing")
    assert list(missing.get_xdata()) == list(smoothed["time"].values[[3, 4]]) and missing.get_color() == MISSING
    np.testing.assert_array_equal(lines(main, "forecast, 50% and 90%")[0], forecast["observed_mean"].values[:, 0])
    # the fit's band is 90 %: 1.645 standard deviations (of 2) to either side
    mean = smoothed["observed_mean"].values[:, 0]
    low, high = bands(main)[0]
    assert low == pytest.approx(mean.min() - 1.6449 * 2, abs=1e-3) and high == pytest.approx(
        mean.max() + 3.2897, abs=1e-3
    )
    assert len(bands(main)) == 3
    assert figure.get_suptitle() == "a heading"
    figure.canvas.draw()
    ticks = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert "2021" in ticks and "2022" in ticks


def test_quantiles_are_taken_where_there_are_some() -> None:
    forecast = dataset("2022-07-01", H, 1)
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles = np.broadcast_to(np.array([-50.0, -5.0, 0.0, 5.0, 60.0])[:, None, None], (5, H, 1))
    forecast = forecast.assign(observed_quantile=(("quantile", "time", "obs"), quantiles)).assign_coords(
        quantile=levels
    )
    figure = plot_forecast(forecast)
    assert [b for b in bands(figure.axes[0])] == [(-50.0, 60.0), (-5.0, 5.0)]


def test_forecast_shows_the_last_rows() -> None:
    smoothed, forecast = dataset("2020-01-01", T, 0), dataset("2022-07-01", H, 1)
    figure = plot_forecast(forecast, observed(smoothed), last=10)
    assert len(lines(figure.axes[0], "data")[0]) == 10
    fan = [line for line in figure.axes[0].lines if line.get_color() == FORECAST]
    assert len(fan) == 1 and len(bands(figure.axes[0])) == 2


def test_components() -> None:
    smoothed = dataset("2020-01-01", T, 0)
    smoothed["trend"] = ("time", smoothed["mean"].sel(state="level").values)
    with pytest.raises(ValueError, match="there are trend, plain, level, slope"):
        plot_fit(observed(smoothed), smoothed, components=["levl"])
    assert texts(plot_fit(observed(smoothed), smoothed, components=["slope"])) == ["y", "slope"]
    # What a part is made of stays inside; a state of the file's own stands beside it.
    parts = smoothed.assign_coords(state=["trend.level", "cycle"], state_=["trend.level", "cycle"])
    assert texts(plot_fit(observed(parts), parts)) == ["y", "trend", "plain", "cycle"]


def test_several_observations_and_an_axis() -> None:
    smoothed = dataset("2020-01-01", T, 0, ("y[east]", "y[north]"))
    seen = xr.Dataset({"y": (("time", "plane"), np.arange(2.0 * T).reshape(T, 2))},
                      {"time": smoothed["time"], "plane": ["east", "north"]})  # fmt: skip
    figure = plot_fit(seen, smoothed)
    assert texts(figure)[:2] == ["y[east]", "y[north]"]
    np.testing.assert_array_equal(lines(figure.axes[1], "data")[0], np.arange(1, 2 * T, 2))


def test_what_is_diffuse_has_no_band() -> None:
    smoothed = dataset("2020-01-01", T, 0)
    smoothed["observed_cov"][0, 0, 0] = np.inf
    figure = plot_fit(observed(smoothed), smoothed)
    assert all(np.isfinite(b).all() for b in bands(figure.axes[0]))
    figure.canvas.draw()


def test_zones_and_rows() -> None:
    zoned = dataset("2020-01-01", T, 0, zone="America/New_York")
    figure = plot_fit(observed(zoned), zoned)
    figure.canvas.draw()
    assert "2021" in [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    counted = zoned.assign_coords(time=np.arange(T))
    figure = plot_fit(observed(counted), counted)
    figure.canvas.draw()
    assert all(float(x).is_integer() for x in figure.axes[-1].get_xticks())


def test_pictures_and_settings(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    smoothed = dataset("2020-01-01", T, 0)
    figure = plot_fit(observed(smoothed), smoothed, dataset("2022-07-01", H, 1))
    assert figure._repr_png_().startswith(b"\x89PNG")
    for ending in ("png", "svg", "pdf"):
        figure.savefig(tmp_path / f"a.{ending}")
        assert (tmp_path / f"a.{ending}").stat().st_size > 5_000
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported() -> None:
    code = "import sys, ssmlang.results.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
