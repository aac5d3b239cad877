"""The check of the filter's stability: whether its error dies out, how fast, and after how many rows its gain settles.

At the prior median, for programs whose matrices do not change with the row. See Anderson and Moore, Optimal Filtering
(1979), chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.filter_stability_blocks import Part, parts
from ssmlang.analysis.filter_stability_riccati import (
    UNIT,
    LostMode,
    Plant,
    advance,
    closed_loop,
    gain,
    riccati,
    undriven,
    unseen,
)
from ssmlang.analysis.filter_stability_zeros import Silence, silent
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.needs import certain
from ssmlang.analysis.stability_modes import Mode, figure, rows_of
from ssmlang.analysis.stability_points import prior_median
from ssmlang.analysis.stability_words import some
from ssmlang.analysis.values import Unreadable
from ssmlang.engines.routes import FREEZING_ROWS, SETTLING_ROWS
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm

SETTLED = 1e-8
"""The gain has settled where it differs from its limit by less than this, relative to the limit."""
MAX_STEPS = 4_000
ZERO = 1e-12
"""A gain below this is none."""
LONG = 500
WARMER = (300, 1_500)
"""Rows of the recursion after which the algebraic equation is tried again: a weak loading is slow to tell."""
FINITE = 1e-6
"""A spectral radius below this is zero: nilpotent matrices have eigenvalues of about the root of rounding."""
MAX_SIZE = 80
MAX_SILENT = 30
"""Numbers of a part's memory up to which frequencies without power are looked for."""
MAX_PARTS = 12
"""Independent parts of different numbers that are looked at; a panel has many of one kind."""
NOT_SETTLING = "W614"
PROPERTY = "filter forgets its start"


@dataclass(frozen=True)
class Settled:
    """What the filter of one part does: `radius` = rho(F (I - K H)), `steps` until the gain has settled (None: more
    than MAX_STEPS)."""

    radius: float
    steps: int | None
    vanishing: bool = False
    """The gain goes to zero: no noise drives what is left"""


def check(context: Context) -> list[Finding]:
    """One finding for a time-invariant linear program; none for another."""
    form = context.linear
    if form is None or not form.stacking.n or not form.stacking.m or not constant(form):
        return []
    try:
        found = parts(form, _names(context, form), prior_median(context))
    except (Unreadable, ValueError, np.linalg.LinAlgError):
        return []
    if found is None or any(p.plant.size > MAX_SIZE for p in found):
        return []
    # A covariance that is none at these parameters has a root that is not a number.
    if not all(np.isfinite(m).all() for p in found for m in (p.plant.F, p.plant.H, p.plant.L, p.plant.M)):
        return []
    shown = found[:MAX_PARTS]
    hidden = [(p, m) for p in shown for m in unseen(p.plant)]
    if hidden:
        return [_unseen(context, hidden)]
    idle = [(p, m) for p in shown for m in _never_settling(p)]
    if idle:
        return [_undriven(context, idle)]
    settled = []
    for p in shown:
        context.budget.check()
        one = settle(p.plant, p.start)
        if one is None:
            frequencies = silent(p.plant) if p.plant.size <= MAX_SILENT else []
            one = settle(p.plant, p.start, patient=True) if not frequencies else None
            if one is None:
                return [_unsettled(context, p, frequencies)]
        settled.append(one)
        if one.steps is None and any(abs(m.value) > 1 + UNIT for m in undriven(p.plant)):
            return [Finding(PROPERTY, "unknown", f"a mode of {some(p.states)} that grows and no noise drives has not "
                                                 f"been learned after {MAX_STEPS:,} rows")]  # fmt: skip
    return [_settled(form, found, settled)]


def _names(context: Context, form: LinearForm) -> list[str]:
    model = context.model
    return [n for name in form.stacking.x for n in {**model.states, **model.observations}[name].entry_names()]


def constant(form: LinearForm) -> bool:
    """Whether the matrices of states and noises are the same in every row."""
    rows = (form.transition, form.emission)
    return not expr.varies([m.values for r in rows for (kind, _), m in r.terms.items() if kind in ("x", "e")])


def _never_settling(part: Part) -> list[LostMode]:
    """Modes that no noise drives and for which the filter does not settle: those on the unit circle, and those outside
    of it where the start is without error.

    What grows by itself and is seen is learned at a fixed rate, the inverse of its growth, once its start is uncertain
    (de Souza, Gevers and Goodwin 1986, on the strong solution of the Riccati equation).
    """
    found = undriven(part.plant)
    growing = [m for m in found if abs(m.value) > 1 + UNIT]
    others = [m for m in found if abs(m.value) <= 1 + UNIT]
    if not growing or part.start is None:
        return others
    own = np.array([m.vector.conj() for m in growing])
    values, vectors = np.linalg.eigh(own @ part.start @ own.conj().T)
    exact = np.abs(vectors[:, values <= 1e-10 * max(1.0, float(values.max(initial=0)))]).max(axis=1, initial=0) > 1e-6
    return others + [m for m, e in zip(growing, exact) if e]


def settle(plant: Plant, start: np.ndarray | None, patient: bool = False) -> Settled | None:
    """The settled filter, and how long it takes from the covariance `start` (None: from a wide one). `patient`: after
    as many rows as that may need."""
    first = start if start is not None else 1e6 * np.eye(plant.size)
    P = first
    with np.errstate(all="ignore"):
        limit, done = None, 0
        for steps in (2 * plant.size + 20, *(WARMER if patient else ())):
            while done < steps:
                P, _K = advance(plant, P)
                done += 1
            if not np.isfinite(P).all():
                return None
            limit = riccati(plant, P)
            if limit is not None:
                break
        if limit is None:
            return None
        final, _ = gain(plant, limit)
        radius = float(np.abs(np.linalg.eigvals(closed_loop(plant, final))).max(initial=0.0))
        if radius > 1 - UNIT:
            return None
        size = float(np.abs(final).max(initial=0.0))
        if size < ZERO:
            return Settled(radius, None, True)
        wide = SETTLED * size
        P, last, near = first, 0, 0
        for step in range(1, MAX_STEPS + 1):
            P, K = advance(plant, P)
            if np.abs(K - final).max(initial=0.0) > wide:
                last, near = step, 0
            else:
                near += 1
                # Once within reach it stays there, but for what oscillates on the way.
                if near > 50:
                    break
    return Settled(radius, last + 1 if last < MAX_STEPS else None)


# ------------------------------------------------------------------------------------------------- words


def _settled(form: LinearForm, found: Sequence[Part], settled: Sequence[Settled]) -> Finding:
    worst = max(settled, key=lambda s: s.radius)
    radius = worst.radius
    steps = None if any(s.steps is None for s in settled) else max(s.steps or 0 for s in settled)
    if radius < FINITE:
        pace = "at the prior median its error is gone after a finite number of rows"
    else:
        half = math.log(0.5) / math.log(radius)
        slow = f"half of it is left after {rows_of(half)}" if half >= 1 else "more than halved every row"
        pace = f"at the prior median its error shrinks by {figure(100 * (1 - radius))}% a row ({slow})"
    after = f"the gain has settled (to 1e-8) after {steps:,} row{'' if steps == 1 else 's'}" if steps is not None else (
        f"the gain has not settled (to 1e-8) after {MAX_STEPS:,} rows")  # fmt: skip
    if steps is None and all(s.vanishing for s in settled if s.steps is None):
        after = "its gain goes to zero as fast, for no noise drives the state"
    shown = 0 if radius < FINITE else radius
    details = [f"rho(F - F K H) = {shown:.4g}, K the gain of the algebraic Riccati equation"]
    if certain(form):
        details.append("`kalman` goes row by row all the same, for an observation can be predicted without error")
    elif steps is not None:
        where = f"in series of {SETTLING_ROWS} rows or more, {FREEZING_ROWS:,} if there are gaps, up to the next gap"
        details.append(f"`kalman` works out no covariance after that: {where}")
    if len(found) > len(settled):
        details.append(f"the slowest of the first {len(settled)} of {len(found):,} independent parts")
    return Finding(PROPERTY, "proved", f"{pace}; {after}", details=tuple(details))


def _unsettled(context: Context, part: Part, found: Sequence[Silence]) -> Finding:
    """Where no solution was found: refuted by a frequency at which what is observed has no power, else unknown."""
    late = _unsolved(part)
    if not found:
        return Finding(PROPERTY, "unknown", late)
    first = found[0]
    names = [n for o in context.model.observations.values() for n in o.entry_names()]
    who = some([names[part.observations[i]] for i in first.shares])
    angle = abs(float(np.angle(first.frequency)))
    where = f"at the period of {figure(2 * math.pi / angle)} rows" if angle > 1e-9 else "at frequency zero"
    what = f"a combination of {who} has" if len(first.shares) > 1 else f"{who} has"
    more = f"; {len(found) - 1} more such frequencies" if len(found) > 1 else ""
    slow = f"errors {'that turn so' if angle > 1e-9 else 'there'} die out more slowly than at any fixed rate"
    return Finding(
        PROPERTY, "refuted", f"{what} no power {where}: {slow}",
        details=(f"at the prior median, {late}{more}",
                 "`kalman` works out the covariance of every row, for it settles late or never"),
        fix="give the observation a noise of its own, if it has one",
    )  # fmt: skip


def _unsolved(part: Part) -> str:
    """What the recursion does after many rows, where the algebraic equation has no stabilising solution."""
    P = part.start if part.start is not None else 1e6 * np.eye(part.plant.size)
    with np.errstate(all="ignore"):
        for _ in range(LONG):
            P, _K = advance(part.plant, P)
        if not np.isfinite(P).all():
            return f"the Riccati recursion of {some(part.states)} does not stay finite"
        own = np.linalg.eigvals(closed_loop(part.plant, gain(part.plant, P)[0]))
    slow = Mode(complex(own[int(np.argmax(np.abs(own)))]))
    turn = f", turning once in {figure(slow.period)} rows" if slow.period is not None else ""
    return (f"the Riccati equation of {some(part.states)} has no solution with all errors dying out: after {LONG} rows "
            f"the slowest part still keeps {100 * slow.modulus:.3g}% of itself from row to row{turn}")  # fmt: skip


def _unseen(context: Context, hidden: list[tuple[Part, LostMode]]) -> Finding:
    """No diagnostic is made of it: observability has one for the same direction."""
    part, mode = hidden[0]
    what = direction(part, mode.vector)
    kind = Mode(mode.value).describe()
    fed = np.abs(part.plant.L.T @ mode.vector).max(initial=0) > 1e-9 or abs(mode.value) > 1 + 1e-9
    grows = "grows without end" if fed else "stays what it was at the start"
    name = part.states[int(np.argmax(np.abs(mode.vector[: len(part.states)])))]
    more = f"; {len(hidden) - 1} more such" if len(hidden) > 1 else ""
    return Finding(
        PROPERTY, "refuted", f"{what} is never seen and does not die out ({kind}): its variance {grows}{more}",
        context.line_of(name), span_of=name,
        details=("transition and emission are no detectable pair: the Riccati equation has no stabilising solution",
                 "`kalman` works out the covariance of every row, for it never settles"),
        fix="observe it, drop it, or give it dynamics that die out",
    )  # fmt: skip


def _undriven(context: Context, idle: list[tuple[Part, LostMode]]) -> Finding:
    part, mode = idle[0]
    what = direction(part, mode.vector)
    name = part.states[int(np.argmax(np.abs(mode.vector[: len(part.states)])))]
    explodes = abs(mode.value) > 1 + 1e-6
    more = f"; {len(idle) - 1} more such" if len(idle) > 1 else ""
    reason = f"no noise drives {what} ({Mode(mode.value).describe()}): "
    reason += ("it starts without error, so that an error in its start would grow and never be corrected" if explodes
               else "it is learned ever more exactly, and its gain goes to zero like 1/t") + more  # fmt: skip
    return Finding(
        PROPERTY, "refuted", reason, context.line_of(name), span_of=name, code=NOT_SETTLING if explodes else None,
        headline="the filter does not forget its start", label=f"no noise drives {what}",
        details=("the filter never corrects it",) if explodes else (
            "transition and noise are no stabilisable pair: after some time the filter hardly corrects it",
            "`kalman` works out the covariance of every row, for it settles late or never"),
        fix="give it a noise, or an uncertain start" if explodes else "give it a noise, if it may change",
    )  # fmt: skip


def direction(part: Part, vector: np.ndarray) -> str:
    """A direction of the state in the user's names: `level - drift`, `level`, `a turn of c[0], c[1]`."""
    n = len(part.states)
    now = vector[:n]
    if np.abs(now).max(initial=0) < 1e-6:
        return f"a past row of {some(part.states)}"
    now = now / now[int(np.argmax(np.abs(now) > (1 - 1e-6) * np.abs(now).max()))]
    used = [i for i in range(n) if abs(now[i]) > 1e-6]
    if np.abs(now.imag).max() > 1e-6:
        return f"a turn of {some([part.states[i] for i in used])}"
    if len(used) > 4:
        return f"a combination of {some([part.states[i] for i in used])}"
    terms = []
    for k, i in enumerate(used):
        size = abs(now[i].real)
        text = part.states[i] if abs(size - 1) < 1e-6 else f"{figure(size)} {part.states[i]}"
        terms.append((("-" if k == 0 else " - ") if now[i].real < 0 else ("" if k == 0 else " + ")) + text)
    return "".join(terms)
