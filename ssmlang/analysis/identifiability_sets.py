"""Named sets of parameters on which fewer of them are identified than almost everywhere.

Simple sets are tried: an entry is zero, two entries are equal or opposite. Each is tested at random points of the set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.identifiability_factors import Surface
from ssmlang.analysis.identifiability_invariants import Invariant, invariants
from ssmlang.analysis.identifiability_rings import Unsupported
from ssmlang.analysis.identifiability_study import Sample, Study, Tie
from ssmlang.analysis.identifiability_symmetry import both_signs

SECONDS = 0.5
"""Processor time for these sets."""
MOST_TIED = 16
"""Sets that are tried at one point."""


@dataclass(frozen=True)
class Exceptional:
    """A set (`tie`), the coordinates that are lost on it, and functions of them that are still identified."""

    tie: Tie
    lost: tuple[int, ...]
    kept: tuple[Invariant, ...]
    complete: bool
    """Whether `kept` is all that is"""
    text: str = ""
    """The equation, where it is not a simple one"""


def exceptional(study: Study, steps: int, usual: Sample, more: Sequence[Surface] = ()) -> list[Exceptional]:
    """Sets where the law does not change in more directions than `usual`; `more`: sets to try besides simple ones."""
    until = time.process_time() + min(SECONDS, max(study.budget.left / 2, 0))
    found: list[Exceptional] = []
    generic = usual.null.shape[1]
    blind = set(np.flatnonzero(usual.null.any(axis=1)).tolist())
    named = [(Tie(s.coordinate, solved=s.residue), s.text) for s in more]
    candidates = [*((t, "") for t in _ties(study)), *named]
    candidates = [c for c in candidates if c[0].coordinate not in blind and c[0].other not in blind]
    for i in _suspects(study, steps, generic, [tie for tie, _ in candidates], until):
        tie, text = candidates[i]
        here = _lossy(study, steps, tie, generic)
        if here is not None:
            lost = tuple(i for c in study.components(here.null) for i in c if not set(c) <= blind)
            found.append(Exceptional(tie, lost, *_kept(study, steps, tie, lost), text))
        if time.process_time() > until:
            break
    return found


def _lossy(study: Study, steps: int, tie: Tie, generic: int) -> Sample | None:
    """A random point of the set where more is lost than usual, if it is so at another point and for more rows too."""
    try:
        tried = [study.sample(seed, n, ties=[tie]) for seed, n in ((3, steps), (4, steps), (3, study.lengths[-1]))]
    except Unsupported:
        return None
    return tried[0] if all(s.null.shape[1] > generic for s in tried) else None


def _suspects(study: Study, steps: int, generic: int, ties: Sequence[Tie], until: float) -> list[int]:
    """Ties on which more than usual may be lost, by place; as far as the time goes.

    Rank never rises in the limit: where no more than usual is lost at one point that lies on several sets at once, no
    more is lost almost everywhere on each of them. So sets are tried by groups, and those of a bad group by halves.
    """
    found: list[int] = []
    waiting, size = list(range(len(ties))), 4
    while waiting and time.process_time() < until:
        group, waiting = _apart(ties, waiting, size)
        pending = [group]
        while pending and time.process_time() < until:
            own = pending.pop()
            study.budget.check()
            if _usual(study, steps, generic, [ties[i] for i in own]):
                size = min(2 * size, MOST_TIED) if len(own) == len(group) else size
            elif len(own) == 1:
                found += own
            else:
                half = len(own) // 2
                pending += [own[half:], own[:half]]
                size = max(len(group) // 2, 2)
    return sorted(found)


def _usual(study: Study, steps: int, generic: int, ties: Sequence[Tie]) -> bool:
    try:
        return study.sample(3, steps, ties=ties).null.shape[1] <= generic
    except Unsupported:
        return False


def _apart(ties: Sequence[Tie], waiting: Sequence[int], size: int) -> tuple[list[int], list[int]]:
    """Up to so many of the sets that share no coordinate, and the others."""
    own: list[int] = []
    rest: list[int] = []
    used: set[int] = set()
    for i in waiting:
        here = {k for k in (ties[i].coordinate, ties[i].other) if k is not None}
        alone = ties[i].solved is not None
        if len(own) < size and not here & used and not (alone and own) and -1 not in used:
            own.append(i)
            used |= here | ({-1} if alone else set())
        else:
            rest.append(i)
    return own, rest


def _kept(study: Study, steps: int, tie: Tie, lost: tuple[int, ...]) -> tuple[tuple[Invariant, ...], bool]:
    """What is still identified of the coordinates lost, where few are, and whether that is all of it."""
    own = [i for i in lost if i != tie.coordinate]
    if not 2 <= len(own) <= 4:
        return (), False
    coords = [study.coords[i] for i in own]
    sample = study.within(coords, steps, ties=[tie])
    dimension = sample(0).null.shape[1]
    try:
        kept = tuple(invariants(sample, len(own), dimension)) if dimension else ()
    except Unsupported:
        kept = ()
    return kept, len(kept) == len(own) - dimension


def _ties(study: Study) -> Iterator[Tie]:
    """Zeros first, then pairs within an array, then pairs of numbers."""
    model, coords = study.model, study.coords
    both = {p.name for p in model.parameters.values() if p.name in study.read and both_signs(p, study)}
    both |= {p.name for p in model.parameters.values() if p.support.kind == "stationary"}
    signed = [i for i, k in enumerate(coords) if k.parameter in both]
    small = lambda i: model.parameters[coords[i].parameter].size <= 6
    for i in signed:
        if small(i):
            yield Tie(i)
    for i, a in enumerate(coords):
        for j in range(i + 1, len(coords)):
            if coords[j].parameter == a.parameter and small(i):
                yield Tie(j, i)
    alone = [i for i in signed if small(i)]
    for n, i in enumerate(alone):
        for j in alone[n + 1 :]:
            yield Tie(j, i, sign=-1)
            if coords[i].parameter != coords[j].parameter:
                yield Tie(j, i)
