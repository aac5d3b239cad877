"""What the laws of observations say one row ahead, mixed over the states: probabilities of labels, quantiles of counts.

Both are read off the distribution function that the engine finds, at values of our own instead of those that were seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ssmlang.lowering.cumulative import WITHOUT
from ssmlang.model import expr
from ssmlang.model.model import Equation, Observation, nodes_of
from ssmlang.model.model import Model as Spec
from ssmlang.running.execution import floats

if TYPE_CHECKING:
    from ssmlang.running.moments import Moments

MOST_LABELS = 64
"""Values of an observation up to which each is given its probability."""
POINTS = 65
"""Values at which a distribution function is computed for its quantiles: over where they can be, then between two."""
REACH = 4.4
"""No quantile from 5 to 95 per cent is further from the mean, in standard deviations (Cantelli's inequality)."""


def emissions(spec: Spec) -> list[tuple[Equation, str, int, int]]:
    """(equation, name, entry, place among all entries) of every observed entry."""
    first, at = {}, 0
    for o in spec.observations.values():
        first[o.name], at = at, at + o.size
    return [(e, t.name, i, first[t.name] + i) for e in spec.equations if e.role == "emission" for t in e.targets
            for i in t.entries]  # fmt: skip


def alone(e: Equation) -> bool:
    """Whether an observation's law is known before anything of its row is, and has a distribution function here."""
    reads = any(sort == "obs" and lag == 0 for sort, _, lag in expr.references(nodes_of(e)))
    return not reads and (e.law is None or e.law.name not in WITHOUT)


def with_probabilities(spec: Spec) -> list[Observation]:
    """Observations whose values are given their probabilities: those with labels, and categories that are numbers."""
    found = emissions(spec)
    named = lambda o: o.values is not None and np.ptp(o.values.ends) < MOST_LABELS and (
        o.values.axis is not None
        or all(e.law is not None and e.law.name == "Categorical" for e, name, *_ in found if name == o.name)
    )  # fmt: skip
    return [o for o in spec.observations.values()
            if named(o) and all(alone(e) for e, name, *_ in found if name == o.name)]  # fmt: skip


def label_probabilities(ready: Moments, params: Mapping[str, Any], series: Any = None) -> dict[str, np.ndarray]:
    """`y_probability` (T, size, values) of each observation y with labels, given the rows before, in the rows asked
    for: of filters and forecasts. `series`: the data with the seed of a run that draws."""
    wanted = with_probabilities(ready.model.spec) if ready.verb != "smooth" else []
    if not wanted:
        return {}
    most = max(int(np.ptp(o.values.ends)) + 1 for o in wanted if o.values is not None)
    lowest = np.concatenate([np.full(o.size, _least(o)) for o in ready.model.spec.observations.values()])
    values = np.arange(most)[:, None] + lowest
    below = _distribution(ready, params, series, np.repeat(values[:, None], ready.bound.steps - ready.first, axis=1))
    mass = np.moveaxis(below[:, :, 1] - below[:, :, 0], 0, -1)  # (T, m, K)
    out, at = {}, 0
    for o in ready.model.spec.observations.values():
        if o in wanted and o.values is not None:
            size = int(np.ptp(o.values.ends)) + 1
            # A category of probability zero stays one whatever rounding does.
            found = np.clip(mass[:, at : at + o.size, :size], 0.0, 1.0)
            found[_lawless(ready, o)] = np.nan
            out[f"{o.name}_probability"] = found
        at += o.size
    return out


def _lawless(ready: Moments, o: Observation) -> np.ndarray:
    """(T, size): rows in which an observation has no law, for its equation reaches before there is anything."""
    general = getattr(ready, "general", None)
    if general is not None:
        first, marks = general.emissions.offsets[o.name], general.emissions.lawless
    else:
        own: Any = ready
        form = own.chain_form
        if o.name not in form.first_seen:
            return np.zeros((len(ready._time), o.size), bool)
        first, marks = form.first_seen[o.name], form.conditioned | form.unavailable
    out = np.zeros((ready.bound.steps, o.size), bool)
    out[: len(marks)] = marks[: len(out), first : first + o.size]
    return out[ready.first :]


def _least(o: Observation) -> float:
    return float(o.values.ends[0]) if o.values is not None and np.isfinite(o.values.ends[0]) else 0.0


def _distribution(ready: Moments, params: Mapping[str, Any], series: Any, values: Float[np.ndarray, "K R m"]
                  ) -> Float[np.ndarray, "K R 2 m"]:  # fmt: skip
    """P(Y < value) and P(Y <= value) in the rows asked for."""
    execution: Any = getattr(ready, "own", ready.execution)
    series = ready.series if series is None else series
    length = len(next(iter(series["observations"].values())))
    rows = values.shape[1]
    if not ready.first:  # compiled for as few lengths as the filter is
        values = np.pad(values, ((0, 0), (0, length - rows), (0, 0)), mode="edge")
    return np.asarray(execution.cumulative(ready.setting)(floats(params), series, values, ready.first))[:, :rows]


class MixedQuantiles:
    """Quantiles of coming observations from their distribution functions, averaged over draws of the parameters.

    Takes the place of the quantiles of moments where a row's law is a mixture: over the values of discrete states.
    """

    def __init__(self, ready: Moments) -> None:
        found = emissions(ready.model.spec)
        labels = {o.name for o in ready.model.spec.observations.values() if o.values is not None and o.values.axis}
        mine = [(e, place) for e, name, _, place in found if alone(e) and name not in labels]
        self.entries = sorted(place for _, place in mine)
        whole = {name for name, o in ready.model.spec.observations.items() if o.values is not None}
        self._whole = {place for e, name, _, place in found
                       if name in whole or (e.law is not None and _counts(e.law.name))}  # fmt: skip
        self._ready = ready
        self._laws: list[Mapping[str, Any]] = []

    def add(self, params: Mapping[str, Any]) -> None:
        """One more law of the mixture."""
        self._laws.append(params)

    def _below(self, values: Float[np.ndarray, "K R m"], params: Mapping[str, Any]) -> Float[np.ndarray, "K R m"]:
        return _distribution(self._ready, params, None, values)[:, :, 1]

    def into(self, quantiles: np.ndarray, probabilities: Sequence[float], mean: np.ndarray, sd: np.ndarray
             ) -> np.ndarray:  # fmt: skip
        """`quantiles` (probabilities, rows, m) with those of the mixture in place of them; mean and sd: (rows, m)."""
        out = quantiles.copy()
        if not self.entries or not self._laws:
            return out
        share = 1.0 / len(self._laws)
        through = lambda values: np.sum([share * self._below(values, p) for p in self._laws], axis=0)
        known = np.isfinite(mean) & np.isfinite(sd)
        low, high = (np.where(known, mean + k * sd, k) for k in (-REACH, REACH))
        whole = np.isin(np.arange(mean.shape[1]), list(self._whole))
        low = np.where(whole, np.floor(low) - 1, low)
        grid = lambda low, high: self._rounded(low + np.linspace(0, 1, POINTS)[:, None, None] * (high - low), whole)
        # Where components are narrow beside the whole they are looked at again, each quantile by itself.
        points = grid(low, high)
        below = through(points)
        for i, q in enumerate(probabilities):
            left, right = _bracket(below, points, q)
            near = grid(left, right)
            found = _quantile(through(near), near, q)
            found = np.where(whole, np.ceil(found - 1e-9), found) + 0.0
            use = known & np.isin(np.arange(mean.shape[1]), self.entries) & np.isfinite(found)
            out[i] = np.where(use, found, out[i])
        return out

    @staticmethod
    def _rounded(points: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.where(whole, np.floor(points), points)


class MixedStates(MixedQuantiles):
    """The same of states whose laws `imm` carries as mixtures over the regimes."""

    def __init__(self, ready: Moments) -> None:
        self._ready, self._laws, self._whole = ready, [], set()
        sizes = [(s.values is None, s.size) for s in ready.model.spec.states.values()]
        self._real = np.repeat([real for real, _ in sizes], [size for _, size in sizes])
        self.entries = np.flatnonzero(self._real).tolist()

    def _below(self, values: Float[np.ndarray, "K R n"], params: Mapping[str, Any]) -> Float[np.ndarray, "K R n"]:
        own: Any = getattr(self._ready, "own", self._ready.execution)
        of = own.cumulative_states(self._ready.setting)
        found = np.full(values.shape, np.nan)
        found[..., self._real] = of(floats(params), self._ready.series, values[..., self._real], self._ready.first)
        return found


def _bracket(through: np.ndarray, points: np.ndarray, q: float) -> tuple[np.ndarray, np.ndarray]:
    """The last of the points (K, rows, m) with a probability below q up to it, and the next one."""
    k = np.clip(np.sum(through < q - 1e-12, axis=0), 1, len(points) - 1)
    take = lambda v, k: np.take_along_axis(v, k[None], axis=0)[0]
    return take(points, k - 1), take(points, k)


def _quantile(through: np.ndarray, points: np.ndarray, q: float) -> np.ndarray:
    """The least value with a probability of at least q up to it, by a straight line between two points."""
    left, right = _bracket(through, points, q)
    below, above = (_bracket(through, through, q))
    share = np.where(above > below, (q - below) / np.where(above > below, above - below, 1.0), 1.0)
    return left + np.clip(share, 0.0, 1.0) * (right - left)


def _counts(name: str) -> bool:
    from ssmlang.model.distributions import DISTRIBUTIONS

    return DISTRIBUTIONS[name].discrete
