"""Data sets bound to a model: every observation and input as an array in the model's own order, on one time base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ssmlang.data.columns import Columns
from ssmlang.data.sources import Source, open_source
from ssmlang.data.steps import check_steps
from ssmlang.data.support import check_support
from ssmlang.data.time import Placement, TimeBase, place
from ssmlang.data.values import to_codes, to_numbers
from ssmlang.language.diagnostics import Diagnostic, Findings, SsmError
from ssmlang.model.model import Model, Observation, Variable


@dataclass(frozen=True, eq=False)
class Bound:
    """One data set in the model's terms.

    `observations`, `inputs`: by name, float64 of shape (steps, *shape); NaN is a missing value. An observation with
    labels or a range holds positions on its axis, or the integers. `notes`: what was done on the way (rows inserted
    for gaps). `derived_dt`: the input `dt` was not in the data, and is the difference of the times. All arrays are
    copies; those of `Model.bind` may be read-only.
    """

    steps: int
    observations: Mapping[str, np.ndarray]
    inputs: Mapping[str, np.ndarray]
    time: TimeBase
    notes: tuple[Diagnostic, ...] = ()
    derived_dt: bool = False


def bind(
    model: Model, data: Any, *, time: Any = None, observations: bool = True, future: bool = False
) -> tuple[Bound, ...]:
    """Bind one data set, or a list or tuple of independent ones, to a model: always a tuple.

    `time`: the name of the column that holds the times, or the times. `observations`: whether the model's observations
    must be there (inputs always must); an observation that is not there is all NaN. `future`: rows that follow other
    data, so that gaps and irregular times are left as they are. Raises E401 to E411.
    """
    if isinstance(data, list | tuple):
        return _bind_all(model, data, time=time, observations=observations, future=future)
    return (_bind_one(model, data, time, observations, future),)


def _bind_all(model: Model, data: list[Any] | tuple[Any, ...], **how: Any) -> tuple[Bound, ...]:
    if not data:
        raise SsmError(Diagnostic("E402", "the list of data sets is empty"))
    if all(isinstance(v, int | float) or v is None for v in data):
        raise SsmError(
            Diagnostic(
                "E402",
                "a list of numbers has no names, and data are matched to the model by name",
                help=('give the name: `{"y": [...]}`',),
            )
        )
    bound: list[Bound] = []
    problems: list[Diagnostic] = []
    for number, one in enumerate(data):
        try:
            bound.append(_bind_one(model, one, how["time"], how["observations"], how["future"]))
        except SsmError as error:
            place_ = f"this is data set {number} of the list, counted from 0"
            problems += [replace(d, why=(*d.why, place_)) for d in error.diagnostics]
    if problems:
        raise SsmError(problems)
    return tuple(bound)


def _bind_one(model: Model, data: Any, time: Any, observations: bool, future: bool) -> Bound:
    declared = {**model.observations, **model.inputs}
    source = open_source(data, declared, time)
    findings = Findings()
    raw = _gather(model, source, observations, future, findings)
    findings.raise_errors()
    count = _count(raw, source)
    label = (lambda r: f"row {r}") if source.index is None else TimeBase(source.index, None).label
    values: dict[str, np.ndarray] = {}
    for name, pieces in raw.items():
        try:
            values[name] = _assemble(declared[name], pieces, count, label)
        except SsmError as error:
            findings.items += error.diagnostics
    findings.raise_errors()
    if count == 0:
        raise SsmError(Diagnostic("E403", "the data have no rows"))
    continuous = "dt" in model.inputs
    placed = (
        place(source.index, irregular=continuous or future)
        if source.index is not None
        else Placement(TimeBase.rows(count), np.arange(count), ())
    )
    steps = len(placed.time)
    spread = {n: _spread(v, placed.rows, steps) for n, v in values.items()}
    derived_dt = continuous and "dt" not in spread and not model.inputs["dt"].shape
    if derived_dt:
        spread["dt"] = placed.time.differences()
    if not future:
        check_steps(model, spread.get("dt"), placed.time)
    seen = {n: spread[n] if n in spread else np.full((steps, *v.shape), np.nan) for n, v in model.observations.items()}
    check_support(model, seen, placed.time.label)
    notes = (*source.notes, *placed.notes)
    return Bound(steps, seen, {n: spread[n] for n in model.inputs}, placed.time, notes, derived_dt)


class _Entries(dict[int, tuple[str, Any]]):
    """By position of an entry: the name of its column, and the column."""


def _gather(model: Model, source: Source, observations: bool, future: bool, findings: Findings) -> dict[str, Any]:
    """What the source holds of each variable: a whole array, or the columns of its entries."""
    names = Columns(model, source.arrays)
    columns = list(source.columns)
    found = names.match(columns, findings)
    raw: dict[str, Any] = {}
    absent: list[str] = []
    for name, variable in names.variables.items():
        if name in source.arrays:
            try:
                raw[name] = source.arrays[name](variable)
            except SsmError as error:
                findings.items += error.diagnostics
            continue
        entries = {e: found[name, e] for e in range(variable.size) if (name, e) in found}
        for column in entries.values():
            if column in source.repeated:
                findings.add(
                    "E410", f"the table has more than one column `{column}`", help="rename or drop one of them"
                )
        if entries:
            raw[name] = _Entries({e: (column, source.columns[column]()) for e, column in entries.items()})
        if len(entries) < variable.size and (name in model.inputs or observations):
            absent.append(name)
    if "dt" in absent and "dt" not in raw and (source.index is not None or future):
        absent.remove("dt")  # the difference of the time index
    given = columns + [n for n in source.arrays if n not in columns]
    complaint = names.missing(absent, found, given, arrays=source.kind != "table")
    if complaint is not None:
        if "dt" in absent and len(absent) == 1:
            complaint = replace(
                complaint, help=("give the column, or the times of the rows: it is their differences then",)
            )
        findings.items.append(complaint)
    return raw


def _count(raw: Mapping[str, Any], source: Source) -> int:
    """The number of rows: that of the table or times, else of the first array."""
    if source.index is not None:
        return len(source.index)
    if source.kind == "table" and source.count is not None:
        return source.count
    for pieces in raw.values():
        for piece in (p for _, p in pieces.values()) if isinstance(pieces, _Entries) else [pieces]:
            shape = np.shape(piece) if not isinstance(piece, list | tuple) else (len(piece),)
            if shape:
                return int(shape[0])
    return source.count or 0


def _assemble(variable: Variable, pieces: Any, count: int, label: Any) -> np.ndarray:
    def convert(raw: Any, column: str) -> np.ndarray:
        if isinstance(variable, Observation) and variable.values is not None:
            return to_codes(raw, column, variable.values, label)
        return to_numbers(raw, column, label)

    if not isinstance(pieces, _Entries):
        array = convert(pieces, variable.name)
        if array.shape != (count, *variable.shape):
            raise _wrong_shape(variable, array.shape, count)
        return array
    whole = np.full((count, variable.size), np.nan)
    for position, (column, raw) in pieces.items():
        array = convert(raw, column)
        if array.shape != (count,):
            raise _wrong_shape(replace(variable, name=column, shape=(), axes=()), array.shape, count)
        whole[:, position] = array
    return whole.reshape(count, *variable.shape)


def _wrong_shape(variable: Variable, shape: tuple[int, ...], count: int) -> SsmError:
    wanted = (count, *variable.shape)
    rows = ("rows", *(str(n) for n in variable.shape))
    axes = [a.name if a is not None else str(n) for a, n in zip(variable.axes, variable.shape)]
    declared = f"`{variable.name}[{', '.join(axes)}]`" if axes else f"`{variable.name}`, a single number a row"
    if len(shape) == len(wanted) and shape[1:] == wanted[1:]:
        return SsmError(
            Diagnostic(
                "E403",
                f"`{variable.name}` has {shape[0]} rows, and the rest of the data have {count}",
                help=("all of one data set has the same rows; a missing value is NaN",),
            )
        )
    help_: tuple[str, ...] = ()
    if variable.shape and shape[:-1] == variable.shape:
        help_ = ("time is the first axis: transpose it",)
    elif len(shape) == len(wanted) + 1 and shape[-1] == 1:
        help_ = (f"take its last axis off: `{variable.name}[..., 0]`",)
    return SsmError(
        Diagnostic(
            "E403",
            f"`{variable.name}` has the shape {shape}, and the model wants ({', '.join(rows)}{',' * (len(rows) == 1)})",
            why=(f"the model declares {declared}",),
            help=help_,
        )
    )


def _spread(values: np.ndarray, rows: np.ndarray, steps: int) -> np.ndarray:
    if len(rows) == steps:
        return values
    whole = np.full((steps, *values.shape[1:]), np.nan)
    whole[rows] = values
    return whole


def check_inputs(
    bound: Bound, needed: Mapping[str, np.ndarray], variables: Mapping[str, Variable] | None = None
) -> None:
    """Raise E407 where an input is NaN in a row (or entry) that needs it.

    `needed`: by input, a boolean array (steps,) or (steps, *shape). `variables` gives the entries their names.
    """
    findings = Findings()
    for name, wanted in needed.items():
        values = bound.inputs[name]
        wanted = np.asarray(wanted, bool)
        wanted = np.broadcast_to(wanted.reshape(wanted.shape + (1,) * (values.ndim - wanted.ndim)), values.shape)
        bad = np.argwhere(np.isnan(values) & wanted)
        if not len(bad):
            continue
        row, *at = (int(i) for i in bad[0])
        column = name
        if at and variables is not None:
            column = variables[name].entry_names()[int(np.ravel_multi_index(at, values.shape[1:]))]
        elif at:
            column = f"{name}[{','.join(map(str, at))}]"
        more = f"{len(bad)} of its values that are needed are missing" if len(bad) > 1 else ""
        findings.add(
            "E407",
            f"the input `{column}` is missing at {bound.time.label(row)}",
            why=tuple(w for w in ("an input is known at every row that needs it; it has no law of its own", more) if w),
            help="fill it in (`frame.interpolate()`), or declare it as an `obs` with a law, so that it may be missing",
        )
    findings.raise_errors()
