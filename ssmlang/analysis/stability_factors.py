"""One factor of a characteristic polynomial: whether its roots lie inside the unit circle, on it or outside, and where
in the space of parameters."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_blocks import variable
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_modes import ON_CIRCLE, Mode, of_roots
from ssmlang.analysis.stability_numbers import LONG, opaque, rational, rough
from ssmlang.analysis.stability_polynomials import (
    MAX_DEGREE,
    cyclotomic_order,
    hurwitz_conditions,
    is_reciprocal,
    is_schur,
    schur_conditions,
)
from ssmlang.analysis.stability_signs import positive

Place = Literal["inside", "unity", "circle", "outside", "not inside", "depends", "unknown"]
"""Where the roots lie for every value allowed: all inside; roots of one; all on the circle; all on it or outside, with
one outside; not all inside (on the circle or outside); inside for some values only; not known."""
MAX_TERMS = 40
"""Conditions of more terms are not formed."""


@dataclass(frozen=True)
class Factor:
    """`coefficients`: highest power first. `conditions`: positive iff all roots are inside; those that hold for every
    value allowed are left out, unless all do. `witness`: values where a root is not inside."""

    coefficients: tuple[Any, ...]
    multiplicity: int
    place: Place
    order: int | None = None
    """n where the roots are the primitive n-th roots of one"""
    modes: tuple[Mode, ...] = ()
    """of a factor without parameters, or at the witness"""
    conditions: tuple[sp.Expr, ...] = ()
    declared: tuple[sp.Symbol, ...] = ()
    """the group declared `stationary` whose polynomial it is"""
    witness: Mapping[sp.Symbol, sp.Expr] | None = field(default=None)

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    @property
    def symbols(self) -> set[sp.Symbol]:
        return {s for c in self.coefficients for s in getattr(c, "free_symbols", ())}


def factors(polynomial: sp.Poly, domain: Domain, continuous: bool = False) -> Iterator[Factor]:
    """The irreducible factors of a characteristic polynomial, judged; `continuous`: inside is the left half plane, the
    circle the imaginary axis."""
    coefficients = polynomial.all_coeffs()
    if len(coefficients) == 1:
        return
    if any(r.q > LONG for c in coefficients for r in c.atoms(sp.Rational)):
        # Fractions of irrational numbers: no algebra finds their factors, and what would be found means nothing.
        found = [(polynomial, 1)]
    else:
        z, names = variable(), dict[sp.Expr, sp.Symbol]()
        expression = sp.Add(*(opaque(c, names) * z**k for k, c in enumerate(reversed(coefficients))))
        shown = {v: k for k, v in names.items()}
        found = [(sp.Poly(f.xreplace(shown), z), m) for f, m in sp.factor_list(expression)[1] if f.has(z)]
    for factor, multiplicity in sorted(found, key=lambda f: (f[0].degree(), str(f[0].as_expr()))):
        own = tuple(sp.sympify(c) for c in factor.all_coeffs())
        yield judge_continuous(own, multiplicity, domain) if continuous else judge(own, multiplicity, domain)


def judge(coefficients: tuple[sp.Expr, ...], multiplicity: int, domain: Domain) -> Factor:
    """Where the roots of one factor lie."""
    symbols = {s for c in coefficients for s in c.free_symbols}
    if not symbols:
        return _of_numbers(coefficients, multiplicity)
    sign = _leading(coefficients[0], domain)
    if sign is None:
        return Factor(coefficients, multiplicity, "unknown")
    if sign < 0:
        coefficients = tuple(sp.expand(-c) for c in coefficients)
    group = next((g for g in domain.stationary if coefficients == (1, *(-s for s in g))), None)
    if is_reciprocal(coefficients):
        place: Place = "circle" if _turns(coefficients, domain) else "not inside"
        return Factor(coefficients, multiplicity, place, modes=_somewhere(coefficients, domain))
    # The roots of q(z^k) lie where the k-th roots of those of q do: a season has its own coefficient alone.
    step = math.gcd(*(len(coefficients) - 1 - i for i, c in enumerate(coefficients) if c != 0))
    if (len(coefficients) - 1) // step > MAX_DEGREE:
        place = "inside" if group else "unknown"
        return Factor(coefficients, multiplicity, place, declared=group or ())
    conditions = schur_conditions(coefficients[::step])
    if group and all(len(sp.Add.make_args(g)) <= MAX_TERMS for g in conditions):
        return Factor(coefficients, multiplicity, "inside", conditions=tuple(conditions), declared=group)
    return _by_conditions(coefficients, multiplicity, domain, conditions, roots_at)


def judge_continuous(coefficients: tuple[sp.Expr, ...], multiplicity: int, domain: Domain) -> Factor:
    """Where the roots s of one factor lie, for d(x) = A x dt; their modes are those of exp(s), over a unit of time."""
    symbols = {s for c in coefficients for s in c.free_symbols}
    if not symbols:
        found = of_roots(_propagated([complex(r) for r in roots([rational(c) for c in coefficients])]))
        zero = len(coefficients) == 2 and coefficients[1] == 0
        place: Place = "unity" if zero else "inside"
        if not zero and found[0].kind != "stable":
            place = "outside" if found[0].kind == "explosive" else "circle"
        return Factor(coefficients, multiplicity, place, 1 if zero else None, found)
    sign = _leading(coefficients[0], domain)
    if sign is None or len(coefficients) - 1 > MAX_DEGREE:
        return Factor(coefficients, multiplicity, "unknown")
    coefficients = tuple(sp.expand(sign * c) for c in coefficients)
    at = lambda c, point: _propagated(roots_at(c, point))
    return _by_conditions(coefficients, multiplicity, domain, hurwitz_conditions(coefficients), at)


def _propagated(found: list[complex]) -> list[complex]:
    return [cmath.exp(s) for s in found]


def _by_conditions(
    coefficients: tuple[sp.Expr, ...],
    multiplicity: int,
    domain: Domain,
    conditions: list[sp.Expr],
    roots_of: Callable[[tuple[sp.Expr, ...], Mapping[sp.Symbol, sp.Expr]], list[complex]],
) -> Factor:
    """Prove or refute conditions, one by one."""
    symbols = {s for c in coefficients for s in c.free_symbols}
    if any(len(sp.Add.make_args(g)) > MAX_TERMS for g in conditions):
        return Factor(coefficients, multiplicity, "unknown")
    signs = [positive(g, domain, symbols) for g in conditions]
    if all(s.positive for s in signs):
        return Factor(coefficients, multiplicity, "inside", conditions=tuple(conditions))
    left = tuple(g for g, s in zip(conditions, signs) if not s.positive)
    refuted = [(g, s.witness) for g, s in zip(conditions, signs) if s.positive is False and s.witness is not None]
    if not refuted:
        return Factor(coefficients, multiplicity, "unknown", conditions=left)
    # One that no value allowed meets says more than one that some do not.
    never = next((r for r in refuted if r[0] == 0 or positive(-r[0], domain).positive), None)
    place: Place = "depends" if never is None else "not inside"
    _, witness = refuted[0] if never is None else never
    assert witness is not None
    at = roots_of(coefficients, witness)
    return Factor(coefficients, multiplicity, place, None, of_roots(at), left, (), dict(witness))


def _of_numbers(coefficients: tuple[sp.Expr, ...], multiplicity: int) -> Factor:
    exact = [rational(c) for c in coefficients]
    order = cyclotomic_order(coefficients)
    found = of_roots(roots(exact))
    place: Place
    if order is not None:
        place = "unity"
    elif is_schur(exact) and found[0].modulus < 1 - ON_CIRCLE:
        place = "inside"
    elif found[0].kind == "explosive":
        place = "outside"
    elif is_reciprocal(coefficients) and all(m.kind == "marginal" for m in found):
        place = "circle"
    elif any(rough(c) for c in coefficients):
        # Within rounding of the circle, and the numbers are rounded.
        place = "circle"
    else:
        place = "inside" if is_schur(exact) else "unknown"
    return Factor(coefficients, multiplicity, place, order, found)


def roots(coefficients: list[Fraction]) -> list[complex]:
    """Numeric roots, to about 15 digits where they are simple."""
    with sp.evaluate(True):
        poly = sp.Poly([sp.Rational(c.numerator, c.denominator) for c in coefficients], variable())
    try:
        return [complex(r) for r in poly.nroots(n=20, maxsteps=200)]
    except sp.polys.polyerrors.PolynomialError:
        return [complex(r) for r in np.roots([float(c) for c in coefficients])]


def roots_at(coefficients: tuple[sp.Expr, ...], point: Mapping[sp.Symbol, sp.Expr]) -> list[complex]:
    """The roots at values of the parameters."""
    return roots([rational(c.xreplace(dict(point))) for c in coefficients])


def _turns(coefficients: tuple[sp.Expr, ...], domain: Domain) -> bool:
    """Whether both roots of z^2 - 2 c z + 1 lie on the circle for every value allowed: c is a cosine, or |c| < 1."""
    if len(coefficients) != 3 or coefficients[0] != 1 or coefficients[2] != 1:
        return False
    cosine = -coefficients[1] / 2
    if isinstance(cosine, sp.cos) or isinstance(-cosine, sp.cos):
        return True
    return all(positive(g, domain).positive for g in (1 - cosine, 1 + cosine))


def _leading(leading: sp.Expr, domain: Domain) -> int | None:
    if leading.is_number:
        return 1 if leading > 0 else -1
    if positive(leading, domain).positive:
        return 1
    return -1 if positive(-leading, domain).positive else None


def _somewhere(coefficients: tuple[sp.Expr, ...], domain: Domain) -> tuple[Mode, ...]:
    """The modes at some values allowed."""
    from ssmlang.analysis.stability_domain import sample

    symbols = sorted({s for c in coefficients for s in c.free_symbols}, key=str)
    point = next(iter(sample(symbols, domain)), None)
    return of_roots(roots_at(coefficients, point)) if point is not None else ()
