"""The stability of states whose coefficients are plain numbers and whose eigenvalues are roots of one or zero, as those
of trends and seasons are: settled in fractions."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ssmlang.analysis.constants import ConstantSystem
from ssmlang.analysis.stability_analysis import Analysis, Judged
from ssmlang.analysis.stability_blocks import MAX_NUMERIC, Block, Dynamics, blocks, companion
from ssmlang.analysis.stability_factors import Factor
from ssmlang.analysis.stability_modes import of_roots

Polynomial = list[Fraction]
"""Coefficients, that of the highest power first."""


def analyse_constant(system: ConstantSystem) -> Analysis | None:
    """Every block judged; None where one has other eigenvalues, or is too large."""
    dynamics = Dynamics(system.states, system.transition)
    judged = []
    for block in blocks(dynamics):
        polynomial = characteristic(block)
        found = None if polynomial is None else list(cyclotomic_factors(polynomial))
        if found is None or sum(f.degree * f.multiplicity for f in found) < len(polynomial or ()) - 1:
            return None
        own = Judged(block, tuple(dynamics.names[i] for i in block.entries), tuple(found))
        if own.trend > 1 and len(own.names) > 1:
            return None  # how often it integrates is a matter of ranks
        judged.append(own)
    return Analysis(dynamics, tuple(judged))


def characteristic(block: Block) -> Polynomial | None:
    """det(z - F) of a block of fractions, powers of z taken out; None of one that is too large."""
    s, p = len(block.entries), max(block.order, 1)
    if s == 1:
        found = [Fraction(1), *(-block.terms.get(k, {}).get((0, 0), Fraction(0)) for k in range(1, p + 1))]
    elif s * p > MAX_NUMERIC:
        return None
    else:
        found = _by_traces([[Fraction(v) for v in row] for row in companion(block, Fraction(0), Fraction(1))])
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    return found


def _by_traces(F: list[list[Fraction]]) -> Polynomial:
    """The recursion of Faddeev and LeVerrier."""
    n = len(F)
    found, M = [Fraction(1)], [[Fraction(0)] * n for _ in range(n)]
    for k in range(1, n + 1):
        for i in range(n):
            M[i][i] += found[-1]
        M = [[sum((a * row[j] for a, row in zip(left, M) if a), Fraction(0)) for j in range(n)] for left in F]
        found.append(-sum((M[i][i] for i in range(n)), Fraction(0)) / k)
    return found


def cyclotomic_factors(polynomial: Polynomial) -> Iterator[Factor]:
    """The cyclotomic polynomials that divide one, as factors."""
    left, n = polynomial, 0
    # Euler's totient of n is at least n / (e^gamma log log n + 3 / log log n): n <= 6 degree + 30 is ample.
    last = 6 * (len(polynomial) - 1) + 30
    while len(left) > 1 and n < last:
        n += 1
        if _totient(n) > len(left) - 1:
            continue
        factor, multiplicity = cyclotomic(n), 0
        while (quotient := _divided(left, factor)) is not None:
            left, multiplicity = quotient, multiplicity + 1
        if multiplicity:
            roots = [cmath.exp(2j * math.pi * k / n) for k in range(n) if math.gcd(k, n) == 1]
            yield Factor(factor, multiplicity, "unity", n, of_roots(roots))


@lru_cache(maxsize=256)
def cyclotomic(n: int) -> tuple[int, ...]:
    """The polynomial whose roots are the primitive n-th roots of one: z^n - 1 without those of the divisors of n."""
    found: Sequence[Any] = [1, *[0] * (n - 1), -1]
    for d in range(1, n):
        if n % d == 0:
            quotient = _divided(found, cyclotomic(d))
            assert quotient is not None
            found = quotient
    return tuple(int(c) for c in found)


def _totient(n: int) -> int:
    return sum(math.gcd(k, n) == 1 for k in range(1, n + 1))


def _divided(p: Sequence[Any], by: Sequence[int]) -> list[Any] | None:
    """p / by for a leading one in `by`; None where something is left over."""
    rest, size = list(p), len(p) - len(by) + 1
    if size < 1:
        return None
    for i in range(size):
        for k, c in enumerate(by[1:], 1):
            rest[i + k] -= rest[i] * c
    return rest[:size] if not any(rest[size:]) else None
