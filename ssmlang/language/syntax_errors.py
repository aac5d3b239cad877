"""Syntax errors in the user's terms.

lark says which terminal it met and which it would have accepted; here that becomes a sentence. Slips that have a name
(`=` for `==`, `**`, `1:n`, a misspelt statement word) are recognised first, by what stands at the place and around it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lark import Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from ssmlang.language.diagnostics import Diagnostic, Edit, Findings, Fix
from ssmlang.language.slips import FOREIGN_STATEMENTS, SAME_WORDS, SLIPS, Slip
from ssmlang.language.source import Span
from ssmlang.language.suggest import only_neighbour, suggest
from ssmlang.language.words import EXPRESSION_WORDS, OPENING_WORDS, STATEMENT_WORDS

_OPERATORS = {"PLUS", "MINUS", "STAR", "SLASH", "AT", "PERCENT", "CARET", "COMPARE", "AND", "OR", "PRIME", "DOT"}
_VALUE = {"NUMBER", "NAME", "LPAR", "LSQB", "MINUS"}
_PHRASES = {
    "TILDE": "`~`", "EQUALS": "`=`", "COMMA": "`,`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`",
    "LBRACE": "`{`", "RBRACE": "`}`", "DOTDOT": "`..`", "DOT": "`.`", "NAME": "a name", "NUMBER": "a number",
    "STRING": 'a path in quotes', "FOR": "`for`", "IN": "`in`", "THEN": "`then`", "ELSE": "`else`", "AS": "`as`",
    "IMPORT": "`import`", "PARAM": "`param`", "WALK": "`walk`", "EXACT": "`exact`", "FITTED": "`fitted`",
    "NOT": "`not`", "IF": "`if`", "$END": "the end of the line",
}  # fmt: skip
_HEAD = re.compile(r"([^\W\d]\w*)[ \t]+(?=[^\W\d])")


@dataclass(frozen=True)
class Found:
    """What the parser met: the text and its place, what it would have taken, and the statement around it."""

    text: str
    span: Span
    accepts: frozenset[str]
    statement: Span
    terminal: str

    @property
    def before(self) -> str:
        """The statement up to the place."""
        return self.span.source.text[self.statement.start : self.span.start]

    @property
    def after(self) -> str:
        """The text from the place to the end of the statement."""
        return self.span.source.text[self.span.start : self.statement.end]

    @property
    def word(self) -> str:
        """The first word of the statement."""
        match = re.match(r"[^\W\d]\w*", self.statement.text)
        return match[0] if match else ""


def report(error: UnexpectedInput, statement: Span, findings: Findings) -> Diagnostic:
    """Record why the statement at `statement` cannot be read."""
    found = _found(error, statement)
    if (start := _bad_start(found)) is not None:
        return _record(findings, start, found)
    for recognise in SLIPS:
        slip = recognise(found)
        if slip is not None:
            return _record(findings, slip, found)
    if isinstance(error, UnexpectedCharacters):
        odd = found.text
        shown = f"`{odd}`" if odd.isprintable() else f"the character U+{ord(odd):04X}"
        return findings.add("E103", f"{shown} means nothing here", found.span, "remove it")
    is_word = found.text in (*EXPRESSION_WORDS, *STATEMENT_WORDS)
    if is_word and "NAME" in found.accepts and "NUMBER" not in found.accepts:
        return findings.add(
            "E104", f"`{found.text}` cannot be used as a name", found.span, "a word of the language",
            help=f"choose another name, such as `{found.text}_`",
        )  # fmt: skip
    message = f"`{found.text}` is not expected here" if found.text else "the statement ends too early"
    return findings.add("E101", message, found.span, f"expected {_expected(found.accepts)}")


def _record(findings: Findings, slip: Slip, found: Found) -> Diagnostic:
    span = slip.span or found.span
    mended = slip.replacement
    fix = Fix(slip.help or slip.message, (Edit(span, mended),), slip.safe) if mended is not None else None
    help_ = (slip.help,) if slip.help else ()
    return findings.add(slip.code, slip.message, span, slip.label, help=help_, fix=fix)


def _found(error: UnexpectedInput, statement: Span) -> Found:
    source, base = statement.source, statement.start
    if isinstance(error, UnexpectedToken):
        token: Token = error.token
        accepts = frozenset(error.accepts or error.expected)
        if token.type == "$END":
            return Found("", Span(source, statement.end, statement.end), accepts, statement, "$END")
        start = base + (token.start_pos or 0)
        return Found(str(token), Span(source, start, start + len(token)), accepts, statement, token.type)
    assert isinstance(error, UnexpectedCharacters)
    start = base + (error.pos_in_stream or 0)
    text = source.text[start : start + 1]
    return Found(text, Span(source, start, start + 1), frozenset(error.allowed or ()), statement, "")


def _bad_start(found: Found) -> Slip | None:
    """A statement whose first word opens none."""
    word = found.word
    if not word or word in OPENING_WORDS:
        return None
    span = Span(found.span.source, found.statement.start, found.statement.start + len(word))
    at_first = found.span.start == found.statement.start
    if word == "for":
        return Slip(
            "E106", "there are no loop statements", "a statement cannot begin with `for`", span=span,
            help="write the range behind the equation: `x[t, i] ~ ... for i in site`",
        )  # fmt: skip
    if word in (*EXPRESSION_WORDS, "import") and at_first:
        return Slip("E105", f"a statement cannot begin with `{word}`", "", span=span)
    if found.statement.text == word:
        glued = next((w for w in OPENING_WORDS if word.startswith(w)), None)
        meant = f"{glued} {word[len(glued) :]}" if glued else suggest(word, OPENING_WORDS)
        return Slip("E105", f"`{word}` is no statement", f"did you mean `{meant}`?" if meant else "", span=span)
    if word == "import":
        help_ = "components come by `from structural import seasonal`; functions are there without an import"
        return Slip("E105", "a model file imports no modules", "", help=help_, span=span)
    head = _HEAD.match(found.statement.text)
    if head is None or found.span.start != found.statement.start + head.end():
        return None
    if word in FOREIGN_STATEMENTS:
        meant, help_ = FOREIGN_STATEMENTS[word]
        return Slip("E105", f"no statement begins with `{word}`", "", help=help_, span=span, replacement=meant,
                    safe=word in SAME_WORDS)  # fmt: skip
    if "TILDE" in found.accepts and re.match(r"[^\W\d]\w*[ \t]*\(", found.after) and found.text[0].isupper():
        return None
    meant = suggest(word, OPENING_WORDS)
    return Slip(
        "E105", f"no statement begins with `{word}`", f"did you mean `{meant}`?" if meant else "", span=span,
        help="" if meant else f"statements begin with {', '.join(OPENING_WORDS)}, or are equations", replacement=meant,
        safe=meant is not None and only_neighbour(word, OPENING_WORDS) == meant,
    )  # fmt: skip


def _expected(accepts: frozenset[str]) -> str:
    rest = set(accepts)
    phrases = []
    if rest >= _VALUE:
        phrases.append("a value")
        rest -= _VALUE | {"NOT", "IF"}
    if len(_OPERATORS & rest) >= 3:
        phrases.append("an operator")
        rest -= _OPERATORS
        rest -= {"LPAR", "LSQB"}
    rest -= {"RBRACE"} if "COMMA" in rest and len(rest) > 2 else set()
    order = list(_PHRASES)
    phrases += [_PHRASES[name] for name in sorted(rest & _PHRASES.keys(), key=order.index)]
    if not phrases:
        return "a statement"
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} or {phrases[-1]}"
