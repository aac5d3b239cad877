"""The weights of an estimate, and their picture over the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ssmlang.results.style import COMPONENTS, INK, PALE, Plot, date_axis, headline, legend, new_figure, title

MOST_PANELS = 8


@dataclass(frozen=True)
class Weights:
    """What an estimate makes of each observation: estimate = a constant + sum of weight * (y - its mean).

    `data`: `weight` (time, obs), `dual` (time, state), the dual state that runs backward from the row estimated, and
    `momentum` (time, state), the covariance of each state with the error; in `attrs` what is estimated (`of`, `row`,
    `given`), the `estimate`, its `variance`, the `iterations` it took and a bound of the `excess` of the variance.
    """

    data: xr.Dataset

    @property
    def estimate(self) -> float:
        return float(self.data.attrs["estimate"])

    @property
    def variance(self) -> float:
        return float(self.data.attrs["variance"])

    def plot(self, *, last: int | None = None) -> Plot:
        """The weights over the rows, of which the `last` are shown; see `plot_weights`."""
        return plot_weights(self.data, last=last)

    def __repr__(self) -> str:
        a = self.data.attrs
        used = int(np.count_nonzero(self.data["weight"].values))
        return f"<weights of {used} observations in {a['of']} at row {a['row']}: {a['estimate']:.6g}>"

    def _repr_html_(self) -> str:
        return str(self.data._repr_html_())


def plot_weights(found: xr.Dataset, *, last: int | None = None) -> Plot:
    """Stems of the weights, one panel for each observation, and the dual state below; Figure 3 of the duality paper."""
    rows = slice(None) if last is None else slice(-last, None)
    shown, attrs = found.isel(time=rows), found.attrs
    entries = [str(o) for o in found["obs"].values][:MOST_PANELS]
    figure, axes = new_figure([2.2] * len(entries) + [1.6])
    time = shown["time"].values
    for number, (panel, entry) in enumerate(zip(axes, entries)):
        values = shown["weight"].sel(obs=entry).values
        colour = COMPONENTS[number % len(COMPONENTS)]
        panel.axhline(0.0, color=PALE, linewidth=1.0)
        panel.vlines(time, 0.0, values, color=colour, linewidth=1.2)
        panel.plot(time, values, "o", color=colour, markersize=3.0, label="weight")
        title(panel, f"weight of {entry}")
    below = axes[-1]
    below.axhline(0.0, color=PALE, linewidth=1.0)
    for number, state in enumerate(str(s) for s in found["state"].values[: len(COMPONENTS)]):
        below.plot(time, shown["dual"].sel(state=state).values, color=COMPONENTS[number], linewidth=1.2, label=state)
    title(below, "dual state")
    legend(below)
    row = found["time"].values[attrs["row"]]
    for panel in axes:
        panel.axvline(row, color=INK, linewidth=0.8, linestyle=":")
    rows_used = {"past": "the rows before", "present": "the rows up to it", "all": "all rows"}[attrs["given"]]
    headline(figure, f"{attrs['of']} at row {attrs['row']} from {rows_used}")
    date_axis(axes[-1], shown["time"])
    return figure
