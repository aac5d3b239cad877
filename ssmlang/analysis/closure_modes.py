"""The spectral radius and the modes of a lift's matrix in numbers, at the prior median."""

from __future__ import annotations

import numpy as np
import sympy as sp

from ssmlang.analysis.closure_lift import Closure, constant_position
from ssmlang.analysis.context import Context
from ssmlang.analysis.stability_modes import figure, of_roots
from ssmlang.analysis.stability_points import prior_median
from ssmlang.analysis.stability_text import in_time, timescales


def typical(context: Context, matrix: sp.Matrix, closure: Closure) -> list[str]:
    """`rho(K) = 0.949: turns once in 19.5 rows, half-life 13.2 rows`, of all functions but the constant one; of a
    generator the largest rate. Nothing where an entry has no value."""
    known = matrix.free_symbols
    if not known <= set(context.supports.owner):
        return []
    at = context.at(prior_median(context)) if known else {}
    constant = constant_position(closure.functions)
    kept = [i for i in range(matrix.rows) if i != constant]
    try:
        numbers = np.array(matrix.extract(kept, kept).subs({s: float(at[s]) for s in known}).evalf(), float)
    except (TypeError, ValueError, KeyError):
        return []
    if not kept or not np.isfinite(numbers).all():
        return []
    where = "at the prior median: " if known else ""
    values = np.linalg.eigvals(numbers)
    if closure.koopman.continuous:
        largest = float(values.real.max())
        said = in_time(timescales(of_roots(np.exp(values))))
        return [f"{where}largest rate of L {figure(0.0 if abs(largest) < 1e-12 else largest)}" + (said and f": {said}")]
    said = timescales(of_roots(values))
    return [f"{where}rho(K) = {figure(float(np.abs(values).max()))}" + (said and f": {said}")]
