"""Pictures of results, written by their file's ending."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssmlang.cli.files import writing
from ssmlang.typed import Usage

if TYPE_CHECKING:
    import xarray as xr

    from ssmlang.compiled import Model


def observed(model: Model, data: Any, time: Any = None) -> xr.Dataset:
    """The observations of one data set by name, on its times."""
    import xarray as xr

    from ssmlang.results.labels import series

    (bound,) = model.bind(data, time=time)
    found = {
        name: series(name, bound.observations[name], variable.shape, variable.axes)
        for name, variable in model.spec.observations.items()
    }
    return xr.Dataset(found).assign_coords(time=bound.time.coordinate())


def draw_forecast(forecast: xr.Dataset, seen: xr.Dataset, path: str | Path) -> None:
    """Draw a forecast after the data."""
    from ssmlang.results.plots import plot_forecast

    save_figure(plot_forecast(forecast, seen, heading=str(forecast.attrs.get("model", ""))), path)


def check_picture(path: str | Path | None, option: str = "--plot", others: tuple[str, ...] = ()) -> None:
    """Raise Usage for an ending that no picture has, nor any of the `others`, before any work is done."""
    if path is None:
        return
    from matplotlib.backend_bases import FigureCanvasBase

    known = sorted(FigureCanvasBase.filetypes)
    if Path(path).suffix.lstrip(".") not in known:
        endings = ", ".join(["." + ending for ending in known] + list(others))
        raise Usage(f"{option} {path}: the ending is one of {endings}")


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure; the ending chooses the format."""
    with writing(path):
        figure.savefig(path, dpi=150)
