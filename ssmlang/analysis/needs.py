"""What an engine needs of a linear-Gaussian program and does not find in it, with the line where that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ssmlang.engines.requirements import Requirements
from ssmlang.language.source import Span
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle
from ssmlang.model.rows import Rows

WHOLE_PAST_MEMORY = 200
"""The largest companion memory (states times rows) on which an engine of finite order sums over the whole past."""


def lacking(
    model: Model, form: LinearForm, requires: Requirements, steps: int | None = None, able: Sequence[str] = ()
) -> list[Obstacle]:
    """What stands between a program and an engine. `steps`: rows, where known; `able`: engines that take it."""
    found: list[Obstacle] = []
    bar = lambda needs, span, label: found.append(
        Obstacle("E306", f"engine 'kalman' needs {needs}", span, label, by=tuple(able))
    )
    if requires.finite_order and form.whole_past and steps is not None:
        size = form.stacking.n * steps
        if size > WHOLE_PAST_MEMORY:
            found.append(_too_long(form, size, steps, able))
    if requires.proper_start and form.initial.delta:
        span = next((i.span for i in model.initials if i.special == "diffuse"), None)
        bar("a proper initial law", span, "a diffuse start has infinite variance")
    driving = {int(c) for (kind, _), m in form.transition.terms.items() if kind == "e" for c in m.cols}
    for wanted, rows, offsets, without, where in (
        (requires.process_noise, form.transition, form.stacking.x, set(), "the states"),
        (requires.observation_noise, form.emission, form.stacking.y, driving, "the observations"),
    ):
        bare = unmatched(rows, without) if wanted else []
        if bare:
            name = _series(offsets, bare[0])
            label = f"{name} has no noise of its own here"
            if name in form.stacking.latent:
                label = f"{name} is missing somewhere and read later: its noise is that of a state then"
            elif bare[0] not in unmatched(rows):
                label = f"the noise of {name} moves a state too"
            bar(f"noise of full rank in {where}", _equation(model, name), label)
    if requires.surprises:
        known = _unfilled(_news(form))
        if known:
            name = _series(form.stacking.y, known[0])
            bar(
                "observations that the row before does not settle",
                _equation(model, name),
                f"{name} can be known from the row before",
            )
    if requires.fresh_noise:
        both = (rows.terms.items() for rows in (form.transition, form.emission))
        late = {int(c) for terms in both for (kind, lag), m in terms if kind == "e" and lag for c in m.cols}
        seen = {int(c) for (kind, _), m in form.emission.terms.items() if kind == "e" for c in m.cols}
        read = sorted(late | (driving & seen))
        if read:
            name = form.noises[read[0]]
            span = next((v.span for v in model.noises.values() if name in v.entry_names()), None)
            bar("noises that are read once", span, f"{name} is read at a later row too, or by an observation too")
    return found


def _too_long(form: LinearForm, size: int, steps: int, able: Sequence[str]) -> Obstacle:
    n = form.stacking.n
    label = f"{n} x {steps} = {size:,} numbers in memory" if n > 1 else f"{size:,} numbers in memory"
    message = f"engine 'kalman' takes a sum over the whole past up to {WHOLE_PAST_MEMORY} numbers of memory"
    return Obstacle("E306", message, form.whole_past[0], label, by=tuple(able))


def unmatched(rows: Rows, without: Collection[int] = ()) -> list[int]:
    """Rows that cannot each be given a noise of their own (of the same row) to read: none where the loading has full
    structural rank. Noises in `without` do not count."""
    reads: list[list[int]] = [[] for _ in range(rows.size)]
    matrix = rows.terms.get(("e", 0))
    if matrix is not None:
        for i, j in zip(matrix.rows.tolist(), matrix.cols.tolist()):
            if j not in without:
                reads[i].append(j)
    return _unfilled(reads)


def certain(form: LinearForm) -> bool:
    """Whether some observation can be known from the row before."""
    return bool(_unfilled(_news(form)))


def _news(form: LinearForm) -> list[list[int]]:
    """For each observation the noises of its row that it reads, by itself or through the states of its row."""
    pairs = lambda rows, term: [
        (int(i), int(j)) for m in [rows.terms.get((term, 0))] if m is not None for i, j in zip(m.rows, m.cols)
    ]
    driven: dict[int, set[int]] = {}
    for i, j in pairs(form.transition, "e"):
        driven.setdefault(i, set()).add(j)
    read: list[set[int]] = [set() for _ in range(form.emission.size)]
    for i, j in pairs(form.emission, "e"):
        read[i].add(j)
    for i, j in pairs(form.emission, "x"):
        read[i] |= driven.get(j, set())
    return [sorted(noises) for noises in read]


def _unfilled(reads: list[list[int]]) -> list[int]:
    """Rows that cannot each be given a noise of those they read."""
    owner: dict[int, int] = {}
    given: dict[int, int] = {}
    return [i for i in range(len(reads)) if not _matched(i, reads, owner, given)]


def _matched(start: int, reads: list[list[int]], owner: dict[int, int], given: dict[int, int]) -> bool:
    """Give row `start` a noise, others moving along an augmenting path where they must."""
    reached_from: dict[int, int] = {}
    pending = [start]
    for i in pending:
        for j in reads[i]:
            if j in reached_from:
                continue
            reached_from[j] = i
            if j in owner:
                pending.append(owner[j])
                continue
            while True:
                i = reached_from[j]
                before = given.get(i)
                owner[j], given[i] = i, j
                if before is None:
                    return True
                j = before
    return False


def _series(offsets: Mapping[str, int], i: int) -> str:
    """The series that entry i of a stacked vector belongs to."""
    return max((first, name) for name, first in offsets.items() if first <= i)[1]


def _equation(model: Model, name: str) -> Span | None:
    return next((e.span for e in model.equations if any(t.name == name for t in e.targets)), None)
