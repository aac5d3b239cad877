"""`ssmlang simulate`, `filter`, `smooth` and `forecast`: a model, or a fit, with data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssmlang.cli import tables
from ssmlang.cli.pictures import check_picture, draw_forecast, observed
from ssmlang.cli.sources import data_of, model_of, prepare
from ssmlang.cli.values import constants, engine, is_fit, parameters
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.typed import Usage


def simulate(args: argparse.Namespace) -> int:
    """Draw states and observations."""
    tables.check_ending(args.out)
    prepare()
    given = params_of(args)
    model = model_of(args.file, constants(args))
    future = None if args.future is None else data_of(args.future)
    result = model.simulate(
        steps=args.steps, params=given or None, draws=args.draws, future=future, **run_options(args),
        **time_option(args),
    )  # fmt: skip
    tables.deliver(_with_integers(result, model.spec), args.out)
    return 0


def _with_integers(drawn: Any, spec: Any) -> Any:
    """Counts as integers, where a row has one: a table shows 3, and not 3.0000."""
    import numpy as np

    from ssmlang.model.supports import whole_numbers

    counted = whole_numbers(spec) | {n for n, v in spec.states.items() if v.values is not None}
    whole = [n for n in counted if drawn[n].dtype.kind == "f" and bool(np.isfinite(drawn[n].values).all())]
    return drawn.assign({n: drawn[n].astype(np.int64) for n in whole})


def filter(args: argparse.Namespace) -> int:
    """Moments of the states given the data up to each row."""
    return _moments(args, "filter")


def smooth(args: argparse.Namespace) -> int:
    """Moments of the states given all data."""
    return _moments(args, "smooth")


def _moments(args: argparse.Namespace, verb: str) -> int:
    tables.check_ending(args.out)
    paths = {} if getattr(args, "paths", None) is None else {"paths": args.paths}
    if paths and args.out is None:
        raise Usage("--paths: paths are many numbers; name a file for them with --out")
    prepare()
    if is_fit(args.file) and verb == "smooth" and not overridden(args):
        # Over the posterior's draws: the parameters' own uncertainty is in the moments.
        tables.deliver(fit_of(args.file).smooth(**paths), args.out)
        return 0
    model, data, given = ready(args)
    tables.deliver(getattr(model, verb)(data, given, **paths, **run_options(args), **time_option(args)), args.out)
    return 0


def forecast(args: argparse.Namespace) -> int:
    """Moments of the coming rows; of a fit, with the parameters' own uncertainty."""
    tables.check_ending(args.out)
    check_picture(args.plot)
    prepare()
    future = {} if args.future is None else {"future": data_of(args.future)}
    if is_fit(args.file) and not overridden(args):
        fit = fit_of(args.file)
        result, model, data = fit.forecast(args.steps, **future), fit.model, fit.data
    else:
        model, data, given = ready(args)
        result = model.forecast(data, given, args.steps, **future, **run_options(args), **time_option(args))
    tables.deliver(result, args.out)
    if args.plot is not None:
        draw_forecast(result, observed(model, data, args.time), args.plot)
        print(f"{args.plot}: data and forecast")
    return 0


def overridden(args: argparse.Namespace) -> bool:
    return bool(args.data or args.params or args.param)


def ready(args: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """The model, the data and the parameters of a command that is given a model file, or a fit with other data."""
    if is_fit(args.file):
        fit = fit_of(args.file)
        if args.const:
            raise Usage("--const: a fit has its constants already")
        data = fit.data if args.data is None else data_of(args.data)
        return fit.model, data, fit.params | params_of(args)
    if args.data is None:
        raise Usage(f"--data is needed: the rows that {args.file} is to be run on")
    return model_of(args.file, constants(args)), data_of(args.data), params_of(args)


def params_of(args: argparse.Namespace) -> dict[str, Any]:
    if args.params is not None and is_fit(args.params):
        return dict(fit_of(args.params).params) | parameters(argparse.Namespace(params=None, param=args.param))
    return parameters(args)


def fit_of(name: str) -> Any:
    """The fit of a file. Raises E701 for a file of something else."""
    import ssmlang

    found = ssmlang.load(Path(name))
    if not isinstance(found, ssmlang.Fit):
        raise SsmError(Diagnostic("E701", f"`{name}` holds a stream and no fit",
                                  help=("`ssmlang.load` reads it, and `model.step` goes on with it",)))  # fmt: skip
    return found


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    return {"engine": engine(args.engine), "seed": args.seed, "dtype": args.dtype, "device": args.device}


def time_option(args: argparse.Namespace) -> dict[str, Any]:
    return {} if args.time is None else {"time": args.time}
