"""Which polynomials in the parameters vanish nowhere on their declared supports."""

from __future__ import annotations

import numpy as np
import sympy as sp
from sympy.polys.galoistools import gf_gcd
from sympy.polys.rings import PolyElement

from ssmlang.analysis.context import Context
from ssmlang.analysis.modular import Field
from ssmlang.analysis.polynomials import LAG, Polynomials
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_polynomials import schur_conditions
from ssmlang.analysis.stability_signs import positive

DRAWS = 60
MOST_SYMBOLS = 4
MOST_DEGREE = 8


def domain_of(context: Context) -> Domain:
    """The declared supports of a model's parameters."""
    supports = context.supports
    grouped = {s for group in supports.stationary for s in group}
    bounded = {s: e for s, e in supports.intervals.items()
               if s not in grouped and not (e[0] == -sp.oo and e[1] == sp.oo)}  # fmt: skip
    return Domain(bounded, supports.stationary, supports.simplexes)


class NowhereZero:
    """Decides by signs, intervals and, where prior draws leave it open, a proof of positivity."""

    def __init__(self, context: Context, polynomials: Polynomials) -> None:
        self.polynomials = polynomials
        self.domain = domain_of(context)
        points = [context.at(draw) for draw in context.draws(DRAWS)]
        self._values = {s: np.array([p.get(s, np.nan) for p in points]) for s in polynomials.parameters}
        for symbol, e in polynomials.atoms.items():
            self._values[symbol] = np.array([float(e.evalf(30, subs=p)) for p in points[: 1 if e.is_number else None]])
        self._known: dict[PolyElement, bool] = {}
        self._decaying: dict[PolyElement, bool] = {}
        self._pairs: dict[tuple[PolyElement, PolyElement], bool] = {}

    def __call__(self, f: PolyElement) -> bool:
        if f not in self._known:
            self._known[f] = self._decide(f)
        return self._known[f]

    def is_unit(self, f: PolyElement) -> bool:
        """Whether f vanishes nowhere for a lag other than zero: a power of the lag times what vanishes nowhere."""
        f = self.polynomials.without_lag_factor(f)
        if not f or self.polynomials.in_lag(f):
            return False
        if len(f) > 1:
            return len(f) <= 4 and self(f)
        (monomial,) = f.itermonoms()
        gens = list(self.polynomials.gens.values())
        return all(self(g) for g, power in zip(gens, monomial) if power)

    def apart(self, f: PolyElement, g: PolyElement) -> bool:
        """Whether two polynomials in the lag share no zero: numbers that are coprime, or modes that all decay beside
        modes that do not."""
        free = [self._free(h) for h in (f, g)]
        if all(free):
            return self._coprime(f, g)
        if any(free):
            still, other = (f, g) if free[0] else (g, f)
            return self._persists(still) and self.decays(other)
        return False

    def _free(self, f: PolyElement) -> bool:
        names = list(self.polynomials.gens)
        used = {names[i] for m in f.itermonoms() for i, power in enumerate(m) if power and i}
        return all(s in self.polynomials.atoms and self.polynomials.atoms[s].is_number for s in used)

    def _in_lag(self, f: PolyElement) -> list[sp.Expr]:
        """Coefficients, that of the highest power of the lag first."""
        return list(sp.Poly(self.polynomials.expression(f), LAG).all_coeffs())

    def _coprime(self, f: PolyElement, g: PolyElement) -> bool:
        key = (f, g)
        if key not in self._pairs:
            values = [self._in_lag(h) for h in (f, g)]
            field = Field([c for v in values for c in v], np.random.default_rng(0))
            own = [[field.value(c) for c in v] for v in values]
            self._pairs[key] = all(v[0] for v in own) and len(gf_gcd(*own, field.p, sp.ZZ)) == 1
        return self._pairs[key]

    def _persists(self, f: PolyElement) -> bool:
        """Whether no mode of a polynomial of numbers decays: every zero in the lag has at most the size one."""
        roots = np.roots([float(c.evalf(25)) for c in self._in_lag(f)])
        return bool((np.abs(roots) <= 1 + 1e-10).all())

    def decays(self, f: PolyElement) -> bool:
        """Whether every mode is proved to decay for all parameters: every zero in the lag is larger than one."""
        if f not in self._decaying:
            self._decaying[f] = self._shown_to_decay(f)
        return self._decaying[f]

    def _shown_to_decay(self, f: PolyElement) -> bool:
        # In the eigenvalue, 1 / lag, the coefficients come in the opposite order.
        own = self._in_lag(f)[::-1]
        if not own[0].is_number:
            return False
        own = [sp.expand(c / own[0]) for c in own]
        for group in self.domain.stationary:
            if [-c for c in own[1:]] == list(group[: len(own) - 1]) and len(own) - 1 == len(group):
                return True
        if len(own) > 3:
            return False
        return all(positive(c, self.domain).positive is True for c in schur_conditions(own))

    def _decide(self, f: PolyElement) -> bool:
        if self.polynomials.in_lag(f):
            return False
        e = self.polynomials.expression(f)
        if isinstance(e, (sp.cos, sp.sin)) and not e.is_number:
            return self._no_zero_of_angle(e)
        if e.is_number:
            return bool(abs(e.evalf(40)) > sp.Float(10) ** -25)
        if isinstance(e, sp.Symbol):
            low, high = self.domain.intervals.get(e, (-sp.oo, sp.oo))
            return bool(e.is_nonzero) or bool(low >= 0) or bool(high <= 0)
        signs = np.sign(self._evaluated(f))
        known = signs[np.isfinite(signs)]
        if ((known > 0).any() and (known < 0).any()) or (known == 0).any():
            return False
        if len(e.free_symbols) > MOST_SYMBOLS or sum(map(max, zip(*f.itermonoms()))) > MOST_DEGREE:
            return False
        value = e if not len(known) or known[0] > 0 else -e
        return positive(value, self.domain).positive is True

    def _no_zero_of_angle(self, e: sp.Expr) -> bool:
        """A sine or cosine of c / s or c s, s an interval's symbol: whether the angles in between hold a zero."""
        angle = e.args[0]
        if len(angle.free_symbols) != 1:
            return False
        (s,) = angle.free_symbols
        low, high = self.domain.intervals.get(s, (-sp.oo, sp.oo))
        known = low.is_number and high.is_number and low >= 0
        if not (known and ((angle * s).is_number or (angle / s).is_number)):
            return False
        ends = [sp.limit(angle, s, low, "+"), sp.limit(angle, s, high, "-")]
        shift = 0 if isinstance(e, sp.sin) else sp.Rational(1, 2)
        turns = sorted(sp.oo * x if x.is_infinite else x / sp.pi - shift for x in ends)
        if any(t.is_infinite for t in turns):
            return False
        # Open ends: a zero exactly at one of them is outside.
        return bool(sp.floor(turns[0]) + 1 >= turns[1])

    def _evaluated(self, f: PolyElement) -> np.ndarray:
        gens = list(self.polynomials.gens)
        total = np.zeros(DRAWS)
        for monomial, c in f.iterterms():
            term = np.full(DRAWS, float(c))
            for g, power in zip(gens, monomial):
                if power and g != LAG:
                    term = term * self._values[g] ** power
            total = total + term
        return total
