"""The matrix that a mode with eigenvalue 1 / z must make singular to be unseen, eliminated as far as units reach.

For x[t] = sum_k A_k x[t-k] and y[t] = sum_k C_k x[t-k] the mode x[t] = v z^-t is unseen iff M(z) v = 0 with

    M(z) = [I - sum_k A_k z^k; sum_k C_k z^k],

the Popov-Belevitch-Hautus test in the size of the states, without their lags (Rosenbrock 1970; Kailath 1980, section
6.2). A pivot that vanishes nowhere (a constant, a power of z, a parameter that is never zero) may be eliminated without
a change of the set where M(z) loses rank; what is left over is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import sympy as sp
from sympy.polys.rings import PolyElement

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.polynomials import LAG, Polynomials, determinant
from ssmlang.analysis.system import System
from ssmlang.model.components import connected

MOST_MINORS = 60
MOST_SIZE = 6
"""What is left over is looked at by its minors up to this many columns."""

Grid = list[list[PolyElement]]
IsUnit = Callable[[PolyElement], bool]


def polynomial_matrix(system: System, polynomials: Polynomials) -> Grid:
    """M(z) of a system, each row times its denominators (which vanish nowhere, or the model would not be defined)."""
    n, m = system.n, system.m
    rows: list[dict[int, sp.Expr]] = [{i: sp.S.One} for i in range(n)] + [{} for _ in range(m)]
    for lag, entries in system.transition.items():
        for (i, j), v in entries.items():
            rows[i][j] = rows[i].get(j, sp.S.Zero) - v * LAG**lag
    for lag, entries in system.emission.items():
        for (i, j), v in entries.items():
            rows[n + i][j] = rows[n + i].get(j, sp.S.Zero) + v * LAG**lag
    ring = polynomials.ring
    found = []
    for row in rows:
        parts = {j: polynomials.fraction(v) for j, v in row.items()}
        down = ring.one
        for _, bottom in parts.values():
            down = down * bottom.exquo(down.gcd(bottom))
        found.append([
            polynomials.reduce(parts[j][0] * down.exquo(parts[j][1])) if j in parts else ring.zero for j in range(n)
        ])  # fmt: skip
    return found


def eliminated(grid: Grid, is_unit: IsUnit, polynomials: Polynomials, budget: Budget) -> Grid:
    """What is left of a matrix when every pivot that is a unit has been used; no rows where nothing is left."""
    rows = [list(r) for r in grid if any(r)]
    columns = len(grid[0]) if grid else 0
    while rows and columns:
        budget.check()
        units = [(i, j) for i, r in enumerate(rows) for j, v in enumerate(r) if v and is_unit(v)]
        if not units:
            break
        in_row = [sum(map(bool, r)) for r in rows]
        in_column = [sum(bool(r[j]) for r in rows) for j in range(columns)]
        i, j = min(units, key=lambda at: ((in_row[at[0]] - 1) * (in_column[at[1]] - 1), len(rows[at[0]][at[1]])))
        pivot = rows.pop(i)
        unit = pivot.pop(j)
        left = []
        for row in rows:
            lead = row.pop(j)
            if lead:
                row = [polynomials.reduce(v * unit - lead * w) for v, w in zip(row, pivot)]
                row = _primitive(row, polynomials)
            if any(row):
                left.append(row)
        rows, columns = left, columns - 1
    if not columns:
        return []
    return rows or [[polynomials.ring.zero] * columns]


def _primitive(row: list[PolyElement], polynomials: Polynomials) -> list[PolyElement]:
    """A row without its common number and its common power of the lag."""
    filled = [v for v in row if v]
    if not filled:
        return row
    low = min(m[0] for v in filled for m in v.itermonoms())
    content = filled[0].content()
    for v in filled[1:]:
        content = polynomials.ring.domain.gcd(content, v.content())
    take = lambda v: polynomials.ring.from_dict({(m[0] - low, *m[1:]): c / content for m, c in v.iterterms()})
    return [take(v) if v else v for v in row]


def components(grid: Grid) -> list[Grid]:
    """The parts of a matrix that share no row or column with a nonzero entry."""
    r, k = len(grid), len(grid[0])
    at = [(i, r + j) for i, row in enumerate(grid) for j, v in enumerate(row) if v]
    edges = np.array(at or [(0, 0)])
    label = connected(r + k, edges[:, 0], edges[:, 1])
    found = []
    for one in dict.fromkeys(label[r:].tolist()):
        columns = [j for j in range(k) if label[r + j] == one]
        found.append([[row[j] for j in columns] for i, row in enumerate(grid) if label[i] == one])
    return found


def minors(grid: Grid, polynomials: Polynomials, budget: Budget) -> list[PolyElement] | None:
    """The nonzero largest minors of a matrix with at least as many rows as columns; None where it is too large."""
    k = len(grid[0])
    if k > MOST_SIZE or math.comb(len(grid), k) > MOST_MINORS:
        return None
    found = []
    for choice in combinations(range(len(grid)), k):
        budget.check()
        value = polynomials.reduce(determinant([grid[i] for i in choice], polynomials.ring))
        if value:
            found.append(polynomials.without_lag_factor(value))
    return found


def transition_parts(system: System) -> list[list[int]]:
    """States that read each other, directly or not, gathered: the parts that meet in observations alone."""
    at = [(i, j) for m in system.transition.values() for i, j in m] or [(0, 0)]
    edges = np.array(at)
    label = connected(system.n, edges[:, 0], edges[:, 1])
    return [[int(i) for i in np.flatnonzero(label == one)] for one in dict.fromkeys(label.tolist())]


def square(system: System, part: Sequence[int], polynomials: Polynomials) -> PolyElement:
    """det(I - sum_k A_k z^k) of some states: its roots are the inverses of their modes."""
    own = system.part(part, [], [])
    return polynomials.without_lag_factor(
        polynomials.reduce(determinant(polynomial_matrix(own, polynomials), polynomials.ring))
    )
