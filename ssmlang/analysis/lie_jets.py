"""Numbers that carry their derivatives: by the first state, and in continuous time by time.

A jet holds Taylor coefficients in time, each with its gradient by the entries of the first state (forward
differentiation over truncated power series; Griewank & Walther 2008, chapters 3 and 13), in double precision or as
residues modulo a prime. Residues are exact: a matrix of full rank modulo a prime at one point has full rank at almost
every point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ssmlang.analysis.scalars import PLAIN, Unsupported, rational
from ssmlang.model import _numeric as numeric


class Jet:
    """`a` (order + 1, 1 + n): Taylor coefficients, each a value followed by its gradient. `prime` 0: doubles."""

    __slots__ = ("a", "prime")

    def __init__(self, a: np.ndarray, prime: int) -> None:
        self.a, self.prime = a, prime

    @property
    def value(self) -> Any:
        return self.a[0, 0]

    def _made(self, a: np.ndarray) -> Jet:
        return Jet(a % self.prime if self.prime else a, self.prime)

    def __add__(self, other: Any) -> Jet:
        if isinstance(other, Jet):
            return self._made(self.a + other.a)
        a = self.a.copy()
        a[0, 0] += other % self.prime if self.prime else other
        return self._made(a)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        return self._made(-self.a)

    def __sub__(self, other: Any) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Any) -> Jet:
        return -self + other

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return self._made(self.a * (other % self.prime if self.prime else other))
        a, b, p = self.a, other.a, self.prime
        if len(a) == 1:
            return Jet(_times(a[0], b[0], p)[None, :], p)
        found = np.zeros_like(a)
        for i in range(len(a)):
            for j in range(len(a) - i):
                found[i + j] += _times(a[i], b[j], p)
            if p:
                found %= p
        return Jet(found, p)

    __rmul__ = __mul__

    def reciprocal(self) -> Jet:
        a, p = self.a, self.prime
        if p and int(a[0, 0]) % p == 0:
            raise ZeroDivisionError
        y = np.zeros_like(a)
        inverse = pow(int(a[0, 0]), -1, p) if p else 1 / a[0, 0]
        y[0, 0] = inverse
        square = inverse * inverse % p if p else inverse * inverse
        y[0, 1:] = -a[0, 1:] * square
        if p:
            y[0] %= p
        for k in range(1, len(a)):
            total = np.zeros(a.shape[1], a.dtype)
            for j in range(1, k + 1):
                total += _times(a[j], y[k - j], p)
                if p:
                    total %= p
            y[k] = -_times(total, y[0], p)
            if p:
                y[k] %= p
        return Jet(y, p)


def _times(u: np.ndarray, v: np.ndarray, prime: int) -> np.ndarray:
    """The product of two numbers with gradients."""
    if prime:
        found = u[0] * v % prime
        found[1:] = (found[1:] + v[0] * u[1:]) % prime
        return found
    found = u[0] * v
    found[1:] += v[0] * u[1:]
    return found


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _digamma(x: float) -> float:
    from scipy import special  # takes long to import, and few models need it

    return float(special.digamma(x))


Derivative = Callable[[float], float]
_SLOPES: dict[str, Derivative] = {
    "exp": math.exp, "expm1": math.exp, "log": lambda x: 1 / x, "log1p": lambda x: 1 / (1 + x),
    "sqrt": lambda x: 0.5 / math.sqrt(x), "sin": math.cos, "cos": lambda x: -math.sin(x),
    "tan": lambda x: 1 / math.cos(x) ** 2, "asin": lambda x: 1 / math.sqrt(1 - x * x),
    "acos": lambda x: -1 / math.sqrt(1 - x * x), "atan": lambda x: 1 / (1 + x * x),
    "tanh": lambda x: 1 - math.tanh(x) ** 2, "abs": lambda x: math.copysign(1.0, x), "relu": lambda x: float(x > 0),
    "sigmoid": lambda x: logistic(x) * logistic(-x), "softplus": logistic,
    "logit": lambda x: 1 / (x * (1 - x)), "lgamma": _digamma,
    "gamma": lambda x: math.gamma(x) * _digamma(x),
    "normal_cdf": lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi),
}  # fmt: skip


class Jets:
    """`scalars.Arithmetic` of jets of `n` derivatives and an order in time; plain numbers stand for constants.

    Raises Unsupported for what residues or series do not have, ZeroDivisionError, ValueError or OverflowError where
    there is no value.
    """

    def __init__(self, n: int, order: int = 0, prime: int = 0) -> None:
        self.n, self.order, self.prime = n, order, prime
        self.plain = True
        """Whether every constant so far is a number that a person writes."""

    def variable(self, value: Any, which: int) -> Jet:
        """The entry of the first state with this number."""
        a = np.zeros((self.order + 1, 1 + self.n), np.int64 if self.prime else float)
        a[0, 0], a[0, 1 + which] = value, 1
        return Jet(a, self.prime)

    def constant(self, value: Any) -> Any:
        if not self.prime:
            return float(value)
        fraction = rational(value)
        self.plain = self.plain and fraction.denominator <= 10**12
        return fraction.numerator * pow(fraction.denominator, -1, self.prime) % self.prime

    def unary(self, op: str, x: Any) -> Any:
        if op == "neg":
            return -x if isinstance(x, Jet) or not self.prime else -x % self.prime
        if self.prime:
            raise Unsupported(f"`{op}` has no residue")
        if not isinstance(x, Jet):
            with np.errstate(all="ignore"):
                return float(numeric.UNARY[op](x))
        if op not in _SLOPES:
            raise Unsupported(f"`{op}` has no derivative")
        if self.order:
            return self._series(op, x)
        with np.errstate(all="ignore"):
            a = x.a * _SLOPES[op](float(x.value))
            a[0, 0] = numeric.UNARY[op](x.value)
        return Jet(a, 0)

    def binary(self, op: str, a: Any, b: Any) -> Any:
        p = self.prime
        if op in PLAIN:
            found = PLAIN[op](a, b)
            return found % p if p and op == "mul" and not isinstance(found, Jet) else found
        if op == "div":
            return self._over(a, b)
        if op == "pow":
            return self._power(a, b)
        if p and op in numeric.PREDICATES and not isinstance(a, Jet) and not isinstance(b, Jet):
            return bool(numeric.BINARY[op](*(int(v) - p if v > p // 2 else int(v) for v in (a, b))))
        if p:
            raise Unsupported(f"`{op}` has no residue")
        first, second = (float(v.value) if isinstance(v, Jet) else v for v in (a, b))
        if op in ("maximum", "minimum"):
            return a if (first >= second) == (op == "maximum") else b
        if op == "atan2":
            return self._atan2(a, b)
        if op == "mod" and not isinstance(b, Jet):
            return a - second * math.floor(first / second)
        if op in numeric.PREDICATES:
            return bool(numeric.BINARY[op](first, second))
        raise Unsupported(f"`{op}` has no derivative")

    def where(self, test: Any, then: Any, otherwise: Any) -> Any:
        return then if test else otherwise

    def _over(self, a: Any, b: Any) -> Any:
        if isinstance(b, Jet):
            return b.reciprocal() * a
        if self.prime:
            return self.binary("mul", a, pow(int(b), -1, self.prime)) if b % self.prime else _no_value()
        return a * (1 / b)

    def _power(self, a: Any, b: Any) -> Any:
        if not isinstance(b, Jet):
            # An exponent that was a constant is a whole number, or its residue is large.
            whole = float(b) == round(float(b)) and abs(float(b)) <= 64
            if not whole and self.prime and b >= self.prime - 64:
                b, whole = b - self.prime, True
            if whole:
                return self._whole_power(a, round(float(b)))
        if self.prime:
            raise Unsupported("a power that is no whole number has no residue")
        if not isinstance(a, Jet) and not isinstance(b, Jet):
            return float(a) ** float(b)
        return self.unary("exp", b * self.unary("log", a))

    def _whole_power(self, a: Any, n: int) -> Any:
        if n < 0:
            return self._over(self.constant(1), self._whole_power(a, -n))
        found: Any = 1 if self.prime else 1.0
        for _ in range(n):
            found = self.binary("mul", a, found)
        return found

    def _atan2(self, y: Any, x: Any) -> Any:
        if self.order:
            raise Unsupported("`atan2` has no series here")
        of = lambda v: v.a if isinstance(v, Jet) else np.array([[v, *([0.0] * self.n)]])
        u, v = of(y), of(x)
        a = (v[0, 0] * u - u[0, 0] * v) / (u[0, 0] ** 2 + v[0, 0] ** 2)
        a[0, 0] = math.atan2(u[0, 0], v[0, 0])
        return Jet(a, 0)

    # ----------------------------------------------------------------------------------------------- power series

    def _series(self, op: str, x: Jet) -> Jet:
        """Functions of a series by the recurrences of their differential equations."""
        one = lambda y: y * 1.0
        match op:
            case "exp":
                return self._recur(x, lambda y: [y[0]], [math.exp])[0]
            case "expm1":
                return self.unary("exp", x) - 1.0  # type: ignore[no-any-return]
            case "sin" | "cos":
                both = self._recur(x, lambda y: [y[1], -y[0]], [math.sin, math.cos])
                return both[0] if op == "sin" else both[1]
            case "tanh":
                return self._recur(x, lambda y: [_outer(y[0], y[0], -1.0, 1.0)], [math.tanh])[0]
            case "sigmoid":
                return self._recur(x, lambda y: [one(y[0]) + _outer(y[0], y[0], -1.0, 0.0)], [logistic])[0]
            case "log":
                return self._integral(x, x.reciprocal(), math.log)
            case "log1p":
                return self._integral(x, (x + 1.0).reciprocal(), math.log1p)
            case "atan":
                return self._integral(x, (x * x + 1.0).reciprocal(), math.atan)
            case "softplus":
                return self._integral(x, self._series("sigmoid", x), lambda v: float(np.logaddexp(0.0, v)))
            case "sqrt":
                return self._series("exp", self._series("log", x) * 0.5)
            case "tan":
                return self._series("sin", x) * self._series("cos", x).reciprocal()
            case "abs" | "relu":
                return x * (math.copysign(1.0, x.value) if op == "abs" else float(x.value > 0))
        raise Unsupported(f"`{op}` has no series here")

    def _first(self, x: Jet, function: Derivative, slope: np.ndarray | float) -> np.ndarray:
        row = x.a[0] * slope
        row[0] = function(float(x.value))
        return row

    def _integral(self, x: Jet, slope: Jet, function: Derivative) -> Jet:
        """f(x) with f' = slope, as the integral of slope * x'."""
        y = np.zeros_like(x.a)
        y[0] = self._first(x, function, slope.value)
        for k in range(1, len(y)):
            y[k] = sum((j * _times(x.a[j], slope.a[k - j], 0) for j in range(1, k + 1)), np.zeros(y.shape[1])) / k
        return Jet(y, 0)

    def _recur(self, x: Jet, slopes: Callable[[list[np.ndarray]], list[np.ndarray]], values: list[Derivative]
               ) -> list[Jet]:  # fmt: skip
        """y with y' = slope(y) x', for slopes that are given on whole series."""
        size = len(x.a)
        first = [np.zeros(x.a.shape[1]) for _ in values]
        for row, function in zip(first, values):
            row[0] = function(float(x.value))
        ys = [np.zeros_like(x.a) for _ in values]
        for y, row in zip(ys, first):
            y[0] = row
        for y, slope in zip(ys, [s[0, 0] for s in slopes(ys)]):
            y[0, 1:] = x.a[0, 1:] * slope
        for k in range(1, size):
            now = slopes(ys)
            for y, slope in zip(ys, now):
                y[k] = sum((j * _times(x.a[j], slope[k - j], 0) for j in range(1, k + 1)), np.zeros(y.shape[1])) / k
        return [Jet(y, 0) for y in ys]


def _outer(a: np.ndarray, b: np.ndarray, factor: float, constant: float) -> np.ndarray:
    """constant + factor * a b, of whole series."""
    found = (Jet(a, 0) * Jet(b, 0)).a * factor
    found[0, 0] += constant
    return found


def _no_value() -> Any:
    raise ZeroDivisionError
