"""What data of a known length can teach about each parameter, before they are seen: the expected Fisher information.

The information of the first rows about the parameters of a linear-Gaussian model is exact (Mardia and Marshall 1984,
Biometrika 71, eq. 3.1, orthogonal to flat initial coordinates); beyond them it goes on at the rate of the last of
them. With the prior's own precision it gives the posterior sd to expect, on the unconstrained scale, at draws from the
prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.identifiability_law import FEW, Law
from ssmlang.analysis.identifiability_point import Coordinate
from ssmlang.analysis.identifiability_rank import orthogonal
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Unsupported
from ssmlang.analysis.identifiability_study import Study
from ssmlang.analysis.identifiability_words import listed
from ssmlang.analysis.information_scale import Scale, scale_of
from ssmlang.model.linear import LinearForm

Array = np.ndarray
UNINFORMED = 0.9
"""A ratio of sds above which the data are said not to inform a parameter."""
MOST_ROWS = 100
MOST_NUMBERS = 600_000
"""Numbers of the derivatives of one block's covariance."""
MOST_UNROLLED = 1000
"""Rows of all blocks together."""
DRAWS = 16
SPREAD = 200
"""Draws from which the prior's own sd is taken."""
LONGEST = 10**6
ROUNDING = 1e-10


@dataclass(frozen=True)
class Expected:
    """Ratios of the expected posterior sd to the prior's, by coordinate, for some number of rows."""

    coords: Sequence[Coordinate]
    rows: int
    ratios: Array
    draws: int
    exact_rows: int
    _information: Array
    """(draws, 2, d, d): of the exact rows, and of each row after them; on the unconstrained scale"""
    _precision: Array
    doubtful: frozenset[int] = frozenset()
    """Coordinates of which derivatives in the exact rows do not say all: a condition reads them, or what moves them
    comes later."""

    def at(self, rows: int) -> Array:
        """The ratios for another number of rows."""
        return _ratios(self._information, self._precision, rows - self.exact_rows)


def check(context: Context) -> list[Finding]:
    """One finding on all parameters, and one for each that the data cannot inform. Nothing where no length is known."""
    if context.rows is None or not isinstance(context.form, LinearForm):
        return []
    if context.data is None and context.model.inputs:
        needs = f"{listed(list(context.model.inputs))} must be given: what data teach depends on them"
        return [Finding(f"informed by {context.rows:,} rows", "unknown", needs)]
    try:
        expected = expected_ratios(context, context.rows)
    except (Unsupported, OutOfTime, NoRoot) as trouble:
        return [Finding(f"informed by {context.rows:,} rows", "unknown", str(trouble) or "no draw has a law")]
    return _findings(context, expected) if expected is not None else []


def expected_ratios(context: Context, rows: int) -> Expected | None:
    """Expected posterior sds in units of the prior's, at draws from the prior; None where no parameter has a prior.

    Raises Unsupported where the model is too large, OutOfTime where not even a few draws were done.
    """
    assert isinstance(context.form, LinearForm)
    data = context.data[0] if context.data else None
    inputs = {("input", k): v for k, v in data.inputs.items()} if data is not None else None
    if data is not None:
        inputs = {**(inputs or {}), **{("obs", k): v for k, v in data.observations.items()}}
    study = Study(context.model, context.form, context.budget, inputs, rows)
    coords = [k for k in study.coords if context.model.parameters[k.parameter].prior is not None]
    if not coords:
        return None
    scales = [scale_of(context.model.parameters[k.parameter]) for k in coords]
    spread = prior_spread(context, coords, scales)
    exact = exact_rows(study, coords, rows)
    missing = _missing(context, exact)
    found: list[Array] = []
    draws = context.draws(DRAWS, 1)
    for draw in draws:
        try:
            one = information(study, draw, coords, scales, exact, missing)
            context.budget.check()
        except OutOfTime:
            break
        except (NoRoot, np.linalg.LinAlgError):
            continue
        if one is not None and np.isfinite(one).all():
            found.append(one)
    if len(found) < min(3, len(draws)):
        raise OutOfTime("the information at fewer than 3 prior draws could be had in time")
    series = max(len(context.data or ()), 1)
    stacked = np.array(found) * series
    precision = 1 / np.maximum(spread, 1e-300) ** 2
    late = exact < min(study.typical, rows)
    doubtful = frozenset(i for i, k in enumerate(coords) if late or k.parameter in study.in_conditions)
    ratios = _ratios(stacked, precision, rows - exact)
    return Expected(coords, rows, ratios, len(found), exact, stacked, precision, doubtful)


def _ratios(information: Array, precision: Array, beyond: int) -> Array:
    """Root of the mean expected posterior variance, over the prior's sd."""
    variances = []
    root = np.sqrt(precision)
    for own, rate in information:
        total = (own + beyond * rate) / np.outer(root, root) + np.eye(len(root))
        variances.append(np.clip(np.diagonal(np.linalg.inv(total)), 0, 1))
    return np.sqrt(np.mean(variances, axis=0))


def information(study: Study, params: dict[str, Array], coords: Sequence[Coordinate], scales: Sequence[Scale],
                exact: int, missing: Array) -> Array | None:  # fmt: skip
    """(2, d, d): the expected information of `exact` rows, and what each further row adds; None where the law has no
    value. `missing`: positions of the stacked observations that are not seen."""
    values = [float(params[k.parameter].reshape(-1)[k.entry]) for k in coords]
    ends = [s.ends(params, k.entry) for s, k in zip(scales, coords)]
    steps = np.array([s.slope(v, *e) for s, v, e in zip(scales, values, ends)])
    with np.errstate(all="ignore"):
        laws = study.float_laws(params, exact, coords, every=True)
    half = exact // 2
    total = np.zeros((2, len(coords), len(coords)))
    for law in laws:
        whole = _fisher(law, missing, exact * study.form.stacking.m)
        early = _fisher(law, missing, half * study.form.stacking.m)
        if whole is None or early is None:
            return None
        at = np.ix_(law.active, law.active)
        total[0][at] += whole
        total[1][at] += (whole - early) / max(exact - half, 1)
    return total * np.outer(steps, steps)


def _fisher(law: Law, missing: Array, until: int) -> Array | None:
    """Of the observations before position `until` that are seen."""
    at = np.flatnonzero((law.seen < until) & ~np.isin(law.seen, missing))
    d = len(law.active)
    cov = law.cov.value[np.ix_(at, at)]
    slopes = np.zeros((d, len(at), len(at))) if law.cov.tangent is None else law.cov.tangent[:, at][:, :, at]
    means = np.zeros((d, len(at))) if law.mean.tangent is None else law.mean.tangent[:, at]
    flat = law.flat.value[at]
    if not np.isfinite(cov).all():
        return None
    if flat.shape[1]:
        beyond = orthogonal(flat, Reals())
        cov, slopes, means = beyond @ cov @ beyond.T, beyond @ slopes @ beyond.T, means @ beyond.T
    if not len(cov):
        return np.zeros((d, d))
    scale = np.sqrt(np.maximum(np.diagonal(cov), 1e-300))
    unit = cov / np.outer(scale, scale)
    root = np.linalg.cholesky(unit + ROUNDING * np.eye(len(unit))) * scale[:, None]
    k = len(cov)
    from scipy.linalg import solve_triangular

    white = _whitened(root, slopes)
    white = _whitened(root, np.swapaxes(white, -1, -2)).reshape(d, k * k)
    mean = solve_triangular(root, means.T, lower=True)
    return np.asarray(0.5 * white @ white.T + mean.T @ mean)


def _whitened(root: Array, matrices: Array) -> Array:
    """root^-1 M for each M of (d, k, k)."""
    from scipy.linalg import solve_triangular

    d, k, _ = matrices.shape
    beside = solve_triangular(root, np.swapaxes(matrices, 0, 1).reshape(k, d * k), lower=True)
    return np.swapaxes(beside.reshape(k, d, k), 0, 1)


def exact_rows(study: Study, coords: Sequence[Coordinate], rows: int) -> int:
    """How many rows are taken exactly."""
    widest = max((len(b.y) for b in study.blocks), default=1)
    noises = max((len(b.e) for b in study.blocks), default=1)
    directions = len(coords) if len(study.blocks) == 1 else min(len(coords), len(coords) // len(study.blocks) + FEW)
    most = min(max(MOST_ROWS, study.typical), int(np.sqrt(MOST_NUMBERS / directions) / max(widest, 1)),
               1000 // max(noises, 1), MOST_UNROLLED // len(study.blocks))  # fmt: skip
    least = min(rows, study.memory + 2)
    if most < least:
        raise Unsupported("too large for the expected information")
    return min(rows, most)


def prior_spread(context: Context, coords: Sequence[Coordinate], scales: Sequence[Scale]) -> Array:
    """The prior's sd of each coordinate on the unconstrained scale."""
    draws = context.draws(SPREAD, 2)
    found = []
    for k, s in zip(coords, scales):
        values = [s.apply(float(d[k.parameter].reshape(-1)[k.entry]), *s.ends(d, k.entry)) for d in draws]
        finite = np.array([v for v in values if np.isfinite(v)])
        found.append(finite.std() if len(finite) > 1 else np.inf)
    return np.array(found)


def _missing(context: Context, rows: int) -> Array:
    """Positions (rows * m + entry) of what the data lack."""
    if not context.data:
        return np.zeros(0, int)
    data = context.data[0]
    columns = [np.asarray(data.observations[n], float)[:rows].reshape(min(rows, data.steps), -1)
               for n in context.model.observations]  # fmt: skip
    return np.flatnonzero(np.isnan(np.concatenate(columns, axis=1)).reshape(-1))


def _findings(context: Context, expected: Expected) -> list[Finding]:
    rows = f"{expected.rows:,} row{'s' if expected.rows != 1 else ''}"
    wide = [i for i, r in enumerate(expected.ratios) if r > UNINFORMED]
    low = [i for i in wide if i not in expected.doubtful]
    told = [x for x in _worst(expected) if x[0] not in expected.doubtful or x[0] not in wide]
    shown = ", ".join(f"{k.name} {r:.2g}" for _, k, r in told)
    if len(expected.coords) > MOST_SHOWN:
        shown += f" (the {MOST_SHOWN} largest of {len(expected.coords)})"
    open_ = [expected.coords[i].name for i in wide if i in expected.doubtful]
    details = [f"the mean over {expected.draws} prior draws, on the unconstrained scale"] if shown else []
    if open_:
        details.append(f"{listed(open_)}: not said; conditions read them, or the rows that tell come after the first "
                       f"{expected.exact_rows}, beyond which this check does not look")  # fmt: skip
    verdict: Literal["proved", "refuted", "unknown"] = "refuted" if low else "unknown" if open_ else "proved"
    reason = f"expected posterior sd over prior sd: {shown}" if shown else "not followed"
    summary = Finding(f"informed by {rows}", verdict, reason, details=tuple(details))
    return [summary, *(_uninformed(context, expected, i, rows) for i in low[:MOST_SHOWN])]


MOST_SHOWN = 8


def _worst(expected: Expected) -> list[tuple[int, Coordinate, float]]:
    """In the order of the file; of many, those that are learned least."""
    found = [(i, k, float(r)) for i, (k, r) in enumerate(zip(expected.coords, expected.ratios))]
    if len(found) <= MOST_SHOWN:
        return found
    least = sorted(r for *_, r in found)[-MOST_SHOWN]
    return [f for f in found if f[2] >= least][:MOST_SHOWN]


def _uninformed(context: Context, expected: Expected, i: int, rows: str) -> Finding:
    name = expected.coords[i].name
    ratio = float(expected.ratios[i])
    reason = f"expected posterior sd is {min(ratio, 0.999):.2g} of the prior's over {rows}" if ratio < 0.995 else (
        f"expected posterior sd is that of the prior over {rows}")  # fmt: skip
    needed = _needed(expected, i)
    more = (f"about {needed:,} rows would bring it to two thirds" if needed is not None
            else f"not even {LONGEST:,} rows would bring it to two thirds")  # fmt: skip
    return Finding(
        f"informed: {name}", "refuted", reason, context.line_of(name), code="W622", span_of=name,
        headline=f"{name}: these data cannot inform it", label="as wide after the data as before",
        details=(more,), fix=f"give {name} a number or a prior that says what is known of it; the data will not",
    )  # fmt: skip


def _needed(expected: Expected, i: int) -> int | None:
    """Rows for a ratio of two thirds, in one significant digit."""
    rows = expected.rows
    while rows <= LONGEST:
        rows *= 2
        if expected.at(rows)[i] < 2 / 3:
            digit = 10 ** (len(str(rows)) - 1)
            return -(-rows // digit) * digit
    return None
