"""Colours for model files wherever Pygments is used: Sphinx, nbconvert, rich, IPython."""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from ssmlang.language.builtins import DISTRIBUTIONS, FUNCTIONS
from ssmlang.language.words import EXPRESSION_WORDS, OPENING_WORDS

_NAME = r"[^\W\d]\w*"
_CONSTANTS = ("t", "pi", "inf", "dt", "dW")


class SsmLexer(RegexLexer):
    """A lexer for the `.ssm` language. Any text can be coloured; only characters unknown to the language are errors."""

    name = "ssmlang"
    aliases = ("ssm", "ssmlang")
    filenames = ("*.ssm",)
    mimetypes = ("text/x-ssm",)

    tokens = {  # noqa: RUF012 - the form that Pygments reads
        "root": [
            (r"\A\ufeff?%%ssm[^\n]*", Comment.Preproc),
            (r"\s+", Whitespace),
            (r"##(?!#).*", String.Doc),
            (r"#.*", Comment.Single),
            (r'"[^"\n]*"?', String.Double),
            (rf"(model)(\s+)({_NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Namespace)),
            (rf"(component)(\s+)({_NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Class)),
            (rf"(part)(\s+)({_NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Variable)),
            (rf"(def)(\s+)({_NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Function)),
            (words(("from", "import", "as"), suffix=r"\b"), Keyword.Namespace),
            (words(OPENING_WORDS, prefix=r"(?<![\w.])", suffix=r"\b"), Keyword.Declaration),
            (words(("and", "or", "not", "in"), suffix=r"\b"), Operator.Word),
            (words(EXPRESSION_WORDS, suffix=r"\b"), Keyword),
            (r"\b(exact|fitted)(?=\s*(?:#|$))", Keyword.Pseudo),
            (r"\b(walk)(?=\s+[\w(])", Keyword.Pseudo),
            (r"\bstationary\b", Keyword.Pseudo),
            (r"\bd(?=[ \t]*\()", Keyword),
            (words(tuple(sorted(DISTRIBUTIONS)), prefix=r"\b", suffix=r"\b(?=\s*\()"), Name.Class),
            (words(tuple(sorted(FUNCTIONS)), prefix=r"\b", suffix=r"\b(?=\s*\()"), Name.Builtin),
            (words(_CONSTANTS, prefix=r"\b", suffix=r"\b"), Name.Builtin.Pseudo),
            (_NAME, Name),
            (r"[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+|[0-9]+\.[0-9]+", Number.Float),
            (r"[0-9]+", Number.Integer),
            (r"\.\.|~|<=|>=|==|!=|[-+*/@%^'=<>]", Operator),
            (r"[()\[\]{},.]", Punctuation),
        ]
    }
