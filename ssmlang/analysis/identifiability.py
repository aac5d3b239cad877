"""Whether the parameters can be learned from observations at all: structural, local identifiability.

The observations of a linear-Gaussian model have a normal law, whose moments are rational in the parameters (and in
functions of them). The directions in which these do not change are found exactly at random points of a prime field
(identifiability_rings); full rank at one is a proof for almost all values of the parameters. What is identified of
parameters that are not is solved for (identifiability_invariants), and shown with two settings whose laws agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness, asserted
from ssmlang.analysis.identifiability_factors import surfaces
from ssmlang.analysis.identifiability_invariants import Invariant, invariants
from ssmlang.analysis.identifiability_law import Start
from ssmlang.analysis.identifiability_point import Coordinate
from ssmlang.analysis.identifiability_rank import float_rank, jacobian
from ssmlang.analysis.identifiability_rings import NoRoot, P, Reals, Unsupported
from ssmlang.analysis.identifiability_sets import Exceptional, exceptional
from ssmlang.analysis.identifiability_study import Sample, Study
from ssmlang.analysis.identifiability_symmetry import symmetries
from ssmlang.analysis.identifiability_witness import pair
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm
from ssmlang.model.solved_noises import chances, solved

PROPERTY = "parameters identified"
MOST_SOLVED = 8
"""Coordinates moved together, of which what is kept is solved for."""
DRAWS = 20


@dataclass(frozen=True)
class Loss:
    """Coordinates that unseen directions move together, and what is still identified of them."""

    coords: tuple[Coordinate, ...]
    dimension: int
    kept: tuple[Invariant, ...]
    complete: bool
    said: tuple[str, ...]
    """`kept` as the user would write it"""
    start: Start
    rotation: str | None = None


def check(context: Context) -> list[Finding]:
    """What is identified, what is not and why, and an answer to each `assert identifiable(...)`."""
    model = context.model
    if not any(not p.augment for p in model.parameters.values()):
        return []
    if not isinstance(context.form, LinearForm) or context.model.differentials:
        return _of_paths(context)
    study = Study(model, context.form, context.budget, rows=context.rows)
    try:
        return _Answer(context, study).findings()
    except (Unsupported, OutOfTime) as trouble:
        return _unknown(context, study, str(trouble))


def _of_paths(context: Context) -> list[Finding]:
    """By the paths of the states; where past observations determine them, given any of these, if that tells all."""
    from ssmlang.analysis.identifiability_nonlinear import check_skeleton

    written = solved(context.model)
    if written is not context.model and not chances(written):
        with np.errstate(all="ignore"):  # what is no number there is told as unknown
            found = check_skeleton(replace(context, model=written))
        if all(f.verdict != "unknown" for f in found):
            return found
        context.budget.restart()
    return check_skeleton(context)


class _Answer:
    """The findings of one study."""

    def __init__(self, context: Context, study: Study) -> None:
        self.context, self.study, self.model = context, study, context.model
        self.notes: list[str] = []
        self.unless: list[str] = []
        self.turned: dict[int, str] = {}
        self.steps, self.usual = study.unseen()
        sure = self.usual
        if study.in_conditions and self.usual.null.any():
            sure = min((study.sample(k, self.steps, jumps=True) for k in (1, 2)), key=lambda s: s.null.shape[1])
        self.losses = [loss(study, c, self.steps, "given") for c in self._groups(sure, study.coords)]
        self.hidden = self._moved(self.usual) - {k for x in self.losses for k in x.coords}
        """Moved by unseen directions, with a threshold each of them"""

    def _moved(self, sample: Sample) -> set[Coordinate]:
        return {k for group in self._groups(sample, self.study.coords) for k in group}

    def _groups(self, sample: Sample, coords: Sequence[Coordinate]) -> list[list[Coordinate]]:
        return [[coords[i] for i in c] for c in self.study.components(sample.null)]

    def findings(self) -> list[Finding]:
        if not self._agrees():
            return _unknown(self.context, self.study, "the exact and the numerical rank differ")
        if self.usual.null.any() and not self.study.complete:
            return _unknown(self.context, self.study, f"not settled by {self.steps} rows, the most this check looks at")
        if self.usual.null.any() and (condition := self.study.one_sided()) is not None:
            return _unknown(self.context, self.study, _unseen_side(condition))
        early: list[Loss] = []
        try:
            early = self._of_first_row()
            self._alike()
            if self.study.coords:
                self._sets()
        except OutOfTime:
            self.notes.append("sets where less is identified, signs and labels: not all looked at for want of time")
        made = [self._lost(x, self.turned.get(i)) for i, x in enumerate(self.losses)]
        made += [self._early(x) for x in early]
        made += [self._open()] if self.hidden else []
        summary = self._summary()
        return [*self._asserted(made, summary), *([summary] if summary is not None else []), *made]

    def _agrees(self) -> bool:
        """Whether double precision sees the same rank, at one of a few plausible points."""
        study = self.study
        rank = len(study.coords) - self.usual.null.shape[1]
        for seed in range(1, 5):
            values = study.floats(seed)
            try:
                found = study.float_laws(values, self.steps, study.coords)
                jac = jacobian(found, Reals(), len(study.coords), 0)
            except NoRoot:
                continue
            if np.isfinite(jac).all():
                scale = np.array([abs(values[k.parameter].reshape(-1)[k.entry]) + 0.1 for k in study.coords])
                if float_rank(jac, scale)[0] == rank:
                    return True
        return False

    # --------------------------------------------------------------------------------------------- further words

    def _of_first_row(self) -> list[Loss]:
        """Parameters of later rows that only the law of the first ones tells apart."""
        study = self.study
        if not study.form.initial.xi:
            return []
        coords = [k for k in study.coords if k.parameter in study.read_after_start]
        told = words.names(self.model, [k for k in study.coords if k.parameter not in study.read_after_start])
        if told:
            self.notes.append(f"{words.listed(told)}: of the first row alone, one draw a series")
        blind = self._moved(self.usual)
        steps = study.lengths[-1]
        for steps in study.lengths:
            free = study.sample(1, steps, coords, "free", jumps=True)
            if free.null.shape[1] <= sum(x.dimension for x in self.losses):
                return []
        groups = [g for g in self._groups(free, coords) if not set(g) & blind]
        return [loss(study, g, steps, "free") for g in groups]

    def _alike(self) -> None:
        blind = frozenset((k.parameter, k.entry) for x in self.losses for k in x.coords)
        found = symmetries(self.study, blind)
        if found:
            shown = "; ".join(s.text for s in found[: words.MOST_NAMED])
            self.notes.append(f"up to {shown}" + ("; and more" if len(found) > words.MOST_NAMED else ""))
        for i, x in enumerate(self.losses):
            self._turns(i, x)
        if any(s.kind == "sign" for s in found):
            self.notes.append("fix such a sign by an interval, as in `in (0, inf)`, or expect several modes")
        order = next((s.order for s in found if s.order), None)
        if order is not None:
            self.notes.append(f"put what can be exchanged in order, as by `{order}`, or expect several modes")

    def _turns(self, i: int, x: Loss) -> None:
        """Signs that can be turned although they change what is said to be identified: only its size is."""
        if not x.kept or x.rotation:
            return
        values = np.array([self.study.floats(1)[k.parameter].reshape(-1)[k.entry] for k in self.study.around(x.coords)])
        places = {(k.parameter, k.entry): j for j, k in enumerate(x.coords)}
        found = []
        for s in symmetries(self.study, within=frozenset(places)):
            turned = values.copy()
            turned[[places[e] for e in s.entries]] *= -1
            if any(not np.isclose(k(turned), k(values)) for k in x.kept):
                found.append(s.text)
        if found:
            self.turned[i] = "up to " + "; ".join(found[: words.MOST_NAMED])

    def _sets(self) -> None:
        study = self.study
        plausible = [study.floats(seed) for seed in range(1, 40)]
        more = [s for s in surfaces(self.context, study.coords) if s.meets(self.model, study.coords, plausible)]
        for e in exceptional(study, self.steps, self.usual, more):
            if set(e.lost) - {e.tie.coordinate}:  # else a fold: the value is its own mirror image
                self.unless.append(self._set(e))

    def _set(self, e: Exceptional) -> str:
        coords = self.study.coords
        where = coords[e.tie.coordinate].name
        other = "0" if e.tie.other is None else ("-" if e.tie.sign < 0 else "") + coords[e.tie.other].name
        equation = e.text or f"{where} = {other}"
        lost = [coords[i] for i in e.lost if i != e.tie.coordinate]
        if e.text:
            lost = [coords[i] for i in e.lost]
        who = words.names(self.model, lost)
        kept = words.kept_text(e.kept, lost)
        if kept and e.complete:
            return f"{equation}, where only {words.listed(kept)} {'is' if len(kept) == 1 else 'are'} identified"
        # What is known to be kept may be one of them alone, beside a function that is no polynomial.
        who = [n for n in who if n not in kept]
        what = f"{who[0]} is" if len(who) == 1 else f"{words.listed(who)} are"
        return f"{equation}, where {what} not identified"

    # ------------------------------------------------------------------------------------------------- findings

    def _summary(self) -> Finding | None:
        blind = self._moved(self.usual)
        seen = [k for k in self.study.coords if k not in blind]
        if not seen:
            return None
        who = words.names(self.model, seen)
        what = "each" if len(seen) > 1 else "it"
        reason = f"{words.listed(who)}: {what} changes the law of {self.steps} rows in a way that no other does"
        notes = list(self.notes)
        above = _above(self.context)
        if above:
            notes.append(f"{words.listed(above)}: of priors alone, learned through what these are the priors of")
        return Finding(PROPERTY, "proved", reason, unless=tuple(self.unless), details=tuple(notes))

    def _lost(self, x: Loss, turned: str | None) -> Finding:
        who = words.names(self.model, x.coords)
        verb = "has no influence on the observations" if len(x.coords) == 1 else "cannot be told apart"
        reason = x.rotation or words.reason(who, x.said, x.complete)
        mend = _rotation_fix(x) if x.rotation else words.fix(self.model, x.coords, x.kept, x.complete, x.dimension)
        name = x.coords[0].parameter
        return Finding(
            f"identified: {words.listed(who)}", "refuted", reason, self.context.line_of(name),
            witness=self._witness(x), fix=mend, code="W620", headline=f"{words.listed(who)} {verb}", span_of=name,
            label=_beside(who), details=(turned,) if turned else (),
        )  # fmt: skip

    def _open(self) -> Finding:
        coords = [k for k in self.study.coords if k in self.hidden]
        who, name = words.listed(words.names(self.model, coords)), coords[0].parameter
        reason = words.JUMPS.format(who)
        return Finding(f"identified: {who}", "unknown", reason, self.context.line_of(name), span_of=name)

    def _early(self, x: Loss) -> Finding:
        who = words.names(self.model, x.coords)
        reason = x.rotation or words.reason(who, x.said, x.complete)
        name = x.coords[0].parameter
        return Finding(
            f"beyond the first row: {words.listed(who)}", "refuted", f"from the later rows {reason}",
            self.context.line_of(name), witness=self._witness(x),
            fix=words.fix(self.model, x.coords, x.kept, x.complete, x.dimension), code="W621",
            headline=f"only the law of the first row tells {words.listed(who)}"
                     + (" apart" if len(x.coords) > 1 else ""),
            label=_beside(who), span_of=name,
            details=("the first row is one draw, however long the series",),
        )  # fmt: skip

    def _witness(self, x: Loss) -> Witness | None:
        if not x.complete and self.study.in_conditions:
            return None  # a direction that is followed by the law's derivatives alone may cross a threshold
        steps = self.steps if self.study.turns_late else min(self.steps, 12)
        try:
            found = pair(self.study, x.coords, x.kept, x.dimension, steps, x.start, x.rotation is not None)
        except (OutOfTime, Unsupported, NoRoot):
            return None
        if found is None:
            return None
        what = "the observations have the same law"
        if x.start == "free":
            what = "given the first row, the observations have the same law"
        moved = {k.parameter for k in x.coords}
        others = {n: v for n, v in found.first.items() if n in self.study.read and n not in moved}
        at = words.setting(others, self.model)
        shown = lambda v: {k: round(n, 12) for k, n in found.values(v).items()}
        return Witness(shown(found.first), shown(found.second), what, "parameters", at)

    def _asserted(self, lost: Sequence[Finding], summary: Finding | None) -> list[Finding]:
        """An answer to each assertion: refuted where one of its parameters is moved by an unseen direction."""
        made = []
        for text, arguments, line in asserted(self.model, "identifiable"):
            wanted = [a.replace(" ", "") for a in arguments]
            mine = lambda k, wanted=wanted: k.name in wanted or k.parameter in wanted
            hit = next((i for i, x in enumerate(self.losses) if any(mine(k) for k in x.coords)), None)
            if hit is not None:
                f = lost[hit]
                made.append(Finding(text, "refuted", f.reason, line, witness=f.witness, fix=f.fix, code="E620",
                                    details=f.details, headline=f.headline, asserted=True))  # fmt: skip
                continue
            if any(mine(k) for k in self.hidden):
                made.append(Finding(text, "unknown", self._open().reason, line, asserted=True))
                continue
            unread = [a for a in wanted if not any(k.name == a or k.parameter == a for k in self.study.coords)]
            if unread:
                made.append(Finding(text, "unknown", f"{words.listed(unread)}: no equation reads it", line,
                                    asserted=True))  # fmt: skip
                continue
            assert summary is not None
            made.append(Finding(text, "proved", f"full rank from {self.steps} rows on", line, unless=summary.unless,
                                asserted=True))  # fmt: skip
        return made


def loss(study: Study, coords: Sequence[Coordinate], steps: int, start: Start) -> Loss:
    """What is still identified of coordinates that unseen directions move together."""
    sample = study.within(coords, steps, start)
    dimension = sample(0).null.shape[1]
    turned = _rotation(study, coords, sample(0), sample(1))
    kept: list[Invariant] = []
    if turned is None and len(coords) <= MOST_SOLVED:
        try:
            kept = invariants(sample, len(coords), dimension)
        except OutOfTime:
            kept = []
    around = study.around(coords)
    said = tuple(words.kept_text(kept, around))
    complete = len(kept) == len(coords) - dimension
    return Loss(tuple(coords), dimension, tuple(kept), complete, said, start, turned)


def _rotation(study: Study, coords: Sequence[Coordinate], *samples: Sample) -> str | None:
    """Whether the unseen directions turn the columns of one matrix M into each other, so that M @ M' is kept."""
    name = coords[0].parameter
    p = study.model.parameters[name]
    if len(p.shape) != 2 or len(coords) != p.size or p.size < 4 or any(k.parameter != name for k in coords):
        return None
    for s in samples:
        size = p.shape[1]
        if s.null.shape[1] != size * (size - 1) // 2:
            return None
        matrix = s.values[: p.size].reshape(p.shape)
        for v in s.null[: p.size].T:
            outer = sum(np.mod(a[:, None] * b[None] % P, P) for a, b in zip(v.reshape(p.shape).T, matrix.T))
            if np.mod(outer + np.asarray(outer).T, P).any():
                return None
    return f"only {name} @ {name}' is identified: the columns of {name} can be turned into each other"


def _unseen_side(condition: expr.Node) -> str:
    where = f" (line {condition.span.source.position(condition.span.start)[0]})" if condition.span is not None else ""
    return f"a condition{where} of which the rows looked at show one side alone"


def _beside(who: Sequence[str]) -> str:
    return f"together with {words.listed(who[1:])}" if len(who) > 1 else ""


def _rotation_fix(x: Loss) -> str:
    name = x.coords[0].parameter
    return f"fix the turn: zeros above the diagonal of {name} and that positive, or factors with laws that differ"


def _above(context: Context) -> list[str]:
    """Parameters that only the priors of others read."""
    model = context.model
    assert isinstance(context.form, LinearForm)
    read = Study(model, context.form, context.budget).read
    nodes = [n for p in model.parameters.values() if p.prior is not None for n in p.prior.args.values()]
    nodes += [n for p in model.parameters.values() for n in (p.support.lower, p.support.upper) if n is not None]
    return sorted(expr.parameters(nodes) - read)


def _unknown(context: Context, study: Study, trouble: str) -> list[Finding]:
    """The reason, with what numbers alone say."""
    reason = trouble
    try:
        full, tried = _numerically(context, study)
        if tried:
            reason += f"; numerically of full rank at {full} of {tried} prior draws"
    except (Unsupported, NoRoot, OutOfTime, np.linalg.LinAlgError):
        pass
    made = [Finding(text, "unknown", reason, line, asserted=True)
            for text, _, line in asserted(context.model, "identifiable")]  # fmt: skip
    return [*made, Finding(PROPERTY, "unknown", reason)]


def _numerically(context: Context, study: Study) -> tuple[int, int]:
    context.budget.restart()
    draws = context.draws(DRAWS)
    spread = lambda k: np.std([d[k.parameter].reshape(-1)[k.entry] for d in draws]) or 1.0
    scale = np.array([spread(k) for k in study.coords])
    full = tried = 0
    for draw in draws:
        if context.budget.left < context.budget.seconds / 2:
            break
        found = study.float_laws(draw, study.lengths[0], study.coords)
        jac = jacobian(found, Reals(), len(study.coords), 0)
        if np.isfinite(jac).all():
            tried += 1
            full += float_rank(jac, scale)[0] == len(study.coords)
    return full, tried
