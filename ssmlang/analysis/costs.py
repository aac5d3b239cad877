"""About what one log-likelihood costs with each engine, to an order of magnitude: for advice, before anything runs.

What a row costs is a fixed time for its operations, and time for its arithmetic: multiplications of an engine's
matrices, with N the entries that a filter carries, m observations and r noises of a row, and `work` scalar operations
to work out the equations once. The constants are those of one core of a server of 2023; `python -m benchmarks.costs`
measures them again. Compiling, which the first call does, comes on top. No JAX here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ssmlang.engines.routes import SETTLING_ROWS
from ssmlang.model import expr
from ssmlang.model.blocks import blocks
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model, State

CALL = 1e-4
"""Seconds of a call whatever it does."""

BIG = 24
"""Matrices of more rows are multiplied by a library: a fixed time more, and less for each number."""

PARTICLES, PARTS, SAMPLES, ROUNDS, ORDER = 1000, 500, 128, 8, 5
"""What engines do by default: particles of `particle` and of `rao_blackwell`, paths of `importance`, iterations to the
mode, points along an axis of `gauss_hermite`."""


@dataclass(frozen=True)
class Size:
    """What a row of a program is made of; `N`: entries that a filter carries from row to row."""

    N: int
    m: int
    r: int
    work: int = 0
    members: int = 1
    """independent parts of one pattern, each of this size"""
    levels: int = 1
    """joint values of the discrete states that a filter carries"""
    whole_past: bool = False


def sizes_of(model: Model, form: LinearForm | object) -> tuple[Size, ...]:
    """The independent parts of a program; one where it is not linear."""
    if not isinstance(form, LinearForm):
        return (_general(model),)
    if form.whole_past:
        return (_linear(form, 1),)
    return tuple(_linear(g.form, g.members) for g in blocks(form).groups)


def _linear(form: LinearForm, members: int) -> Size:
    s = form.stacking
    depth = np.ones(s.n, int)
    for rows, extra in ((form.transition, 0), (form.emission, 1)):
        for (kind, lag), m in rows.terms.items():
            if kind == "x":
                np.maximum.at(depth, m.cols, lag + extra)
    return Size(int(depth.sum()), s.m, s.r, members=members, whole_past=bool(form.whole_past))


def _general(model: Model) -> Size:
    real = [s for s in model.states.values() if s.values is None]
    N = sum(s.size * max(1, s.depth) for s in real) + sum(p.size for p in model.parameters.values() if p.augment)
    levels = prod(_values(s) ** (s.size * max(1, s.depth)) for s in model.states.values())
    nodes = [n for e in model.equations for n in (e.value, *(e.law.args.values() if e.law else ())) if n is not None]
    m = sum(o.size for o in model.observations.values())
    return Size(N, m, N, _operations([*nodes, *(d.value for d in model.differentials)]), levels=levels)


def _values(state: State) -> int:
    """How many values an entry takes; 1 where they are not counted."""
    v = state.values
    if v is None or (v.axis is None and (v.lower is None or v.upper is None)):
        return 1
    return len(v.axis.labels) if v.axis is not None else (v.upper or 0) - (v.lower or 0) + 1


def _operations(nodes: Iterable[Node]) -> int:
    return sum(n.size for n in expr.walk(list(nodes)) if n.args)


def seconds(engine: str, sizes: Sequence[Size], rows: int) -> float | None:
    """Of a log-likelihood of so many rows on one core; None: nothing is known of the engine's costs."""
    if engine not in _ROWS and engine not in _WHOLE:
        return None
    total = CALL
    for s in sizes:
        one = _WHOLE[engine](s, rows) if engine in _WHOLE else rows * _ROWS[engine](s)
        if engine == "kalman" and not s.whole_past and rows > SETTLING_ROWS:
            one = SETTLING_ROWS * _ROWS[engine](s) + (rows - SETTLING_ROWS) * 1e-8 * (1 + s.N * (s.N + s.m) / 25)
        total += s.members * one
    return total


def _products(s: Size) -> float:
    """Of the covariance through the transition and the observations of a row."""
    each = 2 * s.N**3 + s.m * s.N**2 + s.m**2 * s.N
    return 0.7e-9 * each if s.N <= BIG else 3e-6 + 0.15e-9 * each


def _factors(s: Size) -> float:
    """Of triangular factors by a library."""
    return 2e-6 + 1.5e-9 * (2 * s.N + s.m + s.r) * s.N**2


def _points(s: Size, points: float) -> float:
    """Of moments by points: the equations at each, and factors."""
    return 0.3e-6 + points * 1e-9 * (s.work + s.N * (s.N + s.m)) + 4e-9 * s.N**3


def _smoothed(s: Size) -> float:
    """Of a smoother's pass over a row."""
    return 1e-6 + 2e-9 * s.work * (s.N + 1) + 10e-9 * (s.N**3 + s.m * s.N**2)


def _joint(s: Size, rows: int) -> float:
    """Of the joint law of all observations."""
    every = s.m * rows
    return 0.15e-9 * every**3 + 1e-9 * s.N * (s.N + s.m) * rows**2 + 1e-5 * rows


def _grown(s: Size, rows: int) -> float:
    return 1e-9 * rows * (s.N * rows) ** 2 * s.m + 1e-5 * rows


def _by_conjugate_gradients(s: Size, rows: int) -> float:
    reach = rows if s.whole_past else 2
    return rows * 20 * (1e-6 + 1e-9 * reach * s.N * (s.N + s.m))


_ROWS: Mapping[str, Callable[[Size], float]] = {
    "kalman": lambda s: 5e-8 + _products(s),
    "square_root": _factors,
    "parallel": lambda s: 1e-6 + 1e-7 * s.N**3,
    "banded": lambda s: 2e-6 * s.N + 3e-8 * s.N**3,
    "ekf": lambda s: 3e-7 + 1e-9 * s.work * (s.N + 1) + _products(s),
    "iekf": lambda s: 4e-7 + 3e-9 * s.work * (s.N + 1) + 2 * _products(s),
    "dual_ekf": lambda s: 1e-6 + 2e-9 * s.work * (s.N + 1) + 2 * _products(s),
    "ukf": lambda s: _points(s, 2 * s.N + 1),
    "cubature": lambda s: _points(s, 2 * s.N),
    "gauss_hermite": lambda s: _points(s, float(ORDER**s.N)),
    "ipls": lambda s: ROUNDS * (_smoothed(s) + _points(s, 2 * s.N + 1)),
    "laplace": lambda s: ROUNDS * _smoothed(s),
    "recursion": lambda s: 3e-8 + 1e-9 * s.work,
    "importance": lambda s: 2 * ROUNDS * _smoothed(s) + SAMPLES * 2e-8 * (s.N + s.work),
    "particle": lambda s: PARTICLES * (1.5e-8 * s.N + 2e-9 * (s.work + s.m)) + 5e-6,
    "rao_blackwell": lambda s: PARTS * (2e-8 + 3 * _products(s) + 2e-9 * s.work) + 5e-6,
    "discrete": lambda s: 2e-7 + 2e-9 * s.levels**2,
    "imm": lambda s: 5e-7 + s.levels**2 * (1e-7 + 2 * _products(s)),
}
"""Seconds of a row."""

_WHOLE: Mapping[str, Callable[[Size, int], float]] = {
    "batch": _joint,
    "wiener_hopf": _joint,
    "growing": _grown,
    "dual": _by_conjugate_gradients,
}
"""Seconds of all rows, where these grow faster than the rows."""


def rounded(seconds: float) -> str:
    """`~3 ms`: to one digit."""
    for unit, scale in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("h", 3600.0)):
        number = seconds / scale
        if number < 999 or unit == "h":
            return f"~{float(f'{number:.1g}'):g} {unit}"
    raise AssertionError
