"""A witness at work: two settings side by side with the observations that they give."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness
from ssmlang.model.model import Equation

if TYPE_CHECKING:
    from ssmlang.analysis.lie_outputs import Outputs
    from ssmlang.analysis.skeleton import Key

SAMPLING = frozenset({"particle", "rao_blackwell", "importance"})
SERIES = 3
"""Simulated series on which two settings of the parameters are compared."""
MOST_SHOWN = 8
"""Numbers that both settings share, in text."""
PARTS = 8
"""Runge-Kutta steps from row to row, in continuous time."""


class NotShown(Exception):
    """A witness that cannot be computed here; the message says why."""


@dataclass(frozen=True)
class Table:
    """Observations row by row under both settings (rows, columns), or what else was compared.

    `columns` name the entries; `difference` is the largest one, relative to the size of the numbers where they are
    large.
    """

    finding: Finding
    what: str
    columns: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray
    settings: tuple[Mapping[str, float], Mapping[str, float]]
    at: Mapping[str, float]
    """what both settings share"""
    row_name: str = "row"

    @property
    def difference(self) -> float:
        size = np.maximum(1.0, np.maximum(np.abs(self.first), np.abs(self.second)))
        return float(np.nanmax(np.abs(self.first - self.second) / size, initial=0.0))

    def to_dict(self) -> dict[str, Any]:
        witness = self.finding.witness
        assert witness is not None
        return {
            "property": self.finding.property,
            "code": self.finding.code,
            "reason": self.finding.reason,
            "kind": witness.kind,
            "what": self.what,
            "at": dict(self.at),
            "first": dict(self.settings[0]),
            "second": dict(self.settings[1]),
            "columns": list(self.columns),
            "first_rows": self.first.tolist(),
            "second_rows": self.second.tolist(),
            "difference": self.difference,
        }

    def __str__(self) -> str:
        witness = self.finding.witness
        assert witness is not None
        lines = [f"{self.finding.property}: {self.finding.reason}"]
        if self.at:
            lines.append("  at      " + _setting(dict(list(self.at.items())[:MOST_SHOWN]))
                         + (f" and {len(self.at) - MOST_SHOWN} more" if len(self.at) > MOST_SHOWN else ""))  # fmt: skip
        lines += [f"  first   {_setting(self.settings[0])}", f"  second  {_setting(self.settings[1])}", self.what]
        heads = [self.row_name, *(f"{c} ({which})" for c in self.columns for which in ("first", "second"))]
        body = [
            [str(t), *(f"{v:.8g}" for pair in zip(a, b) for v in pair)]
            for t, (a, b) in enumerate(zip(self.first, self.second))
        ]
        widths = [max(len(row[k]) for row in [heads, *body]) for k in range(len(heads))]
        lines += ["  " + "  ".join(v.rjust(w) for v, w in zip(row, widths)) for row in [heads, *body]]
        lines.append(f"largest difference: {self.difference:.2g}")
        return "\n".join(lines)


def _setting(values: Mapping[str, float]) -> str:
    return ", ".join(f"{k} = {v:.8g}" for k, v in values.items())


def shown(context: Context, finding: Finding, steps: int = 12, seed: int = 0) -> Table:
    """The witness of a finding over some rows. Raises NotShown."""
    witness = finding.witness
    if witness is None:
        raise NotShown("there is no witness of it")
    if witness.kind == "state":
        return _states(context, finding, witness, steps, seed)
    return _parameters(context, finding, witness, steps, seed)


# ----------------------------------------------------------------------------------------------------- two states


def _states(context: Context, finding: Finding, witness: Witness, steps: int, seed: int) -> Table:
    """Both states run on without noise: what is random after them is the same for both."""
    from ssmlang.analysis.lie_outputs import Outputs
    from ssmlang.analysis.lie_points import DOUBLES, Point
    from ssmlang.analysis.scalars import Unsupported

    rng = np.random.default_rng(seed)
    params = _point(context, witness)
    try:
        outputs = Outputs(context.model)
        keys = {outputs.name(k): k for k in outputs.keys}
        strange = [n for n in witness.first if n not in keys]
        if strange:
            raise NotShown(f"{strange[0]} is no state of a run without noise")
        base = {k: round(float(rng.normal()), 3) for k in outputs.keys}
        linear = context.linear is not None
        settings = []
        for own in (witness.first, witness.second):
            state = {k: base[k] + own.get(name, 0.0) if linear else own.get(name, base[k]) for name, k in keys.items()}
            settings.append(state)
        known = Point(settings[0], params, seed).known()
        if outputs.continuous:
            step = float(np.asarray(context.model.constants.get("dt", 0.1)).reshape(-1)[0])
            runs = [_run(_flow(outputs, s, known, step), steps) for s in settings]
        else:
            runs = [_run(outputs.rows(DOUBLES, s, known), steps) for s in settings]
    except Unsupported as why:
        raise NotShown(str(why)) from why
    count = runs[0].shape[1]
    names = [n for e in context.model.equations if e.role == "emission" for n in _outputs(context, e)]
    columns = tuple(names) if len(names) == count else tuple(f"output {i}" for i in range(count))
    said = tuple({n: s[keys[n]] for n in witness.first} for s in settings)
    pace = f" with rows {step:g} apart" if outputs.continuous else ""
    what = f"observations of both, run on{pace} without noise (what is random later is the same for both):"
    shared = {n: settings[0][k] for n, k in keys.items() if n not in witness.first}
    shared |= {n: v for p in context.model.parameters.values() if not p.augment
               for n, v in zip(p.entry_names(), params[p.name].reshape(-1).tolist())}  # fmt: skip
    return Table(finding, what, columns, runs[0], runs[1], (said[0], said[1]), {**shared, **(witness.at or {})})


def _run(rows: Any, steps: int) -> np.ndarray:
    return np.array([[float(v) for v in row] for _, row in zip(range(steps), rows)])


def _flow(outputs: Outputs, state: Mapping[Key, float], known: Callable[[Key, int], float], step: float
          ) -> Iterator[list[Any]]:  # fmt: skip
    """The outputs at 0, `step`, 2 `step`, ... along the drift, by the Runge-Kutta method of order four."""
    from ssmlang.analysis.lie_points import DOUBLES

    now, h = dict(state), step / PARTS
    rate = lambda at: {k: float(v) for k, v in outputs.rates(DOUBLES, at, known).items()}
    ahead = lambda at, by, far: {k: v + far * by[k] for k, v in at.items()}
    while True:
        yield outputs.now(DOUBLES, now, known)
        for _ in range(PARTS):
            a = rate(now)
            b = rate(ahead(now, a, h / 2))
            c = rate(ahead(now, b, h / 2))
            d = rate(ahead(now, c, h))
            now = {k: v + h / 6 * (a[k] + 2 * b[k] + 2 * c[k] + d[k]) for k, v in now.items()}


def _outputs(context: Context, e: Equation) -> list[str]:
    """What an emission gives row by row: the arguments of its law, the location under the observation's own name."""
    names = [context.model.observations[t.name].entry_names()[i] for t in e.targets for i in t.entries]
    if e.law is None:
        return names
    found = []
    for argument, node in e.law.args.items():
        if node.size == len(names):
            found += names if argument == "loc" else [f"{n}: {argument}" for n in names]
        elif node.size == 1:
            found.append(f"{', '.join(names)}: {argument}")
        else:
            found += [f"{argument} {i}" for i in range(node.size)]
    return found


def _point(context: Context, witness: Witness, own: Mapping[str, float] | None = None) -> dict[str, np.ndarray]:
    """All parameters: those of the witness, the others from the prior."""
    given = {**(witness.at or {}), **(own or {})}
    found = {}
    draw = context.draws(20)[0]
    for p in context.model.parameters.values():
        values = np.array(draw[p.name], float).reshape(-1)
        for i, name in enumerate(p.entry_names()):
            if name in given:
                values[i] = given[name]
        found[p.name] = values.reshape(p.shape)
    return found


# ------------------------------------------------------------------------------------------------- two parameters


def _parameters(context: Context, finding: Finding, witness: Witness, steps: int, seed: int) -> Table:
    """The log-density, row by row given the rows before, of series simulated under the first setting."""
    from dataclasses import replace

    from ssmlang.compiled import Model
    from ssmlang.frontend import check_text
    from ssmlang.language.diagnostics import SsmError, SsmWarning

    spec = replace(context.model, assertions=())
    # The model itself, without the assertions that may be what it fails.
    model = Model(replace(check_text("\n", name=spec.name), model=spec, findings=()), None, None)
    settings = [_point(context, witness, own) for own in (witness.first, witness.second)]
    random = np.random.default_rng(seed)
    given = {n: np.round(random.uniform(0.3, 2.0, (steps, *v.shape)), 2) for n, v in spec.inputs.items()}
    init = {t.name: np.zeros(spec.states[t.name].shape) for i in spec.initials if i.special == "diffuse"
            for t in i.targets}  # fmt: skip
    try:
        found: list[list[np.ndarray]] = [[], []]
        for k in range(SERIES):
            drawn = model.simulate(None if given else steps, settings[0], future=given or None, init=init,
                                   seed=seed + k)  # fmt: skip
            data = {**given, **{n: np.asarray(drawn[n]) for n in spec.observations}}
            for own, params in zip(found, settings):
                with warnings.catch_warnings():  # what an approximation is worth is the same for both
                    warnings.simplefilter("ignore", SsmWarning)
                    moments: Any = model.filter(data, params)
                own.append(np.asarray(moments["log_likelihood"]))
    except SsmError as error:
        raise NotShown(error.diagnostics[0].message) from error
    engine = str(moments.attrs.get("engine"))
    if engine in SAMPLING:
        raise NotShown(f"the likelihood that {engine} gives is one by sampling, which differs from run to run")
    first, second = (np.stack(own, axis=1) for own in found)
    columns = tuple(f"series {k + 1}" for k in range(SERIES))
    drawn_inputs = f" and drawn {', '.join(given)}" if given else ""
    what = (f"log-density of each row given those before it, of {SERIES} series simulated under the first setting"
            f"{drawn_inputs} ({witness.what}):")  # fmt: skip
    return Table(finding, what, columns, first, second, (witness.first, witness.second), witness.at or {})
