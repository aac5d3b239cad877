"""Values given on the command line: `--const p=3`, `--param phi=0.5,-0.3`, `--engine particle:particles=4096`."""

from __future__ import annotations

import argparse
import inspect
import json
import typing
from pathlib import Path
from typing import Any, Literal

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.typed import Usage, Value, number, pairs


def constants(args: argparse.Namespace) -> dict[str, Value]:
    """The `--const` options as a dict."""
    return pairs(args.const, "--const")


def parameters(args: argparse.Namespace) -> dict[str, Value]:
    """What `--params FILE.json` and `--param` give; the latter win. Raises E701, E405."""
    given: dict[str, Value] = {}
    if args.params is not None:
        given.update(_from_json(args.params))
    given.update(pairs(args.param, "--param"))
    return given


def _from_json(path: str) -> dict[str, Value]:
    from ssmlang.cli.files import STDIN, read_text
    from ssmlang.language.files import read_text_file

    try:
        found = json.loads(read_text(path) if path == STDIN else read_text_file(path, ".json"))
    except json.JSONDecodeError as error:
        raise SsmError(
            Diagnostic("E701", f"{path} cannot be read: it is not JSON", why=(f"line {error.lineno}: {error.msg}",))
        ) from None
    if not isinstance(found, dict):
        raise SsmError(
            Diagnostic(
                "E701", f"{path} does not hold parameters", help=('it must be an object by name: {"phi": [0.5, -0.3]}',)
            )
        )
    return found


def engine(text: str) -> Any:
    """The `--engine` option: a name for the API, or with options (`name:key=value,...`) an engine object."""
    name, colon, options = text.partition(":")
    if not colon:
        return name
    from ssmlang import engines

    found = getattr(engines, _class_name(name), None)
    if found is None:
        return name  # the API answers an unknown name with the list of those there are
    keywords: dict[str, Any] = {}
    for option in options.split(","):
        key, equals, value = option.partition("=")
        if not equals:
            raise Usage(f"--engine {text}: write the options as {name}:key=value,key=value")
        keywords[key.strip().replace("-", "_")] = _option(value.strip())
    known = list(inspect.signature(found).parameters)
    for key in keywords:
        if key not in known:
            options_of = f"its options are {', '.join(known)}" if known else "it has none"
            raise Usage(f"--engine {text}: engine {name} has no option {key}; {options_of}")
    for key, hint in typing.get_type_hints(found).items():
        wanted = _wanted(hint, keywords[key]) if key in keywords else None
        if wanted is not None:
            raise Usage(f"--engine {text}: {key} is {wanted}, not {keywords[key]}")
    try:
        return found(**keywords)
    except (TypeError, ValueError) as error:
        raise Usage(f"--engine {text}: {error}") from None


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"), int: ((int,), "a whole number"), float: ((int, float), "a number"),
}  # fmt: skip


def _wanted(hint: Any, value: Any) -> str | None:
    """What an option takes, in words, where a value is none of that."""
    if typing.get_origin(hint) is Literal:
        known = typing.get_args(hint)
        return None if value in known else f"one of {', '.join(map(str, known))}"
    parts = [k for k in typing.get_args(hint) or (hint,) if k in _KINDS]
    if not parts:
        return "set from Python alone"
    fits = any(isinstance(value, _KINDS[k][0]) and isinstance(value, bool) == (k is bool) for k in parts)
    return None if fits else _KINDS[parts[0]][1]


def _option(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return number(text)
    except ValueError:
        return text


_ACRONYMS = {"ekf": "EKF", "iekf": "IEKF", "ukf": "UKF", "imm": "IMM", "ipls": "IPLS", "dual_ekf": "DualEKF"}


def _class_name(name: str) -> str:
    return _ACRONYMS.get(name, "".join(part.capitalize() for part in name.split("_")))


def is_fit(name: str) -> bool:
    """Whether a file given where a model or a fit may stand is a fit."""
    return Path(name).suffix == ".nc"
