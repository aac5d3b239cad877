"""Variances that rounding has lost: results are looked at before they are handed out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from ssmlang.engines.base import Engine
from ssmlang.language.diagnostics import Diagnostic, SsmError

COVARIANCES = {"cov": "mean", "predicted_cov": "predicted_mean", "observed_cov": "observed_mean"}
LOST = {8: 1e-6, 4: 1e-3}
"""A variance this far below zero, beside the size of its entry, is no zero with rounding: by bytes a number."""


def sound_variances(
    arrays: Mapping[str, np.ndarray], states: Sequence[str], observations: Sequence[str],
    label: Callable[[int], str], engine: Engine, among: Collection[str] = COVARIANCES.keys(),
) -> dict[str, np.ndarray]:  # fmt: skip
    """The arrays, with variances that are below zero by rounding at zero.

    `states`, `observations`: the names of entries; `label` names a row; `among`: the covariances looked at. Raises
    E726 where a variance is below zero by more than that: differences of covariances have cancelled.
    """
    found = dict(arrays)
    for name, mean in COVARIANCES.items():
        cov = arrays.get(name)
        if cov is None or not cov.size or name not in among:
            continue
        variances = np.diagonal(cov, axis1=1, axis2=2)
        if not np.minimum.reduce(variances, axis=None) < 0:
            continue
        finite = np.where(np.isfinite(variances), variances, 0.0)
        bad = np.argwhere(finite < -LOST[cov.dtype.itemsize] * _sizes(finite, arrays[mean], _largest(arrays)))
        if len(bad):
            row, entry = bad[0]
            names = states if name in ("cov", "predicted_cov") else observations
            what = f"`{names[entry]}`" if entry < len(names) else "a state"
            raise SsmError(_lost(what, label(int(row)), float(finite[row, entry]), cov.dtype.itemsize == 4, engine))
        found[name] = cov = np.array(cov)
        every = np.arange(cov.shape[1])
        cov[:, every, every] = np.maximum(variances, 0.0)
    return found


def _largest(arrays: Mapping[str, np.ndarray]) -> float:
    """The largest variance of a state that is finite."""
    at = [np.diagonal(arrays[name], axis1=1, axis2=2) for name in ("cov", "predicted_cov") if name in arrays]
    return max((float(v[np.isfinite(v)].max(initial=0.0)) for v in at), default=0.0)


def _sizes(variances: np.ndarray, means: np.ndarray, scale: float) -> np.ndarray:
    """The variance of each entry where least is known of it, or what its mean goes through over the rows: all rows of a
    state may be known exactly. Without either, its square; infinite where there is nothing to compare with, or all
    rows are known but for rounding beside `scale`, the largest variance of a state."""
    squares = np.max(means**2, axis=0)
    found = np.maximum(variances.max(axis=0), np.var(means, axis=0) if len(means) > 2 else 0.0)
    found = np.where(found > 0, found, squares)
    exact = np.abs(variances).max(axis=0) <= 16 * np.finfo(variances.dtype).eps * np.maximum(squares, scale)
    return np.where((found > 0) & ~exact, found, np.inf)


def _lost(what: str, row: str, value: float, single: bool, engine: Engine) -> Diagnostic:
    how = []
    if engine.requires.linear:
        how += ['engine="square_root" carries factors of the covariances, whose variances cannot be negative',
                "a flat start is exact as `init ... ~ Diffuse()`, not as a very large scale"]  # fmt: skip
    else:
        how += ["give the first row and the noises scales that are nearer to each other"]
    if single:
        how += ['dtype="float64" has twice the digits']
    return Diagnostic("E726", f"the variance of {what} came out negative at {row}: {value:.2g}",
                      why=(f"engine '{engine.name}' takes differences of covariances, and sizes as far apart as here "
                           "leave no digit of them",),
                      help=tuple(how))  # fmt: skip
