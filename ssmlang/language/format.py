"""The formatter: one layout for every file, with the author's comments, blank lines and columns kept."""

from __future__ import annotations

import re

from ssmlang.language import syntax as s
from ssmlang.language.columns import Line, align
from ssmlang.language.diagnostics import Findings, SsmError
from ssmlang.language.parser import parse
from ssmlang.language.pretty import INDENT
from ssmlang.language.printer import Printer, doc_lines, lay_pieces
from ssmlang.language.source import Source


def format_text(text: str, name: str = "<text>") -> str:
    """The text of a model file, laid out anew; formatting twice changes nothing.

    Statements are printed from the syntax tree: one spelling of blanks and brackets. Kept from the author: the order,
    comments, single blank lines, columns of neighbouring lines that were aligned, and brackets opened up (by a comma
    behind the last item). A statement with comments inside stays as written.

    Raises:
        SsmError: the text does not parse; nothing is formatted then.
    """
    source = Source(name, text)
    findings = Findings()
    program = parse(source, findings)
    findings.raise_errors()
    if program.broken:
        raise SsmError(findings)
    formatted = _Formatter(source, program).run()
    again = Findings()
    if parse(Source(name, formatted), again) != program or again.has_errors:
        raise AssertionError("the formatter would have changed the meaning of the file; please report this")
    return formatted


def _lines(text: str) -> list[str]:
    return text.split("\n")[:-1]


_DOC_BLOCK = re.compile(r"##[^\r\n]*(?:(?:\r\n|\r|\n)[ \t\f]*##(?!#)[^\r\n]*)*")


class _Formatter:
    def __init__(self, source: Source, program: s.Program) -> None:
        self.source = source
        self.text = source.text
        self.program = program
        self.comments = list(program.comments)
        self.printer = Printer(self.was_opened_up)

    def run(self) -> str:
        lead = self.text.split("\n", 1)[0] if self.text.startswith("%%ssm") else None
        start = 0 if lead is None else len(lead)
        lines = self.scope(self.program.statements, 0, start, len(self.text), self.program.doc)
        align(lines)
        out = [lead.rstrip()] if lead is not None else []
        return "\n".join([*out, *(line.render() for line in lines)]).rstrip("\n") + "\n" if lines or out else ""

    # ----------------------------------------------------------------------------------------------- one scope

    def scope(
        self, statements: tuple[s.Statement, ...], indent: int, start: int, stop: int, doc: str | None = None
    ) -> list[Line]:
        """The lines of a file or of the body of a component: what lies between two offsets of the text."""
        lines: list[Line] = []
        position = start
        doc_at = self.doc_offset(statements, start) if doc is not None else None
        items: list[s.Statement | s.Comment | None] = [*statements, *self.take_comments(statements, start, stop)]
        items.sort(key=lambda item: item.span.start if item else 0)
        if doc_at is not None:
            place = next((i for i, item in enumerate(items) if item and item.span.start > doc_at), len(items))
            items.insert(place, None)
        needs_blank = False
        for item in items:
            begin = self.first_offset(item, position) if item is not None else (doc_at or position)
            blank = self.has_blank(position, begin)
            starts_new = isinstance(item, s.Statement) and (not isinstance(item, s.Header) or item.doc is not None)
            if lines and (blank or (needs_blank and starts_new)):
                lines.append(Line(""))
            needs_blank = False
            if item is None:
                lines.extend(Line(text) for text in _lines(doc_lines(doc, 0)))
                needs_blank, position = True, max(position, self.doc_end(begin))
            elif isinstance(item, s.Comment):
                lines.append(Line(" " * indent + ("#" + item.text).rstrip()))
                position = item.span.end
            else:
                lines.extend(Line(text) for text in _lines(doc_lines(item.doc, indent)))
                lines.extend(self.statement(item, indent))
                position = item.span.end
                lines[-1].comment = self.trailing(position)
                if lines[-1].comment is not None:
                    position = lines[-1].comment.span.end
        return lines

    def statement(self, node: s.Statement, indent: int) -> list[Line]:
        if isinstance(node, s.Component):
            return self.component(node, indent)
        if any(node.span.start < c.span.start < node.span.end for c in self.near(node.span.start, node.span.end)):
            return [Line(text) for text in self.verbatim(node.span.start, node.span.end, indent)]
        return [Line.of(node, self.printer.statement(node), indent)]

    def component(self, node: s.Component, indent: int) -> list[Line]:
        brace = self.brace(node)
        if self.near(node.span.start, brace):
            lines = [Line(text) for text in self.verbatim(node.span.start, brace, indent)]
        else:
            lines = [Line(" " * indent + lay_pieces(self.printer.statement(node), indent))]
        lines[-1].comment = self.trailing(brace)
        start = lines[-1].comment.span.end if lines[-1].comment else brace
        body = self.scope(node.body, indent + INDENT, start, node.span.end - 1)
        return [*lines, *body, Line(" " * indent + "}")]

    # ------------------------------------------------------------------------------------- the author's layout

    def take_comments(self, statements: tuple[s.Statement, ...], start: int, stop: int) -> list[s.Comment]:
        """The comments of this scope on lines of their own."""
        spans = [(node.span.start, node.span.end) for node in statements]
        own = []
        for comment in self.near(start, stop):
            at = comment.span.start
            inside = any(a < at < b for a, b in spans)
            line = self.text.rfind("\n", 0, at) + 1
            line = max(line, self.text.rfind("\r", 0, at) + 1)
            if not inside and (not self.text[line:at].strip() or (start > line and not self.text[start:at].strip())):
                own.append(comment)
        return own

    def near(self, start: int, stop: int) -> list[s.Comment]:
        return [c for c in self.comments if start <= c.span.start < stop]

    def trailing(self, end: int) -> s.Comment | None:
        """The comment that follows on the same line."""
        rest = len(self.text[end:]) - len(self.text[end:].lstrip(" \t\f"))
        return next((c for c in self.comments if c.span.start == end + rest), None)

    def was_opened_up(self, node: s.Node) -> bool:
        """A comma stands behind the last item, and the closing bracket on a line of its own."""
        text = node.span.text
        body = text[:-1].rstrip()
        return body.endswith(",") and ("\n" in text[len(body) :] or "\r" in text[len(body) :])

    def verbatim(self, start: int, end: int, indent: int) -> list[str]:
        """The text as written, its lines moved with the first to the indentation."""
        first, *more = self.text[start:end].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        shift = indent - (self.source.position(start)[1] - 1)
        moved = [" " * indent + first.rstrip()]
        for line in more:
            bare = line.lstrip(" \t")
            blanks = max(0, len(line.expandtabs(4)) - len(bare.expandtabs(4)) + shift)
            moved.append((" " * blanks + bare).rstrip())
        return moved

    def first_offset(self, item: s.Statement | s.Comment, position: int) -> int:
        """Where the item begins, its `##` lines included."""
        if isinstance(item, s.Comment) or item.doc is None:
            return item.span.start
        at = self.text.find("##", position, item.span.start)
        return item.span.start if at < 0 else at

    def has_blank(self, start: int, stop: int) -> bool:
        lines = self.text[start:stop].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return any(not line.strip() for line in lines[1:-1])

    def doc_offset(self, statements: tuple[s.Statement, ...], start: int) -> int:
        at = self.text.find("##", start)
        return at if at >= 0 and (not statements or at < statements[0].span.start) else start

    def doc_end(self, begin: int) -> int:
        """Where the block of `##` lines at `begin` ends."""
        block = _DOC_BLOCK.match(self.text, begin)
        return block.end() if block else begin

    def brace(self, node: s.Component) -> int:
        """The offset behind the `{` of a component."""
        depth, at, text = 0, node.span.start, self.text
        while text[at] != "{" or depth:
            if text[at] == "#":
                at = min(i for i in (text.find("\n", at), text.find("\r", at)) if i >= 0)
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        return at + 1
