"""Exact arithmetic at a random point: expressions and linear algebra in a finite field.

Parameters are drawn at random among the residues of a prime, square roots and cosines of fractions of the circle are
their own residues (the prime is chosen so that it has them). A rank that is full there is full for almost every value
of the parameters, by proof; one that is not is deficient everywhere but for an accident of probability degree / p
(Schwartz 1980, Zippel 1979), which a second point makes negligible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from ssmlang.analysis.algebra import sp

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
                base, steps = self._random(_step()), int(rest * self._parts)
                w = w * pow(base if steps > 0 else self.inverse(base), abs(steps), self.p) % self.p
            i = pow(self._root_of_unity, self._turns // 4, self.p)
            back, two = self.inverse(w), self.inverse(2)
            return (w + back) * two if isinstance(e, sp.cos) else (w - back) * two * self.inverse(i)
        half = self._random(sp.tan(angle / 2, evaluate=False))
        down = self.inverse(1 + half * half)
        return (1 - half * half) * down if isinstance(e, sp.cos) else 2 * half * down


@lru_cache(maxsize=1)
def _step() -> sp.Symbol:
    """Stands for exp(i / n), n the common denominator of all angles in radians that are fractions."""
    return sp.Dummy("exp(i/n)")


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
