"""`ssmlang simulate`, `filter`, `smooth` and `forecast`: a model, or a fit, with data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssmlang.cli import tables
from ssmlang.cli.pictures import check_picture, draw_forecast, observed
from ssmlang.cli.sources import data_of, model_of, prepare
from ssmlang.cli.values import constants, engine, is_fit, parameters
from ssmlang.typed import Usage


def simulate(args: argparse.Namespace) -> int:
    """Draw states and observations."""
    tables.check_ending(args.out)
    prepare()
    given = _params(args)
    model = model_of(args.file, constants(args))
    future = None if args.future is None else data_of(args.future)
    result = model.simulate(
        steps=args.steps, params=given or None, draws=args.draws, future=future, **_run(args), **_time(args)
    )
    tables.deliver(result, args.out)
    return 0


def filter(args: argparse.Namespace) -> int:
    """Moments of the states given the data up to each row."""
    return _moments(args, "filter")


def smooth(args: argparse.Namespace) -> int:
    """Moments of the states given all data."""
    return _moments(args, "smooth")


def _moments(args: argparse.Namespace, verb: str) -> int:
    tables.check_ending(args.out)
    prepare()
    if is_fit(args.file) and verb == "smooth" and not _overridden(args):
        # Over the posterior's draws: the parameters' own uncertainty is in the moments.
        tables.deliver(_fit(args.file).smooth(), args.out)
        return 0
    model, data, given = _ready(args)
    tables.deliver(getattr(model, verb)(data, given, **_run(args), **_time(args)), args.out)
    return 0


def forecast(args: argparse.Namespace) -> int:
    """Moments of the coming rows; of a fit, with the parameters' own uncertainty."""
    tables.check_ending(args.out)
    check_picture(args.plot)
    prepare()
    future = {} if args.future is None else {"future": data_of(args.future)}
    if is_fit(args.file) and not _overridden(args):
        fit = _fit(args.file)
        result, model, data = fit.forecast(args.steps, **future), fit.model, fit.data
    else:
        model, data, given = _ready(args)
        result = model.forecast(data, given, args.steps, **future, **_run(args), **_time(args))
    tables.deliver(result, args.out)
    if args.plot is not None:
        draw_forecast(result, observed(model, data, args.time), args.plot)
        print(f"{args.plot}: data and forecast")
    return 0


def _overridden(args: argparse.Namespace) -> bool:
    return bool(args.data or args.params or args.param)


def _ready(args: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """The model, the data and the parameters of a command that is given a model file, or a fit with other data."""
    if is_fit(args.file):
        fit = _fit(args.file)
        if args.const:
            raise Usage("--const: a fit has its constants already")
        data = fit.data if args.data is None else data_of(args.data)
        return fit.model, data, fit.params | _params(args)
    if args.data is None:
        raise Usage(f"--data is needed: the rows that {args.file} is to be run on")
    return model_of(args.file, constants(args)), data_of(args.data), _params(args)


def _params(args: argparse.Namespace) -> dict[str, Any]:
    if args.params is not None and is_fit(args.params):
        return dict(_fit(args.params).params) | parameters(argparse.Namespace(params=None, param=args.param))
    return parameters(args)


def _fit(name: str) -> Any:
    import ssmlang

    return ssmlang.load(Path(name))


def _run(args: argparse.Namespace) -> dict[str, Any]:
    return {"engine": engine(args.engine), "seed": args.seed, "dtype": args.dtype, "device": args.device}


def _time(args: argparse.Namespace) -> dict[str, Any]:
    return {} if args.time is None else {"time": args.time}
