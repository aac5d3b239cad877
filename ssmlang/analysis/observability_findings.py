"""Findings of observability, block by block: what is proved, what is lost, with a witness and a way out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy as sp

from ssmlang.analysis import observability_modes as modes
from ssmlang.analysis import observability_words as words
from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness
from ssmlang.analysis.modular import Impossible
from ssmlang.analysis.observability_block import MOST_STACKED, Block, BlockResult, Exception_
from ssmlang.analysis.observability_numbers import NOTHING, SIZE, numeric_unseen, response, weakest
from ssmlang.analysis.observability_window import over_window, read_by, window
from ssmlang.analysis.symbolic import TIME
from ssmlang.analysis.system import System

PROPERTY = "observable"
CODE = "W602"
MOST_FINDINGS = 5
MOST_UNLESS, MOST_NARROW = 6, 2
"""Sets of one equation, and of several, that are written out for a block."""
CHECKED = 20
MOST_STATES = 60
"""Prior draws at which a verdict is checked in double precision."""


def findings(context: Context, system: System) -> tuple[list[Finding], dict[str, Finding] | None]:
    """What is found, and the entries of states that are not known, each with the finding that says so."""
    alike: dict[tuple[object, ...], list[System]] = {}
    for block in system.blocks:
        if block.n:
            alike.setdefault(pattern(block), []).append(block)
    lost: dict[str, Finding] = {}
    refuted: list[Finding] = []
    unknown: list[Finding] = []
    proved: list[tuple[BlockResult, int]] = []
    for group in alike.values():
        try:
            if group[0].varying:
                result = over_window(group[0], context.budget)
                own = _judged_window(context, result)
            else:
                result = Block(context, group[0]).result()
                own = _judged(context, result)
        except (OutOfTime, Impossible) as trouble:
            unknown.append(_undecided(context, group[0], str(trouble)))
            continue
        if own is None:
            proved.append((result, len(group)))
            continue
        (refuted if own.verdict == "refuted" else unknown).append(_for_all(own, group))
        if own.verdict == "refuted":
            for block in group:
                lost.update({block.states[i]: own for i in result.entries})
    if refuted or unknown:
        more = len(refuted) - MOST_FINDINGS
        shown = refuted[:MOST_FINDINGS]
        if more > 0:
            shown.append(Finding(PROPERTY, "refuted", f"and {more} more blocks lose something"))
        return [*shown, *unknown], lost if not unknown or lost else None
    return [_proved(context, system, proved)], lost


def pattern(system: System) -> tuple[object, ...]:
    """The same for blocks that differ in names alone: parameters are counted by their first occurrence."""
    order: dict[sp.Symbol, str] = {}

    def named(v: sp.Expr) -> sp.Expr:
        for s in sorted(v.free_symbols, key=str):
            order.setdefault(s, f"{s.name.split('[')[0]}#{len(order)}")
        return v.xreplace({s: sp.Symbol(order[s], **s.assumptions0) for s in v.free_symbols}) if v.free_symbols else v

    parts = []
    for part in (system.transition, system.emission, system.driving, system.observing):
        for lag, entries in sorted(part.items()):
            kept = part is system.transition or part is system.emission or lag > 0
            parts.append((lag, tuple((at, named(v)) for at, v in sorted(entries.items()) if kept)))
    return (system.n, system.m, *parts)


def _for_all(finding: Finding, group: list[System]) -> Finding:
    if len(group) == 1:
        return finding
    from dataclasses import replace

    others = f"and alike for {len(group) - 1} more block{'s' if len(group) > 2 else ''}, down to {group[-1].states[-1]}"
    return replace(finding, details=(*finding.details, others))


def _judged(context: Context, result: BlockResult) -> Finding | None:
    """None where everything is seen for almost all parameters."""
    system = result.system
    F, H = modes.matrices(context, system, CHECKED)
    if not result.entries:
        if system.companion.size <= MOST_STACKED // 10 and len(F):
            seen = [weakest(f, h) for f, h in zip(F, H)]
            if max(seen) < NOTHING and not result.forgotten:
                return _undecided(context, system, "algebra finds full rank, double precision none at any prior draw")
        return None
    if not system.m:
        return _unread(context, result)
    v = _vector(result, context, F, H)
    if v is not None and len(F):
        worst = max(response(f, h, v[k]) for k, (f, h) in enumerate(zip(F, H)))
        if worst > SIZE:
            return _undecided(context, system, "algebra finds a direction that double precision does not confirm")
    return _refuted(context, result, None if v is None or not len(v) else v[0])


def _judged_window(context: Context, result: BlockResult) -> Finding | None:
    if not result.entries:
        return None
    if not result.system.m:
        return _unread(context, result)
    first = (result.whole or ({},))[0]
    if not first or any(not v.is_number for v in first.values()):
        return _refuted(context, result, None)
    vector = np.zeros(result.system.companion.size)
    vector[list(first)] = [float(v) for v in first.values()]
    return _refuted(context, result, vector)


def _vector(result: BlockResult, context: Context, F: np.ndarray, H: np.ndarray) -> np.ndarray | None:
    """(k, n): the first lost direction in numbers at each prior draw."""
    if not result.whole:
        found = [numeric_unseen(f, h) for f, h in zip(F, H)]
        return np.stack([v[-1] for _, v in found]) if found else None
    from ssmlang.analysis.stability_numbers import values_at

    first = result.whole[0]
    points = [context.at(draw) for draw in context.draws(CHECKED)]
    symbols = {s: np.array([p.get(s, np.nan) for p in points]) for v in first.values() for s in v.free_symbols}
    values = values_at(list(first.values()), symbols, CHECKED)
    if values is None or not np.isfinite(values).all() or len(F) != CHECKED:
        return None
    dense = np.zeros((CHECKED, result.system.companion.size))
    dense[:, list(first)] = values
    return dense


def _undecided(context: Context, system: System, why: str) -> Finding:
    from ssmlang.analysis.numeric_draws import DRAWS, rank_said

    numbers = rank_said(zip(*modes.matrices(context, system, DRAWS))) if system.companion.size <= MOST_STATES else ""
    numbers = f"; {numbers}" if numbers else ""
    return Finding(PROPERTY, "unknown", f"{words.listed(list(system.states))}: {why}{numbers}",
                   context.line_of(system.states[0]))  # fmt: skip


def _unread(context: Context, result: BlockResult) -> Finding:
    """A block that no observation reads."""
    names = list(result.system.states)
    said = f"{words.listed(names)} {'is' if len(names) == 1 else 'are'} read by no observation"
    label = f"{names[0]} never reaches an observation" if len(names) == 1 else ""
    witness = Witness({names[0]: 0.0}, {names[0]: 1.0}, "no observation reads it")
    return Finding(
        PROPERTY, "refuted", said, context.line_of(names[0]), witness=witness, code=CODE, span_of=names[0], label=label,
        fix=f"let an observation read {names[0]}, or leave it out",
        headline="a state is never seen" if len(names) == 1 else f"{len(names)} states are never seen",
    )  # fmt: skip


def _refuted(context: Context, result: BlockResult, vector: np.ndarray | None) -> Finding:
    system = result.system
    touched = sorted(result.entries)
    names = system.companion.names
    plain = [words.base(i, system) for i in range(len(names))]
    lost = result.lost
    label = words.label(lost, touched, system)
    shown = [words.direction(v, plain) for v in (lost or ())[:3]]
    alike = words.same_kind(touched, system)
    seen = "never seen" if lost is None or len(lost) == 1 else "not seen"
    if shown and all(len(v) == 1 for v in lost or ()):
        reason = label
    elif shown:
        reason = ((f"{alike}; " if alike else "") + f"the direction{'s' if len(shown) > 1 else ''} "
                  f"{' and '.join(shown)} {'is' if len(shown) == 1 else 'are'} {seen}")  # fmt: skip
        reason += f", nor are {len(lost or ()) - 3} more" if len(lost or ()) > 3 else ""
    else:
        reason = f"{result.dimension} direction{'s' if result.dimension > 1 else ''} of {label} never seen".replace(
            " are not known apart never", " are never"
        )
    decays, how = (None, "") if system.varying else modes.decay(context, result.whole, system)
    verdict = {True: "detectable: ", False: "not detectable: ", None: ""}[decays]
    details = (verdict + how,) if how else ()
    return Finding(
        PROPERTY, "refuted", reason, context.line_of(system.states[touched[-1]]), (), _witness(result, context, vector),
        _fix(lost, touched, system), CODE, details, headline=words.headline(lost, touched, system), label=label,
        span_of=system.states[touched[-1]],
    )  # fmt: skip


def _fix(lost: object, touched: list[int], system: System) -> str:
    last = system.states[touched[-1]]
    alone = isinstance(lost, tuple) and all(len(v) == 1 for v in lost)
    if alone:
        names = words.listed([system.states[i] for i in touched])
        them = "it" if len(touched) == 1 else "them"
        return f"let an observation, or a state that is seen, read {names}; or leave {them} out"
    return f"drop one of them, or give {words.component(last)} other dynamics"


def _witness(result: BlockResult, context: Context, vector: np.ndarray | None) -> Witness | None:
    """Two states of one row with the same observations from then on."""
    if vector is None:
        return None
    system = result.system
    at = {str(s): v for s, v in context.at(context.draws(CHECKED)[0]).items() if s in system.symbols}
    size = np.abs(vector).max()
    entries = [int(i) for i in np.flatnonzero(np.abs(vector) > 1e-9 * size)]
    names = [words.base(i, system) for i in entries]
    lead = vector[entries[0]]
    second = {n: float(vector[i] / lead) for n, i in zip(names, entries)}
    what = "the same observations in this row and all later ones"
    return Witness(dict.fromkeys(names, 0.0), second, what, at=at)


def _proved(context: Context, system: System, proved: list[tuple[BlockResult, int]]) -> Finding:
    unless: list[str] = []
    details: list[str] = []
    named = 0
    for result, count in proved:
        wide = [e for e in result.exceptions if _single(e)]
        narrow = [e for e in result.exceptions if not _single(e)]
        shown = [*wide[:MOST_UNLESS], *narrow[:MOST_NARROW]]
        alike = f" (and alike for {count - 1} more)" if count > 1 else ""
        unless += [words.exception(e, result.system) + alike for e in shown]
        named += len(result.exceptions) - len(shown)
        details += _forgotten(result)
        if result.system.varying:
            details.append(_window_said(result.system, alike))
        elif not result.complete:
            late = f": {result.late}" if result.late else ""
            details.append(f"the exceptional values could not all be named{late}; they fill no volume")
    if named:
        details.append(f"and unless one of {named} further sets of several equations each holds")
    everything = "every state" if system.n > 1 else words.base(0, system)
    if any(r.system.varying for r, _ in proved):
        reason = f"{everything} can be known from a window of rows"
    elif unless or not all(r.complete for r, _ in proved):
        reason = f"{everything} can be known from the observations of later rows"
    else:
        reason = f"{everything} can be known from the observations of later rows, whatever the parameters are"
    return Finding(PROPERTY, "proved", reason, unless=tuple(unless), details=tuple(details))


def _single(e: Exception_) -> bool:
    """Whether one equation is all, or parameters that are all zero."""
    return len(e.equations) == 1 or all(f.is_Symbol for f in e.equations)


def _window_said(system: System, alike: str) -> str:
    rows, reads = window(system), read_by(system)
    course = f"for almost every course of {reads}, " if system.reads - {TIME} else f"as a function of {reads}, "
    return f"{words.listed(list(system.states))}: {course}by the exact rank over {rows} rows{alike}"


def _forgotten(result: BlockResult) -> list[str]:
    """Delays of which only a combination is seen: no state of the row itself is lost by that."""
    system = result.system
    names = system.companion.names
    touched = sorted(i for i in result.forgotten if names[i] not in _noises(system))
    if not touched:
        return []
    delays = words.listed([names[i] for i in touched])
    verb = "is" if len(touched) == 1 else "are"
    return [f"of older rows, {delays} {verb} seen only in combination; no later row needs more"]


def _noises(system: System) -> Mapping[str, None]:
    companion = system.companion
    return {n: None for n, e in zip(companion.names, companion.entry) if e < 0}
