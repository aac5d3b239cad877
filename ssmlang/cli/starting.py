"""`ssmlang new`: a model file to start from."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from ssmlang.cli.files import write_text
from ssmlang.language.resources import list_resources, read_resource

# The commented starters come first; every other ready model can be started from too.
FOLDERS = ("stdlib/starters", "stdlib/models")
SHOWN = 6
"""Columns that are named."""


def new(args: argparse.Namespace) -> int:
    """Write NAME.ssm, the model `--like` under a new name."""
    path = Path(args.name if args.name.endswith(".ssm") else f"{args.name}.ssm")
    if trouble := _trouble(path, args):
        print(f"ssmlang new: {trouble}", file=sys.stderr)
        return 2
    text = starter(args.like, path.stem)
    write_text(path, text)
    print(f"{path} is the model {args.like!r} under your name. Next:")
    print(f"  ssmlang check {path}\n  ssmlang fit {path} --data {path.with_suffix('.csv')}")
    if names := _columns(text):
        has = f"{path.with_suffix('.csv').name} has the column{'s' if len(names) > 1 else ''}"
        print(f"{has} {', '.join(names)}; times, if any, as time or date")
    return 0


def _columns(text: str) -> list[str]:
    """The columns that a model reads, the first few."""
    from ssmlang.frontend import check_text

    model = check_text(text).model
    variables = () if model is None else (*model.observations.values(), *model.inputs.values())
    names = [n for v in variables for n in v.entry_names()]
    return names[:SHOWN] + (["..."] if len(names) > SHOWN else [])


def starter(like: str, name: str) -> str:
    """The text of the ready model `like` with the header `model name`."""
    text = next(t for folder in FOLDERS if (t := read_resource(f"{folder}/{like}.ssm")) is not None)
    return re.sub(r"(?m)^model +\w+", f"model {name}", text, count=1)


def models() -> tuple[str, ...]:
    """Names that `--like` takes."""
    return tuple(sorted({name for folder in FOLDERS for name in list_resources(folder)}))


def list_models() -> str:
    """One line for each ready model: its name and what its file says of itself."""
    rows = []
    for name in models():
        first = starter(name, name).splitlines()[0]
        rows.append(f"{name:<24}{first.lstrip('# ') if first.startswith('##') else ''}".rstrip())
    return "\n".join(rows)


def _trouble(path: Path, args: argparse.Namespace) -> str | None:
    from ssmlang.language.diagnostics import Findings
    from ssmlang.language.parser import parse
    from ssmlang.language.source import Source
    from ssmlang.language.suggest import did_you_mean
    from ssmlang.language.words import RESERVED

    if args.like not in models():
        return f"there is no ready model {args.like!r}. {did_you_mean(args.like, models())}".rstrip()
    findings = Findings()
    parse(Source(path.name, f"model {path.stem}\n"), findings)
    if findings.has_errors or path.stem in RESERVED:
        return f"{path.stem!r} cannot name a model: use letters, digits and underscores, and no word of the language"
    if path.exists() and not args.force:
        return f"{path} is there already (--force writes over it)"
    return None
