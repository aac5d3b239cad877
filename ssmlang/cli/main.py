"""The entry point: reads the command, runs it, and answers every failure in the user's terms.

Exit codes: 0 clean or warnings alone, 1 at least one error (or a warning under `--strict`), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ssmlang.cli import arguments
from ssmlang.language.diagnostics import SsmError, SsmWarning
from ssmlang.typed import Usage

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `argv`: the words after `ssmlang`, by default those of the process."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = arguments.build(words[0] if words and words[0] in arguments.HOMES else None)
    if words and not words[0].startswith("-") and words[0] not in arguments.HOMES:
        parser.no_command(words[0], list(arguments.HOMES))
    args = parser.parse_args(words)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _shown
            code = _command(args.command)(args)
        sys.stdout.flush()
        return code
    except SsmError as error:
        from ssmlang.cli.console import show_diagnostics

        show_diagnostics(error.diagnostics, getattr(args, "format", "text"), failed=True)
        return 1
    except Usage as error:
        print(f"ssmlang {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone (`ssmlang info m.ssm | head`); Python would complain again on closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("SSMLANG_TRACEBACK"):
            raise
        print(
            f"ssmlang failed inside: {type(error).__name__}: {error}\n"
            "This is a fault of ssmlang, not of the model; SSMLANG_TRACEBACK=1 shows where it is.",
            file=sys.stderr,
        )
        return 2


def _shown(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None,
           line: str | None = None) -> None:  # fmt: skip
    """A warning of ssmlang as a finding, any other as Python shows it, both on standard error."""
    if isinstance(message, SsmWarning):
        from ssmlang.cli.console import show_diagnostics

        show_diagnostics((message.diagnostic,), failed=True)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def _command(name: str) -> Command:
    if name == "check":  # its matrices are small, and threads that wait for each other cost more than they save
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported only when asked for: `fmt` must not pay for what `fit` needs.
    from importlib import import_module

    module = import_module(f"ssmlang.cli.{arguments.HOMES[name]}")
    return getattr(module, name)  # type: ignore[no-any-return]
