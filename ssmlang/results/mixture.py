"""Moments of a mixture: what a fit knows of the states when the parameters themselves are uncertain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.special
import xarray as xr

_BISECTIONS = 60
_OF_MEANS = {"mean": "", "predicted_mean": "predicted_", "observed_mean": "observed_"}
_LEFT_OUT = ("log_likelihood", "s_path")


def mixture(parts: Iterable[xr.Dataset]) -> xr.Dataset:
    """The moments of equally weighted laws, given each law's: mean = E mean, cov = E cov + cov of the means.

    `parts` are Datasets of moments of the same dimensions, one for each draw of the parameters; they are read once.
    Probabilities and other values without a variance are averaged; what is not a moment (log_likelihood) is left out.
    """
    first: xr.Dataset | None = None
    sums: dict[str, np.ndarray] = {}
    outer: dict[str, np.ndarray] = {}
    centre: dict[str, np.ndarray] = {}
    count = 0
    for part in parts:
        if first is None:
            first = part
            centre = {str(n): np.asarray(v.values, float) for n, v in part.data_vars.items() if v.dtype.kind in "fiub"}
        for name, about in centre.items():
            values = np.asarray(part[name].values, float)
            shift = values - about  # squares about a nearby point keep their digits
            sums[name] = sums.get(name, 0.0) + (values if _is_spread(name) else shift)
            if not _is_spread(name):
                wide = _wants_matrix(name, part)
                square = shift[..., :, None] * shift[..., None, :] if wide else shift**2
                outer[name] = outer.get(name, 0.0) + square
            elif _is_sd(name):
                outer[name] = outer.get(name, 0.0) + values**2
        count += 1
    if first is None:
        raise ValueError("a mixture has at least one part")
    means = {n: s / count if _is_spread(n) else centre[n] + s / count for n, s in sums.items()}
    between = {n: outer[n] / count - _square(sums[n] / count, outer[n].ndim > sums[n].ndim)
               for n in outer if not _is_spread(n)}  # fmt: skip
    out = first.copy()
    for key in map(str, first.data_vars):
        if key in _LEFT_OUT or key not in means:
            out = out.drop_vars(key)
            continue
        values = means[key]
        if key.endswith("cov"):
            values = values + between[key.replace("cov", "mean")]
        elif _is_sd(key):
            of = key.replace("sd", "mean") if key in ("sd", "predicted_sd", "observed_sd") else key[: -len("_sd")]
            values = np.sqrt(outer[key] / count + np.maximum(between[of], 0.0))
        out[key] = first[key].copy(data=values)
    return out


def _is_sd(name: str) -> bool:
    return name == "sd" or name.endswith("_sd")


def _is_spread(name: str) -> bool:
    return _is_sd(name) or name == "cov" or name.endswith("_cov")


def _wants_matrix(name: str, part: xr.Dataset) -> bool:
    return name in _OF_MEANS and f"{_OF_MEANS[name]}cov" in part


def _square(mean: np.ndarray, wide: bool) -> np.ndarray:
    return mean[..., :, None] * mean[..., None, :] if wide else mean**2


def normal_quantiles(
    means: Sequence[np.ndarray] | np.ndarray, sds: Sequence[np.ndarray] | np.ndarray, probabilities: Sequence[float]
) -> np.ndarray:
    """Quantiles, (probabilities, *shape), of equally weighted normal laws with these means and sds, (laws, *shape).

    By bisection of the mixture's distribution function; NaN where an sd is not finite.
    """
    mean, sd = np.asarray(means, float), np.asarray(sds, float)
    known = np.isfinite(sd).all(axis=0) & np.isfinite(mean).all(axis=0)
    mean, sd = np.where(known, mean, 0.0), np.where(known, sd, 1.0)
    low, high = (mean - 40 * sd).min(axis=0), (mean + 40 * sd).max(axis=0)
    tiny = np.finfo(float).tiny
    found = []
    for p in probabilities:
        left, right = low.copy(), high.copy()
        for _ in range(_BISECTIONS):
            middle = 0.5 * (left + right)
            below = scipy.special.ndtr((middle - mean) / np.maximum(sd, tiny)).mean(axis=0) < p
            left, right = np.where(below, middle, left), np.where(below, right, middle)
        found.append(np.where(known, 0.5 * (left + right), np.nan))
    return np.stack(found)
