"""How our figures look: one palette, quiet axes, readable dates. No global setting of matplotlib is read or changed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Wong (2011), Nature Methods 8, 441: told apart by the colour-blind.
DATA, FIT, FORECAST, MISSING = "#3b3f46", "#0072b2", "#d55e00", "#b3006b"
COMPONENTS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#d55e00")
INK, PALE = "#3b3f46", "#d9dce1"


class Plot(Figure):
    """A matplotlib Figure of no pyplot session, which shows itself in a notebook and saves itself anywhere."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=110)
        return out.getvalue()


def new_figure(heights: Sequence[float], width: float = 8.0) -> tuple[Plot, list[Axes]]:
    """A white figure of panels below each other that share their times, `heights` and `width` in inches."""
    figure = Plot(figsize=(width, sum(heights) + 0.5), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=list(heights))
    axes: list[Axes] = []
    for row in range(len(heights)):
        axes.append(figure.add_subplot(grid[row], sharex=axes[0] if axes else None))
        quiet(axes[-1])
    for above in axes[:-1]:
        above.tick_params(labelbottom=False)
    return figure, axes


def quiet(axes: Axes) -> None:
    """Thin, pale axes that leave the eye to the data."""
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(PALE)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=3, color=PALE)
    axes.yaxis.set_major_locator(MaxNLocator(5, prune=None))
    axes.margins(x=0.01, y=0.08)


def title(axes: Axes, text: str, size: float = 10.5) -> None:
    """A heading above the left edge of a panel."""
    axes.set_title(text, loc="left", fontsize=size, color=INK, fontfamily="sans-serif")


def headline(figure: Figure, text: str) -> None:
    """A line over the whole figure."""
    if text:
        figure.suptitle(text, x=0.01, ha="left", fontsize=12, color=INK)


def date_axis(axes: Axes, time: xr.DataArray) -> None:
    """Readable dates, on the clock of the data's own zone; whole numbers for rows and years."""
    if time.dtype.kind == "M":
        zone = _zone(time.attrs.get("timezone"))
        locator = AutoDateLocator(minticks=5, maxticks=10, tz=zone)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    else:
        whole = bool(np.issubdtype(time.dtype, np.integer))
        axes.xaxis.set_major_locator(MaxNLocator(9, integer=whole))


def _zone(name: str | None) -> Any:
    if name is None:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # a fixed offset such as UTC+02:00
        return None


def legend(axes: Axes) -> None:
    """The labelled things of a panel, in one line above its right edge."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(handles),
            frameon=False,
            fontsize=8.5,
            labelcolor=INK,
            handlelength=1.4,
            columnspacing=1.2,
            borderaxespad=0.1,
        )
