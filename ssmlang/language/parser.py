"""The parser: from a source text to its syntax tree."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ssmlang.language import syntax as s
from ssmlang.language.build import MAX_DEPTH, Builder, depth
from ssmlang.language.cache import cache_file
from ssmlang.language.diagnostics import Findings
from ssmlang.language.docs import attach_docs
from ssmlang.language.layout import Chunk, Layout, lay_out
from ssmlang.language.resources import read_resource
from ssmlang.language.source import Source, Span

if TYPE_CHECKING:
    from lark import Lark

MAX_TEXT = 1_000_000
MAX_STATEMENT = 15_000
MAX_STATEMENTS = 5_000

_OUTSIDE_ONLY = (s.Header, s.Import, s.Component, s.Lift, s.Assert)
_WORDS: dict[type[s.Statement], str] = {
    s.Header: "model", s.Import: "from", s.Component: "component", s.Lift: "lift", s.Assert: "assert",
}  # fmt: skip


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The parser made from `grammar/ssm.lark`, built on first use.

    Its tables are kept on disk: making them takes longer than all else that formatting a file does. Lark makes them
    anew where they were made from another grammar, by another version, or cannot be read.
    """
    from lark import Lark

    text = read_resource("grammar/ssm.lark")
    if text is None:
        raise RuntimeError("the grammar is missing from this installation of ssmlang")
    return Lark(
        text,
        parser="lalr",
        lexer="contextual",
        start=["statement", "component_head"],
        propagate_positions=True,
        maybe_placeholders=False,
        cache=cache_file("grammar", text) or False,
    )


def parse(source: Source, findings: Findings) -> s.Program:
    """Read a text.

    Never raises for what the text holds: statements that cannot be read are reported in `findings` (E1xx) and left out
    of the tree; their places are `Program.broken`.
    """
    whole = Span(source, 0, len(source.text))
    if len(source.text) > MAX_TEXT:
        findings.add(
            "E109",
            f"the text has {len(source.text)} characters; at most {MAX_TEXT} are read",
            Span(source, 0, 0),
            help="numbers belong into the data or into compile(..., constants={...})",
        )
        return s.Program((), span=whole, broken=(whole,))
    layout = lay_out(source, findings)
    if layout.count > MAX_STATEMENTS:
        where = layout.chunks[-1]
        findings.add(
            "E109",
            f"the text has {layout.count} statements; at most {MAX_STATEMENTS} are read",
            Span(source, where.start, where.end),
        )
        return s.Program((), span=whole, broken=(whole,))
    return _Reader(source, findings).program(layout, whole)


class _Reader:
    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.findings = findings
        self.broken: list[Span] = []

    def program(self, layout: Layout, whole: Span) -> s.Program:
        statements: list[s.Statement] = []
        header: s.Header | None = None
        for chunk in layout.chunks:
            read = self.component(chunk) if chunk.body is not None else self.statement(chunk)
            if isinstance(read, s.Out):
                self.misplaced(read, "`out` belongs inside a component", "no component is open here")
            elif isinstance(read, s.Header) and header is not None:
                self.misplaced(read, "the model already has a name", f"it is `{header.name.id}`")
            elif read is not None:
                header = read if isinstance(read, s.Header) else header
                statements.append(read)
        program = s.Program(tuple(statements), span=whole, broken=tuple(self.broken))
        return attach_docs(program, self.source, layout.comments)

    def component(self, chunk: Chunk) -> s.Component | None:
        broken = len(self.broken)
        body: list[s.Statement] = []
        for inner in chunk.body or ():
            read = self.statement(inner)
            if isinstance(read, _OUTSIDE_ONLY):
                word = _WORDS[type(read)]
                self.misplaced(read, f"`{word}` belongs outside of components", "inside a component here")
            elif read is not None:
                body.append(read)
        head = self.statement(chunk, "component_head")
        if not isinstance(head, s.Component):
            return None
        outs = [inner for inner in body if isinstance(inner, s.Out)]
        for second in outs[1:]:
            self.misplaced(second, "a component has one `out`", "a second one")
        if not outs and len(self.broken) == broken:
            help_ = "end it with `out ...`, the value that an instance stands for"
            self.findings.add(
                "E111", f"the component `{head.name.id}` has no `out`", head.name.span, "in this one", help=help_
            )
        kept = tuple(inner for inner in body if not isinstance(inner, s.Out) or inner is outs[0])
        return replace(head, body=kept, span=Span(self.source, chunk.start, chunk.stop))

    def statement(self, chunk: Chunk, start: str = "statement") -> s.Statement | None:
        span = Span(self.source, chunk.start, chunk.end)
        built = None if chunk.broken else self.read(span, start)
        if built is None:
            self.broken.append(span)
        return built

    def read(self, span: Span, start: str) -> s.Statement | None:
        from lark import UnexpectedInput

        text = span.text
        if len(text) > MAX_STATEMENT:
            message = f"a statement of {len(text)} characters; at most {MAX_STATEMENT} are read"
            self.findings.add("E109", message, Span(self.source, span.start, span.start + 1), "begins here")
            return None
        try:
            tree = grammar().parse(text, start=start)
        except UnexpectedInput as error:
            from ssmlang.language.syntax_errors import report

            report(error, span, self.findings)
            return None
        if depth(tree) > MAX_DEPTH:
            message = f"an expression nested more than {MAX_DEPTH} deep"
            help_ = "give its parts names with `let`, or write it as `sum(... for k in axis)`"
            self.findings.add("E109", message, Span(self.source, span.start, span.start + 1), "in here", help=help_)
            return None
        builder = Builder(self.source, span.start, self.findings)
        built = builder.transform(tree)
        assert isinstance(built, s.Statement)
        return built if builder.sound else None

    def misplaced(self, statement: s.Statement, message: str, label: str) -> None:
        self.findings.add("E111", message, statement.span, label)
        self.broken.append(statement.span)
