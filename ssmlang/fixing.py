"""Safe fixes: what diagnostics carry as edits that change the spelling of a text and not its meaning, applied to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from ssmlang.language.diagnostics import Diagnostic, Edit
from ssmlang.language.source import Source

MOST_ROUNDS = 200
"""Mending one place may show the next: so many times a text is looked at again."""

Examined = tuple[Source, Sequence[Diagnostic]]
Examine = Callable[[str, bool], Examined]
"""A text examined: the source that its spans point into and what was found; True: by the analysis too."""


@dataclass(frozen=True)
class Applied:
    """One fix that was made: the code it mends, where that stood, and what was done."""

    code: str
    line: int
    column: int
    message: str


@dataclass(frozen=True)
class Mended:
    """A text before and after its fixes. `refused`: fixes that would have led to more errors and were not made."""

    before: str
    after: str
    applied: tuple[Applied, ...] = ()
    refused: tuple[Applied, ...] = ()


def mend(before: str, examine: Examine) -> Mended:
    """The text with every safe fix of its own diagnostics, as far as none leads to more errors than there were."""
    examine = cache(examine)
    at_first = _errors(examine(before, True))
    together = _all_at_once(before, examine)
    if not together.applied or _errors(examine(together.after, True)) <= at_first:
        return together
    singly = _one_by_one(before, examine)
    if _errors(examine(singly.after, True)) <= at_first:
        return singly
    return Mended(before, before, refused=together.applied)


def _all_at_once(before: str, examine: Examine) -> Mended:
    text, applied, seen = before, list[Applied](), {before}
    for _ in range(MOST_ROUNDS):
        chosen = _apart(_safe(text, examine))
        after = _edited(text, [e for d in chosen for e in _edits(d)])
        if not chosen or after in seen:
            break
        seen.add(after)
        text = after
        applied += map(_told, chosen)
    return Mended(before, text, tuple(applied))


def _one_by_one(before: str, examine: Examine) -> Mended:
    text, errors = before, _errors(examine(before, False))
    applied: list[Applied] = []
    refused: list[Applied] = []
    for _ in range(MOST_ROUNDS):
        for d in _safe(text, examine):
            if _told(d) in refused:
                continue
            after = _edited(text, _edits(d))
            now = _errors(examine(after, False))
            if now <= errors and after != text:
                text, errors = after, now
                applied.append(_told(d))
                break
            refused.append(_told(d))
        else:
            break
    return Mended(before, text, tuple(applied), tuple(refused))


def _safe(text: str, examine: Examine) -> list[Diagnostic]:
    """The findings with a safe fix of this text itself; those of the analysis only once all others are mended."""
    for whole in (False, True):
        source, found = examine(text, whole)
        chosen = [
            d for d in found
            if d.fix is not None and d.fix.safe and d.fix.edits and all(e.span.source is source for e in d.fix.edits)
        ]  # fmt: skip
        if chosen:
            return chosen
    return []


def _apart(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The first of those whose edits touch the same place."""
    taken: list[tuple[int, int]] = []
    chosen = []
    for d in found:
        places = [(e.span.start, e.span.end) for e in _edits(d)]
        if all(b < start or end < a for start, end in places for a, b in taken):
            taken += places
            chosen.append(d)
    return chosen


def _edits(d: Diagnostic) -> tuple[Edit, ...]:
    return d.fix.edits if d.fix is not None else ()


def _edited(text: str, edits: Sequence[Edit]) -> str:
    for edit in sorted(edits, key=lambda e: e.span.start, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def _told(d: Diagnostic) -> Applied:
    edit = _edits(d)[0]
    line, column = edit.span.source.position(edit.span.start)
    old, new = edit.span.text.strip(), edit.text.strip()
    done = f"`{old}` becomes `{new}`" if old and new else f"removed `{old}`" if old else f"added `{new}`"
    return Applied(d.code, line, column, done)


def _errors(examined: Examined) -> int:
    return sum(d.severity == "error" for d in examined[1])
