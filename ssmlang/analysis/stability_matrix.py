"""The stability of z[t] = K z[t-1] for a matrix that is at hand: a lift's operator, a learned one."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Outcome
from ssmlang.analysis.stability_analysis import Analysis, analyse
from ssmlang.analysis.stability_blocks import Dynamics
from ssmlang.analysis.stability_claims import Claims
from ssmlang.analysis.stability_domain import Domain


def matrix_stability(context: Context, matrix: sp.Matrix, names: Sequence[str]
                     ) -> tuple[Outcome, str, tuple[str, ...], str | None]:  # fmt: skip
    """Verdict, reason, details and fix for all eigenvalues inside the unit circle, over the model's parameters.

    `matrix`: K with the symbols of `context.symbols` in it; `names`: what its coordinates are called.
    """
    analysis = matrix_analysis(context, matrix, names)
    return Claims(context, analysis).stability(analysis.judged)


def matrix_analysis(context: Context, matrix: sp.Matrix, names: Sequence[str]) -> Analysis:
    """The blocks of K with their roots."""
    places = [(i, j) for i in range(matrix.rows) for j in range(matrix.cols)]
    terms = {place: sp.sympify(matrix[place]) for place in places if matrix[place] != 0}
    s = context.supports
    return analyse(Dynamics(tuple(names), {1: terms}), Domain(s.intervals, s.stationary, s.simplexes), context.budget)
