"""What the paths of a nonlinear model say of its parameters, as findings.

Full rank on the noise-free path, its first values unknown, is a proof for almost all parameters, small noises included.
What no path shows whose noises and first values are held (identifiability_held) is not identified. What lies between,
told by the laws of noises or of first values alone if at all, stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness, asserted
from ssmlang.analysis.identifiability_covariances import Covariances
from ssmlang.analysis.identifiability_held import Held
from ssmlang.analysis.identifiability_invariants import Invariant, invariants
from ssmlang.analysis.identifiability_point import Coordinate, coordinates
from ssmlang.analysis.identifiability_rank import null_space
from ssmlang.analysis.identifiability_rings import NoRoot, P, Unsupported
from ssmlang.analysis.identifiability_skeleton import Path
from ssmlang.analysis.identifiability_study import Sample
from ssmlang.analysis.residues import rank, reduced
from ssmlang.analysis.sides import in_conditions

PROPERTY = "parameters identified"
MOST_SOLVED = 7
MOST_WITNESSED = 12
"""Rows along which two settings are compared."""
At = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""(rows, seed) -> values of the coordinates at a random point, and their unseen directions."""
PIECES = 4
"""Prior draws that say on which piece of the model (the sides of `if`, `max`) the path is looked at."""


def check_skeleton(context: Context) -> list[Finding]:
    """Findings from the paths; of a Markov chain, from its tables."""
    if any(s.values is not None for s in context.model.states.values()):
        return _of_chain(context)
    try:
        path = Path(context.model, context.budget, context.draws(PIECES))
        steps, _, null = path.unseen()
        return _findings(context, path, steps, null)
    except (Unsupported, OutOfTime) as trouble:
        return _all_unknown(context, str(trouble))


def _of_chain(context: Context) -> list[Finding]:
    from ssmlang.analysis.chain import Chain
    from ssmlang.analysis.chain_array import Chains
    from ssmlang.analysis.chain_findings import parameters, symmetries
    from ssmlang.analysis.chain_labels import chain_of
    from ssmlang.analysis.chain_words import parameters as by_words
    from ssmlang.analysis.scalars import Unsupported as NotFollowed

    try:
        chain = chain_of(context.model)
        found, verdicts = parameters(context, chain) if isinstance(chain, Chain) else by_words(context, chain)
        if isinstance(chain, Chain) and any(f.verdict == "unknown" for f in found):
            with suppress(NotFollowed, OutOfTime):
                found, verdicts = by_words(context, Chains(context.model), symmetries(chain))
    except (NotFollowed, OutOfTime) as trouble:
        return _all_unknown(context, str(trouble))
    return [*_asserted(context, verdicts), *found]


def _findings(context: Context, path: Path, steps: int, null: np.ndarray) -> list[Finding]:
    model = context.model
    if not _agrees(path, steps, len(path.coords) - null.shape[1]):
        return _all_unknown(context, "the rank on the noise-free path differs in exact and in double precision")
    hidden = {path.coords[i] for i in np.flatnonzero(null.any(axis=1))}
    held = _held(path, [k for k in path.coords if k in hidden])
    made: list[Finding] = []
    verdicts: dict[Coordinate, Finding] = {}
    lost: list[Finding] = []
    if held is not None:
        sample = _within(held.unseen, held.steps, len(held.coords))
        for group in _components(held.unseen(held.steps, 1)[1]):
            coords = [held.coords[i] for i in group]
            lost.append(_lost(context, coords, sample(group), _told(path, null, coords)))
            verdicts.update(dict.fromkeys(coords, lost[-1]))
    seen = [k for k in path.coords if k not in hidden and k not in verdicts]
    if seen:
        who = words.listed(words.names(model, seen))
        already = "" if path.exact else ", even without the states' noise"
        made.append(Finding(PROPERTY, "proved", f"{who}: told apart by the laws of {steps} rows{already}"))
        verdicts.update(dict.fromkeys(seen, made[0]))
    made += lost
    open_ = [k for k in path.coords if k not in verdicts]
    open_ += coordinates(model, sorted(path.read - path.followed - {k.parameter for k in verdicts}))
    together = _moving_together(path, steps, open_)
    if together:
        who = words.listed(words.names(model, together))
        how = "told apart by how the states' noise moves the laws of different rows together, in double precision"
        made.append(Finding(PROPERTY, "proved", f"{who}: {how}"))
        verdicts.update(dict.fromkeys(together, made[-1]))
    sample = _within(path.at, steps, len(path.coords))
    for group in _components(null):
        coords = [path.coords[i] for i in group]
        still = [k for k in coords if k not in verdicts]
        if still:
            f = _open(context, path, coords, still, sample(group))
            made.append(f)
            verdicts.update(dict.fromkeys(still, f))
    told = {k.parameter for k in verdicts}
    rest = sorted(path.read - path.followed - told)
    if rest:
        made.append(Finding(
            f"identified: {words.listed(rest)}", "unknown",
            "read by the noise of states or by initial laws alone, which this check does not follow in a model that "
            "is not linear",
        ))  # fmt: skip
    # Last of all, for what is said must not want for time.
    shown = {id(f): replace(f, witness=_witness(held, [k for k in held.coords if verdicts.get(k) is f]))
             for f in lost if held is not None}  # fmt: skip
    verdicts = {k: shown.get(id(f), f) for k, f in verdicts.items()}
    return [*_asserted(context, verdicts), *(shown.get(id(f), f) for f in made)]


def _all_unknown(context: Context, reason: str) -> list[Finding]:
    made = [Finding(text, "unknown", reason, line, asserted=True)
            for text, _, line in asserted(context.model, "identifiable")]  # fmt: skip
    return [*made, Finding(PROPERTY, "unknown", reason)]


def _held(path: Path, hidden: Sequence[Coordinate]) -> Held | None:
    """The paths whose randomness is held, where there are any on which double precision agrees."""
    try:
        held = Held(path, hidden)
        if not held.coords:
            return None
        numeric = held.rank(held.steps)
        exact = len(held.coords) - held.unseen(held.steps, 1)[1].shape[1]
    except (Unsupported, OutOfTime, NoRoot, np.linalg.LinAlgError):
        return None
    return None if numeric is not None and numeric > exact else held


def _moving_together(path: Path, steps: int, coords: Sequence[Coordinate]) -> list[Coordinate]:
    """Those that covariances between rows tell."""
    # What is left to say must not want for time.
    apart = replace(path, budget=Budget(path.budget.left / 2))
    try:
        return Covariances(apart, steps).told(coords) if coords else []
    except (Unsupported, OutOfTime, NoRoot, np.linalg.LinAlgError):
        return []


def _agrees(path: Path, steps: int, rank: int) -> bool:
    """Whether double precision sees the rank too, at one of the plausible settings."""
    try:
        return any(path.at_piece(piece).rank(steps) >= rank for piece in path.pieces)
    except (NoRoot, np.linalg.LinAlgError):
        return False


def _components(null: np.ndarray) -> list[list[int]]:
    groups: list[set[int]] = []
    for row in reduced(null.T)[0]:
        own = set(np.flatnonzero(row).tolist())
        touching = [g for g in groups if g & own]
        groups = [g for g in groups if not g & own] + [own.union(*touching)]
    return sorted(sorted(g) for g in groups)


def _within(at: At, steps: int, count: int) -> Callable[[list[int]], Callable[[int], Sample]]:
    """For a group of coordinates, random points with the unseen directions that move the group alone."""

    def of_group(group: list[int]) -> Callable[[int], Sample]:
        known: dict[int, Sample] = {}

        def sample(k: int) -> Sample:
            if k not in known:
                values, null = at(steps, 70 + k)
                others = [i for i in range(count) if i not in set(group)]
                inside = null_space(null[others]) if others else np.eye(null.shape[1], dtype=np.int64)
                own = np.zeros((len(group), inside.shape[1]), np.int64)
                for j, column in enumerate(inside.T):
                    own[:, j] = np.mod(np.mod(null[group] * column % P, P).sum(axis=1), P)
                known[k] = Sample(values[group], own)
            return known[k]

        return sample

    return of_group


def _kept(coords: Sequence[Coordinate], sample: Callable[[int], Sample]) -> tuple[list[Invariant], int, bool]:
    """What stays along the unseen directions, how many these are, and whether that is all."""
    dimension = sample(0).null.shape[1]
    kept = invariants(sample, len(coords), dimension) if len(coords) <= MOST_SOLVED else []
    return kept, dimension, len(kept) == len(coords) - dimension


def _told(path: Path, null: np.ndarray, coords: Sequence[Coordinate]) -> int | None:
    """How many functions of some coordinates the noise-free path tells; None where not all of them are on it."""
    if any(k not in path.coords for k in coords):
        return None
    return len(coords) - rank(null[[path.coords.index(k) for k in coords]])


def _lost(context: Context, coords: Sequence[Coordinate], sample: Callable[[int], Sample], told: int | None) -> Finding:
    """Parameters that can be moved without any path moving; `told`: how many functions of them are known to be told."""
    model = context.model
    kept, dimension, complete = _kept(coords, sample)
    who = words.names(model, coords)
    reason = words.reason(who, words.kept_text(kept, coords), complete)
    if told is None or told < len(coords) - dimension:
        reason = reason.replace("only ", "at most ", 1)  # the law may tell less than the paths do
    name = coords[0].parameter
    verb = "has no influence on the observations" if len(coords) == 1 and complete else "cannot be told apart"
    if len(coords) == 1:
        verb = "is not identified"
    return Finding(
        f"identified: {words.listed(who)}", "refuted", reason, context.line_of(name),
        fix=words.fix(model, coords, kept, complete, dimension), code="W620",
        headline=f"{words.listed(who)} {verb}", span_of=name,
        label=f"together with {words.listed(who[1:])}" if len(who) > 1 else "",
    )  # fmt: skip


def _witness(held: Held, coords: Sequence[Coordinate]) -> Witness | None:
    from ssmlang.analysis.identifiability_held_witness import pair

    try:
        return pair(held, coords, min(held.steps, MOST_WITNESSED))
    except (OutOfTime, Unsupported):
        return None


def _open(context: Context, path: Path, coords: Sequence[Coordinate], still: Sequence[Coordinate],
          sample: Callable[[int], Sample]) -> Finding:  # fmt: skip
    """Parameters that the noise-free path does not tell, of which more is not known."""
    kept, _, complete = _kept(coords, sample)
    who = words.names(context.model, still)
    reason = words.reason(words.names(context.model, coords), words.kept_text(kept, coords), complete)
    compared = in_conditions(context.model)
    jumping = [k for k in still if k.parameter in compared]
    if jumping:
        told = words.JUMPS.format(words.listed(words.names(context.model, jumping)))
    elif path.exact:
        told = (f"were the first values any numbers, {reason.replace('is identified', 'would be identified')}; whether "
                "their laws tell more is not followed, and if so it is one draw a series")  # fmt: skip
    elif len(coords) == 1:
        told = (f"the path without the states' noise does not change with {who[0]}; what that noise says of it is not "
                "followed")  # fmt: skip
    else:
        told = f"on the path without the states' noise, {reason}; what that noise says of it is not followed"
    return Finding(f"identified: {words.listed(who)}", "unknown", told, context.line_of(still[0].parameter))


def _asserted(context: Context, verdicts: dict[Coordinate, Finding]) -> list[Finding]:
    made = []
    for text, arguments, line in asserted(context.model, "identifiable"):
        wanted = [a.replace(" ", "") for a in arguments]
        found = [f for k, f in verdicts.items() if k.name in wanted or k.parameter in wanted]
        bad = next((f for v in ("refuted", "unknown") for f in found if f.verdict == v), None)
        missing = [a for a in wanted if not any(a in (k.name, k.parameter) for k in verdicts)]
        if bad is not None and bad.verdict == "refuted":
            made.append(Finding(text, "refuted", bad.reason, line, witness=bad.witness, fix=bad.fix, code="E620",
                                headline=bad.headline, asserted=True))  # fmt: skip
        elif bad is not None or missing:
            unread = "no equation that is followed reads it"
            reason = bad.reason if bad is not None else f"{words.listed(missing)}: {unread}"
            made.append(Finding(text, "unknown", reason, line, asserted=True))
        else:
            made.append(Finding(text, "proved", found[0].reason if found else "", line, asserted=True))
    return made
