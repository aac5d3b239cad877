"""Directions in the state that are never seen, as a person can name them: shifts and scalings that change nothing.

A shift is a fixed vector that every gradient of every output is orthogonal to, at every point; a scaling is one of the
form (c_j s_j), along which s_j goes to r^c_j s_j. Both move through the whole space without a trace, so that two states
apart by them are a witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_rank import NO_VALUE, Seen, residues, seen
from ssmlang.analysis.residues import PRIME, fractions, null_space
from ssmlang.analysis.skeleton import Key

POINTS = 4
LATER = 3
"""So many times the rows (or Lie derivatives) that suffice elsewhere are looked at before something counts as lost."""


@dataclass(frozen=True)
class Direction:
    """kind shift: the state moves by `vector`; scaling: entry j is multiplied by r ** vector[j]."""

    kind: str
    vector: tuple[int, ...]

    def moved(self, state: dict[Key, float], keys: Sequence[Key], by: float = 1.0) -> dict[Key, float]:
        found = dict(state)
        for key, c in zip(keys, self.vector):
            if c:
                found[key] = state[key] + by * c if self.kind == "shift" else state[key] * (1 + by) ** c
        return found


def exact_points(
    outputs: Outputs, rows: int, count: int = POINTS, seed: int = 100
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random states modulo the prime with the gradients there, parameters drawn anew for each."""
    found = []
    for k in range(4 * count):
        try:
            state, known = residues(outputs, seed + k)
            at = seen(outputs, state, known, exact=True, most=rows)
        except NO_VALUE:
            continue
        found.append((np.array([state[key] for key in outputs.keys], np.int64), at.gradients))
        if len(found) == count:
            break
    return found


def directions(outputs: Outputs, generic: Seen) -> list[Direction]:
    """Shifts and scalings that no output notices, at any parameters."""
    points = exact_points(outputs, max(generic.rows, len(outputs.keys)))
    if not points:
        return []
    shifts = null_space(np.vstack([g for _, g in points]))
    scalings = null_space(np.vstack([g * s[None, :] % PRIME for s, g in points]))
    found = [*_named("shift", shifts), *_named("scaling", scalings)]
    return [d for d in found if d.kind == "shift" or not _is_shift(d, shifts)]


def _is_shift(d: Direction, shifts: np.ndarray) -> bool:
    """A scaling of entries that are each never seen is no news."""
    unseen = {int(np.flatnonzero(v)[0]) for v in shifts if np.count_nonzero(v) == 1}
    return all(j in unseen for j, c in enumerate(d.vector) if c)


def _named(kind: str, rows: np.ndarray) -> list[Direction]:
    found = []
    for row in rows:
        numbers = fractions(row)
        if numbers is not None:
            found.append(Direction(kind, whole(numbers)))
    return found


def whole(fractions: Sequence[Fraction]) -> tuple[int, ...]:
    """The smallest whole numbers in these proportions, the first one positive."""
    common = lcm(*(f.denominator for f in fractions))
    numbers = [int(f * common) for f in fractions]
    shared = gcd(*numbers) or 1
    first = next((n for n in numbers if n), 1)
    return tuple(n // shared * (1 if first > 0 else -1) for n in numbers)


def undetermined(gradients: np.ndarray, exact: bool) -> list[int]:
    """Entries whose own value the outputs do not determine at a point: those that some unseen direction moves."""
    if exact:
        return np.flatnonzero(null_space(gradients).any(axis=0)).tolist()
    from ssmlang.analysis.lie_rank import CLEAR, scaled

    small = scaled(gradients)
    _, s, vt = np.linalg.svd(small)
    rank = int((s > CLEAR * s[0]).sum()) if len(s) else 0
    return np.flatnonzero(np.linalg.norm(vt[rank:], axis=0) > 1e-6).tolist()


def zero_sets(outputs: Outputs, rank: int, rows: int, most: int = 3) -> list[tuple[tuple[Key, ...], list[int]]]:
    """Sets of entries (of states, or of parameters) whose vanishing costs rank, with the entries that are then lost."""
    found: list[tuple[tuple[Key, ...], list[int]]] = []
    n = len(outputs.keys)
    candidates = outputs.keys[:12] + _parameters(outputs)[:8]
    states = [k for k in candidates if k.sort != "param"]
    pairs = [(a, b) for i, a in enumerate(states) for b in states[i + 1 :]]
    for group in [*((k,) for k in candidates), *(pairs if len(candidates) <= 10 else [])]:
        if any(set(f) <= set(group) for f, _ in found) or len(found) >= most:
            continue
        try:
            state, known = residues(outputs, 500, dict.fromkeys(group, 0))
            here = seen(outputs, state, known, exact=True, most=max(rows, n))
            if here.rank < rank:  # a state that only passes through the set is seen later on
                later = LATER * max(rows, n)
                here = seen(outputs, state, known, exact=True, most=later, settled=later)
        except NO_VALUE:
            continue
        if here.rank < rank:
            found.append((group, undetermined(here.gradients, True)))
    return found


def _parameters(outputs: Outputs) -> list[Key]:
    """Parameters that may be zero."""
    found = []
    for p in outputs.model.parameters.values():
        if p.augment:
            continue
        low, high = p.support.lower, p.support.upper
        positive = low is not None and low.value is not None and bool((np.asarray(low.value) >= 0).all())
        negative = high is not None and high.value is not None and bool((np.asarray(high.value) <= 0).all())
        if not positive and not negative and p.support.kind in ("real", "interval", "stationary"):
            found += [Key("param", p.name, i) for i in range(min(p.size, 4))]
    return found

