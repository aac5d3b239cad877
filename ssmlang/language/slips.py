"""Slips with a name: what people write who come from Python, R, Stan or a paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ssmlang.language.builtins import DISTRIBUTIONS
from ssmlang.language.source import Span
from ssmlang.language.words import STATEMENT_WORDS

if TYPE_CHECKING:
    from ssmlang.language.syntax_errors import Found


@dataclass(frozen=True)
class Slip:
    """What to say of it; `replacement` is the text that mends `span` (by default the place itself), `safe` where it is
    a matter of spelling alone."""

    code: str
    message: str
    label: str
    help: str = ""
    span: Span | None = None
    replacement: str | None = None
    safe: bool = False


FOREIGN_STATEMENTS: dict[str, tuple[str, str]] = {
    "parameter": ("param", "an unknown is declared by `param`"),
    "parameters": ("param", "an unknown is declared by `param`"),
    "real": ("param", "an unknown is declared by `param`, a given number by `const`"),
    "int": ("const", "a given number is declared by `const`"),
    "constant": ("const", "a given number is declared by `const`"),
    "data": ("input", "known series are declared by `input`, seen ones by `obs`"),
    "covariate": ("input", "known series are declared by `input`"),
    "observe": ("obs", "seen series are declared by `obs`"),
    "observed": ("obs", "seen series are declared by `obs`"),
    "observation": ("obs", "seen series are declared by `obs`"),
    "latent": ("state", "hidden series are declared by `state`"),
    "hidden": ("state", "hidden series are declared by `state`"),
    "function": ("def", "a function is `def f(x) = ...`"),
    "fn": ("def", "a function is `def f(x) = ...`"),
    "var": ("let", "a definition is `let a = ...`"),
    "val": ("let", "a definition is `let a = ...`"),
    "initial": ("init", "the first state is given by `init x ~ ...`"),
    "prior": ("param", "a prior is written with its parameter: `param a ~ ...`"),
    "dim": ("axis", "a named axis is `axis a = 1..n`"),
    "index": ("axis", "a named axis is `axis a = 1..n`"),
    "use": ("from", "components come by `from structural import seasonal`"),
    "include": ("from", 'components come by `from "./file.ssm" import name`'),
    "return": ("out", "the value of a component is `out ...`"),
}
SAME_WORDS = frozenset({
    "parameter", "parameters", "constant", "covariate", "observe", "observed", "observation", "latent", "hidden",
    "function", "fn", "var", "val", "initial", "return",
})  # fmt: skip
"""Those of them that mean the same as the word here, whatever follows."""

DECLARATIONS = ("param", "augment", "state", "obs", "input", "noise", "const", "let")
BOUNDS = ("<", "<=", ">", ">=")
_LAW = re.compile(r"=[ \t]*([^\W\d]\w*)[ \t]*\(")
_NUMBER = re.compile(r"~[ \t]*-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?[ \t]*")
_PAPER_SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "∼": "~",
    "′": "'", "’": "'", "ᵀ": "'", "“": '"', "”": '"', "←": "=", "²": "^2", "³": "^3", "∧": " and ", "∨": " or ",
    "…": "..", "∈": " in ", "∞": "inf",
}  # fmt: skip


def paper_sign(found: Found) -> Slip | None:
    if found.text in _PAPER_SIGNS:
        plain = _PAPER_SIGNS[found.text]
        return Slip("E103", f"`{found.text}` is written `{plain.strip()}` here", "", replacement=plain, safe=True)
    return None


def foreign_operator(found: Found) -> Slip | None:
    after, text = found.after, found.span.source.text
    start = found.span.start

    def at(length: int, begin: int = start) -> Span:
        return Span(found.span.source, begin, begin + length)

    if after.startswith("**"):
        return Slip("E106", "a power is written `^`", "", span=at(2), replacement="^", safe=True)
    if after[:2] in ("+=", "-=", "*=", "/="):
        return Slip("E106", "a name has one definition, which cannot be added to", "", span=at(2))
    if after.startswith("<-"):
        return Slip("E106", "a definition is written `=`, a law `~`", "", span=at(2), replacement="=", safe=True)
    if after.startswith(":="):
        return Slip("E106", "a definition is written `=`", "", span=at(2), replacement="=", safe=True)
    if after.startswith("//") or after.startswith("/*"):
        # Behind a value `//` may be a division.
        alone = after.startswith("//") and not found.before.strip()
        return Slip("E106", "a comment begins with `#`", "", span=at(2), replacement="#", safe=alone)
    if after.startswith(";"):
        last = not after[1:].strip()
        return Slip("E106", "a statement ends with its line, without `;`", "remove it", span=at(1), replacement="",
                    safe=last)  # fmt: skip
    if after.startswith(("&", "|")):
        doubled = after[0] == after[1:2]
        word = "and" if after[0] == "&" else "or"
        place = at(2 if doubled else 1)
        # A single sign binds closer than a comparison elsewhere; bars without a value before them are a norm.
        safe = doubled and word.upper() in found.accepts
        return Slip("E106", f"`{word}` is a word here", "", span=place, replacement=_apart(word, place), safe=safe)
    if after.startswith("!"):
        return Slip("E106", "`not` is a word here", "", span=at(1), replacement="not ")
    if start and text[start - 1 : start + 2] == "%*%":
        return Slip("E106", "a matrix product is written `@`", "", span=at(3, start - 1), replacement="@")
    if after.startswith(":"):
        if found.before.rstrip().endswith(")") or found.statement.end == start + 1:
            help_ = "a function is `def f(x) = ...`"
            return Slip("E106", "no statement has a `:`", "remove it", help=help_, span=at(1))
        # In square brackets it may be a slice of Python, which leaves its end out; elsewhere `:` binds closer than `+`.
        plain = re.fullmatch(r":[ \t]*\w+[ \t]*", after) and re.search(r"(?:=|\bin)[ \t]*\w+[ \t]*$", found.before)
        safe = plain is not None and not _open_brackets(found.before, "[", "]")
        return Slip("E106", "a range is written `1..n`, both ends included", "", span=at(1), replacement="..",
                    safe=safe)  # fmt: skip
    if after.startswith("?"):
        return Slip("E106", "a choice is written `if a then b else c`", "", span=at(1))
    if text[start - 1 : start + 1] == "->" and start > 0:
        return Slip("E106", "`->` means nothing here", "", span=at(2, start - 1))
    if after.startswith("..."):
        return Slip("E106", "a range has two dots: `1..n`", "", span=at(3), replacement="..", safe=True)
    return None


def number_spelling(found: Found) -> Slip | None:
    source, start = found.span.source, found.span.start
    digits = re.match(r"\.[0-9]+", found.after)
    if digits and not found.before[-1:].isalnum():
        span = Span(source, start, start + digits.end())
        return Slip("E108", "a number has a digit before its point", "", span=span, replacement="0" + digits[0],
                    safe=True)  # fmt: skip
    trailing = re.search(
        r"(?<![\w.])([0-9]+)\.?$", found.before.rstrip(" \t") + (found.text if found.text == "." else "")
    )
    if trailing and trailing[0].endswith("."):
        span = Span(source, found.statement.start + trailing.start(), found.statement.start + trailing.end())
        return Slip("E108", "a number has a digit behind its point", "", span=span,
                    replacement=trailing[1] + ".0", safe=True)  # fmt: skip
    number = re.search(r"(?<![\w.])[0-9][0-9.]*$", found.before)
    if number and found.terminal == "NAME":
        help_ = f"write `{number[0]} * {found.text}`"
        return Slip("E101", f"an operator is missing between `{number[0]}` and `{found.text}`", "", help=help_)
    return None


def wrong_relation(found: Found) -> Slip | None:
    word, text, accepts = found.word, found.text, found.accepts
    if text == "=" and "THEN" in accepts:
        return Slip("E107", "a comparison is written `==`", "", replacement="==", safe=True)
    if text == "=" and (_open_brackets(found.before) or word in ("assert", "out")):
        return Slip("E107", "`=` does not stand inside an expression", "a comparison is written `==`", replacement="==")
    if text.startswith("==") and "EQUALS" in accepts:
        return Slip("E107", "a definition is written `=`", "`==` compares", replacement="=", safe=True)
    if text in ("~", "=") and word in ("obs", "state", "input"):
        stem = "declare it here, and give its equation in a statement of its own"
        example = {"obs": "y[t] ~ ...", "state": "x[t] ~ ..."}.get(word)
        help_ = f"`{word} {example[0]}`, then `{example}`" if example else "an input's values come with the data"
        return Slip("E107", f"`{word}` only declares", stem if example else "no value here", help=help_)
    law = _LAW.match(found.after)
    meant = "~" if law and law[1] in DISTRIBUTIONS else None
    if text == "=" and word in ("param", "augment"):
        help_ = "a fixed number is `const a = 3`, a derived one `let a = ...`"
        return Slip("E107", "a parameter has a prior, `~`, and no value", "", help=help_, replacement=meant, safe=True)
    if text.strip() in BOUNDS and word in ("param", "augment") and "IN" in accepts:
        bound = re.match(r"(<|>)=?[ \t]*(-?[0-9]+(?:\.[0-9]+)?)(?![\w.])", found.after)
        if bound is None:
            return Slip("E106", "what a parameter may be is an interval", "", help="write `in (0, inf)`")
        interval = f"in ({bound[2]}, inf)" if bound[1] == ">" else f"in (-inf, {bound[2]})"
        span = Span(found.span.source, found.span.start, found.span.start + bound.end())
        strict = "=" not in bound[0]
        return Slip("E106", "what a parameter may be is an interval", "", span=span, help=f"write `{interval}`",
                    replacement=interval, safe=strict)  # fmt: skip
    if text == "=" and word == "noise":
        help_ = "a derived series is `let a[t] = ...`"
        return Slip("E107", "a noise has a law, `~`", "", help=help_, replacement=meant, safe=True)
    if text == "~" and word in ("const", "let", "def", "lift", "axis"):
        help_ = "an unknown is `param a ~ ...`, a noise `noise e ~ ...`"
        value = "=" if _NUMBER.fullmatch(found.after) else None
        return Slip("E107", f"`{word}` gives a value, with `=`", "", help=help_, replacement=value, safe=True)
    if text == "~":
        return Slip("E107", "`~` stands between a name and its law only", "")
    return None


def missing_parts(found: Found) -> Slip | None:
    word, text, accepts = found.word, found.text, found.accepts
    if not text and word in ("let", "axis", "def", "part", "lift") and "EQUALS" in accepts:
        return Slip("E101", f"`{word}` needs a value", f"expected `= ...`{' here' if word else ''}")
    if not text and word == "noise" and "TILDE" in accepts:
        return Slip("E101", "a noise needs a law", "expected `~ Normal(0, ...)`, say")
    if not text and {"EXACT", "FITTED"} <= accepts:
        return Slip("E101", "a lift says how it is meant", "expected `exact` or `fitted`")
    if text == "," and word in ("state", "obs", "param", "augment") and re.search(r"\bin\b", found.before):
        help_ = f"all the names before `in` share what follows it; others have a `{word}` line of their own"
        return Slip("E101", "no name stands after `in ...`", "", help=help_)
    if text == "," and "FOR" in accepts and re.search(r"\bfor\b", found.before) and (
        name := re.match(r",[ \t]*(for[ \t]+)?[^\W\d]\w*[ \t]+in\b", found.after)
    ):
        mended = ("" if name[1] else " for") if found.after[1:2].isspace() else " " if name[1] else " for "
        return Slip("E101", "ranges follow one another without a comma", "", help="write `for i in a for j in b`",
                    replacement=mended, safe=True)  # fmt: skip
    if text == "in" and word == "input":
        name = re.search(r"([^\W\d]\w*)[ \t]*$", found.before)
        axis = re.match(r"in[ \t]+([^\W\d]\w*)", found.after)
        named = f"`input {name[1]}[{axis[1]}]`, 1 at the label meant and 0 at the others" if name and axis else ""
        return Slip("E101", "an input is a number, not a label", "", help=named and f"declare {named}")
    if text == "[" and word in ("param", "augment") and found.before.rstrip().endswith(" in"):
        return Slip("E106", "an interval stands in parentheses; its ends are open", "", help="write `in (0, 1)`")
    if text in ("stationary", "positive") and word in ("param", "augment") and "IN" in accepts:
        meant = "in stationary" if text == "stationary" else "in (0, inf)"
        return Slip("E101", "what a parameter may be stands behind `in`", "", help=f"write `{meant}`",
                    replacement=meant, safe=True)  # fmt: skip
    if text == "walk" and word == "param":
        return Slip("E101", "only a parameter that joins the state can walk", "", help="write `augment param ...`")
    if "TILDE" in accepts and found.terminal == "NAME" and word not in STATEMENT_WORDS:
        help_ = "a law is `x[t] ~ ...`, a value `x[t] = ...`"
        return Slip("E101", "`~` or `=` is missing", f"before `{text}`", help=help_)
    if text == "if" and "PLUS" in accepts and found.before.strip():
        return Slip("E106", "a choice is written `if c then a else b`", "the condition comes first, in parentheses "
                    "within a larger expression")  # fmt: skip
    if text == "if" and {"NAME", "NUMBER"} <= accepts:
        return Slip("E101", "an `if` inside a larger expression stands in parentheses", "write `(if a then b else c)`")
    if text.strip() in ("<", "<=", ">", ">=", "==", "!=") and found.terminal == "COMPARE":
        if re.search(r"[<>]=?|[=!]=", found.before):
            return Slip("E101", "comparisons do not chain", "", help="write `a < b and b < c`")
        return None
    if text == "+" and "MINUS" in accepts and "NAME" in accepts:
        return Slip("E101", "there is no sign `+`", "remove it", replacement="", safe=True)
    return None


def range_as_size(found: Found) -> Slip | None:
    """`param phi[1..2]`: labels of a declaration's own."""
    opened = re.search(r"([^\W\d]\w*)\[[^\[\]]*?(-?\w+)[ \t]*$", found.before)
    if found.terminal != "DOTDOT" or found.word not in DECLARATIONS or opened is None:
        return None
    end = re.match(r"\.\.[ \t]*(-?\w+)", found.after)
    span = Span(found.span.source, found.span.start - len(opened[2]), found.span.start + (end.end() if end else 2))
    whole = f"{opened[2]}..{end[1] if end else 'n'}"
    help_ = f"write `axis lag = {whole}` on a line of its own, and `{opened[1]}[lag]` here"
    return Slip("E101", "labels are those of an axis, which has a name", "no range stands in a declaration", span=span,
                help=help_)  # fmt: skip


def texts(found: Found) -> Slip | None:
    if found.terminal == "STRING":
        return Slip("E101", "text in quotes stands in `from` only", "", help="labels and names are written bare")
    if re.search(r"(?:^|[\s(\[,=])$", found.before) and (quoted := re.match(r"'[^'\n]*'", found.after)):
        span = Span(found.span.source, found.span.start, found.span.start + quoted.end())
        if found.word == "from":
            bare = quoted[0][1:-1]
            return Slip("E106", "a path stands in double quotes", "", span=span, replacement=f'"{bare}"')
        return Slip("E106", "there is no text in quotes here", "`'` is a transpose, as in `A'`", span=span)
    return None


def one_statement_a_line(found: Found) -> Slip | None:
    if "$END" in found.accepts and found.text in STATEMENT_WORDS:
        return Slip("E101", "a new statement begins on a line of its own", "")
    return None


def _open_brackets(text: str, opening: str = "([", closing: str = ")]") -> bool:
    return sum(text.count(c) for c in opening) > sum(text.count(c) for c in closing)


def _apart(word: str, span: Span) -> str:
    """The word with blanks where it would touch its neighbours."""
    text = span.source.text
    before, after = text[span.start - 1 : span.start], text[span.end : span.end + 1]
    return " " * (not before.isspace()) + word + " " * (not after.isspace())


SLIPS: tuple[Callable[[Found], Slip | None], ...] = (
    paper_sign,
    range_as_size,
    foreign_operator,
    number_spelling,
    texts,
    wrong_relation,
    one_statement_a_line,
    missing_parts,
)
