"""The commands, their arguments and their help; nothing is run from here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ssmlang.cli.usage import Parser

HOMES = {
    "check": "checking",
    "info": "checking",
    "report": "checking",
    "expand": "checking",
    "lift": "lifting",
    "fmt": "formatting",
    "explain": "explaining",
    "witness": "witnessing",
    "simulate": "running",
    "filter": "running",
    "smooth": "running",
    "forecast": "running",
    "diagnose": "diagnosing",
    "fit": "fitting",
    "new": "starting",
    "doctor": "doctoring",
}
"""Command -> the module of this package that holds it."""

if TYPE_CHECKING:
    Parsers = argparse._SubParsersAction[Parser]


def build(only: str | None = None) -> Parser:
    """The parser of the whole command line, or that of one command alone: making all takes a moment."""
    parser = Parser(
        prog="ssmlang",
        description="A language for state-space models: check a model, fit it, filter, smooth and forecast.",
        epilog="Each command has its own help with an example: ssmlang fit --help",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, describe in _COMMANDS.items():
        if only in (None, name):
            describe(commands)
    return parser


class _Version(argparse.Action):
    # The version is read from the installed package's metadata, which costs a moment that `fmt` need not spend.
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import ssmlang

        print(f"ssmlang {ssmlang.__version__}")
        parser.exit(0)


def _add(commands: Parsers, name: str, help: str, example: str, description: str = "") -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


# ------------------------------------------------------------------------------------------------- shared options


def _format(p: argparse.ArgumentParser) -> None:
    p.add_argument("--format", choices=("text", "json", "github"), default="text", help="how findings are printed")
    p.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")


def _const(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--const", action="append", default=[], metavar="NAME=VALUE", help="value of a const (repeatable): p=3, w=1,2,1"
    )


def _params(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a parameter (repeatable): sd=2, phi=0.5,-0.3; rows of a matrix are parted by ;",
    )
    p.add_argument("--params", metavar="FILE", help="parameters from a JSON file or from a fit (.nc)")


def _data(p: argparse.ArgumentParser, required: bool) -> None:
    p.add_argument(
        "--data",
        required=required,
        metavar="DATA",
        help="a CSV, Parquet or NetCDF file, or the name of a data set that ships with ssmlang",
    )
    p.add_argument("--time", metavar="COL", help="the column that holds the time (else the column time or date)")


def _run(p: argparse.ArgumentParser) -> None:
    p.add_argument("--engine", default="auto", metavar="NAME", help="engine, with options: particle:particles=4096")
    p.add_argument("--seed", type=int, default=0, help="seed of what is random (default 0)")
    p.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="precision (default float64)")
    p.add_argument("--device", choices=("cpu", "gpu"), default=None,
                   help="where to compute (default: on a GPU if JAX uses one and it is expected to be quicker)")


def _out(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", metavar="FILE", help="write .nc, .csv, .parquet or .json instead of printing a table")


# ------------------------------------------------------------------------------------------------------- commands


def _check(commands: Parsers) -> None:
    p = _add(
        commands,
        "check",
        "check model files: what is wrong, what is proved of them, which engines can run them",
        "  ssmlang check nile.ssm\n  ssmlang check nile.ssm --data nile\n"
        "  ssmlang check *.ssm --format github --strict\n"
        "  ssmlang check nile.ssm --fix",
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="model files, or - for standard input")
    p.add_argument("--rows", type=_positive, metavar="N", help="how many rows of data there will be")
    _data(p, required=False)
    p.add_argument("--strict", action="store_true", help="exit 1 on warnings too")
    p.add_argument("--fix", action="store_true", help="mend what has one certain mend, in the files themselves")
    p.add_argument("--diff", action="store_true", help="with --fix: change nothing; show what would change")
    _const(p)
    _format(p)


def _info(commands: Parsers) -> None:
    p = _add(
        commands,
        "info",
        "print what a model is made of: parameters, states, data columns, matrices",
        "  ssmlang info nile.ssm --json",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    _const(p)
    p.add_argument("--json", action="store_true", help="as JSON")


def _report(commands: Parsers) -> None:
    p = _add(
        commands,
        "report",
        "write what check says as one page of HTML, with the model's text and matrices",
        "  ssmlang report nile.ssm --out nile.html\n  ssmlang report nile.ssm --data nile --out nile.html",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    p.add_argument("--out", required=True, metavar="PAGE", help="the file to write")
    p.add_argument("--rows", type=_positive, metavar="N", help="how many rows of data there will be")
    _data(p, required=False)
    _const(p)


def _expand(commands: Parsers) -> None:
    p = _add(
        commands,
        "expand",
        "print the flat program: imports and components written out",
        "  ssmlang expand airline.ssm",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    p.add_argument("--out", metavar="FILE", help="write there instead of printing")


def _lift(commands: Parsers) -> None:
    p = _add(
        commands,
        "lift",
        "look for functions of the states in which a model is linear, and print the lift statement",
        "  ssmlang lift koopman.ssm --degree 4",
        "Look for Koopman coordinates: the fewest functions, up to a degree, that hold the states (or the functions of "
        "the model's lift) and become combinations of themselves from row to row. Prints a statement to paste into the "
        "file, with its matrix as comments; exit code 1 where there is none.",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    p.add_argument("--degree", type=_positive, default=4, help="the highest degree of a function (default 4)")
    p.add_argument("--seconds", type=float, default=20.0, help="processor time that it may take (default 20)")
    _const(p)
    p.add_argument("--json", action="store_true", help="as JSON")


def _fmt(commands: Parsers) -> None:
    p = _add(
        commands,
        "fmt",
        "format model files in place",
        "  ssmlang fmt *.ssm\n  ssmlang fmt --check nile.ssm\n  ssmlang fmt - < nile.ssm",
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="model files; - filters standard input")
    p.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file would change")
    p.add_argument("--diff", action="store_true", help="change nothing; print what would change")


def _simulate(commands: Parsers) -> None:
    p = _add(
        commands,
        "simulate",
        "draw states and observations from a model",
        "  ssmlang simulate nile.ssm --steps 100 --param sd_level=40 --param sd_flow=120 --out sim.csv",
        "Draw states and observations from a model; without parameters they are drawn from the prior.",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    p.add_argument("--steps", type=_positive, help="number of rows (default: those of --future)")
    p.add_argument("--draws", type=_positive, default=1, help="number of independent draws (default 1)")
    p.add_argument("--future", metavar="DATA", help="the model's inputs, for these rows")
    p.add_argument("--time", metavar="COL", help="the column of --future that holds the time")
    for option in (_params, _const, _run, _out):
        option(p)


def _filter(commands: Parsers) -> None:
    _moments(commands, "filter", "given the data up to each row")


def _smooth(commands: Parsers) -> None:
    p = _moments(commands, "smooth", "given all data")
    p.add_argument("--paths", type=_positive, metavar="N", help="draw N paths of the states too (goes with --out)")


def _moments(commands: Parsers, name: str, what: str) -> argparse.ArgumentParser:
    p = _add(
        commands,
        name,
        f"moments of the states {what}",
        f"  ssmlang {name} nile.ssm --data nile.csv --param sd_level=38 --param sd_flow=122\n"
        f"  ssmlang {name} nile.nc --out moments.csv",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or a fit (.nc)")
    _data(p, required=False)
    for option in (_params, _const, _run, _out):
        option(p)
    return p


def _diagnose(commands: Parsers) -> None:
    p = _add(
        commands,
        "diagnose",
        "test what a model leaves unexplained: autocorrelation, normality, changing mean and variance",
        "  ssmlang diagnose nile.ssm --data nile.csv --param sd_level=38 --param sd_flow=122\n"
        "  ssmlang diagnose nile.nc --out residuals.png",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or a fit (.nc)")
    p.add_argument("--lags", type=_positive, metavar="N", help="lags of the test for autocorrelation (default 10)")
    p.add_argument("--of", metavar="NAME", help="the observation that a picture shows (default: the first)")
    p.add_argument("--out", metavar="FILE", help="write a picture (.png, .svg, .pdf), a page (.html) or a table (.csv)")
    p.add_argument("--json", action="store_true", help="print the tests as JSON")
    _data(p, required=False)
    for option in (_params, _const, _run):
        option(p)


def _forecast(commands: Parsers) -> None:
    p = _add(
        commands,
        "forecast",
        "moments of the rows to come",
        "  ssmlang forecast nile.nc --steps 12 --plot forecast.png\n"
        "  ssmlang forecast nile.ssm --data nile.csv --param sd_level=38 --param sd_flow=122 --steps 12",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or a fit (.nc)")
    p.add_argument("--steps", type=_positive, required=True, help="number of rows ahead")
    p.add_argument("--future", metavar="DATA", help="the model's inputs, for the coming rows")
    p.add_argument("--plot", metavar="FILE", help="draw data and forecast (.png, .svg, .pdf)")
    _data(p, required=False)
    for option in (_params, _const, _run, _out):
        option(p)


def _fit(commands: Parsers) -> None:
    p = _add(
        commands,
        "fit",
        "estimate the parameters of a model from data",
        "  ssmlang fit nile.ssm --data nile.csv\n  ssmlang fit nile.ssm --data nile --method mle --json",
        "Estimate the parameters of a model from data: prints the checks, the engine and why, and the estimates; "
        "writes the fit (FILE.nc) and a plot (FILE.png).",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    _data(p, required=True)
    p.add_argument("--method", default="nuts", help="nuts (default), map, mle, laplace, svi, pmmh, pgibbs or smc2")
    p.add_argument("--draws", type=_positive, default=1000, help="draws of each chain (default 1000)")
    p.add_argument("--warmup", type=_positive, default=1000, help="warm-up of each chain (default 1000)")
    p.add_argument("--chains", type=_positive, default=4, help="number of chains (default 4)")
    p.add_argument("--posterior-predictive", type=_positive, metavar="N",
                   help="series like the data to draw and store with the fit (default: none)")  # fmt: skip
    p.add_argument("--out", metavar="FILE", help="where the fit goes (default: the model's name with .nc)")
    p.add_argument("--plot", metavar="FILE", help="where the plot goes (default: beside the fit, with .png)")
    p.add_argument("--steps", type=_positive, help="rows ahead that the plot forecasts (default: none)")
    p.add_argument("--future", metavar="DATA", help="the model's inputs, for these rows")
    p.add_argument("--no-plot", action="store_true", help="draw nothing")
    p.add_argument("--json", action="store_true", help="print the estimates as JSON, and nothing else")
    for option in (_const, _run):
        option(p)


def _explain(commands: Parsers) -> None:
    p = _add(commands, "explain", "say what a code means, with a wrong and a mended example", "  ssmlang explain E205")
    p.add_argument("code", nargs="?", metavar="CODE", help="a code such as E205; without one, all codes are listed")


def _witness(commands: Parsers) -> None:
    p = _add(
        commands,
        "witness",
        "show two settings that the observations cannot tell apart",
        "  ssmlang witness sales.ssm --code E602",
        "Show, for what a check refutes, two states or two settings of the parameters and the observations that they "
        "give: the same ones. Exit code 1 where there is no witness.",
    )
    p.add_argument("file", metavar="FILE", help="a model file, or - for standard input")
    p.add_argument("--code", metavar="CODE", help="the code of the finding, such as E602 (default: every one)")
    p.add_argument("--steps", type=_positive, default=12, help="rows that are compared (default 12)")
    _const(p)
    p.add_argument("--json", action="store_true", help="as JSON")


def _new(commands: Parsers) -> None:
    p = _add(
        commands, "new", "write a model file to start from", "  ssmlang new sales\n  ssmlang new sales --like airline"
    )
    p.add_argument("name", metavar="NAME", help="name of the model; the file is NAME.ssm")
    p.add_argument("--like", metavar="MODEL", default="nile", help="the ready model to start from (default nile)")
    p.add_argument("--force", action="store_true", help="write over an existing file")
    p.add_argument("--list", action=_Models, nargs=0, help="list the ready models and stop")


def _doctor(commands: Parsers) -> None:
    p = _add(commands, "doctor", "print versions, devices and optional parts", "  ssmlang doctor --json")
    p.add_argument("--json", action="store_true", help="as JSON")


class _Models(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ssmlang.cli.starting import list_models

        print(list_models())
        parser.exit(0)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 1")
    return int(text)


_COMMANDS: dict[str, Callable[[Parsers], None]] = {
    "check": _check,
    "info": _info,
    "report": _report,
    "expand": _expand,
    "lift": _lift,
    "fmt": _fmt,
    "explain": _explain,
    "witness": _witness,
    "simulate": _simulate,
    "filter": _filter,
    "smooth": _smooth,
    "forecast": _forecast,
    "diagnose": _diagnose,
    "fit": _fit,
    "new": _new,
    "doctor": _doctor,
}
