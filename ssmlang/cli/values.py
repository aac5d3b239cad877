"""Values given on the command line: `--const p=3`, `--param phi=0.5,-0.3`, `--engine particle:particles=4096`."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

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
    try:
        return found(**keywords)
    except (TypeError, ValueError) as error:
        raise Usage(f"--engine {text}: {error}") from None


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
