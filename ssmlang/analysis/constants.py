"""A linear program whose coefficients of states are plain numbers, as in most structural models: what fractions settle
needs no algebra of symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ssmlang.analysis.exact import simple_fraction
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.model.rows import Rows

Numbers = Mapping[int, Mapping[tuple[int, int], Fraction]]
"""By lag: (row, column) -> what stands there, zeros left out."""


@dataclass(frozen=True)
class ConstantSystem:
    """x[t] = sum_k A_k x[t-k] + ..., y[t] = sum_k C_k x[t-k] + ..., with `transition` A and `emission` C."""

    states: tuple[str, ...]
    observed: int
    transition: Numbers
    emission: Numbers

    @property
    def memory(self) -> tuple[int, ...]:
        """How many rows of each state later ones read, at least its own."""
        found = [1] * len(self.states)
        for part, own in ((self.transition, 0), (self.emission, 1)):
            for lag, m in part.items():
                for _, j in m:
                    found[j] = max(found[j], lag + own)
        return tuple(found)

    def companion(self) -> tuple[np.ndarray, np.ndarray]:
        """F and H of z[t] = F z[t-1], y[t] = H z[t], z the rows of the states that anything reads again, those of row t
        first; object arrays of fractions."""
        n, memory = len(self.states), self.memory
        cells = [(0, i) for i in range(n)] + [(k, i) for i in range(n) for k in range(1, memory[i])]
        place = {cell: at for at, cell in enumerate(cells)}
        F, H = (np.full((rows, len(cells)), Fraction(0), object) for rows in (len(cells), self.observed))
        for lag, m in self.transition.items():
            for (i, j), v in m.items():
                F[i, place[lag - 1, j]] += v
        for k, i in cells[n:]:
            F[place[k, i], place[k - 1, i]] = Fraction(1)
        for lag, m in self.emission.items():
            for (i, j), v in m.items():
                H[i, place[lag, j]] += v
        return F, H


def constant_system(model: Model, form: LinearForm) -> ConstantSystem | None:
    """The system of a linear form of finite order; None where a coefficient of a state is no fraction that a person
    would write, where a later row reads a noise, or where states read observations."""
    rows = (form.transition, form.emission)
    if form.read_back or any(kind == "e" and lag for r in rows for kind, lag in r.terms):
        return None
    if any(kind in ("y", "ypast") for kind, _ in form.transition.terms):
        return None
    if any(n.op == "ref" and n.attrs[0] == "obs" for n in expr.walk([form.transition.constant])):
        return None
    transition, emission = (_numbers(r) for r in rows)
    if transition is None or emission is None:
        return None
    variables = {**model.states, **model.observations}
    names = tuple(n for name in form.stacking.x for n in variables[name].entry_names())
    return ConstantSystem(names, form.stacking.m, transition, emission)


def _numbers(rows: Rows) -> Numbers | None:
    found: dict[int, dict[tuple[int, int], Fraction]] = {}
    for (kind, lag), m in rows.terms.items():
        if kind != "x" or not m.nnz:
            continue
        try:
            values = evaluate(m.values, {})
        except (Unreadable, KeyError):
            return None
        for i, j, value in zip(m.rows.tolist(), m.cols.tolist(), values.reshape(-1).tolist()):
            exact = _fraction(float(value))
            if exact is None:
                return None
            if exact:
                found.setdefault(lag, {})[i, j] = exact
    return found


def _fraction(value: float) -> Fraction | None:
    if not np.isfinite(value):
        return None
    return Fraction(int(value)) if value == int(value) and abs(value) < 2**53 else simple_fraction(value)
