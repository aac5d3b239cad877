"""Two settings of the parameters under which every held path gives its observations the same laws, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from ssmlang.analysis.findings import Witness
from ssmlang.analysis.identifiability_dual import Calculus, Expressions
from ssmlang.analysis.identifiability_held import SERIES, Held, HeldRows, diffuse
from ssmlang.analysis.identifiability_point import Coordinate, duals, inside, moved
from ssmlang.analysis.identifiability_rings import NoRoot, Reals
from ssmlang.analysis.identifiability_words import setting

Array = np.ndarray
STEPS, LENGTH, NEWTON = 4, 0.4, 5
EXACT = 1e-9
"""Relative difference that the laws along two held paths may have."""
SEED = 5


def pair(held: Held, coords: Sequence[Coordinate], steps: int) -> Witness | None:
    """Two settings that differ in `coords` alone; None where none was found, or where first values are diffuse."""
    if diffuse(held.path):
        return None
    model = held.path.model
    first = {n: np.array(held.path._floats[n], float) for n in held.path.read}
    if not inside(model, first):
        return None
    for sense in (1.0, -1.0):
        try:
            with np.errstate(all="ignore"):
                second = _followed(held, first, coords, steps, sense)
        except (NoRoot, np.linalg.LinAlgError):
            continue
        if second is not None:
            chosen = lambda v: {k.name: round(float(v[k.parameter].reshape(-1)[k.entry]), 12) for k in coords}
            others = {n: v for n, v in first.items() if n not in {k.parameter for k in coords}}
            what = "the observations have the same law"
            return Witness(chosen(first), chosen(second), what, "parameters", setting(others, model))
    return None


def _followed(held: Held, first: dict[str, Array], coords: Sequence[Coordinate], steps: int, sense: float
              ) -> dict[str, Array] | None:  # fmt: skip
    """Along the unseen direction, each step put back by Newton's method onto where the laws are those at the start."""
    model = held.path.model
    wanted, _ = laws(held, first, coords, steps, 1)
    size = max(1.0, float(np.abs(wanted).max(initial=0)))
    here, last = first, None
    for _ in range(STEPS):
        held.path.budget.check()
        own = np.array([here[k.parameter].reshape(-1)[k.entry] for k in coords])
        scale = np.abs(own) + 0.3
        _, slopes = laws(held, here, coords, steps, 1)
        if not np.isfinite(slopes).all():
            return None
        _, s, vt = np.linalg.svd(slopes * scale, full_matrices=True)
        unseen = vt[int((s > 1e-7 * max(s.max(initial=0), 1e-300)).sum()) :]
        if not len(unseen):
            return None
        ahead = unseen[0] * sense if last is None else unseen.T @ (unseen @ last)
        last = ahead / max(np.abs(ahead).max(), 1e-300)
        here = moved(model, here, coords, partial(np.add, last * scale * LENGTH / STEPS))
        for _ in range(NEWTON):
            values, slopes = laws(held, here, coords, steps, 1)
            if not (np.isfinite(values).all() and np.isfinite(slopes).all()):
                return None
            if np.abs(values - wanted).max(initial=0) <= EXACT / 100 * size:
                break
            back = np.linalg.lstsq(slopes, values - wanted, rcond=1e-9)[0]
            here = moved(model, here, coords, partial(np.add, -back))
    wanted, values = (laws(held, v, coords, steps)[0] for v in (first, here))
    close = np.abs(values - wanted).max(initial=0) <= EXACT * max(1.0, np.abs(wanted).max(initial=0))
    return here if close and inside(model, here) else None


def laws(held: Held, values: Mapping[str, Array], coords: Sequence[Coordinate], steps: int, paths: int = SERIES
         ) -> tuple[Array, Array]:  # fmt: skip
    """The arguments of the laws along a few held paths and what must stay besides, (k,), and their slopes (k, d)."""
    found, slopes = [], []
    ring = Reals()
    for series in range(paths):
        rows = rows_of(held, values, coords, np.random.default_rng([SEED, series]))
        made = [d for t in range(steps) for d in rows.observed(t)] + rows.unchanged
        for d in made:
            found.append(np.asarray(ring.number(d.value)).reshape(-1))
            flat = np.zeros((len(coords), found[-1].size)) if d.tangent is None else d.tangent.reshape(len(coords), -1)
            slopes.append(flat.T)
    return np.concatenate(found), np.concatenate(slopes)


def rows_of(held: Held, values: Mapping[str, Array], coords: Sequence[Coordinate], random: np.random.Generator
            ) -> HeldRows:  # fmt: skip
    """One held path in double precision at a setting, its rows to be asked for."""
    ring = Reals()
    calculus = Calculus(ring, len(coords))
    path = held.path
    params = duals(path.model, calculus, dict(values), coords)
    expressions = Expressions(calculus, params, {**path._floats, **values})
    return HeldRows(path, calculus, expressions, random, ring, {})
