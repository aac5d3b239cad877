"""`# allow W602`: warnings that the author of a file has seen and wants to keep.

At the end of a line it holds for what begins on that line, and for a statement that ends there; on a line of its own
for the statement that follows. On a `part` it holds for what its component causes. What stands behind the codes is the
author's reason and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ssmlang.language.diagnostics import Diagnostic, Edit, Findings, Fix
from ssmlang.language.layout import Chunk, lay_out
from ssmlang.language.source import Source, Span
from ssmlang.language.suggest import suggest

_OPENING = re.compile(r"#[ \t]*allow[ \t]+(?=[A-Za-z]\d)")
_CODE = re.compile(r"[\s,]*([A-Za-z]\d\w*)")
_CERTAIN = re.compile(r"[EWNewn]\d{3}\b")
_NEXT_LINE = re.compile(r"(?:[^\r\n]*(?:\r\n|\r|\n)[ \t\f]*(?=[#\r\n]))*[^\r\n]*(?:\r\n|\r|\n)([^\r\n]*)")
_LOOKALIKES = str.maketrans("OIL", "011")
ANALYSIS = "6"
"""The hundred of the codes that the checks of the analysis find; all others come from the text itself."""


@dataclass(frozen=True)
class Allow:
    """One code of a comment: the code and its place, the whole comment, and the offsets that it holds for."""

    code: str
    span: Span
    comment: Span
    start: int
    stop: int

    @property
    def line(self) -> int:
        return self.span.source.position(self.span.start)[0]

    def holds(self, code: str, span: Span) -> bool:
        return self.code == code and span.source is self.span.source and self.start <= span.start < self.stop


@lru_cache(maxsize=32)
def allows_of(source: Source) -> tuple[Allow, ...]:
    """Every code that the comments of a text allow, known or not, in the order of the text."""
    if "allow" not in source.text:
        return ()
    layout = lay_out(source, Findings())
    found = []
    for start, end in layout.comments:
        codes = list(_codes(Span(source, start, end)))
        if codes:
            scope = _scope(source.text, start, layout.chunks)
            found += [Allow(c.text.upper(), c, Span(source, start, end), *scope) for c in codes]
    return tuple(found)


def allowing(code: str, span: Span | None) -> Allow | None:
    """What allows a warning at a place; the file of the place is asked, be it an imported one."""
    if span is None or code[0] == "E":
        return None
    return next((a for a in allows_of(span.source) if a.holds(code, span)), None)


def silence(
    diagnostics: Iterable[Diagnostic], parts: Sequence[tuple[Span, Span]] = ()
) -> tuple[list[Diagnostic], set[Allow]]:
    """Those that nothing allows, and what allowed the others.

    `parts`: the `part` statements of a file, each with a component that was written out for it. What is found in a
    component is allowed where every part that it was written out for allows it.
    """
    kept, spent = [], set()
    for d in diagnostics:
        allow = allowing(d.code, d.span)
        found = {allow} if allow is not None else _by_parts(d, parts)
        if found:
            spent |= found
        else:
            kept.append(d)
    return kept, spent


def _by_parts(d: Diagnostic, parts: Sequence[tuple[Span, Span]]) -> set[Allow]:
    span = d.span
    if span is None:
        return set()
    inside = lambda component: component.source is span.source and component.start <= span.start < component.end
    found = {allowing(d.code, part) for part, component in parts if inside(component)}
    return {a for a in found if a is not None} if None not in found else set()


def wrong(source: Source) -> list[Diagnostic]:
    """An error for each code that does not exist, or that nothing can allow."""
    allows = allows_of(source)
    if not allows:
        return []
    # The registry is read only for a text that asks for it: that takes as long as checking a small one.
    from ssmlang.language.codes import WARNINGS

    return [_wrong(a) for a in allows if a.code not in WARNINGS]


def unused(source: Source, spent: Iterable[Allow], judged: Callable[[str], bool]) -> list[Diagnostic]:
    """A warning for each code that is allowed where there is nothing to allow, of those that are `judged`."""
    used = set(spent)
    return [_unused(a) for a in allows_of(source) if a not in used and judged(a.code)]


def _codes(comment: Span) -> Iterator[Span]:
    """The codes of a comment that allows some; none of a comment that merely begins with the word."""
    text = comment.text
    opening = _OPENING.match(text)
    if opening is None:
        return
    places, at = [], opening.end()
    while (code := _CODE.match(text, at)) is not None:
        places.append((code.start(1), code.end(1)))
        at = code.end()
    # `# allow x1 to move` is prose: what is not spelt as a code counts as one only if nothing else is said.
    if _CERTAIN.match(text, opening.end()) or not text[at:].strip(" \t,."):
        yield from (Span(comment.source, comment.start + a, comment.start + b) for a, b in places)


def _scope(text: str, comment: int, chunks: list[Chunk]) -> tuple[int, int]:
    """The offsets for which a comment at `comment` holds."""
    line = max(text.rfind("\n", 0, comment), text.rfind("\r", 0, comment)) + 1
    around = next((c for c in chunks if c.body is not None and c.start < comment < c.stop and comment > c.end), None)
    beside = (around.body or []) if around is not None else chunks
    if text[line:comment].strip():
        ends = [c.start for c in (*chunks, *beside) if line <= c.end <= comment or line < c.stop <= comment]
        return min([line, *ends]), comment
    if any(c.start < comment < c.end for c in (*chunks, *beside)):
        # Inside a statement: what begins on its next line that is not a comment.
        rest = _NEXT_LINE.match(text, line)
        return rest.span(1) if rest else (comment, comment)
    following = next((c for c in beside if c.start > comment), None)
    return (comment, comment) if following is None else (following.start, max(following.end, following.stop))


def _wrong(a: Allow) -> Diagnostic:
    from ssmlang.language.codes import WARNINGS, lookup

    as_warning = "W" + a.code[1:]
    if a.code == "W113":
        return Diagnostic("E112", "`W113` cannot be allowed", a.span, "remove what silences nothing instead")
    if a.code[0] == "E" and lookup(a.code) is not None:
        where = f"its warning is `{as_warning}`" if as_warning in WARNINGS else "only warnings and notes can be"
        return Diagnostic("E112", f"`{a.code}` is an error, which cannot be allowed", a.span, where,
                          help=("mend what it complains of",))  # fmt: skip
    plain = a.code[0] + a.code[1:].translate(_LOOKALIKES)
    near = plain if plain in WARNINGS else suggest(plain, sorted(WARNINGS))
    label = f"did you mean `{near}`?" if near else ""
    if lookup(a.code) is not None:
        return Diagnostic("E112", f"nothing warns of `{a.code}`", a.span, label)
    return Diagnostic("E112", f"there is no code `{a.code}`", a.span, label,
                      help=("`ssmlang explain` lists the codes",))  # fmt: skip


def _unused(a: Allow) -> Diagnostic:
    return Diagnostic("W113", f"there is no `{a.code}` to allow here", a.span, "silences nothing",
                      help=("remove it",), fix=_removal(a))  # fmt: skip


def _removal(a: Allow) -> Fix:
    """Without the code; without the comment where it is the only one, and without the line where that stands alone."""
    source, text = a.span.source, a.span.source.text
    beside = [b.span for b in allows_of(source) if b.comment == a.comment]
    place = beside.index(a.span)
    if len(beside) > 1 and place + 1 < len(beside):
        gone = Span(source, a.span.start, beside[place + 1].start)
    elif len(beside) > 1:
        gone = Span(source, beside[place - 1].end, a.span.end)
    else:
        start, end = a.comment.start, a.comment.end
        while start > 0 and text[start - 1] in " \t\f":
            start -= 1
        if start == 0 or text[start - 1] in "\r\n":
            ending = re.compile(r"\r\n|\r|\n").match(text, end)
            end = ending.end() if ending else end
        gone = Span(source, start, end)
    return Fix(f"remove `{a.code}`", (Edit(gone, ""),), safe=True)
