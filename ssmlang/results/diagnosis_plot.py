"""The picture of a diagnosis: residuals over time, their law, their correlogram, and the cumulative sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest
from ssmlang.results import residual_tests as tests
from ssmlang.results.residual_tests import Cumulative
from ssmlang.results.style import DATA, FIT, FORECAST, PALE, Plot, date_axis, headline, quiet, title

if TYPE_CHECKING:
    from ssmlang.results.diagnosis import Diagnosis

MOST_LAGS = 24


def plot_diagnosis(diagnosis: Diagnosis, observation: str) -> Plot:
    """The figure for one observation's entry. Raises E451 for a name that is none."""
    known = diagnosis.observations
    if observation not in known:
        close = suggest(str(observation), known)
        help = (f"did you mean '{close}'?",) if close else (f"one of {', '.join(known)}",)
        raise SsmError(Diagnostic("E451", f"observation={observation!r} is none of the model's", help=help))
    e, time = diagnosis.standardized(observation), diagnosis.residuals["time"]
    figure = Plot(figsize=(9.0, 8.4), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(4, 6, height_ratios=[1.2, 1.2, 1, 1])
    panels = [grid[0, :], grid[1, :2], grid[1, 2:4], grid[1, 4:], grid[2, :], grid[3, :]]
    over_time, histogram, quantiles, correlogram, sums, squares = (figure.add_subplot(p) for p in panels)
    for axes in (over_time, histogram, quantiles, correlogram, sums, squares):
        quiet(axes)
    _over_time(over_time, e, time)
    if len(tests.there(e)):
        _histogram(histogram, tests.there(e))
        _quantiles(quantiles, tests.there(e))
    if len(tests.there(e)) >= tests.FEWEST:
        _correlogram(correlogram, e)
    _cumulative(sums, diagnosis.cusum(observation), time, "CUSUM with its 5 % bounds")
    _cumulative(squares, diagnosis.cusum_of_squares(observation), time, "CUSUM of squares with its 5 % bounds")
    headline(figure, f"{diagnosis.model}: standardized innovations of {observation}".removeprefix(": "))
    return figure


def _over_time(axes: Axes, e: np.ndarray, time: xr.DataArray) -> None:
    for bound in (-2, 2):
        axes.axhline(bound, color=FORECAST, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(0, color=DATA, linewidth=0.6)
    axes.plot(time.values, e, color=FIT, linewidth=0.9, marker="o", markersize=2.2 if len(e) <= 300 else 0)
    date_axis(axes, time)
    title(axes, "over time, with two standard deviations")


def _histogram(axes: Axes, x: np.ndarray) -> None:
    axes.hist(x, bins=min(max(8, round(np.sqrt(len(x)))), 40), density=True, color=FIT, alpha=0.35, edgecolor="white")
    at = np.linspace(min(x.min(), -3.5), max(x.max(), 3.5), 200)
    axes.plot(at, stats.norm.pdf(at), color=FORECAST, linewidth=1.2)
    title(axes, "histogram, and the normal law")


def _quantiles(axes: Axes, x: np.ndarray) -> None:
    wanted = stats.norm.ppf((np.arange(len(x)) + 0.5) / len(x))
    axes.plot(wanted, wanted, color=FORECAST, linewidth=1.0)
    axes.plot(wanted, np.sort(x), "o", color=FIT, markersize=2.4, markeredgewidth=0)
    title(axes, "quantiles against the normal law's")


def _correlogram(axes: Axes, e: np.ndarray) -> None:
    n = len(tests.there(e))
    r, pairs = tests.autocorrelations(e, max(1, min(MOST_LAGS, len(e) - 1, n // 2)))
    lags = np.arange(1, len(r) + 1)
    bound = 1.96 * np.sqrt(pairs / (n * (n + 2)))
    axes.fill_between(lags, -bound, bound, color=PALE, alpha=0.7, linewidth=0, step="mid")
    axes.vlines(lags, 0, r, color=FIT, linewidth=1.6)
    axes.axhline(0, color=DATA, linewidth=0.6)
    axes.set_ylim(-1.02 * max(np.abs(r).max(), 0.5), 1.02 * max(np.abs(r).max(), 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    title(axes, "autocorrelations by lag")


def _cumulative(axes: Axes, found: Cumulative, time: xr.DataArray, heading: str) -> None:
    at = time.values[found.rows]
    for bound in (found.lower, found.upper):
        axes.plot(at, bound, color=FORECAST, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.plot(at, found.path, color=FIT, linewidth=1.3)
    date_axis(axes, time)
    title(axes, heading)
