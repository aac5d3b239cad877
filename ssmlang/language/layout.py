"""The layout of a file: where each statement begins and ends, which text is comment, and which brackets do not match.

This runs before the grammar and knows nothing but brackets, quotes, comments and the words that open statements. It is
what makes recovery from errors exact: a statement that cannot be read never touches its neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ssmlang.language.diagnostics import Findings, Label
from ssmlang.language.source import Source, Span
from ssmlang.language.words import OPENING_WORDS

MAX_NESTING = 200

_TOKEN = re.compile(
    r"""(?P<newline>\r\n|\r|\n)|(?P<comment>\#[^\r\n]*)|(?P<string>"[^"\r\n]*")|(?P<quote>"[^\r\n]*)"""
    r"""|(?P<blank>[ \t\f]+)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<rest>[^\s"#()\[\]{}]+|\s)"""
)
_CLOSER = {"(": ")", "[": "]", "{": "}"}
# What can never continue an expression: at the start of a line it shows that a bracket above was left open.
_NEVER_INSIDE = re.compile(
    rf"[ \t]*(?:(?:{'|'.join(OPENING_WORDS)})[ \t]+[^\W\d=]"
    r"|[^\W\d]\w*[ \t]*(?:\[[^\[\]\r\n]*\][ \t]*(?:~|=(?!=))|~)"
    r"|d[ \t]*\([^()\r\n]*\)[ \t]*=(?!=))"
)
_COMPONENT = re.compile(r"component\b")


@dataclass
class Chunk:
    """The text of one statement, or of a component's head; `broken` when its brackets were already complained of."""

    start: int
    end: int
    broken: bool = False
    body: list[Chunk] | None = None
    """The statements of a component; None for every other statement."""

    stop: int = 0
    """Where a component ends, after its `}`."""


@dataclass
class Layout:
    chunks: list[Chunk] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)
    count: int = 0


def lay_out(source: Source, findings: Findings) -> Layout:
    """Split a text into statements and comments; report brackets and quotes that do not match."""
    return _Scanner(source, findings).run()


class _Scanner:
    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.text = source.text
        self.findings = findings
        self.layout = Layout()
        self.component: Chunk | None = None
        self.brackets: list[tuple[str, int]] = []
        self.start: int | None = None
        self.end = 0
        self.broken = False

    def run(self) -> Layout:
        text = self.text
        first = re.match(r"%%ssm\b[^\r\n]*", text)
        for token in _TOKEN.finditer(text, first.end() if first else 0):
            kind, where = token.lastgroup, token.start()
            if kind == "newline":
                if not self.brackets:
                    self.finish()
                elif _NEVER_INSIDE.match(text, token.end()):
                    self.left_open()
                    self.finish()
            elif kind == "comment":
                self.layout.comments.append(token.span())
            elif kind != "blank":
                opens_body = kind == "open" and token[0] == "{" and not self.brackets and self.is_component_head()
                if kind == "close" and token[0] == "}" and not self.brackets and self.component is not None:
                    self.finish()
                    self.close_component(token.end())
                    continue
                if self.start is None:
                    self.start = where
                    if self.component is not None and _COMPONENT.match(text, where):
                        self.unclosed_component()
                self.end = token.end()
                if opens_body:
                    self.open_component()
                elif kind == "open":
                    self.open_bracket(token[0], where)
                elif kind == "close":
                    self.close_bracket(token[0], where)
                elif kind == "quote":
                    self.quote(token.start(), token.end())
        if self.brackets:
            self.left_open()
        self.finish()
        if self.component is not None:
            self.unclosed_component()
        return self.layout

    # ------------------------------------------------------------------------------------------- statements

    def finish(self) -> None:
        if self.start is not None:
            into = self.layout.chunks if self.component is None else self.component.body
            assert into is not None
            into.append(Chunk(self.start, self.end, self.broken))
            self.layout.count += 1
        self.start, self.broken = None, False
        self.brackets.clear()

    def is_component_head(self) -> bool:
        return self.component is None and self.start is not None and bool(_COMPONENT.match(self.text, self.start))

    def open_component(self) -> None:
        assert self.start is not None
        self.component = Chunk(self.start, self.end, self.broken, body=[], stop=self.end)
        self.layout.chunks.append(self.component)
        self.layout.count += 1
        self.start, self.broken = None, False

    def close_component(self, stop: int) -> None:
        assert self.component is not None
        self.component.stop = stop
        self.component = None

    def unclosed_component(self) -> None:
        assert self.component is not None
        brace = self.component.end - 1
        self.findings.add(
            "E102",
            "the body of a component is not closed",
            Span(self.source, brace, brace + 1),
            "opened here",
            help="put a `}` on a line of its own after the component's last statement",
        )
        body = self.component.body
        self.close_component(body[-1].end if body else self.component.end)

    # --------------------------------------------------------------------------------------------- brackets

    def open_bracket(self, bracket: str, where: int) -> None:
        self.brackets.append((bracket, where))
        if len(self.brackets) == MAX_NESTING + 1 and not self.broken:
            self.findings.add(
                "E109",
                f"brackets are nested more than {MAX_NESTING} deep",
                Span(self.source, where, where + 1),
                "one too many here",
            )
            self.broken = True

    def close_bracket(self, bracket: str, where: int) -> None:
        span = Span(self.source, where, where + 1)
        if not self.brackets:
            if not self.broken:
                self.findings.add("E102", f"this `{bracket}` closes nothing", span, "no bracket is open here")
            self.broken = True
            return
        opener, opened = self.brackets[-1]
        if _CLOSER[opener] == bracket:
            self.brackets.pop()
            return
        if not self.broken:
            self.findings.add(
                "E102",
                f"`{opener}` is closed by `{bracket}`",
                span,
                f"expected `{_CLOSER[opener]}`",
                others=(Label(Span(self.source, opened, opened + 1), "opened here"),),
            )
        self.broken = True
        while self.brackets and _CLOSER[self.brackets[-1][0]] != bracket:
            self.brackets.pop()
        if self.brackets:
            self.brackets.pop()

    def left_open(self) -> None:
        if not self.broken:
            bracket, where = self.brackets[-1]
            self.findings.add(
                "E102",
                f"this `{bracket}` is never closed",
                Span(self.source, where, where + 1),
                f"needs a `{_CLOSER[bracket]}`",
            )
        self.broken = True

    def quote(self, start: int, end: int) -> None:
        self.findings.add(
            "E110",
            "a text in quotes is not closed",
            Span(self.source, start, end),
            'needs a closing `"` on this line',
        )
        self.broken = True
