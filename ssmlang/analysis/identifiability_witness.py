"""Two settings of the parameters with the same law of the observations, in numbers, checked in double precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from ssmlang.analysis.identifiability_invariants import Invariant, whole_numbers
from ssmlang.analysis.identifiability_law import Start
from ssmlang.analysis.identifiability_point import Coordinate, inside, moved
from ssmlang.analysis.identifiability_rank import jacobian, null_space, rational
from ssmlang.analysis.identifiability_rings import NoRoot, P, Reals
from ssmlang.analysis.identifiability_study import Study, same_law
from ssmlang.model.model import Model

Array = np.ndarray
STEPS = 12
LENGTH = 0.4
"""How far the second setting lies along the unseen direction, in units of the largest relative change."""
TRIES = 4
EXACT, FOLLOWED = 1e-8, 2e-5
"""Relative difference that two laws may have: of settings from a formula, and of settings found step by step."""


@dataclass(frozen=True)
class Pair:
    """Two settings by parameter, and the coordinates in which they differ."""

    first: Mapping[str, Array]
    second: Mapping[str, Array]
    coords: Sequence[Coordinate]

    def values(self, setting: Mapping[str, Array]) -> dict[str, float]:
        return {k.name: float(setting[k.parameter].reshape(-1)[k.entry]) for k in self.coords}


def pair(study: Study, coords: Sequence[Coordinate], kept: Sequence[Invariant], dimension: int, steps: int,
         start: Start, turned: bool = False) -> Pair | None:  # fmt: skip
    """Two settings that differ in `coords` alone, whose laws are checked to agree; None where none was found.

    `kept`: functions of the coordinates (and of others after them, as in `study.around(coords)`) that are identified.
    `turned`: the coordinates are a matrix, of which only its product with its transpose is.
    """
    complete = len(kept) == len(coords) - dimension
    roads = [lambda first: scaled(study.model, first, coords, kept)] if complete else []
    if turned:
        roads, complete = [lambda first: _turned(first, coords)], True
    else:
        roads.append(lambda first: _followed(study, first, coords, kept if complete else None, steps, start))
    for seed in range(1, TRIES + 1):
        first = rounded(study, seed)
        for road in roads:
            study.budget.check()
            second = road(first)
            if second is None or not inside(study.model, second):
                continue
            with np.errstate(all="ignore"):
                a, b = (study.float_laws(v, steps, start=start) for v in (first, second))
            if same_law(a, b, EXACT if complete else FOLLOWED):
                return Pair(first, second, coords)
    return None


def rounded(study: Study, seed: int) -> dict[str, Array]:
    """A plausible setting, in two digits where entries are free to be so."""
    found = {}
    for name, value in study.floats(seed).items():
        kind = study.model.parameters[name].support.kind
        size = np.maximum(np.abs(value), 1e-12)
        digits = 10.0 ** (np.floor(np.log10(size)) - 1)
        found[name] = np.round(value / digits) * digits if kind in ("real", "interval") else value
    return found if inside(study.model, found) else study.floats(seed)


def scaled(model: Model, first: Mapping[str, Array], coords: Sequence[Coordinate], kept: Sequence[Invariant]
           ) -> dict[str, Array] | None:  # fmt: skip
    """Where all that is kept are products: the factors doubled and halved."""
    if not all(k.is_product and max(k.coordinates()) < len(coords) for k in kept):
        return None
    exponents = np.zeros((len(kept), len(coords)), np.int64)
    for row, invariant in enumerate(kept):
        for i, e in invariant.terms[0][1]:
            exponents[row, i] = e
    vectors = rational(null_space(np.mod(exponents, P)))
    if not vectors:
        return None
    by = whole_numbers([Fraction(v) for v in vectors[0]])
    change = np.array([2.0**e for e in by])
    return moved(model, first, coords, lambda v: v * change)


def _turned(first: Mapping[str, Array], coords: Sequence[Coordinate]) -> dict[str, Array]:
    """The first two columns turned into each other by the angle of the triangle 3, 4, 5."""
    name = coords[0].parameter
    matrix = np.array(first[name], float)
    matrix[:, :2] = matrix[:, :2] @ np.array([[0.6, -0.8], [0.8, 0.6]])
    return {**first, name: matrix}


Slopes = Callable[[Mapping[str, Array]], Array]


def _followed(study: Study, first: Mapping[str, Array], coords: Sequence[Coordinate], kept: Sequence[Invariant] | None,
              steps: int, start: Start) -> dict[str, Array] | None:  # fmt: skip
    """Along the unseen direction by Runge-Kutta steps, in whichever sense stays inside the supports."""
    around = study.around(coords)
    at = lambda here, which: np.array([here[k.parameter].reshape(-1)[k.entry] for k in which])

    def of_functions(here: Mapping[str, Array]) -> Array:
        rows = [k.slope(at(here, around))[: len(coords)] for k in kept or ()]
        return np.array(rows).reshape(-1, len(coords))

    of_law = lambda here: jacobian(study.float_laws(here, steps, coords, start), Reals(), len(coords), 0)
    for sense in (1.0, -1.0):
        try:
            found = _along(study, first, coords, of_law if kept is None else of_functions, sense)
        except (NoRoot, np.linalg.LinAlgError):
            continue
        if found is not None and kept:
            found = _polished(study, found, coords, around, kept, first)
        if found is not None and inside(study.model, found):
            return found
    return None


def _along(study: Study, first: Mapping[str, Array], coords: Sequence[Coordinate], slopes: Slopes, sense: float
           ) -> dict[str, Array] | None:  # fmt: skip
    last: Array | None = None

    def direction(here: Mapping[str, Array] | None) -> Array | None:
        nonlocal last
        if here is None:
            return None
        study.budget.check()
        own = np.array([here[k.parameter].reshape(-1)[k.entry] for k in coords])
        scale = np.abs(own) + 0.3
        jac = slopes(here) * scale
        if not np.isfinite(jac).all():
            return None
        _, s, vt = np.linalg.svd(np.linalg.qr(jac, mode="r") if len(jac) > jac.shape[1] else jac, full_matrices=True)
        hidden = vt[int((s > 1e-7 * max(s.max(initial=0), 1e-300)).sum()) :]
        if not len(hidden):
            hidden = vt[-1:]
        chosen = hidden[0] if last is None else hidden.T @ (hidden @ last)
        size = np.abs(chosen).max()
        if size == 0:
            return None
        last = chosen / size
        return last * scale

    h = sense * LENGTH / STEPS
    by = lambda at, v, k: None if k is None else moved(study.model, at, coords, partial(np.add, v * k))
    at: dict[str, Array] | None = dict(first)
    for _ in range(STEPS):
        k1 = direction(at)
        k2 = direction(by(at, h / 2, k1))
        k3 = direction(by(at, h / 2, k2))
        k4 = direction(by(at, h, k3))
        if k1 is None or k2 is None or k3 is None or k4 is None:
            return None
        at = by(at, h / 6, k1 + 2 * k2 + 2 * k3 + k4)
        if at is None or not inside(study.model, at):
            return None
    return at


def _polished(study: Study, found: dict[str, Array], coords: Sequence[Coordinate], around: Sequence[Coordinate],
              kept: Sequence[Invariant], first: Mapping[str, Array]) -> dict[str, Array]:  # fmt: skip
    """Newton's method on what must stay the same; the coordinate that moved most, in two digits."""
    at = lambda here, which: np.array([here[k.parameter].reshape(-1)[k.entry] for k in which])
    wanted = np.array([k(at(first, around)) for k in kept])
    free = np.arange(len(coords))
    if len(coords) - len(kept) == 1 and all(_plain(study, k) for k in coords):
        here = at(found, coords)
        change = np.abs(here - at(first, coords)) / (np.abs(here) + 1e-9)
        fixed = int(np.argmax(change))
        target = float(f"{here[fixed]:.2g}")
        found = moved(study.model, found, coords, lambda v: np.where(np.arange(len(v)) == fixed, target, v))
        free = np.delete(free, fixed)
    for _ in range(8):
        values = at(found, around)
        gap = np.array([k(values) for k in kept]) - wanted
        slopes = np.array([k.slope(values)[: len(coords)] for k in kept])[:, free]
        step = np.zeros(len(coords))
        step[free] = np.linalg.lstsq(slopes, gap, rcond=None)[0]
        found = moved(study.model, found, coords, partial(np.add, -step))
    return found


def _plain(study: Study, k: Coordinate) -> bool:
    return study.model.parameters[k.parameter].support.kind in ("real", "interval")
