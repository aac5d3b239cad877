"""Which functions of the parameters do not change along the directions that the observations cannot see.

Found by exact linear algebra at random points: products of powers (the exponents solve a linear system), then
polynomials of low degree (their coefficients do).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement
from math import gcd, lcm

import numpy as np

from ssmlang.analysis.identifiability_rank import null_space, rational
from ssmlang.analysis.identifiability_rings import P, Unsupported, power
from ssmlang.analysis.identifiability_study import Sample
from ssmlang.analysis.residues import rank

Array = np.ndarray
MAX_DEGREE = 4
MAX_TERMS = 72
EXTRA = 2
"""Points beyond those that the unknowns need: an accident at all of them has a chance of 10^-18."""


@dataclass(frozen=True)
class Invariant:
    """A function of the coordinates: sum of coefficient times the product of powers (exponents by coordinate)."""

    terms: tuple[tuple[Fraction, tuple[tuple[int, int], ...]], ...]

    @property
    def degree(self) -> int:
        return max(sum(abs(e) for _, e in powers) for _, powers in self.terms)

    @property
    def is_product(self) -> bool:
        return len(self.terms) == 1

    def coordinates(self) -> set[int]:
        return {i for _, powers in self.terms for i, _ in powers}

    def gradient(self, values: Array) -> Array:
        """(d,) modulo P."""
        found = np.zeros(len(values), np.int64)
        for coefficient, powers in self.terms:
            c = coefficient.numerator * pow(coefficient.denominator, P - 2, P) % P
            for i, e in powers:
                part = c * e % P
                for j, f in powers:
                    part = part * pow(int(values[j]), (f - (i == j)) % (P - 1), P) % P
                found[i] = (found[i] + part) % P
        return found

    def __call__(self, values: Array) -> float:
        return float(sum(float(c) * np.prod([values[i] ** e for i, e in powers]) for c, powers in self.terms))

    def slope(self, values: Array) -> Array:
        """The gradient at floats."""
        found = np.zeros(len(values))
        for c, powers in self.terms:
            for i, e in powers:
                rest = [values[j] ** (f - (i == j)) for j, f in powers]
                found[i] += float(c) * e * np.prod(rest)
        return found

    def text(self, names: list[str]) -> str:
        """As the user would write it: `mu + nu - mu * phi`, what is added first, of short products the shortest."""
        turn = -1 if 2 * sum(c < 0 for c, _ in self.terms) > len(self.terms) else 1
        terms = [(turn * c, powers) for c, powers in self.terms]
        if any(c < 0 for c, _ in terms) and len(terms) > 2:
            terms.sort(key=lambda one: (one[0] < 0, sum(abs(e) for _, e in one[1])))
        parts = []
        for n, (coefficient, powers) in enumerate(terms):
            body = _product(powers, names)
            size = abs(coefficient)
            written = body if size == 1 else f"{size} * {body}" if size.denominator == 1 else f"({size}) * {body}"
            sign = "-" if coefficient < 0 else "+"
            parts.append(f" {sign} {written}" if n else (f"-{written}" if coefficient < 0 else written))
        return "".join(parts)


def _product(powers: tuple[tuple[int, int], ...], names: list[str]) -> str:
    raised = lambda i, e: names[i] if e == 1 else f"{names[i]}^{e}"
    above = [raised(i, e) for i, e in powers if e > 0]
    below = [raised(i, -e) for i, e in powers if e < 0]
    text = " * ".join(above) or "1"
    return text + "".join(f" / {b}" for b in below)


def invariants(sample: Callable[[int], Sample], size: int, dimension: int) -> list[Invariant]:
    """Independent functions that stay as they are along `dimension` unseen directions: all `size - dimension` of them
    where they are simple enough, else as many as were found.

    `sample(k)` is the k-th random point with its unseen directions. Its first `size` coordinates are those that the
    directions move; the functions may read the others too, where they are few. Raises Unsupported where other points
    have more or fewer directions.
    """
    wanted = size - dimension
    found = _Found(sample(0).values, size, wanted)
    if not wanted:
        return []

    def own(k: int) -> Sample:
        s = sample(k)
        if not dimension or s.null.shape[1] != dimension:
            raise Unsupported("what is lost differs from one side of a condition (`if`, `max`, ...) to the other")
        return Sample(s.values[:size], s.null[:size])

    for candidates in (_sums, _products, _polynomials):
        for invariant in candidates(own, size):
            found.offer(invariant)
            if found.complete:
                return found.kept
    if len(sample(0).values) > size:
        for invariant in _polynomials(sample, size):
            found.offer(invariant)
    return found.kept


class _Found:
    """Functions kept while their gradients are independent."""

    def __init__(self, values: Array, size: int, wanted: int) -> None:
        self.values, self.size, self.wanted = values, size, wanted
        self.kept: list[Invariant] = []
        self._gradients = np.zeros((0, size), np.int64)

    @property
    def complete(self) -> bool:
        return len(self.kept) >= self.wanted

    def offer(self, invariant: Invariant) -> None:
        if self.complete:
            return
        gradient = invariant.gradient(self.values)[None, : self.size]
        more = np.concatenate([self._gradients, gradient])
        if rank(more) == len(more):
            self._gradients = more
            self.kept.append(invariant)


def _sums(sample: Callable[[int], Sample], size: int) -> Iterator[Invariant]:
    yield from _fitted(sample, [((i, 1),) for i in range(size)])


def _products(sample: Callable[[int], Sample], size: int) -> Iterator[Invariant]:
    """Products of powers: sum_i exponent_i * (direction_i / value_i) = 0."""
    equations: list[Array] = []
    k = 0
    while sum(len(e) for e in equations) < size + EXTRA and k < size + EXTRA + 2:
        s = sample(k)
        k += 1
        if (s.values == 0).any():
            continue
        equations.append(np.mod(s.null * power(s.values, P - 2)[:, None], P).T)
    exponents = rational(null_space(np.concatenate(equations)))
    for vector in sorted(exponents or [], key=_length):
        whole = whole_numbers(vector)
        yield Invariant(((Fraction(1), tuple((i, e) for i, e in enumerate(whole) if e)),))


def whole_numbers(vector: list[Fraction]) -> list[int]:
    """The smallest whole numbers in these proportions, the first one positive."""
    scale = lcm(*(v.denominator for v in vector))
    numbers = [int(v * scale) for v in vector]
    common = gcd(*numbers) or 1
    sign = 1 if sum(numbers) > 0 or (sum(numbers) == 0 and next(n for n in numbers if n) > 0) else -1
    return [sign * n // common for n in numbers]


def _polynomials(sample: Callable[[int], Sample], size: int) -> Iterator[Invariant]:
    """Of all coordinates of the sample, each term with one of the first `size` in it."""
    every = len(sample(0).values)
    for degree in range(2, MAX_DEGREE + 1):
        monomials = [_powers(c) for d in range(1, degree + 1) for c in combinations_with_replacement(range(every), d)
                     if c[0] < size]  # fmt: skip
        if len(monomials) > MAX_TERMS:
            return
        monomials.sort(key=lambda m: (-sum(e for _, e in m), len(m)))
        yield from _fitted(sample, monomials)


def _powers(chosen: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((i, chosen.count(i)) for i in dict.fromkeys(chosen))


def _fitted(sample: Callable[[int], Sample], monomials: list[tuple[tuple[int, int], ...]]) -> Iterator[Invariant]:
    """Combinations of monomials whose gradient vanishes along every unseen direction at every point."""
    equations: list[Array] = []
    k = 0
    single = [Invariant(((Fraction(1), m),)) for m in monomials]
    while sum(len(e) for e in equations) < len(monomials) + EXTRA:
        s = sample(k)
        k += 1
        gradients = np.stack([m.gradient(s.values) for m in single])
        equations.append(np.mod(np.stack([np.mod(gradients * v % P, P).sum(axis=1) for v in s.null.T]), P))
    solutions = rational(null_space(np.concatenate(equations))) or []
    for vector in sorted(solutions, key=_length):
        scale = lcm(*(v.denominator for v in vector))
        terms = [(v * scale, m) for v, m in zip(vector, monomials) if v]
        common = gcd(*(int(c) for c, _ in terms))
        lead = next((c for c, _ in sorted(terms, key=lambda t: _order(t[1]))), Fraction(1))
        sign = 1 if lead > 0 else -1
        ordered = sorted(((sign * c / common, m) for c, m in terms), key=lambda t: _order(t[1]))
        yield Invariant(tuple(ordered))


def _order(powers: tuple[tuple[int, int], ...]) -> tuple[int, tuple[int, ...]]:
    return -sum(e for _, e in powers), tuple(i for i, _ in powers)


def _length(vector: list[Fraction]) -> int:
    return sum(int(x != 0) for x in vector)
