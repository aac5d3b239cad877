"""`ssmlang fit`: from a model file and a data set to estimates, a stored fit and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssmlang.cli import tables
from ssmlang.cli.files import STDIN
from ssmlang.cli.pictures import check_picture, save_figure
from ssmlang.cli.sources import data_of, model_of, prepare
from ssmlang.cli.values import constants, engine
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.typed import Usage


def fit(args: argparse.Namespace) -> int:
    """Print the checks, the engine and why, and the estimates; write the fit and the picture."""
    out, picture = _places(args)
    check_picture(picture)
    prepare()
    from ssmlang.running.calls import method_of

    # What is wrong is said before anything takes time.
    method = method_of(args.method)
    model = model_of(args.file, constants(args))
    time = {} if args.time is None else {"time": args.time}
    data, future = data_of(args.data), _future(args, model)
    bounds = model.bind(data, **time)
    if args.steps is not None and future is None:
        bounds[0].time.future(args.steps)  # E409 where the data do not say which times are to come
    if not args.json:
        print(model.check(), end="\n\n", flush=True)
    found = model.fit(
        data,
        method=method,
        engine=engine(args.engine),
        draws=args.draws,
        warmup=args.warmup,
        chains=args.chains,
        seed=args.seed,
        dtype=args.dtype,
        device=args.device,
        progress="off" if args.json else None,
        **time,
    )
    summary = found.summary()
    tables.say_notes(summary.attrs)
    if args.json:
        print(_as_json(found, summary))
    else:
        tables.show(summary)
    if args.posterior_predictive is not None:
        found.posterior_predictive(draws=args.posterior_predictive)
    found.save(out)
    if picture is not None:
        save_figure(found.plot(steps=args.steps, future=future), picture)
    if not args.json:
        ahead = "" if args.steps is None else ", forecast"
        drawn = "" if args.posterior_predictive is None else f" and {args.posterior_predictive} series like the data"
        seen = "" if picture is None else f"\n{picture}: data, fitted signal{ahead} and components"
        by = "" if found.engine == model.why().chosen else f" by engine {found.engine}"
        print(f"\n{out}: the fit{by}{drawn}{seen}")
    return 0


def _places(args: argparse.Namespace) -> tuple[Path, Path | None]:
    """Where the fit and the picture go."""
    stem = "model" if args.file == STDIN else Path(args.file).stem
    out = Path(args.out or f"{stem}.nc")
    if out.suffix != ".nc":
        raise Usage(f"--out {out}: a fit is written to a file that ends in .nc")
    if args.no_plot and (args.plot is not None or args.steps is not None or args.future is not None):
        raise Usage("--no-plot contradicts --plot, --steps and --future")
    picture = None if args.no_plot else Path(args.plot) if args.plot is not None else out.with_suffix(".png")
    for place in (out, picture):
        if place is not None and not place.parent.is_dir():
            raise SsmError(Diagnostic("E705", f"{place} cannot be written: there is no folder {place.parent}"))
    return out, picture


def _future(args: argparse.Namespace, model: Any) -> Any:
    """The inputs of the rows that the picture forecasts. Raises E412 where they are needed and not given."""
    if args.future is not None:
        return data_of(args.future)
    names = [f"`{n}`" for n in model.spec.inputs if n != "dt"]
    if args.steps is not None and names:
        raise SsmError(Diagnostic("E412", f"--steps {args.steps}: the coming rows need the model's inputs",
                                  why=("they are " + ", ".join(names),),
                                  help=("give a table of them: --future FILE",)))  # fmt: skip
    return None


def _as_json(found: Any, summary: Any) -> str:
    import json

    rows = json.loads(summary.to_json(orient="index", double_precision=15))
    return json.dumps({"method": found.method, "engine": found.engine, "estimates": rows}, indent=2)
