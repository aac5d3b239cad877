"""What double precision says at draws from the prior, where algebra gives no answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.filter_stability import constant
from ssmlang.analysis.observability_numbers import NOTHING, weakest
from ssmlang.analysis.stability_points import Probability
from ssmlang.analysis.values import Unreadable

Array = np.ndarray
DRAWS = 200
SECONDS = 0.7
"""Processor time; at least one draw is looked at."""
MOST_STATES = 400


def rank_said(pairs: Iterable[tuple[Array, Array]]) -> str:
    """`numerically of full rank at 200 prior draws`, of F and H at each draw; empty where there is none."""
    until = time.process_time() + SECONDS
    full = tried = 0
    for F, H in pairs:
        full, tried = full + (weakest(F, H) > NOTHING), tried + 1
        if time.process_time() > until:
            break
    if not tried:
        return ""
    share = f"{tried}" if full == tried else f"{full} of {tried}"
    return f"numerically of full rank at {share} prior draw{'' if tried == 1 else 's'}"


def radius_said(matrices: Iterable[Array]) -> str:
    """`numerically: prior probability 1 (...)` that the spectral radius is below one, and its median."""
    until = time.process_time() + SECONDS
    found: list[float] = []
    for F in matrices:
        found.append(float(np.abs(np.linalg.eigvals(F)).max(initial=0.0)))
        if time.process_time() > until:
            break
    if not found:
        return ""
    odds = Probability(sum(r < 1 for r in found), len(found))
    return f"numerically: prior probability {odds}; the spectral radius is {np.median(found):.3g} in the middle one"


def companions(context: Context) -> Iterator[tuple[Array, Array]]:
    """F and H of a program that does not change with the row, at prior draws where they are finite; else nothing."""
    form = context.linear
    if form is None or not constant(form) or form.stacking.n > MOST_STATES:
        return
    for draw in context.draws(DRAWS):
        try:
            F, H, *_ = context.numeric(draw).companion
        except Unreadable:
            return
        if len(F) > MOST_STATES:
            return
        if np.isfinite(F).all() and np.isfinite(H).all():
            yield F, H
