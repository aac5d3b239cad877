"""`ssmlang diagnose`: what a model leaves unexplained, as a table of verdicts, a picture or a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ssmlang.cli import tables
from ssmlang.cli.files import write_text, writing
from ssmlang.cli.pictures import check_picture, save_figure
from ssmlang.cli.running import fit_of, overridden, ready, run_options, time_option
from ssmlang.cli.sources import prepare
from ssmlang.cli.values import is_fit
from ssmlang.typed import Usage

TABLES = (".html", ".csv")


def diagnose(args: argparse.Namespace) -> int:
    """Print the verdicts; write the picture, the page or the table."""
    picture = args.out is not None and Path(args.out).suffix not in TABLES
    if picture:
        check_picture(args.out, "--out", TABLES)
    if args.of is not None and not picture:
        raise Usage("--of: it says whose picture is drawn; name a file for it with --out")
    prepare()
    if is_fit(args.file) and not overridden(args):
        found: Any = fit_of(args.file).diagnose(lags=args.lags)
    else:
        model, data, given = ready(args)
        found = model.diagnose(data, given, lags=args.lags, **run_options(args), **time_option(args))
    many = found if isinstance(found, list) else [found]
    for notes in dict.fromkeys(d.residuals.attrs.get("notes") for d in many):
        tables.say_notes({} if notes is None else {"notes": notes})
    if args.json:
        print(json.dumps([d.to_dict() for d in many] if len(many) > 1 else many[0].to_dict(), indent=2))
    else:
        print("\n\n".join(str(d) for d in many))
    if args.out is not None:
        for number, diagnosis in enumerate(many):
            _write(diagnosis, _numbered(args.out, number, len(many)), args.of, quiet=args.json)
    return 0


def _write(diagnosis: Any, path: str, of: str | None, quiet: bool) -> None:
    suffix = Path(path).suffix
    if suffix == ".html":
        write_text(path, diagnosis.page())
    elif suffix == ".csv":
        with writing(path):
            diagnosis.to_frame().to_csv(path, index=False)
    else:
        save_figure(diagnosis.plot(of), path)
    if not quiet:
        print(f"\n{path}: {'the residuals' if suffix not in TABLES else 'the tests'}")


def _numbered(path: str, number: int, count: int) -> str:
    """The file of one of several series: NAME_0.png, NAME_1.png, ..."""
    whole = Path(path)
    return path if count == 1 else str(whole.with_name(f"{whole.stem}_{number}{whole.suffix}"))
