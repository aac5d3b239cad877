"""Moments of a mixture: what a fit knows of the states when the parameters themselves are uncertain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.special

_BISECTIONS = 60
_OF_MEANS = {"mean": "", "predicted_mean": "predicted_", "observed_mean": "observed_"}
_LEFT_OUT = ("log_likelihood",)
PATH = "path of "
"""Before a discrete state's name: its most probable path, which is no moment."""


def mixture(parts: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The moments of equally weighted laws, given each law's: mean = E mean, cov = E cov + cov of the means.

    `parts` are arrays of moments by name (`mean` with `cov`, NAME with NAME_sd), one mapping for each draw of the
    parameters; they are read once. Values without a variance are averaged; what is not a moment (log_likelihood) is
    left out.
    """
    sums: dict[str, np.ndarray] = {}
    outer: dict[str, np.ndarray] = {}
    centre: dict[str, np.ndarray] = {}
    count = 0
    last: Mapping[str, np.ndarray] = {}
    for part in parts:
        last = part
        part = {n: np.asarray(v, float) for n, v in part.items() if n not in _LEFT_OUT and not n.startswith(PATH)}
        centre = centre or part
        for name, values in part.items():
            if _is_spread(name):
                sums[name] = sums.get(name, 0.0) + values
                if _is_sd(name):
                    outer[name] = outer.get(name, 0.0) + values**2
                continue
            shift = values - centre[name]  # squares about a nearby point keep their digits
            wide = name in _OF_MEANS and f"{_OF_MEANS[name]}cov" in part
            sums[name] = sums.get(name, 0.0) + shift
            outer[name] = outer.get(name, 0.0) + _square(shift, wide)
        count += 1
    if not count:
        raise ValueError("a mixture has at least one part")
    # The most probable path of one law is kept; of several there is none.
    out = {n: np.asarray(v) for n, v in last.items() if n.startswith(PATH)} if count == 1 else {}
    between = {n: outer[n] / count - _square(sums[n] / count, outer[n].ndim > sums[n].ndim)
               for n in outer if not _is_spread(n)}  # fmt: skip
    for name, total in sums.items():
        if _is_sd(name):
            of = name.replace("sd", "mean") if name in ("sd", "predicted_sd", "observed_sd") else name[: -len("_sd")]
            out[name] = np.sqrt(outer[name] / count + np.maximum(between[of], 0.0))
        elif _is_spread(name):
            out[name] = total / count + between[name.replace("cov", "mean")]
        else:
            out[name] = centre[name] + total / count
    return out


def _is_sd(name: str) -> bool:
    return name == "sd" or name.endswith("_sd")


def _is_spread(name: str) -> bool:
    return _is_sd(name) or name == "cov" or name.endswith("_cov")


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
            with np.errstate(over="ignore"):  # of a law without variance, which is a step
                below = scipy.special.ndtr((middle - mean) / np.maximum(sd, tiny)).mean(axis=0) < p
            left, right = np.where(below, middle, left), np.where(below, right, middle)
        found.append(np.where(known, 0.5 * (left + right), np.nan))
    return np.stack(found)
