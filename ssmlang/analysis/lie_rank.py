"""The rank of what the observations say of the state, at a point: exact modulo a prime, else in double precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssmlang.analysis.lie_jets import Jet, Jets
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.residues import PRIME
from ssmlang.analysis.residues import rank as exact_rank
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key

SETTLED = 3
"""So many rows in a row that add nothing settle the rank."""
CLEAR, LOST = 1e-7, 1e-11
"""Singular values, beside the largest, above which a direction is seen and below which it is not."""
NO_VALUE = (ZeroDivisionError, ValueError, OverflowError)


@dataclass(frozen=True)
class Seen:
    """The gradients of outputs by the first state, (outputs, n), of `rows` rows. `exact`: residues modulo PRIME."""

    gradients: np.ndarray
    rank: int
    rows: int
    exact: bool
    plain: bool = True
    """all constants are numbers that a person writes"""
    clear: bool = True
    """in double precision: no singular value lies between what is seen and what is not"""


Values = Mapping[Key, Any]


def residues(
    outputs: Outputs, seed: int, fixed: Values | None = None
) -> tuple[dict[Key, int], Callable[[Key, int], int]]:
    """A random state modulo the prime, with random parameters, inputs and data; `fixed` gives some of them."""
    rng = np.random.default_rng(seed)
    fixed = fixed or {}
    state = {k: int(fixed.get(k, rng.integers(2, PRIME - 1))) for k in outputs.keys}
    drawn: dict[tuple[Key, int], int] = {}

    def known(key: Key, row: int) -> int:
        key = Key(key.sort, key.name, key.entry)
        if key.sort == "param":
            row = 0
        if key in fixed:
            return int(fixed[key])
        if (key, row) not in drawn:
            drawn[key, row] = int(rng.integers(2, PRIME - 1))
        return drawn[key, row]

    return state, known


def seen(
    outputs: Outputs, state: Values, known: Callable[[Key, int], Any], exact: bool, most: int | None = None,
    settled: int = SETTLED,
) -> Seen:  # fmt: skip
    """Gradients of as many rows as add to the rank at this point, `most` of them at most, and until `settled` rows in
    a row add nothing.

    Raises Unsupported for operations that have no residue (`exact`) or no derivative, and one of NO_VALUE where
    the point has no value.
    """
    n = len(outputs.keys)
    most = n if most is None else most
    if outputs.continuous:
        return _lie(outputs, state, known, exact, most)
    jets = Jets(n, 0, PRIME if exact else 0)
    start = {k: jets.variable(state[k], i) for i, k in enumerate(outputs.keys)}
    gradients = np.zeros((0, n), np.int64 if exact else float)
    ranks: list[int] = []
    clear = True
    for row, values in enumerate(outputs.rows(jets, start, known)):
        outputs.tick()
        new = [v.a[0, 1:] for v in values if isinstance(v, Jet)]
        if not exact and not all(np.isfinite(v).all() for v in new):
            raise OverflowError
        gradients = np.vstack([gradients, *new]) if new else gradients
        r, clear = _rank(gradients, exact)
        ranks.append(r)
        if r == n or row + 1 >= max(most, 1) or (len(ranks) > settled and ranks[-1 - settled] == r and r):
            break
    return Seen(gradients, ranks[-1], len(ranks), exact, jets.plain, clear)


def _lie(outputs: Outputs, state: Values, known: Callable[[Key, int], Any], exact: bool, most: int) -> Seen:
    """Lie derivatives, as Taylor coefficients of the outputs along the flow."""
    n = len(outputs.keys)
    order = max(most - 1, 0)
    jets = Jets(n, order, PRIME if exact else 0)
    now = {k: jets.variable(state[k], i) for i, k in enumerate(outputs.keys)}
    for k in range(order):
        outputs.tick()
        rates = outputs.rates(jets, now, known)
        for key, jet in now.items():
            rate = rates[key]
            if isinstance(rate, Jet):
                jet.a[k + 1] = rate.a[k] * pow(k + 1, -1, PRIME) % PRIME if exact else rate.a[k] / (k + 1)
            elif k == 0:
                jet.a[1, 0] = rate
    values = [v for v in outputs.now(jets, now, known) if isinstance(v, Jet)]
    gradients = np.array([v.a[k, 1:] for k in range(order + 1) for v in values]).reshape(-1, n)
    if not exact and not np.isfinite(gradients).all():
        raise OverflowError
    r, clear = _rank(gradients, exact)
    rows = next((k + 1 for k in range(order + 1) if _rank(gradients[: (k + 1) * len(values)], exact)[0] == r), 1)
    return Seen(gradients[: rows * len(values)] if r == n else gradients, r, rows, exact, jets.plain, clear)


def _rank(gradients: np.ndarray, exact: bool) -> tuple[int, bool]:
    if not gradients.size or not gradients.any():
        return 0, True
    if exact:
        return exact_rank(gradients), True
    s = np.linalg.svd(scaled(gradients), compute_uv=False)
    share = s / s[0]
    return int((share > CLEAR).sum()), not ((share <= CLEAR) & (share > LOST)).any()


def scaled(gradients: np.ndarray) -> np.ndarray:
    """Rows, then columns, of length one: what is measured in large units is seen no better."""
    rows = np.linalg.norm(gradients, axis=1, keepdims=True)
    found = gradients[rows[:, 0] > 0] / rows[rows[:, 0] > 0]
    columns = np.linalg.norm(found, axis=0, keepdims=True)
    return found / np.where(columns > 0, columns, 1)


def generic(outputs: Outputs, seeds: range = range(2)) -> Seen | None:
    """The largest rank at random residues; None where an operation has none."""
    best: Seen | None = None
    for seed in seeds:
        try:
            state, known = residues(outputs, seed)
            found = seen(outputs, state, known, exact=True)
        except Unsupported:
            return None
        except NO_VALUE:
            continue
        if best is None or found.rank > best.rank:
            best = found
        if best.rank == len(outputs.keys):
            break
    return best
