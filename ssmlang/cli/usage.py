"""The parser of the command line, which says what a misspelt command or option was likely meant to be."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from ssmlang.language.suggest import suggest


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
        near = suggest(word, commands)
        self.error(f"there is no command `{word}`; " + (f"did you mean `{near}`?" if near else
                                                        "ssmlang --help lists them"))  # fmt: skip

    def _of(self, command: str | None) -> Parser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                return action.choices[command]  # type: ignore[no-any-return]
        return self

    def _stranger(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"`{word}` is one argument too many")
        name = word.partition("=")[0]
        known = {option.lstrip("-"): option for option in self._option_string_actions}
        near = suggest(name.lstrip("-"), known)
        self.error(f"there is no option `{name}`" + (f"; did you mean `{known[near]}`?" if near else ""))
