"""Tests of what standardized residuals are if the model is right: independent draws of the standard normal law.

Residuals that are NaN (nothing was seen, or nothing was expected yet) are left out; lags are counted in rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.05
"""A p-value below this counts against the model, and bounds are crossed this often where it is right."""
FEWEST = 8
"""With fewer residuals no test is made."""


class Tested(NamedTuple):
    """A statistic and the probability, where the model is right, of one at least as far out; NaN: too few residuals."""

    statistic: float
    p: float


class Cumulative(NamedTuple):
    """A cumulative sum over the residuals there are, with the bounds that it stays within at the level of 5 %."""

    rows: np.ndarray
    path: Float[np.ndarray, " n"]
    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]
    test: Tested

    @property
    def first_crossing(self) -> int | None:
        """The first row at which the sum is outside of its bounds."""
        out = np.flatnonzero((self.path > self.upper) | (self.path < self.lower))
        return int(self.rows[out[0]]) if len(out) else None


NOTHING = Tested(np.nan, np.nan)


def there(e: Float[np.ndarray, " T"]) -> Float[np.ndarray, " n"]:
    """The residuals that are numbers."""
    return e[~np.isnan(e)]


def default_lags(count: int) -> int:
    """Lags of the test for autocorrelation: 10, or a fifth of the residuals where these are fewer."""
    return max(1, min(10, count // 5))


def autocorrelations(e: Float[np.ndarray, " T"], lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelations at lags 1..lags, (lags,), and from how many pairs of rows each comes."""
    d = e - np.nanmean(e)
    known = ~np.isnan(d)
    d = np.where(known, d, 0.0)
    total = float(d @ d)
    sums = np.array([d[k:] @ d[: len(d) - k] for k in range(1, lags + 1)])
    pairs = np.array([int((known[k:] & known[: len(d) - k]).sum()) for k in range(1, lags + 1)])
    return sums / total, pairs


def ljung_box(e: Float[np.ndarray, " T"], lags: int | None = None) -> Tested:
    """No autocorrelation up to a lag: n (n + 2) sum_k r_k^2 / n_k, n_k pairs at lag k, against chi-squared with as many
    degrees of freedom as lags.

    Ljung & Box (1978), where n_k = n - k; with missing rows r_k has variance n_k / (n (n + 2)) too.
    """
    n = len(there(e))
    if n < FEWEST:
        return NOTHING
    r, pairs = autocorrelations(e, default_lags(n) if lags is None else lags)
    used = pairs > 0
    q = float(n * (n + 2) * np.sum(r[used] ** 2 / pairs[used]))
    return Tested(q, float(stats.chi2.sf(q, int(used.sum()))))


def jarque_bera(e: Float[np.ndarray, " T"]) -> tuple[Tested, float, float]:
    """Normality from skewness S and kurtosis K: n/6 (S^2 + (K - 3)^2 / 4), against chi-squared with 2 degrees of
    freedom; S and K besides. Jarque & Bera (1987)."""
    x = there(e)
    if len(x) < FEWEST:
        return NOTHING, np.nan, np.nan
    d = x - x.mean()
    variance = float(np.mean(d**2))
    skew, kurtosis = float(np.mean(d**3)) / variance**1.5, float(np.mean(d**4)) / variance**2
    statistic = len(x) / 6 * (skew**2 + (kurtosis - 3) ** 2 / 4)
    return Tested(statistic, float(stats.chi2.sf(statistic, 2))), skew, kurtosis


def heteroskedasticity(e: Float[np.ndarray, " T"]) -> Tested:
    """Variance that does not change: H, the mean square of the last third over that of the first, against F, two-sided.

    Harvey (1989), section 5.4.2. Rows before the first residual do not count.
    """
    known = np.flatnonzero(~np.isnan(e))
    if len(known) < FEWEST:
        return NOTHING
    from_first = e[known[0] :]
    third = round(len(from_first) / 3)
    first, last = there(from_first[:third]), there(from_first[-third:])
    if not len(first) or not len(last):
        return NOTHING
    H = float(np.mean(last**2) / np.mean(first**2))
    law = stats.f(len(last), len(first))
    return Tested(H, float(2 * min(law.cdf(H), law.sf(H))))


def cusum(e: Float[np.ndarray, " T"]) -> Cumulative:
    """A mean that does not change: the sum of residuals over their sd, which at the j-th lies within
    +-0.948 (sqrt n + 2 j / sqrt n).

    Brown, Durbin & Evans (1975). The statistic is the largest ratio to (sqrt n + 2 j / sqrt n).
    """
    rows, x = np.flatnonzero(~np.isnan(e)), there(e)
    n = len(x)
    if n < FEWEST:
        return Cumulative(rows, *(np.full(n, np.nan),) * 3, NOTHING)
    path = np.cumsum(x) / np.std(x, ddof=1)
    line = np.sqrt(n) + 2 * np.arange(1, n + 1) / np.sqrt(n)
    furthest = float(np.max(np.abs(path) / line))
    # The probability that a Brownian motion crosses either line, less what little comes of crossing both.
    p = 2 * (stats.norm.sf(3 * furthest) + np.exp(-4 * furthest**2) * stats.norm.cdf(furthest))
    return Cumulative(rows, path, -0.948 * line, 0.948 * line, Tested(furthest, float(min(p, 1.0))))


# Edgerton & Wells (1994), table 1: the critical value at the levels of 20, 10, 5, 2 and 1 % is
# a / sqrt(k) + b / k + c / k^1.5.
_A = np.array([1.0729830, 1.2238734, 1.3581015, 1.5174271, 1.6276236])
_B = np.array([-0.6698868, -0.6700069, -0.6701218, -0.6702672, -0.6703724])
_C = np.array([-0.5816458, -0.7351697, -0.8858694, -1.0847745, -1.2365861])
_B_OF_A, _C_OF_A = np.polyfit(_A, _B, 1), np.polyfit(_A, _C, 2)
_ASYMPTOTIC = np.linspace(0.0, 6.0, 6001)


def cusum_of_squares(e: Float[np.ndarray, " T"]) -> Cumulative:
    """A variance that does not change: the share of the sum of squares reached at the j-th residual, around j / n.

    Brown, Durbin & Evans (1975), bounds by Edgerton & Wells (1994). The statistic is the largest distance from j / n;
    its p-value is Kolmogorov's with their correction for n, exact to what their table is at the levels of 1 to 20 %.
    """
    rows, x = np.flatnonzero(~np.isnan(e)), there(e)
    n = len(x)
    if n < FEWEST:
        return Cumulative(rows, *(np.full(n, np.nan),) * 3, NOTHING)
    path = np.cumsum(x**2) / np.sum(x**2)
    line = np.arange(1, n + 1) / n
    k = n / 2 - 1
    bound = float((_A / k**0.5 + _B / k + _C / k**1.5)[2])
    furthest = float(np.max(np.abs(path - line)))
    return Cumulative(rows, path, line - bound, line + bound, Tested(furthest, _kolmogorov(furthest, k)))


def _kolmogorov(distance: float, k: float) -> float:
    """The level whose critical value is `distance`: b and c are smooth functions of a, the asymptotic one."""
    critical = _ASYMPTOTIC / k**0.5 + np.polyval(_B_OF_A, _ASYMPTOTIC) / k + np.polyval(_C_OF_A, _ASYMPTOTIC) / k**1.5
    return float(stats.kstwobign.sf(np.interp(distance, np.maximum.accumulate(critical), _ASYMPTOTIC)))
