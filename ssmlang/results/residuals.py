"""Innovations and smoothed noises as an xarray Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from ssmlang.data.time import TimeBase
from ssmlang.results.provenance import plain

ZERO = 1e-12
"""A variance below this share of what it was before the row's other entries were known is zero."""


class Innovations(NamedTuple):
    """What was seen less what was expected, and how far it could be expected to be off."""

    innovation: Float[np.ndarray, "T m"]
    sd: Float[np.ndarray, "T m"]
    standardized: Float[np.ndarray, "T m"]


def standardized(
    y: Float[np.ndarray, "T m"], mean: Float[np.ndarray, "T m"], cov: Float[np.ndarray, "T m *m"]
) -> Innovations:
    """Innovations from the law of each row one step ahead.

    Within a row the entries are taken in one after the other, in the order of the file: `standardized` is L^-1 v with
    L the lower Cholesky factor of the covariance of the entries that were seen. NaN where y is missing, where the
    entry's prediction still has infinite variance, and where it was certain beforehand. Where `cov` is (T, m), the sds
    alone, each entry is divided by its own.
    """
    total = np.diagonal(cov, axis1=1, axis2=2) if cov.ndim == 3 else cov**2
    seen = ~np.isnan(y) & np.isfinite(total) & ~np.isnan(mean)
    innovation = np.where(seen, y - mean, np.nan)
    if cov.ndim == 2:
        own = np.where(seen & (cov > 0), innovation / np.where(cov > 0, cov, 1.0), np.nan)
        return Innovations(innovation, cov, own)
    v = np.where(seen, y - mean, 0.0)
    C = np.where(np.isfinite(cov), cov, 0.0)
    out = np.full(y.shape, np.nan)
    for j in range(y.shape[1]):
        variance = C[:, j, j]
        informs = seen[:, j] & (variance > ZERO * np.where(np.isfinite(total[:, j]), total[:, j], 1.0))
        safe = np.where(informs, variance, 1.0)
        out[:, j] = np.where(informs, v[:, j] / np.sqrt(safe), np.nan)
        gain = np.where(informs[:, None], C[:, :, j] / safe[:, None], 0.0)
        v = v - gain * v[:, j : j + 1]
        C = C - gain[:, :, None] * C[:, j, None, :]
    return Innovations(innovation, np.sqrt(np.maximum(total, 0.0)), out)


def residuals(
    innovations: Innovations,
    smoothed: Any = None,
    *,
    observations: Sequence[str],
    noises: Sequence[str] = (),
    time: TimeBase,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """`innovation`, `innovation_sd`, `standardized` (time, obs); `noise`, `noise_sd`, `auxiliary` (time, noise).

    `smoothed`: anything with `mean`, `sd` and `auxiliary`, of shape (T, noises); without, the innovations alone.
    """
    data: dict[str, Any] = {
        "innovation": (("time", "obs"), innovations.innovation),
        "innovation_sd": (("time", "obs"), innovations.sd),
        "standardized": (("time", "obs"), innovations.standardized),
    }
    coords: dict[str, Any] = {"time": time.coordinate(), "obs": ("obs", np.asarray(observations, dtype=object))}
    if smoothed is not None:
        # A variable that bore the name of its dimension would be taken for the coordinate.
        of = {"noise_mean": smoothed.mean, "noise_sd": smoothed.sd, "auxiliary": smoothed.auxiliary}
        data |= {name: (("time", "noise"), values) for name, values in of.items()}
        coords["noise"] = ("noise", np.asarray(noises, dtype=object))
    return xr.Dataset(data, coords, plain(dict(attrs or {})))
