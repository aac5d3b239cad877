"""Observability of nonlinear programs: rank of iterated outputs or Lie derivatives, and symmetries nobody can see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness, asserted
from ssmlang.analysis.identifiability_words import JUMPS
from ssmlang.analysis.lie_directions import Direction, directions, undetermined, zero_sets
from ssmlang.analysis.lie_numbers import named_numerically
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_points import Point, alike, prior_points, seen_at, spread_moves, weakest
from ssmlang.analysis.lie_rank import Seen, generic
from ssmlang.analysis.lie_signs import sign_changes
from ssmlang.analysis.lie_swaps import Exchange, exchanged, swaps
from ssmlang.analysis.lie_words import Said, entries, said_of, some
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.sides import compared
from ssmlang.analysis.skeleton import Key
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import nodes_of

MOST_ENTRIES = 120
"""States of more entries are not looked at."""
DRAWS, FEW = 8, 3
"""Prior draws at which numbers are looked at, and of those of states of more than a dozen entries."""
DOZEN = 12


@dataclass
class Study:
    """What was found of one model. `seen`: generic (exact) or the best at prior draws; `lost`: entries not determined
    there; the rest are symmetries: shifts and scalings, changes of sign, exchanges."""

    outputs: Outputs
    seen: Seen
    points: list[Point]
    at_prior: list[Seen]
    lost: set[Key] = field(default_factory=set)
    directions: list[Direction] = field(default_factory=list)
    signs: list[frozenset[Key]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    zeros: list[tuple[tuple[Key, ...], list[int]]] = field(default_factory=list)
    unfinished: str = ""

    @property
    def full(self) -> bool:
        return self.seen.rank == len(self.outputs.keys)


def check(context: Context) -> list[Finding]:
    """One finding, or one for each `assert observable(...)`. Linear programs are another check's."""
    linear = isinstance(context.form, LinearForm) and not context.model.differentials
    if linear or not context.model.observations or not context.model.equations:
        return []
    lifts = {lift.name for lift in context.model.lifts}
    claims = [c for c in asserted(context.model, "observable", "detectable") if not set(c[1]) <= lifts]
    wanted: list[tuple[str, tuple[str, ...], int | None]] = [*claims] if claims else [("observable", (), None)]
    unknown = lambda reason: [Finding(name, "unknown", reason, line, asserted=bool(claims))
                              for name, _, line in wanted]  # fmt: skip
    try:
        if any(s.values is not None for s in context.model.states.values()):
            return _of_chain(context, wanted, bool(claims))
        outputs = Outputs(context.model, context.budget.check)
        n = len(outputs.keys)
        if not n:
            return []
        if n > MOST_ENTRIES:
            return _large(context, wanted, bool(claims), n)
        with np.errstate(all="ignore"):
            study = _study(context, outputs)
    except Unsupported as trouble:
        place = f" (line {trouble.span.source.position(trouble.span.start)[0]})" if trouble.span is not None else ""
        return unknown(f"{trouble.reason}{place}")
    except OutOfTime as late:
        return unknown(f"the rank of what is observed {late}{_numerically(context)}")
    if study is None:
        return unknown("the outputs have no value at the prior draws that were tried")
    with np.errstate(all="ignore"):
        return [_finding(context, study, name, args, line, bool(claims)) for name, args, line in wanted]


def _large(context: Context, wanted: list[tuple[str, tuple[str, ...], int | None]], claimed: bool, n: int
           ) -> list[Finding]:  # fmt: skip
    """What shifts of learned parameters say of a model with too many entries for a rank."""
    from ssmlang.analysis.lie_shifts import shifted_alike

    many = f"{n:,} entries of the state are too many for a rank that is proved"
    shifts = shifted_alike(context)
    found = []
    for name, arguments, line in wanted:
        own = {p: k for p, k in shifts.items() if not arguments or p in {a.split("[")[0] for a in arguments}}
        if not own:
            found.append(Finding(name, "unknown", many, line, asserted=claimed))
            continue
        total = sum(own.values())
        added = lambda k: "one number added to all" if k == 1 else f"the same {k} numbers added to each row"
        kinds = "; ".join(f"{p}: {added(k)}" for p, k in own.items())
        seen = some(list(context.model.observations))
        found.append(Finding(
            name, "refuted", f"at least {total} of {n:,} directions never reach the law of {seen} ({kinds})", line,
            code="E602" if claimed else None, asserted=claimed,
            details=("tried at random points; a prior holds what the data do not tell, and no prediction reads it",
                     f"of the other directions nothing is known: {many}"),
            headline="a common shift is never seen", label="is counted up to a shift",
            span_of=next(iter(own)), fix="fix the entries of one label at zero, or leave the shift to the prior",
        ))  # fmt: skip
    return found


def _of_chain(context: Context, wanted: list[tuple[str, tuple[str, ...], int | None]], claimed: bool) -> list[Finding]:
    """The findings on labels of a Markov chain."""
    from ssmlang.analysis.chain_labels import labels_of

    name, (verdict, reason, fix) = labels_of(context.model)
    code = None
    if verdict == "refuted":
        code = "E602" if claimed else "W602"
        wanted = [(text, own, line or context.line_of(name)) for text, own, line in wanted]
    return [
        Finding(text, verdict, reason, line, fix=fix, code=code, asserted=claimed, span_of=name,
                headline="labels cannot be told apart", label="some of its labels look alike")
        for text, _, line in wanted
    ]  # fmt: skip


def _study(context: Context, outputs: Outputs) -> Study | None:
    exact = generic(outputs)
    points = list(prior_points(context, outputs, DRAWS if len(outputs.keys) <= DOZEN else FEW))
    at_prior = []
    try:
        for point in points:
            context.budget.check()
            found = seen_at(outputs, point)
            if found is not None:
                at_prior.append(found)
    except OutOfTime:
        if exact is None and not at_prior:
            raise
    best = max(at_prior, key=lambda s: (s.rank, s.clear), default=None)
    chosen = exact if exact is not None else best
    if chosen is None:
        return None
    study = Study(outputs, chosen, points, at_prior)
    if chosen.rank < len(outputs.keys):
        study.lost = {outputs.keys[j] for j in undetermined(chosen.gradients, chosen.exact)}
    try:
        if not study.full:
            study.directions = directions(outputs, chosen) if chosen.exact else named_numerically(outputs, points)
        study.signs = sign_changes(outputs)
        study.exchanges = swaps(outputs, points[:3])
        if study.full and chosen.exact and len(outputs.keys) <= DOZEN:
            study.zeros = zero_sets(outputs, chosen.rank, chosen.rows)
    except OutOfTime as late:
        study.unfinished = f"symmetries and special sets {late}"
    except Unsupported as trouble:
        study.unfinished = f"symmetries were not looked for: {trouble.reason}"
    return study


def _numerically(context: Context) -> str:
    """What double precision says at prior draws, where algebra took too long; empty where that does too."""
    budget = Budget(context.budget.seconds / 2)
    ranks: list[bool] = []
    try:
        outputs = Outputs(context.model, budget.check)
        for point in prior_points(context, outputs, DRAWS):
            found = seen_at(outputs, point)
            if found is not None:
                ranks.append(found.rank == len(outputs.keys) and found.clear)
    except (OutOfTime, Unsupported):
        pass
    share = f"{len(ranks)}" if all(ranks) else f"{sum(ranks)} of {len(ranks)}"
    return f"; numerically of full rank at {share} prior draw{'' if len(ranks) == 1 else 's'}" if ranks else ""


def _finding(
    context: Context, study: Study, name: str, args: tuple[str, ...], line: int | None, claimed: bool
) -> Finding:
    keys = study.outputs.keys
    target = entries(study.outputs, args)
    if args and not target:
        return Finding(name, "unknown", f"{', '.join(args)} is no state of the model", line, asserted=claimed)
    details = [*_prior(study), *([study.unfinished] if study.unfinished else [])]
    base = lambda k: Key(k.sort, k.name, k.entry)
    wanted = {base(k) for k in target} if args else {base(k) for k in keys}
    missing = {base(k) for k in study.lost} & wanted
    hidden = _symmetry(study, wanted) if not missing else None
    if name.startswith("detectable") and (missing or hidden):
        reason = "not observable, and whether what is lost dies out is not decided for programs that are not linear"
        return Finding(name, "unknown", reason, line, asserted=claimed, details=tuple(details))
    if missing:
        return _lost(context, study, name, line, claimed, wanted, details)
    if hidden is not None:
        said, point, other = hidden
        return Finding(
            name, "refuted", said.reason, line, witness=_witness(study, point, other), fix=said.fix, asserted=claimed,
            code="E602" if claimed else None, details=(_local(study), *details), headline=said.headline,
            label=said.label, span_of=next(iter(sorted(wanted, key=lambda k: (k.sort, k.name)))).name,
        )  # fmt: skip
    good = sum(s.rank == len(keys) and s.clear for s in study.at_prior)
    doubt = ""
    if not study.seen.exact and study.full and 4 * good < 3 * len(study.points):
        doubt = f"of full rank at {good} of {len(study.points)} prior draws only, in double precision"
    elif study.seen.exact and not study.seen.plain and study.full and not good:
        doubt = "of full rank for the constants as rounded, but not at the prior draws tried"
    if doubt:
        return Finding(name, "unknown", doubt, line, asserted=claimed, details=tuple(details))
    of = {k for k in keys if base(k) in wanted}
    unless = [_zero(study, group, lost) for group, lost in study.zeros if of & {keys[j] for j in lost}]
    return Finding(name, "proved", _rank_reason(study), line, unless=tuple(unless), details=tuple(details),
                   asserted=claimed)  # fmt: skip


def _rank_reason(study: Study) -> str:
    n, rows = len(study.outputs.keys), study.seen.rows
    what = f"{rows} rows of observations" if rows > 1 else "one row of observations"
    if study.outputs.continuous:
        what = f"Lie derivatives up to order {rows - 1}" if rows > 1 else "the observations themselves"
    have = "have" if rows > 1 or study.outputs.continuous else "has"
    if study.seen.exact:
        return f"at almost every state: {what} {have} rank {n} of {n}"
    full = sum(s.rank == n for s in study.at_prior)
    some_only = f"around {full} of {len(study.points)} prior draws"
    where = "around the prior's states" if full == len(study.points) else some_only
    return f"{where}: {what} {have} rank {n} of {n}, in double precision"


def _local(study: Study) -> str:
    if study.full:
        return "near any one state it is observable: the rank is full at almost every state"
    return f"the rank is {study.seen.rank} of {len(study.outputs.keys)}"


def _prior(study: Study) -> list[str]:
    """Ranks at prior draws, and the direction that is seen worst."""
    n = len(study.outputs.keys)
    good = [s for s in study.at_prior if s.rank == n]
    tried = len(study.at_prior)
    if not tried or not study.full:
        return []
    found = [f"in double precision: full rank at {len(good)} of {tried} prior draws"]
    worst = [w for s in good if (w := weakest(study.outputs, s)) is not None]
    if worst and n > 1:
        share, key = sorted(worst, key=lambda w: w[0])[len(worst) // 2]
        if share < 1e-2:
            found.append(f"seen worst: {study.outputs.name(key)} (singular value {share:.1g} beside the largest)")
    return found


def _zero(study: Study, group: tuple[Key, ...], lost: list[int]) -> str:
    o = study.outputs
    where = " = ".join([*(o.skeleton.written(k) if k.sort == "param" else o.name(k) for k in group), "0"])
    names = some([o.name(o.keys[j]) for j in lost])
    return f"{where}, where {names} {'is' if len(lost) == 1 else 'are'} lost" if names else where


def _lost(context: Context, study: Study, name: str, line: int | None, claimed: bool, wanted: set[Key],
          details: list[str]) -> Finding:  # fmt: skip
    o = study.outputs
    if not study.seen.exact and not study.seen.clear:
        return Finding(name, "unknown", "in double precision some directions can hardly be told from unseen ones", line,
                       asserted=claimed, details=tuple(details))  # fmt: skip
    n = len(o.keys)
    lost = [k for k in o.keys if k in study.lost]
    spread = spread_moves(o, study.points[:2], lost) if study.points else []
    rank = f"the rank of what is observed is {study.seen.rank} of {n}"
    rank += " at almost every state" if study.seen.exact else " at every prior draw tried, in double precision"
    if spread:
        reason = f"{rank}, without noise; but {spread[0]} moves the spread of a transition"
        return Finding(name, "unknown", reason, line, asserted=claimed, details=tuple(details))
    read = {name for _, name in compared([n for e in context.model.equations for n in nodes_of(e)])}
    jumping = sorted({k.name for k in lost if k.name in read})
    if jumping:
        return Finding(name, "unknown", f"{rank}, but {JUMPS.format(some(jumping))}", line, asserted=claimed,
                       details=tuple(details))  # fmt: skip
    noisy = {k for k in wanted | {Key(k.sort, k.name, k.entry) for k in lost} if k in o.noisy}
    for direction in study.directions:
        moves = {Key(k.sort, k.name, k.entry) for k, c in zip(o.keys, direction.vector) if c}
        # Noise joins a shifted state as it joins the other; it does not join a scaled one so.
        if not moves & wanted or (direction.kind == "scaling" and moves & set(o.noisy)):
            continue
        for point in study.points:
            other = direction.moved(point.state, o.keys)
            if other != point.state and alike(o, point, other):
                said = said_of(o, direction)
                return Finding(
                    name, "refuted", said.reason, line, witness=_witness(study, point, other), fix=said.fix,
                    code="E602", asserted=claimed, details=(rank, *details), headline=said.headline, label=said.label,
                    span_of=next(iter(sorted(moves, key=lambda k: (k.sort, k.name)))).name,
                )  # fmt: skip
    names = some([o.name(k) for k in lost])
    if noisy:
        scaling = next((said_of(o, d).reason for d in study.directions if d.kind == "scaling"), None)
        reason = f"without noise {scaling}" if scaling else f"without noise {rank}"
        reason += f"; whether the noise of {some(sorted({k.name for k in noisy}))} tells more is not known"
        return Finding(name, "unknown", reason, line, asserted=claimed, details=(rank, *details))
    reason = f"{rank}: {names} {'is' if len(lost) == 1 else 'are'} not determined"
    return Finding(
        name, "refuted", reason, line, code="E602", asserted=claimed, details=tuple(details),
        headline=f"{names} cannot be known from the observations", label="is not determined by what is observed",
        span_of=lost[0].name,
    )  # fmt: skip


def _symmetry(study: Study, wanted: set[Key]) -> tuple[Said, Point, dict[Key, float]] | None:
    """A change of sign or an exchange that moves what is asked for, with two states that show it."""
    o = study.outputs
    for flips in study.signs:
        if not flips & wanted:
            continue
        for point in study.points:
            other = {k: -v if Key(k.sort, k.name, k.entry) in flips else v for k, v in point.state.items()}
            if other != point.state and alike(o, point, other):
                return said_of(o, flips), point, other
    for exchange in study.exchanges:
        if not set(exchange) & wanted:
            continue
        for point in study.points:
            other = exchanged(point.state, exchange)
            if other != point.state and alike(o, point, other):
                return said_of(o, exchange), point, other
    return None


def _witness(study: Study, point: Point, other: dict[Key, float]) -> Witness:
    o = study.outputs
    pairs: list[tuple[Key, Any]] = [(k, v) for k, v in point.state.items()]
    names = list(o.model.observations)
    label = lambda name, i: o.skeleton.labels(name)[i]
    at = {label(p.name, i): float(np.asarray(point.params[p.name]).reshape(-1)[i])
          for p in o.model.parameters.values() if not p.augment for i in range(p.size)}  # fmt: skip
    return Witness({o.name(k): v for k, v in pairs}, {o.name(k): other[k] for k, _ in pairs},
                   f"the same law of {some(names)} at every row", "state", at)  # fmt: skip
