"""Sparse polynomials over the fractions in the parameters and one lag variable, for matrices of rational expressions.

What is no polynomial in the parameters (exp(a), cos(w), a square root, a cosine of a fraction of the circle) becomes a
generator of its own; the relations that matter, r^2 = a for roots and c^2 + s^2 = 1, are divided out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import sympy as sp
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

LAG = sp.Symbol("z")
"""One row back: a mode with the eigenvalue 1 / z is one that z makes the matrix singular at."""
MOST_TERMS, MOST_DEGREE = 40, 12
"""Polynomials in several variables of more terms, or of a higher degree, are not factored."""
MOST_PRODUCT = {0: 10_000, 1: 1_000, 2: 40}
"""By the number of parameters in them, the product of degrees in the lag up to which two polynomials are eliminated."""
MOST_PRODUCT_OF_MANY, MOST_TERMS_OF_MANY = 6, 24


class Polynomials:
    """A ring that holds all of the given expressions, with the way in and out of it."""

    def __init__(self, expressions: Iterable[sp.Expr]) -> None:
        self._atoms: dict[sp.Expr, sp.Symbol] = {}
        self._factored: dict[PolyElement, list[PolyElement]] = {}
        known = [self._atomised(e) for e in expressions]
        known += [self._atomised(e.base) for e in list(self._atoms) if e.is_Pow]
        symbols = {s for e in known for s in e.free_symbols} - {LAG} - set(self._atoms.values())
        self.parameters = sorted(symbols, key=str)
        self._complete_circles()
        atoms = sorted(self._atoms.items(), key=lambda item: (not isinstance(item[0], sp.sin), str(item[0])))
        self.atoms = {s: e for e, s in atoms}
        self.ring = PolyRing([LAG, *self.atoms, *self.parameters], sp.QQ, lex)
        self.gens = dict(zip([LAG, *self.atoms, *self.parameters], self.ring.gens))
        self.relations = self._relations()

    # -------------------------------------------------------------------------------------------- in and out

    def _atomised(self, e: sp.Expr) -> sp.Expr:
        if e.is_Rational or e.is_Symbol:
            return e
        if e.is_Add or e.is_Mul:
            return e.func(*(self._atomised(a) for a in e.args))
        if e.is_Pow and e.exp.is_Integer:
            return self._atomised(e.base) ** e.exp
        if e.is_Pow and e.exp.is_Rational and e.exp.q == 2 and abs(e.exp.p) > 1:
            return self._atomised(sp.sqrt(e.base)) ** e.exp.p
        if e not in self._atoms:
            self._atoms[e] = sp.Dummy(str(e), real=True)
        return self._atoms[e]

    def _complete_circles(self) -> None:
        """Where the sine of an angle occurs, its cosine is there for the relation between them."""
        for e in list(self._atoms):
            if isinstance(e, sp.sin):
                self._atomised(sp.cos(e.args[0], evaluate=False))

    def _relations(self) -> list[PolyElement]:
        found = []
        for symbol, e in self.atoms.items():
            g = self.gens[symbol]
            if e.is_Pow and e.exp == sp.Rational(1, 2):
                found.append(g**2 - self._polynomial(self._atomised(e.base)))
            elif isinstance(e, sp.sin):
                other = self._atoms[sp.cos(e.args[0], evaluate=False)]
                found.append(g**2 + self.gens[other] ** 2 - 1)
            elif isinstance(e, sp.cos) and e.is_number:
                # cos(2 pi f) and cos(2 pi (1/4 - f)) are cosine and sine of one angle.
                for other, value in self.atoms.items():
                    if other != symbol and isinstance(value, sp.cos) and value.is_number and str(other) < str(symbol):
                        total = sp.Rational(1, 4) - (e.args[0] / (2 * sp.pi))
                        if abs(total) == abs(value.args[0] / (2 * sp.pi)):
                            found.append(g**2 + self.gens[other] ** 2 - 1)
        return found

    def _polynomial(self, e: sp.Expr) -> PolyElement:
        return self.ring.from_expr(sp.expand(e))

    def fraction(self, e: sp.Expr) -> tuple[PolyElement, PolyElement]:
        """Numerator and denominator of a rational expression."""
        top, bottom = sp.fraction(sp.together(self._atomised(e)))
        return self.reduce(self._polynomial(top)), self.reduce(self._polynomial(bottom))

    def reduce(self, f: PolyElement) -> PolyElement:
        """The polynomial modulo the relations."""
        return f.rem(self.relations) if self.relations and f else f

    def expression(self, f: PolyElement) -> sp.Expr:
        """As a sympy expression of the parameters, atoms written out."""
        return f.as_expr().xreplace(dict(self.atoms))

    # -------------------------------------------------------------------------------------------- questions

    def in_lag(self, f: PolyElement) -> bool:
        return any(m[0] for m in f.itermonoms())

    def lag_degree(self, f: PolyElement) -> int:
        return max((m[0] for m in f.itermonoms()), default=0)

    def without_lag_factor(self, f: PolyElement) -> PolyElement:
        """f with the power of the lag that divides it taken out: it is a unit where the lag is not zero."""
        if not f:
            return f
        low = min(m[0] for m in f.itermonoms())
        return self.ring.from_dict({(m[0] - low, *m[1:]): c for m, c in f.iterterms()}) if low else f

    def factors(self, f: PolyElement) -> list[PolyElement] | None:
        """The irreducible factors, constants left out; None where looking for them could take long."""
        if self.variables([f]) > 1 and (len(f) > MOST_TERMS or max(map(sum, f.itermonoms())) > MOST_DEGREE):
            return None
        if f not in self._factored:
            self._factored[f] = self._irreducible(f)
        return self._factored[f]

    def _irreducible(self, f: PolyElement) -> list[PolyElement]:
        """In the generators that occur, for sympy's recursive form is slow in many."""
        used = [i for i in range(self.ring.ngens) if any(m[i] for m in f.itermonoms())]
        if not used:
            return []
        if max(map(sum, f.itermonoms())) == 1:
            return [_primitive(f)]
        small = PolyRing([self.ring.symbols[i] for i in used], self.ring.domain, lex)
        inner = small.from_dict({tuple(m[i] for i in used): c for m, c in f.iterterms()})
        return [self._outer(g, used) for g, _ in inner.factor_list()[1]]

    def _outer(self, f: PolyElement, used: Sequence[int]) -> PolyElement:
        """The polynomial in some of the generators as one in all of them."""
        found = {}
        for m, c in f.iterterms():
            whole = [0] * self.ring.ngens
            for i, power in zip(used, m):
                whole[i] = power
            found[tuple(whole)] = c
        return self.ring.from_dict(found)

    def variables(self, found: Sequence[PolyElement]) -> int:
        """How many generators, the lag not counted, occur."""
        return len({i for f in found for m in f.itermonoms() for i, power in enumerate(m) if power and i})

    def resultant(self, f: PolyElement, g: PolyElement) -> PolyElement | None:
        """The eliminant of the lag: zero where both have a root in common, or both lose their highest power. None where
        it could take long."""
        many = self.variables([f, g])
        size = self.lag_degree(f) * self.lag_degree(g)
        if size > MOST_PRODUCT.get(many, MOST_PRODUCT_OF_MANY) or (many > 2 and len(f) + len(g) > MOST_TERMS_OF_MANY):
            return None
        used = [0, *sorted({i for h in (f, g) for m in h.itermonoms() for i, power in enumerate(m) if power and i})]
        small = PolyRing([self.ring.symbols[i] for i in used], self.ring.domain, lex)
        a, b = (small.from_dict({tuple(m[i] for i in used): c for m, c in h.iterterms()}) for h in (f, g))
        found = a.resultant(b)
        if len(used) == 1:
            return self.ring.ground_new(found)
        return self.reduce(self._outer(found, used[1:]))


def _primitive(f: PolyElement) -> PolyElement:
    """With whole coefficients that share no factor, the first of them positive: the form that factors have."""
    scale = math.lcm(*(int(c.denominator) for c in f.itercoeffs()))
    common = math.gcd(*(int(c * scale) for c in f.itercoeffs()))
    return f * sp.QQ(scale if f.LC > 0 else -scale, common)


def determinant(matrix: Sequence[Sequence[PolyElement]], ring: PolyRing) -> PolyElement:
    """By the fraction-free elimination of Bareiss (1968)."""
    a = [list(row) for row in matrix]
    n, sign, last = len(a), 1, ring.one
    for k in range(n - 1):
        pivot = next((i for i in range(k, n) if a[i][k]), None)
        if pivot is None:
            return ring.zero
        if pivot != k:
            a[k], a[pivot], sign = a[pivot], a[k], -sign
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                a[i][j] = (a[i][j] * a[k][k] - a[i][k] * a[k][j]).exquo(last)
        last = a[k][k]
    return a[-1][-1] * sign if n else ring.one


