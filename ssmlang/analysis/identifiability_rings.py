"""The two arithmetics in which the law of the observations is differentiated: a prime field, and real numbers.

In the field every number is exact, so that a rank is a rank: a matrix of full rank at one random point is of full rank
at almost every point (Schwartz 1980, Zippel 1979), which is a proof. Functions that are not algebraic (exp, cos, ...)
have a random value for each argument, with the derivatives and the relations that identities between them demand.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import numpy as np

from ssmlang.analysis import normal
from ssmlang.analysis.residues import PRIME

P = PRIME
"""The prime; p = 3 (mod 4), so that a square root is a power."""
_HALF, _SHORT = 16, 64
Array = np.ndarray


class NoRoot(Exception):
    """A number has no square root in the field: the random point is drawn again."""


class Singular(NoRoot):
    """A matrix that is to be inverted has no inverse at the random point."""


class Unsupported(Exception):
    """Something has no meaning in this arithmetic; the reason in a few words."""


class Ring(Protocol):
    """What the law of the observations needs of numbers."""

    exact: bool

    def number(self, x: Any) -> Array: ...
    def reduce(self, x: Array) -> Array: ...
    def mul(self, a: Array, b: Array) -> Array: ...
    def matmul(self, a: Array, b: Array) -> Array: ...
    def reciprocal(self, a: Array) -> Array: ...
    def inverse(self, a: Array) -> Array: ...
    def function(self, name: str, u: Array) -> tuple[Array, Array]: ...


class Reals:
    """Double precision."""

    exact = False

    def number(self, x: Any) -> Array:
        return np.asarray(x, float)

    def reduce(self, x: Array) -> Array:
        return x

    def mul(self, a: Array, b: Array) -> Array:
        return a * b

    def matmul(self, a: Array, b: Array) -> Array:
        return a @ b

    def reciprocal(self, a: Array) -> Array:
        with np.errstate(all="ignore"):
            return 1.0 / a

    def inverse(self, a: Array) -> Array:
        try:
            return np.linalg.inv(a)
        except np.linalg.LinAlgError as trouble:
            raise Singular from trouble

    def function(self, name: str, u: Array) -> tuple[Array, Array]:
        """Value and derivative."""
        if name in ("lgamma", "gamma"):
            return _gamma(name, np.asarray(u, float))
        table: dict[str, Callable[[Array], tuple[Array, Array]]] = {
            "exp": lambda u: (np.exp(u), np.exp(u)),
            "log": lambda u: (np.log(u), 1 / u),
            "sqrt": lambda u: (np.sqrt(u), 0.5 / np.sqrt(u)),
            "sin": lambda u: (np.sin(u), np.cos(u)),
            "cos": lambda u: (np.cos(u), -np.sin(u)),
            "asin": lambda u: (np.arcsin(u), 1 / np.sqrt(1 - u**2)),
            "acos": lambda u: (np.arccos(u), -1 / np.sqrt(1 - u**2)),
            "atan": lambda u: (np.arctan(u), 1 / (1 + u**2)),
            "normal_cdf": lambda u: (normal.cdf(u), np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)),
        }
        with np.errstate(all="ignore"):
            return table[name](np.asarray(u, float))


def _gamma(name: str, u: Array) -> tuple[Array, Array]:
    from scipy import special  # takes long to import, and few models need it

    value, slope = special.gammaln(u), special.digamma(u)
    return (value, slope) if name == "lgamma" else (special.gamma(u), special.gamma(u) * slope)


class PrimeField:
    """Integers modulo `P`, with seeded random values for what is not algebraic."""

    exact = True

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self._exp: dict[int, int] = {0: 1}
        self._exponents: Array = np.zeros(1, np.int64)
        self._met = 0
        self._log: dict[int, int] = {1: 0}
        self._angle: dict[int, tuple[int, int]] = {0: (0, 1)}
        self._other: dict[tuple[str, int], tuple[int, int]] = {}

    def draw(self) -> int:
        return int(self.random.integers(2, P - 2))

    def number(self, x: Any) -> Array:
        """Floats as the fractions they are, short ones as the decimal or fraction that was meant."""
        x = np.asarray(x)
        if x.dtype.kind in "biu":
            return np.mod(x.astype(np.int64), P)
        unique, where = np.unique(x, return_inverse=True)
        known = np.array([_residue(float(v)) for v in unique], np.int64)
        return known[where].reshape(x.shape)

    def reduce(self, x: Array) -> Array:
        return np.mod(x, P)

    def mul(self, a: Array, b: Array) -> Array:
        return np.mod(a * b, P)

    def matmul(self, a: Array, b: Array) -> Array:
        """Exact in double precision, where sums of products stay below 2^53: one factor by halves of 16 bits for sums
        of up to 2^6 products, both for sums of up to 2^20.

        P is 2^31 - 1, so that 2^31 counts as 1 and 2^32 as 2, and a remainder is a sum of bits without a division.
        """
        if a.shape[-1] <= _SHORT:
            return self._matmul_short(a, b)
        a1, a0 = (a >> _HALF).astype(float), (a & 0xFFFF).astype(float)
        b1, b0 = (b >> _HALF).astype(float), (b & 0xFFFF).astype(float)
        middle = (a1 @ b0 + a0 @ b1).astype(np.int64)
        middle = (middle & P) + (middle >> 31)
        total = (2 * (a1 @ b1) + a0 @ b0).astype(np.int64) + (middle << _HALF)
        total = (total & P) + (total >> 31)
        return np.asarray(np.where(total >= P, total - P, total))

    def _matmul_short(self, a: Array, b: Array) -> Array:
        if a.size <= b.size:
            whole = b.astype(float)
            high, low = (a >> _HALF).astype(float) @ whole, (a & 0xFFFF).astype(float) @ whole
        else:
            whole = a.astype(float)
            high, low = whole @ (b >> _HALF).astype(float), whole @ (b & 0xFFFF).astype(float)
        top = high.astype(np.int64)
        top = (top & P) + (top >> 31)
        total = low.astype(np.int64) + (top << _HALF)
        total = (total & P) + (total >> 31)
        return np.asarray(np.where(total >= P, total - P, total))

    def reciprocal(self, a: Array) -> Array:
        if np.any(a == 0):
            raise NoRoot
        return power(a, P - 2)

    def inverse(self, a: Array) -> Array:
        """Gauss-Jordan elimination."""
        n = a.shape[-1]
        work = np.concatenate([a, np.eye(n, dtype=np.int64)], axis=1)
        for k in range(n):
            pivots = np.flatnonzero(work[k:, k])
            if not len(pivots):
                raise Singular
            i = k + int(pivots[0])
            if i != k:
                work[[k, i]] = work[[i, k]]
            work[k] = work[k] * pow(int(work[k, k]), P - 2, P) % P
            factors = work[:, k].copy()
            factors[k] = 0
            rows = np.flatnonzero(factors)
            work[rows] = np.mod(work[rows] - factors[rows, None] * work[k] % P, P)
        return work[:, n:]

    def function(self, name: str, u: Array) -> tuple[Array, Array]:
        """Value and derivative, entry by entry."""
        one = getattr(self, f"_one_{name}", None) or (lambda v: self._unrelated(name, v))
        pairs = np.array([one(int(v)) for v in u.reshape(-1)], np.int64).reshape(*u.shape, 2)
        return pairs[..., 0], pairs[..., 1]

    def _one_exp(self, u: int) -> tuple[int, int]:
        if u not in self._exp:
            found = self._exp_of_sum(u) or self._exp_of_part(u)
            self._exp[u] = found
            self._log.setdefault(found, u)
        return self._exp[u], self._exp[u]

    def _exp_of_sum(self, u: int) -> int | None:
        """exp(v) exp(w) for known ones with v + w = u, or exp(v) / exp(w) with v - w = u; the first v that was met."""
        known = self._known_exponents()
        hits = np.flatnonzero(np.isin(np.mod(u - known, P), known))
        if len(hits):
            v = int(known[hits[0]])
            return self._exp[v] * self._exp[(u - v) % P] % P
        hits = np.flatnonzero(np.isin(np.mod(known - u, P), known))
        if len(hits):
            v = int(known[hits[0]])
            return self._exp[v] * pow(self._exp[(v - u) % P], P - 2, P) % P
        return None

    def _known_exponents(self) -> Array:
        """The keys of `_exp` in the order in which they came."""
        count = len(self._exp)
        if count > len(self._exponents):
            self._exponents = np.concatenate([self._exponents, np.zeros(count, np.int64)])
        if count > self._met:
            self._exponents[self._met : count] = list(islice(self._exp, self._met, None))
            self._met = count
        return self._exponents[:count]

    def _exp_of_part(self, u: int) -> int:
        """From exp(-u), or anew, with exp(u / 2) and exp(u / 4) known too so that they agree when they are met."""
        if P - u in self._exp:
            return pow(self._exp[P - u], P - 2, P)
        value, quarter = self.draw(), u * pow(4, P - 2, P) % P
        for v in (quarter, 2 * quarter % P):
            self._exp.setdefault(v, value)
            value = value * value % P
        return value

    def _one_log(self, u: int) -> tuple[int, int]:
        if u == 0:
            raise NoRoot
        below = pow(u, P - 2, P)
        if u not in self._log:
            found = next((v + self._log[u * pow(w, P - 2, P) % P] for w, v in self._log.items()
                          if w != 1 and u * pow(w, P - 2, P) % P in self._log), None)  # fmt: skip
            if found is None and below in self._log:
                found = -self._log[below]
            self._log[u] = found % P if found is not None else self.draw()
            self._exp.setdefault(self._log[u], u)
        return self._log[u], below

    def _one_sqrt(self, u: int) -> tuple[int, int]:
        root = pow(u, (P + 1) // 4, P)
        if root * root % P != u or u == 0:
            raise NoRoot
        return root, pow(2 * root % P, P - 2, P)

    def _circle(self, u: int) -> tuple[int, int]:
        """(sin, cos) of an angle: a random rational point of the circle, the same as sums of known angles give."""
        if u not in self._angle:
            self._angle[u] = self._sum_of_angles(u) or self._new_angle(u)
        return self._angle[u]

    def _sum_of_angles(self, u: int) -> tuple[int, int] | None:
        for v, (s, c) in self._angle.items():
            for sign in (1, -1):
                rest = sign * (u - v) % P
                if v and rest and rest in self._angle:
                    s2, c2 = self._angle[rest][0] * sign, self._angle[rest][1]
                    return (s * c2 + c * s2) % P, (c * c2 - s * s2) % P
        if P - u in self._angle:
            s, c = self._angle[P - u]
            return -s % P, c
        return None

    def _new_angle(self, u: int) -> tuple[int, int]:
        slope, quarter = self.draw(), u * pow(4, P - 2, P) % P
        below = pow((1 + slope * slope) % P, P - 2, P)
        s, c = 2 * slope * below % P, (1 - slope * slope) * below % P
        for v in (quarter, 2 * quarter % P):
            self._angle.setdefault(v, (s, c))
            s, c = 2 * s * c % P, (c * c - s * s) % P
        return s, c

    def _one_sin(self, u: int) -> tuple[int, int]:
        s, c = self._circle(u)
        return s, c

    def _one_cos(self, u: int) -> tuple[int, int]:
        s, c = self._circle(u)
        return c, -s % P

    def _one_atan(self, u: int) -> tuple[int, int]:
        below = (1 + u * u) % P
        if not below:
            raise NoRoot
        return self._unrelated("atan", u)[0], pow(below, P - 2, P)

    def _unrelated(self, name: str, u: int) -> tuple[int, int]:
        """A function that has no relation to others here: value and derivative at random."""
        if (name, u) not in self._other:
            self._other[name, u] = (self.draw(), self.draw())
        return self._other[name, u]


def power(a: Array, n: int) -> Array:
    """a^n modulo P, n >= 0."""
    result, base = np.ones_like(a), a
    while n:
        if n & 1:
            result = np.mod(result * base, P)
        base = np.mod(base * base, P)
        n >>= 1
    return result


@lru_cache(maxsize=4096)
def _residue(x: float) -> int:
    if not np.isfinite(x):
        raise Unsupported("a number is not finite")
    exact = Fraction(x)
    short = exact.limit_denominator(100_000)
    meant = short if abs(short - exact) <= abs(exact) * Fraction(1, 2**50) else exact
    return meant.numerator % P * pow(meant.denominator % P, P - 2, P) % P
