"""Colours: every shipped program is understood, and the words of the language are told apart from names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Keyword, Name, Token

from ssmlang.language.words import EXPRESSION_WORDS, OPENING_WORDS
from ssmlang.lexer import SsmLexer

from .reading import PROGRAMS


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_shipped_programs_have_no_unknown_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tokens = list(SsmLexer(stripnl=False, ensurenl=False).get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    assert not [value for kind, value in tokens if kind is Token.Error]
    assert "<span" in highlight(text, SsmLexer(), HtmlFormatter())


def kinds(text: str) -> dict[str, object]:
    return {value: kind for kind, value in SsmLexer().get_tokens(text)}


def test_words_and_names() -> None:
    found = kinds(
        "%%ssm nile\nparam parameter ~ Normal(0, 1)\nlet exact = walk + exp(t)\nlift z[t] = exact exact # end\n"
    )
    assert found["param"] is Keyword.Declaration
    assert found["parameter"] is Name
    assert found["Normal"] is Name.Class
    assert found["exp"] is Name.Builtin
    assert found["walk"] is Name
    assert found["t"] is Name.Builtin.Pseudo
    assert found["exact"] is Keyword.Pseudo
    assert found["# end"] is Comment.Single
    assert found["%%ssm nile"] is Comment.Preproc


@pytest.mark.parametrize("word", [*OPENING_WORDS, *EXPRESSION_WORDS])
def test_every_word_of_the_language_is_known(word: str) -> None:
    assert kinds(f"{word} \n")[word] is not Name


def test_unknown_characters_are_errors() -> None:
    assert kinds("let a = $\n")["$"] is Token.Error
