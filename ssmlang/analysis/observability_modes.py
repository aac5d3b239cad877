"""The modes that are lost: whether they decay, by proof where it is short, else at prior draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy as sp

from ssmlang.analysis.context import Context
from ssmlang.analysis.nowhere_zero import domain_of
from ssmlang.analysis.observability_block import Vector
from ssmlang.analysis.observability_numbers import lost_radius
from ssmlang.analysis.observability_words import text
from ssmlang.analysis.stability_numbers import values_at
from ssmlang.analysis.stability_polynomials import schur_conditions
from ssmlang.analysis.stability_signs import positive
from ssmlang.analysis.system import System

DRAWS = 60


def charpoly(lost: Sequence[Vector], system: System) -> list[sp.Expr] | None:
    """Coefficients of the characteristic polynomial of F on an invariant space, the highest power first; None where
    the vectors span no such space."""
    companion = system.companion
    size, d = companion.size, len(lost)
    if d > 4:
        return None
    basis = sp.zeros(size, d)
    for k, v in enumerate(lost):
        for i, c in v.items():
            basis[i, k] = c
    moved = (companion.F * basis).applyfunc(sp.cancel)
    pivots = list(basis.T.rref(simplify=sp.cancel, iszerofunc=lambda e: bool(sp.cancel(e) == 0))[1])
    if len(pivots) < d:
        return None
    small = basis.extract(pivots, list(range(d))).inv(method="ADJ") * moved.extract(pivots, list(range(d)))
    if not (moved - basis * small).applyfunc(sp.cancel).is_zero_matrix:
        return None
    return [sp.expand(c) for c in small.charpoly().all_coeffs()]


def decay(context: Context, whole: Sequence[Vector] | None, system: System) -> tuple[bool | None, str]:
    """Whether what is lost dies out, and the words for it. `whole`: the lost space of stacked states, where known."""
    own = charpoly(whole, system) if whole else None
    if own is not None:
        if len(own) == 2 and own[1].is_number:
            value = -own[1]
            if abs(value) >= 1:
                return False, f"it never decays: its eigenvalue is {text(value)}"
            return True, "it is gone after one row" if value == 0 else f"it decays by the factor {text(value)} a row"
        if all(c == 0 for c in own[1:]):
            return True, f"it is gone after {len(own) - 1} rows"
        domain = domain_of(context)
        if all(positive(c, domain).positive is True for c in schur_conditions(own)):
            return True, f"it decays: |{text(-own[1])}| < 1 by its support" if len(own) == 2 else "it decays"
    radii = [r for F, H in zip(*matrices(context, system)) if (r := lost_radius(F, H)) is not None]
    if not radii:
        return None, ""
    if min(radii) > 1 - 1e-6:
        return False, "it does not decay: an eigenvalue of it lies on or outside the unit circle"
    share = float(np.mean([r < 1 for r in radii]))
    if share == 1:
        return None, f"it decays at all of {len(radii)} draws from the prior"
    return None, f"it decays at {share:.0%} of {len(radii)} draws from the prior"


def matrices(context: Context, system: System, count: int = DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """(k, n, n) and (k, m, n): F and H of a block in double precision at those of `count` prior draws where they are
    finite."""
    companion = system.companion
    points = [context.at(draw) for draw in context.draws(count)]
    symbols = {s: np.array([p.get(s, np.nan) for p in points]) for s in system.symbols}
    found = []
    for m in (companion.F, companion.H):
        entries = m.todok()
        dense = np.zeros((count, *m.shape))
        values = values_at(list(entries.values()), symbols, count)
        if values is None:
            return np.zeros((0, *companion.F.shape)), np.zeros((0, *companion.H.shape))
        for k, (i, j) in enumerate(entries):
            dense[:, i, j] = values[:, k]
        found.append(dense)
    fine = np.isfinite(found[0]).all(axis=(1, 2)) & np.isfinite(found[1]).all(axis=(1, 2))
    return found[0][fine], found[1][fine]
