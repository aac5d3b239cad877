"""The parser of the command line, which says what a misspelt command or option was likely meant to be."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """As argparse's own, but what it does not know is answered by the command that was asked for."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The arguments; exits with code 2 and the command's usage where a word is none of them."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            self._of(getattr(found, "command", None))._stranger(rest[0])
        return found

    def no_command(self, word: str, commands: Sequence[str]) -> NoReturn:
        """Exit with code 2: there is no such command."""
        self.error(f"there is no command `{word}`{_meant(word, commands) or '; ssmlang --help lists them'}")

    def _of(self, command: str | None) -> Parser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                return action.choices[command]  # type: ignore[no-any-return]
        return self

    def _stranger(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"`{word}` is one argument too many")
        name = word.partition("=")[0]
        self.error(f"there is no option `{name}`{_meant(name, list(self._option_string_actions))}")


def _meant(word: str, known: Sequence[str]) -> str:
    from ssmlang.language.suggest import did_you_mean

    guess = did_you_mean(word, known)
    return f"; {guess}" if guess else ""
