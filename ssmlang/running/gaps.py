"""What the data lack: numbers that equations need, and results that do not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from ssmlang.data import Bound
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.model import Observation

GRAIN = 32
"""Series are as long as the next multiple, or the next sixteenth, where it is asked what they lack."""


def undefined(lowering: GaussianLowering, bound: Bound) -> dict[str, np.ndarray]:
    """`GaussianLowering.undefined` for one series, less what is not a number for another reason than the data."""
    with jax.enable_x64(True):
        found = lacking_of(lowering, bound.observations, bound.inputs, bound.steps)
        filled = lambda given: {n: np.nan_to_num(v, nan=1.0) for n, v in given.items()}
        anyway = lacking_of(lowering, filled(bound.observations), filled(bound.inputs), bound.steps)
    return {k: np.asarray(v & ~anyway[k]) for k, v in found.items()}


def lacking_of(lowering: GaussianLowering, observations: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray],
               steps: int) -> dict[str, np.ndarray]:  # fmt: skip
    """`GaussianLowering.undefined` at some parameters, its numbers worked out by one program for series of about one
    length: operation by operation, each would be compiled for itself."""
    params: dict[str, Any] = {n: jnp.full(p.shape, 0.5) for n, p in lowering.model.parameters.items()}
    if lowering.past:  # coefficients for each pair of rows
        return lowering.undefined(params, _arrays(observations, 0), _arrays(inputs, 0), steps)
    more = -steps % max(GRAIN, 2 ** (steps.bit_length() - 4))
    kept = vars(lowering).setdefault("_numbers_compiled", {})
    numbers = kept.setdefault("numbers", quickly_compiled(lowering.numbers))
    return lowering.undefined(params, _arrays(observations, more), _arrays(inputs, more), steps, numbers)


def _arrays(values: Mapping[str, np.ndarray], more: int) -> dict[str, Any]:
    """With so many more rows, all missing."""
    pad = lambda v: np.pad(v, [(0, more), *[(0, 0)] * (v.ndim - 1)], constant_values=np.nan)
    return {n: jnp.asarray(pad(np.asarray(v, float))) for n, v in values.items()}


def missing_data(lowering: GaussianLowering, bound: Bound) -> Diagnostic | None:
    """E413: an observation that is missing where an equation needs it as a number."""
    form = lowering.form
    for row, i in np.argwhere(form.conditioned[: bound.steps]):
        owner = next(n for n in reversed(form.stacking.y) if form.stacking.y[n] <= i)
        value = bound.observations[owner][row].reshape(-1)[i - form.stacking.y[owner]]
        if owner in form.stacking.latent and np.isnan(value):
            why = "its equation reaches before the data, so that nothing gives its law there"
            help = f"add `init {owner} ~ ...`, or start the data where it was seen"
            return _missing(lowering.observations[i], bound.time.label(int(row)), why, help)
    last = lambda lag: bound.steps - (lag if isinstance(lag, int) else 1)
    read = [(n, lag) for n, lag in form.data_reads if np.isnan(bound.observations[n][: last(lag)]).any()]
    if not read:
        return None
    lacking = undefined(lowering, bound)
    rows = np.asarray(lacking["transition"].any(axis=1) | lacking["emission"].any(axis=1))
    rows[0] |= bool(lacking["initial"])
    for name, lag in read:
        gaps = np.isnan(bound.observations[name]).reshape(bound.steps, -1).any(axis=1)
        if isinstance(lag, int):
            hit = np.flatnonzero(rows[lag:] & gaps[: bound.steps - lag])
        else:  # the whole past
            hit = np.flatnonzero(gaps[: rows.nonzero()[0].max(initial=0)])
        if len(hit):
            span = form.data_reads[name, lag]
            where = f" by `{span.text}`" if span is not None else ""
            why = f"it is read{where} in a way that is not linear, which takes a number that was seen"
            return _missing(name, bound.time.label(int(hit[0])), why, "fill it in, or read it linearly")
    return None


def _missing(name: str, row: str, why: str, help: str) -> Diagnostic:
    return Diagnostic("E413", f"`{name}` is missing at {row}, and is needed as a number", why=(why,), help=(help,))


def check_reach(observations: Mapping[str, Observation], marks: Bool[np.ndarray, "rows m"],
                seen: Bool[np.ndarray, "R m"], row: int = 0) -> None:  # fmt: skip
    """Raise E205 where an observation that was seen, in rows `row`, row + 1, ..., reads a state that has no value: one
    that is marked; `marks` are of rows 0, 1, ...."""
    marks = marks[row : row + len(seen)]
    bad = np.argwhere(marks & seen[: len(marks)])
    if len(bad):
        names = [e for o in observations.values() for e in o.entry_names()]
        raise SsmError(Diagnostic(
            "E205", f"`{names[bad[0][1]]}` at row {row + bad[0][0]} reads a state that has no value so far back",
            help=("give the earlier values by `init`, or leave these observations missing",),
        ))  # fmt: skip


def seen_in(observations: Iterable[str], values: Mapping[str, np.ndarray], rows: int) -> Bool[np.ndarray, "rows m"]:
    """Whether there is a value, in the first `rows` of some observations side by side."""
    parts = [~np.isnan(values[n][:rows].reshape(rows, -1)) for n in observations]
    return np.concatenate([np.zeros((rows, 0), bool), *parts], axis=1)


class Absent(NamedTuple):
    """Values that do not exist: entries of the state, (T, n), and of the observations, (T, m); None where all exist."""

    states: np.ndarray | None
    observed: np.ndarray | None


def absent(lowering: GaussianLowering, bound: Bound) -> Absent:
    """States and definitions that reach before the first row, and what needs an input that is missing."""
    form, steps = lowering.form, bound.steps
    states = np.zeros((steps, lowering.n), bool)
    seen = np.zeros((steps, lowering.m), bool)
    early = min(len(form.absent), steps)
    states[:early], seen[:early] = form.absent[:early], (form.unavailable | form.conditioned)[:early]
    if any(np.isnan(v).any() for v in bound.inputs.values()):
        lacking = undefined(lowering, bound)
        unknown = _spread(lowering, lacking)
        states |= unknown
        seen |= lacking["signal"]
        for name in form.stacking.latent:
            size, x, y = lowering.model.observations[name].size, form.stacking.x[name], form.stacking.y[name]
            seen[:, y : y + size] |= unknown[:, x : x + size] & np.isnan(bound.observations[name].reshape(steps, size))
    return Absent(states if states.any() else None, seen if seen.any() else None)


def blanked(arrays: Mapping[str, np.ndarray], absent: Absent) -> dict[str, np.ndarray]:
    """Moments with NaN where a value does not exist."""
    out: dict[str, np.ndarray] = dict(arrays)
    for mark, names in ((absent.states, ("mean", "predicted_mean")), (absent.observed, ("observed_mean",))):
        if mark is None:
            continue
        for name in names:
            for what in ("mean", "sd", "cov"):
                key = name.replace("mean", what)
                if key in out:
                    where = mark if what != "cov" else mark[:, :, None] | mark[:, None, :]
                    out[key] = np.where(where, np.nan, out[key])
    return out


def _spread(lowering: GaussianLowering, lacking: Mapping[str, np.ndarray]) -> np.ndarray:
    """Latent observations and definitions (T, n) that need what is missing, themselves or through one another."""
    form, found = lowering.form, lacking["transition"].copy()
    found[0] |= lacking["first"]
    own = np.zeros(lowering.n, bool)
    for first, last in form.definitions.values():
        own[first:last] = True
    later = own.copy()
    for name in form.stacking.latent:
        first = form.stacking.x[name]
        own[first : first + lowering.model.observations[name].size] = True
    found &= own
    for t in range(1, len(found)):
        for lag in form.transition.lags("x"):
            m = form.transition.terms["x", lag]
            if lag <= t:
                hit = found[t - lag, m.cols] & later[m.rows]
                found[t, m.rows[hit]] = True
    return found
