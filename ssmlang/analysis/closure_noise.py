"""What noise makes of a lift that closes without it: where it stays additive, shifts means, changes K, or depends on
the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ssmlang.analysis.closure_algebra import Algebra, Element
from ssmlang.analysis.closure_functions import is_zero, split
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Span, common
from ssmlang.analysis.closure_terms import Mono, Poly, Term, poly

Effect = Literal["none", "additive", "through the state"]


@dataclass(frozen=True)
class Noise:
    """By coordinate of a lift: how noise enters it, and by how much noise moves its mean given the state before
    (None where that is not worked out). `mean_closes`: the mean of z[t] given z[t-1] is K' z[t-1] + a constant."""

    effects: tuple[Effect, ...]
    shifts: tuple[Element | None, ...]
    mean_closes: bool

    @property
    def exact(self) -> bool:
        """Whether z[t] - K z[t-1] is Gaussian noise that does not depend on the state."""
        return all(e != "through the state" for e in self.effects)


def noise_of(koopman: Koopman, functions: Sequence[Element]) -> Noise:
    """How noise enters each function one row on. Raises Unsupported for noises that are not independent Gaussian."""
    if koopman.continuous:
        return _diffusion(koopman, functions)
    image, sds = koopman.with_noise()
    effects: list[Effect] = []
    shifts: list[Element | None] = []
    for f in functions:
        koopman.tick()
        change = f.compose(image, koopman.exact.again) - koopman.after(f)
        effects.append(_effect(change, sds))
        shifts.append(mean(change, sds))
    return Noise(tuple(effects), tuple(shifts), _mean_closes(functions, shifts))


def _mean_closes(functions: Sequence[Element], shifts: Sequence[Element | None]) -> bool:
    if any(s is None for s in shifts):
        return False
    moved = [s for s in shifts if s is not None]
    algebra = functions[0].algebra
    own, others = common([*functions, algebra.constant(1)], moved)
    span = Span(own)
    return all(not span.coordinates(s)[1] for s in others)


def _effect(change: Element, sds: Mapping[int, Element]) -> Effect:
    if is_zero(change):
        return "none"
    for term, c in split(change).items():
        alone = len(term.mono) == 1 and term.mono[0][1] == 1 and term.mono[0][0] in sds
        if not alone or term.grow or term.turn or c.moves:
            return "through the state"
    scales_move = any(sds[s].moves for term in split(change) for s, _ in term.mono)
    return "through the state" if scales_move else "additive"


def mean(change: Element, sds: Mapping[int, Element]) -> Element | None:
    """The expectation over independent Gaussian noises with these standard deviations, or None."""
    total = change.algebra.constant(0)
    for term, c in change.terms.items():
        part = _mean_of(change.algebra, term, c, sds)
        if part is None:
            return None
        total = total + part
    return total


def _mean_of(algebra: Algebra, term: Term, c: Fraction, sds: Mapping[int, Element]) -> Element | None:
    """E[w^k] = (k - 1)!! s^k; E[e^(g w) cos(h w + Q)] = e^((g^2 - h^2) s^2 / 2) cos(Q + g h s^2)."""
    inside = {s for p in (term.grow, term.turn) for m, _ in p for s, _ in m if s in sds}
    factor = algebra.constant(1)
    mono: list[tuple[int, int]] = []
    for s, e in term.mono:
        symbol = algebra.symbols[s]
        if s not in sds:
            if symbol.kind in ("divisor", "log", "size", "opaque") and _reads_noise(algebra, s, sds):
                return None
            mono.append((s, e))
            continue
        if s in inside or e < 0:
            return None
        if e % 2:
            return algebra.constant(0)
        factor = factor * sds[s].raised(e).scaled(Fraction(_double_factorial(e - 1)))
    grow, turn = dict(term.grow), dict(term.turn)
    extra_grow, extra_turn = algebra.constant(0), algebra.constant(0)
    for s in inside:
        g, h = _slope(algebra, term.grow, s, sds), _slope(algebra, term.turn, s, sds)
        if g is None or h is None:
            return None
        for p in (grow, turn):
            for m in [m for m in p if any(x == s for x, _ in m)]:
                del p[m]
        variance = sds[s] * sds[s]
        extra_grow = extra_grow + (g * g - h * h) * variance.scaled(Fraction(1, 2))
        extra_turn = extra_turn + g * h * variance
    if any(_reads_noise(algebra, s, sds) for p in (grow, turn) for m in p for s, _ in m):
        return None
    found = Element(algebra, {Term(tuple(mono)): c}) * factor
    found = found * (_element(algebra, poly(grow)) + extra_grow).exp()
    if term.turn:
        found = found * (_element(algebra, poly(turn)) + extra_turn).wave(term.odd)
    return found


def _slope(algebra: Algebra, p: Poly, s: int, sds: Mapping[int, Element]) -> Element | None:
    """The coefficient of a noise in a polynomial that is linear in it and has no other noise beside it."""
    total = algebra.constant(0)
    for m, c in p:
        powers = dict(m)
        if s in powers:
            if powers[s] != 1 or any(x in sds for x in powers if x != s):
                return None
            rest: Mono = tuple((x, e) for x, e in m if x != s)
            total = total + Element(algebra, {Term(rest): c})
    return total


def _element(algebra: Algebra, p: Poly) -> Element:
    return Element(algebra, {Term(m): c for m, c in p})


def _reads_noise(algebra: Algebra, s: int, sds: Mapping[int, Element]) -> bool:
    symbol = algebra.symbols[s]
    inner = [*symbol.args, *([symbol.of] if symbol.of is not None else [])]
    if symbol.base >= 0:
        inner.append(algebra.power_of(symbol.base))
    return s in sds or any(_reads_noise(algebra, r, sds) for e in inner for r in e.symbols())


def _double_factorial(n: int) -> int:
    return 1 if n <= 0 else n * _double_factorial(n - 2)


# ------------------------------------------------------------------------------------------------ continuous time


def _diffusion(koopman: Koopman, functions: Sequence[Element]) -> Noise:
    """By Ito's formula: the mean of phi drifts by half the sum of phi_ij (q q')_ij besides."""
    columns = koopman.diffusion()
    effects: list[Effect] = []
    shifts: list[Element | None] = []
    algebra = koopman.algebra
    for f in functions:
        koopman.tick()
        loads = [algebra.constant(0) for _ in columns]
        shift = algebra.constant(0)
        slopes = {s: f.diff(s) for s in {s for column in columns for s in column}}
        for k, column in enumerate(columns):
            for s, q in column.items():
                loads[k] = loads[k] + slopes[s] * q
                for r, other in column.items():
                    shift = shift + slopes[s].diff(r) * q * other.scaled(Fraction(1, 2))
        if all(is_zero(e) for e in loads):
            effects.append("none")
        else:
            effects.append("through the state" if any(e.moves for e in loads) else "additive")
        shifts.append(shift)
    return Noise(tuple(effects), tuple(shifts), _mean_closes(functions, shifts))

