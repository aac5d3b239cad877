"""What the noise-free path of a nonlinear model says of its parameters, as findings.

Where the states have no noise the path is the whole of the matter, and what it does not see is not identified. Where
they have, full rank on the path is still a proof for almost all parameters, small noises included; what the path does
not see may yet be told by the noise, and stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, asserted
from ssmlang.analysis.identifiability_invariants import Invariant, invariants
from ssmlang.analysis.identifiability_point import Coordinate
from ssmlang.analysis.identifiability_rank import null_space
from ssmlang.analysis.identifiability_rings import NoRoot, P, Unsupported
from ssmlang.analysis.identifiability_skeleton import Path
from ssmlang.analysis.identifiability_study import Sample
from ssmlang.analysis.residues import reduced

PROPERTY = "parameters identified"
MOST_SOLVED = 7
PIECES = 4
"""Prior draws that say on which piece of the model (the sides of `if`, `max`) the path is looked at."""


def check_skeleton(context: Context) -> list[Finding]:
    """Findings from the noise-free path."""
    try:
        path = Path(context.model, context.budget, context.draws(PIECES))
        steps, _, null = path.unseen()
        return _findings(context, path, steps, null)
    except (Unsupported, OutOfTime) as trouble:
        made = [Finding(text, "unknown", str(trouble), line, asserted=True)
                for text, _, line in asserted(context.model, "identifiable")]  # fmt: skip
        return [*made, Finding(PROPERTY, "unknown", str(trouble))]


def _findings(context: Context, path: Path, steps: int, null: np.ndarray) -> list[Finding]:
    model = context.model
    made: list[Finding] = []
    blind = null.shape[1]
    if not _agrees(path, steps, len(path.coords) - blind):
        reason = "the rank on the noise-free path differs in exact and in double precision"
        made = [Finding(text, "unknown", reason, line, asserted=True)
                for text, _, line in asserted(model, "identifiable")]  # fmt: skip
        return [*made, Finding(PROPERTY, "unknown", reason)]
    hidden = {path.coords[i] for i in np.flatnonzero(null.any(axis=1))}
    seen = [k for k in path.coords if k not in hidden]
    verdicts: dict[Coordinate, Finding] = {}
    if seen:
        who = words.listed(words.names(model, seen))
        already = "" if path.exact else ", even without the states' noise"
        made.append(Finding(PROPERTY, "proved", f"{who}: told apart by the laws of {steps} rows{already}"))
        verdicts.update(dict.fromkeys(seen, made[0]))
    for group in _components(null):
        coords = [path.coords[i] for i in group]
        f = _lost(context, path, coords, group, steps)
        made.append(f)
        verdicts.update(dict.fromkeys(coords, f))
    rest = sorted(path.read - path.followed)
    if rest:
        made.append(Finding(
            f"identified: {words.listed(rest)}", "unknown",
            "read by the noise of states or by initial laws alone, which this check does not follow in a model that "
            "is not linear",
        ))  # fmt: skip
    return [*_asserted(context, path, verdicts), *made]


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


def _lost(context: Context, path: Path, coords: Sequence[Coordinate], group: list[int], steps: int) -> Finding:
    model = context.model
    known: dict[int, Sample] = {}

    def sample(k: int) -> Sample:
        """Unseen directions that move the group alone."""
        if k not in known:
            values, null = path.at(steps, 70 + k)
            others = [i for i in range(len(path.coords)) if i not in set(group)]
            inside = null_space(null[others]) if others else np.eye(null.shape[1], dtype=np.int64)
            own = np.zeros((len(group), inside.shape[1]), np.int64)
            for j, column in enumerate(inside.T):
                own[:, j] = np.mod(np.mod(null[group] * column % P, P).sum(axis=1), P)
            known[k] = Sample(values[group], own)
        return known[k]

    dimension = sample(0).null.shape[1]
    kept: list[Invariant] = []
    if len(group) <= MOST_SOLVED:
        kept = invariants(sample, len(group), dimension)
    who = words.names(model, coords)
    said = words.kept_text(kept, coords)
    complete = len(kept) == len(coords) - dimension
    reason = words.reason(who, said, complete)
    name = coords[0].parameter
    if not path.exact:
        if len(coords) == 1:
            reason = f"the path without the states' noise does not change with {who[0]}"
        else:
            reason = f"on the path without the states' noise, {reason}"
        told = f"{reason}; what that noise says of it is not followed"
        return Finding(f"identified: {words.listed(who)}", "unknown", told, context.line_of(name))
    verb = "has no influence on the observations" if len(coords) == 1 and complete else "cannot be told apart"
    if len(coords) == 1:
        verb = "is not identified"
    return Finding(
        f"identified: {words.listed(who)}", "refuted", reason, context.line_of(name),
        fix=words.fix(model, coords, kept, complete, dimension), code="W620",
        headline=f"{words.listed(who)} {verb}", span_of=name,
        label=f"together with {words.listed(who[1:])}" if len(who) > 1 else "",
    )  # fmt: skip


def _asserted(context: Context, path: Path, verdicts: dict[Coordinate, Finding]) -> list[Finding]:
    made = []
    for text, arguments, line in asserted(context.model, "identifiable"):
        wanted = [a.replace(" ", "") for a in arguments]
        found = [f for k, f in verdicts.items() if k.name in wanted or k.parameter in wanted]
        bad = next((f for v in ("refuted", "unknown") for f in found if f.verdict == v), None)
        missing = [a for a in wanted if not any(a in (k.name, k.parameter) for k in verdicts)]
        if bad is not None and bad.verdict == "refuted":
            made.append(Finding(text, "refuted", bad.reason, line, fix=bad.fix, code="E620", headline=bad.headline,
                                asserted=True))  # fmt: skip
        elif bad is not None or missing:
            reason = bad.reason if bad is not None else f"{words.listed(missing)}: not on the noise-free path"
            made.append(Finding(text, "unknown", reason, line, asserted=True))
        else:
            made.append(Finding(text, "proved", found[0].reason if found else "", line, asserted=True))
    return made
