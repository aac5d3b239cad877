"""Exact arithmetic at a random point: expressions and linear algebra in a finite field.

Parameters are drawn at random among the residues of a prime, square roots and cosines of fractions of the circle are
their own residues (the prime is chosen so that it has them). A rank that is full there is full for almost every value
of the parameters, by proof; one that is not is deficient everywhere but for an accident of probability degree / p
(Schwartz 1980, Zippel 1979), which a second point makes negligible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sympy as sp

LEAST, MOST = 2**24, 2**26
"""Primes between these: sums of 2^11 products of two residues still fit 63 bits."""


class Impossible(ArithmeticError):
    """The point is a pole of an expression."""


class Field:
    """Residues of a prime with a value for each symbol. `fixed` gives some of them; `value` evaluates an expression."""

    def __init__(self, expressions: Iterable[sp.Expr], rng: np.random.Generator) -> None:
        roots: set[sp.Expr] = set()
        turns, self._parts = 4, 1
        for e in expressions:
            for a in sp.preorder_traversal(e):
                if isinstance(a, sp.Pow) and a.exp.is_Rational and a.exp.q == 2 and a.base.is_Rational:
                    roots |= {sp.Integer(f) for f in (a.base.p, a.base.q)}
                elif isinstance(a, (sp.cos, sp.sin)) and a.is_number:
                    turn, rest = _angle(a.args[0])
                    turns, self._parts = math.lcm(turns, int(turn.q)), math.lcm(self._parts, int(rest.q))
        self.rng = rng
        self.p = self._prime(turns, roots)
        self._turns = turns
        self._root_of_unity = self._unity(turns)
        self.values: dict[sp.Expr, int] = {}
        self._memo: dict[sp.Expr, int] = {}

    def _prime(self, turns: int, roots: set[sp.Expr]) -> int:
        start = int(self.rng.integers(LEAST, LEAST + (MOST - LEAST) // 4)) // turns * turns + 1
        for p in range(start, MOST, turns):
            if sp.isprime(p) and all(r == 0 or pow(int(r) % p, (p - 1) // 2, p) == 1 for r in roots):
                return p
        raise Impossible("no prime has all these roots")

    def _unity(self, order: int) -> int:
        """An element of this multiplicative order."""
        factors = list(sp.factorint(order))
        while True:
            w = pow(int(self.rng.integers(2, self.p)), (self.p - 1) // order, self.p)
            if all(pow(w, order // f, self.p) != 1 for f in factors):
                return w

    def inverse(self, a: int) -> int:
        if a % self.p == 0:
            raise Impossible("division by zero")
        return pow(a, -1, self.p)

    def at(self, fixed: Mapping[sp.Expr, int]) -> None:
        """Move to another random point, where some symbols have given values."""
        self.values = dict(fixed)
        self._memo = {}

    def value(self, e: sp.Expr) -> int:
        if e not in self._memo:
            self._memo[e] = self._value(e) % self.p
        return self._memo[e]

    def _value(self, e: sp.Expr) -> int:
        if e.is_Rational:
            return int(e.p) * self.inverse(int(e.q))
        if e.is_Symbol:
            return self._random(e)
        if e.is_Add:
            return sum(self.value(a) for a in e.args)
        if e.is_Mul:
            return math.prod(self.value(a) for a in e.args)
        if e.is_Pow:
            return self._power(e)
        if isinstance(e, (sp.cos, sp.sin)):
            return self._circle(e)
        # Any other function of the parameters takes values of its own.
        return self._random(e)

    def _random(self, e: sp.Expr) -> int:
        if e not in self.values:
            self.values[e] = int(self.rng.integers(1, self.p))
        return self.values[e]

    def _power(self, e: sp.Pow) -> int:
        base, exponent = e.args
        if exponent.is_Integer:
            b = self.value(base)
            return pow(b, int(exponent), self.p) if exponent >= 0 else pow(self.inverse(b), -int(exponent), self.p)
        if exponent.is_Rational and exponent.q == 2 and base.is_Rational:
            root = self._root(int(base.p)) * self.inverse(self._root(int(base.q)))
            whole = int(exponent.p)
            return pow(root % self.p, whole, self.p) if whole >= 0 else pow(self.inverse(root), -whole, self.p)
        return self._random(e)

    def _root(self, number: int) -> int:
        root = sp.sqrt_mod(number % self.p, self.p)
        if root is None:
            raise Impossible("no root")
        return int(root)

    def _circle(self, e: sp.Expr) -> int:
        (angle,) = e.args
        if e.is_number:
            turn, rest = _angle(angle)
            w = pow(self._root_of_unity, int(turn.p) * (self._turns // int(turn.q)) % self._turns, self.p)
            if rest:
                # exp(i / n) is transcendental (Lindemann 1882): at a random point it is any number, its powers follow.
                base, steps = self._random(_STEP), int(rest * self._parts)
                w = w * pow(base if steps > 0 else self.inverse(base), abs(steps), self.p) % self.p
            i = pow(self._root_of_unity, self._turns // 4, self.p)
            back, two = self.inverse(w), self.inverse(2)
            return (w + back) * two if isinstance(e, sp.cos) else (w - back) * two * self.inverse(i)
        half = self._random(sp.tan(angle / 2, evaluate=False))
        down = self.inverse(1 + half * half)
        return (1 - half * half) * down if isinstance(e, sp.cos) else 2 * half * down


_STEP = sp.Dummy("exp(i/n)")
"""Stands for exp(i / n), n the common denominator of all angles in radians that are fractions."""


def _angle(angle: sp.Expr) -> tuple[sp.Rational, sp.Rational]:
    """A number as a fraction of the circle plus a fraction of a radian."""
    turn = angle.coeff(sp.pi) / 2 if angle.has(sp.pi) else sp.S.Zero
    rest = sp.expand(angle - 2 * sp.pi * turn)
    if not (turn.is_Rational and rest.is_Rational):
        raise Impossible(f"the angle {angle} is no fraction")
    return turn, rest


def matrix(entries: Mapping[tuple[int, int], sp.Expr], shape: tuple[int, int], field: Field) -> np.ndarray:
    """A sparse symbolic matrix at the field's point."""
    found = np.zeros(shape, np.int64)
    for (i, j), v in entries.items():
        found[i, j] = field.value(v)
    return found


def reduced(a: np.ndarray, p: int) -> tuple[np.ndarray, list[int]]:
    """The reduced row echelon form without zero rows, and its pivot columns."""
    a = a % p
    pivots: list[int] = []
    row = 0
    for col in range(a.shape[1]):
        below = np.flatnonzero(a[row:, col])
        if not len(below):
            continue
        first = row + int(below[0])
        if first != row:
            a[[row, first]] = a[[first, row]]
        a[row] = a[row] * pow(int(a[row, col]), -1, p) % p
        others = np.flatnonzero(a[:, col])
        others = others[others != row]
        if len(others):
            a[others] = (a[others] - a[others, col][:, None] * a[row] % p) % p
        pivots.append(col)
        row += 1
        if row == len(a):
            break
    return a[:row], pivots


def null_space(a: np.ndarray, p: int) -> np.ndarray:
    """A basis of {v: a v = 0} as rows, in reduced form from the last column on: each has a one where no other has."""
    n = a.shape[1]
    echelon, pivots = reduced(a[:, ::-1].copy(), p)
    free = [j for j in range(n) if j not in pivots]
    found = np.zeros((len(free), n), np.int64)
    for k, j in enumerate(free):
        found[k, j] = 1
        for row, pivot in enumerate(pivots):
            found[k, pivot] = -echelon[row, j] % p
    basis = found[:, ::-1]
    return reduced(basis.copy(), p)[0]


def unseen(F: np.ndarray, H: np.ndarray, p: int) -> np.ndarray:
    """(d, n): a basis, in reduced form, of the states whose observations are zero for ever: the null space of H,
    H F, H F^2 and so on."""
    seen = Span(F.shape[0], p)
    new = seen.extend(H)
    while len(new) and seen.size < F.shape[0]:
        new = seen.extend(new @ F % p)
    return null_space(seen.rows, p) if seen.size else np.eye(F.shape[0], dtype=np.int64)


class Span:
    """A growing space of rows, kept in reduced echelon form so that a new row costs one product with it."""

    def __init__(self, width: int, p: int) -> None:
        self.p, self.size = p, 0
        self._rows = np.zeros((width, width), np.int64)
        self._pivots: list[int] = []

    @property
    def rows(self) -> np.ndarray:
        return self._rows[: self.size]

    def extend(self, rows: np.ndarray) -> np.ndarray:
        """Add rows; those parts of them that are new are returned."""
        first = self.size
        for row in rows:
            row = (row - row[self._pivots] @ self.rows) % self.p
            at = np.flatnonzero(row)
            if not len(at):
                continue
            pivot = int(at[0])
            row = row * pow(int(row[pivot]), -1, self.p) % self.p
            others = np.flatnonzero(self.rows[:, pivot])
            if len(others):
                self._rows[others] = (self._rows[others] - self._rows[others, pivot][:, None] * row) % self.p
            self._rows[self.size] = row
            self._pivots.append(pivot)
            self.size += 1
        return self._rows[first : self.size].copy()


def as_fraction(residue: int, p: int) -> tuple[int, int] | None:
    """The fraction with small numerator and denominator that a residue stands for (Wang 1981)."""
    bound = math.isqrt(p // 8)
    r0, r1, s0, s1 = p, residue % p, 0, 1
    while r1 > bound:
        q = r0 // r1
        r0, r1, s0, s1 = r1, r0 - q * r1, s1, s0 - q * s1
    if s1 == 0 or abs(s1) > bound:
        return None
    return (r1, s1) if s1 > 0 else (-r1, -s1)


def fractions(basis: np.ndarray, p: int) -> list[list[Any]] | None:
    """A basis with entries as sympy fractions; None where one is too large to be meant."""
    rows = []
    for row in basis:
        found = [as_fraction(int(v), p) for v in row]
        if any(f is None or abs(f[0]) > 200 or f[1] > 200 for f in found):
            return None
        rows.append([sp.Rational(*f) for f in found])  # type: ignore[misc]
    return rows
