"""The words of the language, as the lexers, the parser and the messages know them."""

from __future__ import annotations

STATEMENT_WORDS: tuple[str, ...] = (
    "model", "from", "import", "const", "axis", "param", "augment", "input", "state", "noise", "obs", "let", "def",
    "part", "component", "out", "init", "lift", "assert",
)  # fmt: skip
"""Words that open a statement (`import` stands inside one)."""

OPENING_WORDS: tuple[str, ...] = tuple(w for w in STATEMENT_WORDS if w != "import")

EXPRESSION_WORDS: tuple[str, ...] = ("if", "then", "else", "for", "in", "and", "or", "not", "as")

RESERVED: frozenset[str] = frozenset({*STATEMENT_WORDS, *EXPRESSION_WORDS, "t", "dW", "pi", "inf"})
"""Names that nothing may be declared under."""
