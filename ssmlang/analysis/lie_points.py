"""Points at which a nonlinear model is looked at in double precision: states and parameters as the prior has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.draws import between
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_rank import NO_VALUE, Seen, scaled, seen
from ssmlang.analysis.scalars import Doubles, Unsupported
from ssmlang.analysis.skeleton import Key
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model.model import Dist, InitialEquation

DOUBLES = Doubles()


@dataclass(frozen=True)
class Point:
    """A state, with parameters by name; inputs and data are drawn by row."""

    state: dict[Key, float]
    params: Mapping[str, np.ndarray]
    seed: int

    def known(self) -> Callable[[Key, int], float]:
        """Parameters, and inputs and data by row: positive numbers, since exposures and steps are."""
        rng = np.random.default_rng(self.seed)
        drawn: dict[tuple[Key, int], float] = {}

        def read(key: Key, row: int) -> float:
            if key.sort == "param":
                return float(np.asarray(self.params[key.name]).reshape(-1)[key.entry])
            place = (Key(key.sort, key.name, key.entry), row)
            if place not in drawn:
                drawn[place] = float(np.round(rng.uniform(0.3, 2.0), 2))
            return drawn[place]

        return read


def prior_points(context: Context, outputs: Outputs, count: int) -> Iterator[Point]:
    """Draws of parameters and first states from the prior; states without a law there are standard normal."""
    for seed, params in enumerate(context.draws(count)):
        rng = np.random.default_rng(1_000 + seed)
        first: dict[tuple[str, int, int], float] = {}
        for initial in context.model.initials:
            for place, value in _drawn(initial, params, first, context, rng).items():
                first[place] = value
        state: dict[Key, float] = {}
        for key in outputs.keys:
            if key.sort == "augment":
                state[key] = float(np.asarray(params[key.name]).reshape(-1)[key.entry])
            else:
                at = [(key.name, -key.lag, key.entry), (key.name, 0, key.entry), (key.name, -1, key.entry)]
                known = next((first[a] for a in at if a in first), 0.0)
                spread = 0.3 * rng.standard_normal() if key.lag and at[0] not in first else 0.0
                state[key] = known + spread if any(a in first for a in at) else float(rng.standard_normal())
        yield Point({k: float(np.round(v, 3)) for k, v in state.items()}, params, seed)


def _drawn(initial: InitialEquation, params: Mapping[str, np.ndarray], first: Mapping[tuple[str, int, int], float],
           context: Context, rng: np.random.Generator) -> dict[tuple[str, int, int], float]:  # fmt: skip
    places = [(t.name, t.row, i) for t in initial.targets for i in t.entries]
    normal = dict(zip(places, rng.standard_normal(len(places)).tolist()))
    if initial.special is not None:
        return normal

    def read(sort: str, name: str, lag: int) -> np.ndarray:
        variable = context.model.states.get(name)
        if sort != "state" or variable is None:
            raise Unreadable(name)
        return np.array([first.get((name, -lag, i), 0.0) for i in range(variable.size)]).reshape(variable.shape)

    try:
        if initial.value is not None:
            values = evaluate(initial.value, params, 0, read)
        else:
            assert initial.law is not None
            values = _of_law(initial.law, {k: evaluate(v, params, 0, read) for k, v in initial.law.args.items()}, rng)
    except (Unreadable, KeyError, ValueError, TypeError, np.linalg.LinAlgError):
        return normal
    flat = np.asarray(values, float).reshape(-1)
    return dict(zip(places, flat.tolist())) if len(flat) == len(places) and np.isfinite(flat).all() else normal


def _of_law(law: Dist, args: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    if law.name == "MvNormal":
        factor = args["scale_tril"] if "scale_tril" in args else np.linalg.cholesky(args["cov"])
        z = rng.standard_normal(law.shape)
        return np.asarray(np.broadcast_to(args["loc"], law.shape) + np.einsum("...ij,...j->...i", factor, z))
    with np.errstate(all="ignore"):
        drawn = between(law.name, args, -np.inf, np.inf, rng.uniform(0.02, 0.98, size=law.shape))
    return np.asarray(np.broadcast_to(drawn, law.shape))


def seen_at(outputs: Outputs, point: Point, most: int | None = None) -> Seen | None:
    """The rank in double precision at a point; None where the point has no value."""
    try:
        return seen(outputs, point.state, point.known(), exact=False, most=most)
    except NO_VALUE:
        return None


def weakest(outputs: Outputs, found: Seen) -> tuple[float, Key] | None:
    """The smallest singular value beside the largest, and the entry that its direction is mostly of."""
    if not found.gradients.any():
        return None
    _, s, vt = np.linalg.svd(scaled(found.gradients), full_matrices=False)
    return float(s[-1] / s[0]), outputs.keys[int(np.argmax(np.abs(vt[-1])))]


def alike(outputs: Outputs, point: Point, other: Mapping[Key, float], rows: int = 20) -> bool:
    """Whether two states give the same outputs, row by row, in double precision."""
    try:
        if outputs.continuous:
            first, second = (_taylor(outputs, Point(dict(s), point.params, point.seed)) for s in (point.state, other))
            return _close(first, second)
        both = (outputs.rows(DOUBLES, s, point.known()) for s in (point.state, other))
        for _, first, second in zip(range(rows), *both):
            if not _close(np.array(first, float), np.array(second, float)):
                return False
    except (Unsupported, *NO_VALUE):
        return False
    return True


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    same = np.isclose(first, second, rtol=1e-8, atol=1e-10) | (np.isnan(first) & np.isnan(second))
    return bool(same.all() and not (np.isnan(first).all() and len(first)))


def _taylor(outputs: Outputs, point: Point) -> np.ndarray:
    """Lie derivatives of the outputs at a point."""
    from ssmlang.analysis.lie_jets import Jet, Jets

    order = 6
    jets = Jets(0, order)
    now: dict[Key, Any] = {}
    for key in outputs.keys:
        a = np.zeros((order + 1, 1))
        a[0, 0] = point.state[key]
        now[key] = Jet(a, 0)
    for k in range(order):
        rates = outputs.rates(jets, now, point.known())
        for key, jet in now.items():
            rate = rates[key]
            if isinstance(rate, Jet):
                jet.a[k + 1] = rate.a[k] / (k + 1)
            elif k == 0:
                jet.a[1, 0] = rate
    values = outputs.now(jets, now, point.known())
    return np.concatenate([v.a[:, 0] if isinstance(v, Jet) else np.array([float(v)]) for v in values])


def spread_moves(outputs: Outputs, points: list[Point], keys: list[Key]) -> list[str]:
    """Entries among `keys` that move the spread of a transition's noise, so that long series may inform them."""
    from ssmlang.analysis.lie_jets import Jet, Jets

    found: set[Key] = set()
    jets = Jets(len(outputs.keys))
    for point in points:
        state = {k: jets.variable(point.state[k], i) for i, k in enumerate(outputs.keys)}
        try:
            values = [v for v in outputs.spreads(jets, state, point.known()) if isinstance(v, Jet)]
        except (Unsupported, *NO_VALUE):
            continue
        found |= {k for i, k in enumerate(outputs.keys) if k in keys and any(v.a[0, 1 + i] for v in values)}
    return [outputs.name(k) for k in outputs.keys if k in found]
