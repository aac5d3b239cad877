"""Parameters for which an observation's two lag polynomials have a factor in common, as equations.

With one noise, an observation is (C adj(A) G + D det A)(L) / det A(L) times that noise, L the lag: where numerator and
denominator share a root, both lose a degree, and with it parameters (Brockwell and Davis 1991, section 3.1). The
resultant vanishes exactly there. What it says is only a candidate: ranks on the set decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.identifiability_point import Coordinate, inside, moved
from ssmlang.analysis.identifiability_rings import P
from ssmlang.model.components import connected
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model

if TYPE_CHECKING:
    import sympy as sp

MOST_STATES, MOST_LAGS, MOST_SYMBOLS = 2, 4, 6


@dataclass(frozen=True)
class Surface:
    """The zeros of a polynomial that is linear in one coordinate: coordinate = -rest / factor.

    `factor`, `rest`: terms (coefficient, exponents by coordinate). `text`: the equation as the user would write it.
    """

    coordinate: int
    factor: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    rest: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    text: str

    def residue(self, values: Sequence[int]) -> int:
        """The coordinate's value modulo P, given the others'."""
        total = lambda terms: sum(c * _power(values, powers) for c, powers in terms) % P
        return -total(self.rest) * pow(total(self.factor), P - 2, P) % P

    def real(self, values: np.ndarray) -> float:
        total = lambda terms: sum(c * float(np.prod([values[i] ** e for i, e in powers])) for c, powers in terms)
        return -total(self.rest) / total(self.factor)

    def meets(self, model: Model, coords: Sequence[Coordinate], settings: Sequence[Mapping[str, np.ndarray]]) -> bool:
        """Whether some plausible setting, moved onto the set, lies inside all supports."""
        for setting in settings:
            own = np.array([setting[k.parameter].reshape(-1)[k.entry] for k in coords])
            with np.errstate(all="ignore"):
                try:
                    value = self.real(own)
                except ZeroDivisionError:
                    continue
            own[self.coordinate] = value
            if np.isfinite(value) and inside(model, moved(model, setting, coords, partial(_instead, own))):
                return True
        return False


def _instead(values: np.ndarray, _: np.ndarray) -> np.ndarray:
    return values


def _power(values: Sequence[int], powers: Sequence[tuple[int, int]]) -> int:
    found = 1
    for i, e in powers:
        found = found * pow(int(values[i]), e, P) % P
    return found


def surfaces(context: Context, coords: Sequence[Coordinate]) -> list[Surface]:
    """Candidates from every block that is small enough."""
    if context.linear is None or not _small_block(context.linear):
        return []
    system = context.system
    if system is None:
        return []
    found: list[Surface] = []
    for block in system.blocks:
        lags = [*block.transition, *block.emission, *block.driving, *block.observing]
        if block.n > MOST_STATES or block.m != 1 or block.r != 1 or max(lags, default=0) > MOST_LAGS:
            continue
        for factor in _common(block):
            one = _surface(factor, coords)
            if one is not None and one.text not in {s.text for s in found}:
                found.append(one)
    return found


def _small_block(form: LinearForm) -> bool:
    """Whether some block has one observation and one noise, as its pattern of coefficients shows: without algebra."""
    s = form.stacking
    first = {"x": 0, "y": s.n, "e": s.n + s.m}
    links = [(first[own] + m.rows, first[kind] + m.cols) for rows, own in ((form.transition, "x"), (form.emission, "y"))
             for (kind, _), m in rows.terms.items() if kind in ("x", "e")]  # fmt: skip
    rows, cols = (np.concatenate([np.zeros(0, int), *(pair[k] for pair in links)]) for k in (0, 1))
    label = connected(s.n + s.m + s.r, rows, cols)
    x, y, e = (np.bincount(own, minlength=len(label)) for own in np.split(label, [s.n, s.n + s.m]))
    return bool(((x <= MOST_STATES) & (y == 1) & (e == 1)).any())


def _common(block: Any) -> list[sp.Expr]:
    """Irreducible factors of the resultant of numerator and denominator in the lag."""
    import sympy as sp

    L = sp.Dummy("L")
    lagged = lambda part, of, shape: sum((of(k) * L**k for k in part), sp.zeros(*shape))
    n = block.n
    A = sp.eye(n) - lagged(block.transition, block.A, (n, n))
    G, C = lagged(block.driving, block.G, (n, 1)), lagged(block.emission, block.C, (1, n))
    D = lagged(block.observing, block.D, (1, 1))
    below = sp.expand(A.det())
    above = sp.expand((C * A.adjugate() * G + D * below)[0, 0])
    symbols = sorted((below.free_symbols | above.free_symbols) - {L}, key=str)
    if not below.has(L) or not above.has(L) or len(symbols) > MOST_SYMBOLS:
        return []
    if not (below.is_polynomial(L, *symbols) and above.is_polynomial(L, *symbols)):
        return []
    shared = sp.resultant(sp.Poly(below, L), sp.Poly(above, L))
    return [f for f, _ in sp.factor_list(sp.nsimplify(sp.expand(shared), rational=True))[1]]


def _surface(factor: sp.Expr, coords: Sequence[Coordinate]) -> Surface | None:
    import sympy as sp

    place = {k.name: i for i, k in enumerate(coords)}
    symbols = sorted(factor.free_symbols, key=lambda s: place.get(str(s), -1))
    if len(symbols) < 2 or any(str(s) not in place for s in symbols):
        return None
    poly = sp.Poly(factor, *symbols)
    poly = sp.Poly(poly.clear_denoms()[1], *symbols)
    if (
        len(symbols) == 2
        and poly.total_degree() == 1
        and len({abs(c) for c in poly.coeffs()}) == len(poly.coeffs()) - 1
    ):
        return None  # equal or opposite entries are tried anyway
    for chosen in symbols:
        if poly.degree(chosen) != 1:
            continue
        k = symbols.index(chosen)
        terms = lambda wanted, k=k: tuple(
            (int(c), tuple((place[str(symbols[j])], e) for j, e in enumerate(powers) if e and j != k))
            for powers, c in poly.terms() if powers[k] == wanted
        )  # fmt: skip
        written = sp.sstr(poly.as_expr()).replace("**", "^").replace("*", " * ")
        return Surface(place[str(chosen)], terms(1), terms(0), f"{written} = 0")
    return None
