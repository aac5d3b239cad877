"""Figures of a fit, a forecast and their components, drawn from xarray Datasets alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from ssmlang.results.containers import INTERVAL
from ssmlang.results.moments import standard_deviation
from ssmlang.results.style import (
    COMPONENTS,
    DATA,
    FIT,
    FORECAST,
    INK,
    MISSING,
    Plot,
    date_axis,
    headline,
    legend,
    new_figure,
    title,
)

FAN = (0.5, 0.9)
"""Probabilities of the bands of a forecast."""
MOST_PANELS = 8


def plot_fit(
    observed: xr.Dataset,
    smoothed: xr.Dataset,
    forecast: xr.Dataset | None = None,
    *,
    components: Sequence[str] | None = None,
    prob: float = INTERVAL,
    heading: str = "",
) -> Plot:
    """Data, fitted signal with its band, forecast fan, and the components in panels below.

    `observed`: the observations by name (time, ...), NaN where missing. `smoothed`, `forecast`: as `smooth` and
    `forecast` give them. `components`: names of definitions or states; left out, the definitions that are series, or
    else the states where there are others than the signal. One panel for each observation, the first eight.
    """
    entries = [str(o) for o in smoothed["obs"].values][:MOST_PANELS]
    names = _component_names(smoothed) if components is None else list(components)
    names = names[:MOST_PANELS]
    main = 3.0 if len(entries) == 1 else 1.9
    figure, axes = new_figure([main] * len(entries) + [1.3] * len(names))
    seen = _flat(observed)
    for panel, entry in zip(axes, entries):
        _signal(panel, smoothed, entry, prob, seen.get(entry))
        if forecast is not None:
            _fan(panel, forecast, entry, smoothed["observed_mean"].sel(obs=entry))
        title(panel, entry, 11)
    legend(axes[0])
    for number, (panel, name) in enumerate(zip(axes[len(entries) :], names)):
        _component(panel, smoothed, name, COMPONENTS[number % len(COMPONENTS)], prob, forecast)
    headline(figure, heading)
    date_axis(axes[-1], smoothed["time"])
    return figure


def plot_forecast(
    forecast: xr.Dataset, observed: xr.Dataset | None = None, *, last: int | None = None, heading: str = ""
) -> Plot:
    """The forecast fan of each observation after the data, of which the `last` rows are shown.

    Left out, `last` is four times the forecast's length, at least 24.
    """
    entries = [str(o) for o in forecast["obs"].values][:MOST_PANELS]
    figure, axes = new_figure([3.0 if len(entries) == 1 else 1.9] * len(entries))
    seen = {} if observed is None else _flat(observed)
    rows = max(24, 4 * forecast.sizes["time"]) if last is None else last
    for panel, entry in zip(axes, entries):
        if entry in seen:
            _data(panel, seen[entry].isel(time=slice(-rows, None)))
        _fan(panel, forecast, entry, None)
        title(panel, entry, 11)
    legend(axes[0])
    headline(figure, heading)
    date_axis(axes[-1], forecast["time"])
    return figure


# ---------------------------------------------------------------------------------------------------- what is drawn


def _signal(axes: Axes, smoothed: xr.Dataset, entry: str, prob: float, seen: xr.DataArray | None) -> None:
    mean = smoothed["observed_mean"].sel(obs=entry)
    sd = standard_deviation(smoothed, "observed_").sel(obs=entry)
    if seen is not None:
        _data(axes, seen)
    axes.plot(mean["time"].values, mean.values, color=FIT, linewidth=1.6, label="fit", zorder=3)
    _band(axes, mean, sd, prob, FIT, 0.22, label=f"{prob:.0%}")


def _data(axes: Axes, seen: xr.DataArray) -> None:
    size = 3.2 if seen.sizes["time"] <= 250 else 1.6
    line = {"linewidth": 0.7, "color": DATA, "alpha": 0.35} if seen.sizes["time"] <= 600 else {"linewidth": 0}
    axes.plot(seen["time"].values, seen.values, zorder=1, **line)  # type: ignore[arg-type]
    axes.plot(
        seen["time"].values, seen.values, "o", color=DATA, markersize=size, markeredgewidth=0, zorder=2, label="data"
    )
    absent = seen["time"].values[np.isnan(seen.values)]
    if len(absent):
        axes.plot(
            absent,
            np.full(len(absent), 0.015),
            "|",
            color=MISSING,
            markersize=6,
            markeredgewidth=0.9,
            transform=axes.get_xaxis_transform(),
            label="missing",
            zorder=4,
        )


def _fan(axes: Axes, forecast: xr.Dataset, entry: str, before: xr.DataArray | None) -> None:
    mean = forecast["observed_mean"].sel(obs=entry)
    if "observed_quantile" in forecast:
        quantiles = forecast["observed_quantile"].sel(obs=entry)
        for prob, alpha in zip(FAN[::-1], (0.18, 0.28)):
            low, high = (quantiles.sel(quantile=q, method="nearest") for q in ((1 - prob) / 2, (1 + prob) / 2))
            axes.fill_between(_times(mean), low.values, high.values, color=FORECAST, alpha=alpha, linewidth=0, zorder=2)
    else:
        sd = standard_deviation(forecast, "observed_").sel(obs=entry)
        for prob, alpha in zip(FAN[::-1], (0.18, 0.28)):
            _band(axes, mean, sd, prob, FORECAST, alpha)
    times, values = _times(mean), mean.values
    if before is not None and before.sizes["time"]:
        axes.plot(
            np.concatenate([before["time"].values[-1:], times[:1]]),
            np.concatenate([before.values[-1:], values[:1]]),
            color=FORECAST,
            linewidth=1.2,
            alpha=0.6,
            zorder=3,
        )
        axes.axvline(before["time"].values[-1], color=INK, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
    marker = "o" if len(times) == 1 else ""
    label = f"forecast, {FAN[0]:.0%} and {FAN[1]:.0%}"
    axes.plot(times, values, color=FORECAST, linewidth=1.6, marker=marker, markersize=4, label=label, zorder=3)


def _component(
    axes: Axes, moments: xr.Dataset, name: str, colour: str, prob: float, forecast: xr.Dataset | None
) -> None:
    mean, sd = _component_moments(moments, name)
    axes.plot(_times(mean), mean.values, color=colour, linewidth=1.3)
    if sd is not None:
        _band(axes, mean, sd, prob, colour, 0.2)
    if forecast is not None and _has(forecast, name):
        mean, sd = _component_moments(forecast, name)
        axes.plot(_times(mean), mean.values, color=FORECAST, linewidth=1.3)
        if sd is not None:
            _band(axes, mean, sd, prob, FORECAST, 0.2)
    title(axes, name, 10)


def _band(
    axes: Axes, mean: xr.DataArray, sd: xr.DataArray, prob: float, colour: str, alpha: float, label: str = ""
) -> None:
    # What is still diffuse has an infinite variance: no band is drawn there.
    half = NormalDist().inv_cdf((1 + prob) / 2) * np.where(np.isfinite(sd.values), sd.values, np.nan)
    axes.fill_between(
        _times(mean),
        mean.values - half,
        mean.values + half,
        color=colour,
        alpha=alpha,
        linewidth=0,
        label=label or None,
        zorder=2,
    )


def _times(array: xr.DataArray) -> np.ndarray:
    return array["time"].values


# ------------------------------------------------------------------------------------------------ what there is

_MOMENTS = {"mean", "cov", "sd", "predicted_mean", "predicted_cov", "predicted_sd", "observed_mean", "observed_cov",
            "observed_sd", "observed_quantile", "log_likelihood", "ess"}  # fmt: skip


def _flat(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Every entry of every variable over time under its own name: `y`, `fix[east]`."""
    out: dict[str, xr.DataArray] = {}
    for name, array in data.data_vars.items():
        if "time" not in array.dims or array.dtype.kind not in "fiub" or "path" in array.dims:
            continue
        array = array.transpose("time", ...)
        for at in np.ndindex(*array.shape[1:]):
            labels = [str(array[d].values[i]) if d in array.coords else str(i) for d, i in zip(array.dims[1:], at)]
            entry = f"{name}[{','.join(labels)}]" if labels else str(name)
            out[entry] = xr.DataArray(array.values[(slice(None), *at)], dims="time", coords={"time": array["time"]})
    return out


def _definition_names(moments: xr.Dataset) -> list[str]:
    flat = _flat(moments.drop_vars([n for n in moments.data_vars if n in _MOMENTS]))
    of = {e: e.partition("[")[0] for e in flat}
    return [e for e, name in of.items() if not (name.endswith("_sd") and name[:-3] in moments)]


def _states(moments: xr.Dataset) -> list[str]:
    return [str(s) for s in moments["state"].values] if "state" in moments.coords else []


def _distinct(moments: xr.Dataset) -> list[str]:
    """The definitions, and the states that none of them equals."""
    definitions = _definition_names(moments)
    flat = _flat(moments)
    same = lambda state, name: np.allclose(
        moments["mean"].sel(state=state).values, flat[name].values, rtol=1e-9, atol=0, equal_nan=True
    )
    return definitions + [s for s in _states(moments) if not any(same(s, d) for d in definitions)]


def _component_names(smoothed: xr.Dataset) -> list[str]:
    """Definitions, parts among them, and beside parts the states that are in none; without any definition the states,
    unless the one state is itself the signal."""
    definitions, states = _definition_names(smoothed), _states(smoothed)
    if any("." in state for state in states):
        definitions = [n for n in _distinct(smoothed) if n in definitions or "." not in n]
    if definitions or len(states) != 1:
        return definitions or states
    same = np.allclose(smoothed["mean"].values, smoothed["observed_mean"].values, equal_nan=True)
    return [] if smoothed.sizes["obs"] == 1 and same else states


def _has(moments: xr.Dataset, name: str) -> bool:
    return name in _states(moments) or name in _definition_names(moments)


def _component_moments(moments: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray | None]:
    definitions = _flat(moments)
    if name in definitions:
        head, bracket, rest = name.partition("[")
        return definitions[name], definitions.get(f"{head}_sd{bracket}{rest}")
    if name in _states(moments):
        return moments["mean"].sel(state=name), standard_deviation(moments).sel(state=name)
    raise ValueError(
        f"there is no component {name!r}; there are {', '.join(_definition_names(moments) + _states(moments))}"
    )


def save_figure(figure: Any, path: Any) -> None:
    """Write a figure to a file by its ending (PNG, SVG, PDF), the same bytes each time. Raises E705."""
    from pathlib import Path

    from ssmlang.language.diagnostics import Diagnostic, SsmError

    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(Path(path).suffix.lower())
    try:
        figure.savefig(path, dpi=150, metadata=metadata)
    except (OSError, ValueError) as error:
        raise SsmError(Diagnostic("E705", f"`{path}` cannot be written", why=(str(error)[:200],))) from None
