"""Which `##` lines document what, and which lines are comments."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ssmlang.language import syntax as s
from ssmlang.language.source import Source, Span

_ONE_BREAK = re.compile(r"[ \t\f]*(?:\r\n|\r|\n)[ \t\f]*")


@dataclass
class _Block:
    """Adjacent `##` lines."""

    lines: list[tuple[int, int]]

    @property
    def start(self) -> int:
        return self.lines[0][0]

    @property
    def end(self) -> int:
        return self.lines[-1][1]

    def text(self, source: Source) -> str:
        return "\n".join(source.text[a + 2 : b].removeprefix(" ").rstrip() for a, b in self.lines)


def attach_docs(program: s.Program, source: Source, comments: Sequence[tuple[int, int]]) -> s.Program:
    """Give the model and the statements their `##` texts, and keep every other comment in `Program.comments`.

    The file's first block of `##` lines is the model's, unless a statement other than the header follows on the very
    next line. Every other block is of the statement that follows; of two before one statement the nearer counts.
    """
    blocks, plain = _blocks(program, source, comments)
    landmarks = sorted(_landmarks(program), key=lambda mark: mark[0])
    starts = [start for start, _ in landmarks]
    doc: str | None = None
    docs: dict[int, _Block] = {}
    for block in blocks:
        following = bisect_left(starts, block.end)
        owner = landmarks[following][1] if following < len(landmarks) else None
        attached = owner is not None and _adjacent(source.text, block.end, owner.span.start)
        first = block is blocks[0] and following == 0
        if doc is None and (isinstance(owner, s.Header) or (first and not attached)):
            doc = block.text(source)
        elif owner is None:
            plain.extend(block.lines)
        else:
            if owner.span.start in docs:
                plain.extend(docs[owner.span.start].lines)
            docs[owner.span.start] = block

    def with_doc(statement: s.Statement) -> s.Statement:
        if isinstance(statement, s.Component):
            statement = replace(statement, body=tuple(with_doc(inner) for inner in statement.body))
        block = docs.get(statement.span.start)
        return replace(statement, doc=block.text(source)) if block else statement

    kept = tuple(s.Comment(source.text[a + 1 : b].rstrip(), span=Span(source, a, b)) for a, b in sorted(plain))
    return replace(program, statements=tuple(with_doc(st) for st in program.statements), doc=doc, comments=kept)


def _blocks(
    program: s.Program, source: Source, comments: Sequence[tuple[int, int]]
) -> tuple[list[_Block], list[tuple[int, int]]]:
    """The blocks of `##` lines between statements, and the other comments."""
    text = source.text
    inside = sorted((span.start, span.end) for span in [*_leaf_spans(program.statements), *program.broken])
    blocks: list[_Block] = []
    plain: list[tuple[int, int]] = []
    position = 0
    for start, end in comments:
        while position < len(inside) and inside[position][1] <= start:
            position += 1
        within = position < len(inside) and inside[position][0] <= start
        own_line = not text[_line_start(text, start) : start].strip()
        is_doc = own_line and not within and text.startswith("##", start) and not text.startswith("###", start)
        if not is_doc:
            plain.append((start, end))
        elif blocks and _adjacent(text, blocks[-1].end, start):
            blocks[-1].lines.append((start, end))
        else:
            blocks.append(_Block([(start, end)]))
    return blocks, plain


def _leaf_spans(statements: Sequence[s.Statement]) -> list[Span]:
    spans: list[Span] = []
    for statement in statements:
        if isinstance(statement, s.Component):
            head_end = statement.body[0].span.start if statement.body else statement.span.end
            brace = statement.span.source.text.find("{", statement.span.start, head_end)
            spans.append(Span(statement.span.source, statement.span.start, brace + 1))
            spans.extend(_leaf_spans(statement.body))
        else:
            spans.append(statement.span)
    return spans


def _landmarks(program: s.Program) -> Iterator[tuple[int, s.Statement | None]]:
    """Where each statement begins; None where a component ends or a statement could not be read."""
    for statement in program.statements:
        yield statement.span.start, statement
        if isinstance(statement, s.Component):
            yield from ((inner.span.start, inner) for inner in statement.body)
            yield statement.span.end - 1, None
    yield from ((span.start, None) for span in program.broken)


def _adjacent(text: str, end: int, start: int) -> bool:
    """Only one line ending and blanks lie between."""
    return _ONE_BREAK.fullmatch(text, end, start) is not None


def _line_start(text: str, offset: int) -> int:
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
