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


@dataclass(frozen=True)
class Exceptional:
    """A set (`tie`), the coordinates that are lost on it, and functions of them that are still identified."""

    tie: Tie
    lost: tuple[int, ...]
    kept: tuple[Invariant, ...]
    text: str = ""
    """The equation, where it is not a simple one"""


def exceptional(study: Study, steps: int, usual: Sample, more: Sequence[Surface] = ()) -> list[Exceptional]:
    """Sets where the law does not change in more directions than `usual`; `more`: sets to try besides simple ones."""
    until = time.process_time() + min(SECONDS, max(study.budget.left / 2, 0))
    found: list[Exceptional] = []
    generic = usual.null.shape[1]
    blind = set(np.flatnonzero(usual.null.any(axis=1)).tolist())
    named = [(Tie(s.coordinate, solved=s.residue), s.text) for s in more]
    for tie, text in [*((t, "") for t in _ties(study)), *named]:
        if time.process_time() > until:
            break
        study.budget.check()
        if tie.coordinate in blind or tie.other in blind:
            continue
        try:
            here = study.sample(3, steps, ties=[tie])
            if here.null.shape[1] <= generic or study.sample(4, steps, ties=[tie]).null.shape[1] <= generic:
                continue
            if here.null.shape[1] <= generic or study.sample(3, study.lengths[-1], ties=[tie]).null.shape[1] <= generic:
                continue
        except Unsupported:
            continue
        lost = tuple(i for c in study.components(here.null) for i in c if not set(c) <= blind)
        found.append(Exceptional(tie, lost, _kept(study, steps, tie, lost), text))
    return found


def _kept(study: Study, steps: int, tie: Tie, lost: tuple[int, ...]) -> tuple[Invariant, ...]:
    """What is still identified of the coordinates lost, where few are."""
    own = [i for i in lost if i != tie.coordinate]
    if not 2 <= len(own) <= 4:
        return ()
    coords = [study.coords[i] for i in own]
    sample = study.within(coords, steps, ties=[tie])
    dimension = sample(0).null.shape[1]
    return tuple(invariants(sample, len(own), dimension)) if dimension else ()


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
