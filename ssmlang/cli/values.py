"""Values given on the command line: `--const p=3`, `--param phi=0.5,-0.3`, `--engine particle:particles=4096`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssmlang.language.diagnostics import Diagnostic, SsmError

Value = Any  # a number, or lists of numbers


def constants(args: argparse.Namespace) -> dict[str, Value]:
    """The `--const` options as a dict."""
    return _pairs(args.const, "--const")


def parameters(args: argparse.Namespace) -> dict[str, Value]:
    """What `--params FILE.json` and `--param` give; the latter win. Raises E701, E405."""
    given: dict[str, Value] = {}
    if args.params is not None:
        given.update(_from_json(args.params))
    given.update(_pairs(args.param, "--param"))
    return given


def _pairs(texts: Sequence[str], option: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Usage(f"{option} {text}: write NAME=VALUE, such as {option} phi=0.5,-0.3")
        if name.strip() in found:
            raise Usage(f"{option} {text}: {name.strip()} is given twice")
        try:
            found[name.strip()] = value_of(value)
        except ValueError:
            raise Usage(f"{option} {text}: {value.strip() or 'nothing'} is not a number or a list of numbers") from None
    return found


def value_of(text: str) -> Value:
    """`3` is an int, `0.5` a float, `1,2` a list, `1,0;0,1` rows of a matrix, `1,` a list of one."""
    if ";" in text:
        return [_row(row) for row in text.split(";")]
    if "," in text:
        return _row(text)
    return _number(text)


def _row(text: str) -> list[int | float]:
    parts = text.split(",")
    return [_number(part) for part in (parts[:-1] if not parts[-1].strip() else parts)]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _from_json(path: str) -> dict[str, Value]:
    from ssmlang.cli.files import read_text

    try:
        found = json.loads(read_text(path))
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
    try:
        return found(**keywords)
    except (TypeError, ValueError) as error:
        raise Usage(f"--engine {text}: {error}") from None


def _option(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return _number(text)
    except ValueError:
        return text


_ACRONYMS = {"ekf": "EKF", "iekf": "IEKF", "ukf": "UKF", "imm": "IMM", "ipls": "IPLS", "dual_ekf": "DualEKF"}


def _class_name(name: str) -> str:
    return _ACRONYMS.get(name, "".join(part.capitalize() for part in name.split("_")))


class Usage(Exception):
    """The command line itself is wrong: exit code 2."""


def is_fit(name: str) -> bool:
    """Whether a file given where a model or a fit may stand is a fit."""
    return Path(name).suffix == ".nc"
