"""The stability of all blocks of a dynamics: their factors judged, blocks of one form judged once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.stability_blocks import Block, Dynamics, ancestors, blocks, characteristic
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_factors import Factor, factors
from ssmlang.analysis.stability_generic import generic_unity, jordan_index


@dataclass(frozen=True)
class Judged:
    """A block with the factors of its characteristic polynomial; None where that was not formed, for `why`."""

    block: Block
    names: tuple[str, ...]
    factors: tuple[Factor, ...] | None
    why: str = ""
    opaque: bool = False
    """The equations are no linear recursion, so that numbers do not help either."""
    continuous: bool = False
    """In continuous time: modes are those over a unit of time."""
    generic: Mapping[int, int] = field(default_factory=dict)
    """where `factors` is None: by n, how often the primitive n-th roots of one are eigenvalues for every value"""

    @property
    def inside(self) -> bool | None:
        """Whether every root lies inside the circle for every value allowed; None where that is not known."""
        if self.generic:
            return False
        if self.factors is None or any(f.place == "unknown" for f in self.factors):
            known = self.factors or ()
            return False if any(f.place not in ("inside", "unknown") for f in known) else None
        return all(f.place == "inside" for f in self.factors)

    @cached_property
    def trend(self) -> int:
        """How many roots are one."""
        return self.unity.get(1, 0)

    @cached_property
    def index(self) -> int | None:
        """How many times the unit roots at frequency zero integrate; None where that is not known."""
        if self.trend <= 1 or (len(self.names) == 1 and not self.continuous):
            return self.trend
        return None if self.continuous else jordan_index(self.block, self.trend)

    @cached_property
    def unity(self) -> dict[int, int]:
        """By n, how often the primitive n-th roots of one are eigenvalues for every value."""
        found = dict(self.generic)
        for f in self.factors or ():
            if f.order is not None:
                found[f.order] = found.get(f.order, 0) + f.multiplicity
        return found


@dataclass(frozen=True)
class Analysis:
    """Every block, each after those that it reads."""

    dynamics: Dynamics
    judged: tuple[Judged, ...]

    def of(self, entries: Sequence[int]) -> list[Judged]:
        """The blocks that the values of these entries come from: their own and all that those read."""
        return [self.judged[b] for b in ancestors([j.block for j in self.judged], self.own(entries))]

    def own(self, entries: Sequence[int]) -> list[int]:
        wanted = set(entries)
        return [b for b, j in enumerate(self.judged) if wanted & set(j.block.entries)]

    @cached_property
    def integrated(self) -> tuple[int | None, ...]:
        """For each block the order of integration: unit roots at frequency zero along what it reads; None: unknown."""
        found: list[int | None] = []
        for j in self.judged:
            below = [found[b] for b in j.block.reads]
            known = [b for b in below if b is not None]
            found.append(None if j.index is None or len(known) < len(below) else j.index + max(known, default=0))
        return tuple(found)


def analyse(dynamics: Dynamics, domain: Domain, budget: Budget) -> Analysis:
    """Judge every block. What the budget does not allow is left unknown."""
    domain = replace(domain, tick=budget.check, sampled={})
    kept = _kept(domain)
    late = f"the algebra took longer than {budget.seconds:g} s"
    found: list[Judged] = []
    known: dict[object, tuple[Factor, ...] | None] = {}
    for block in blocks(dynamics):
        names = tuple(dynamics.names[i] for i in block.entries)
        opaque = next((dynamics.opaque[i] for i in block.entries if i in dynamics.opaque), None)
        if opaque is None and any(i in block.entries and j in block.entries for i, j in dynamics.reads):
            opaque = "the scale of its noise depends on itself"
        timed = {i in dynamics.continuous for i in block.entries}
        if opaque is None and len(timed) > 1:
            opaque = "some of it is in continuous time and some is not"
        continuous = timed == {True}
        if opaque is not None:
            found.append(Judged(block, names, None, opaque, opaque=True))
            continue
        key, own, back = _canonical(block, domain, kept)
        key = (key, continuous)
        if key not in known:
            try:
                budget.check()
                polynomial = characteristic(own, strip=not continuous)
                moved = _renamed(domain, back)
                known[key] = None if polynomial is None else tuple(factors(polynomial, moved, continuous))
            except OutOfTime:
                found.append(Judged(block, names, None, late))
                continue
            except (sp.PolynomialError, NotImplementedError):
                found.append(Judged(block, names, None, "its coefficients are beyond the algebra of polynomials"))
                continue
        judged = known[key]
        if judged is None:
            why = f"its characteristic polynomial, in {len(block.symbols)} parameters, is too large for algebra"
            try:
                generic = {} if continuous else generic_unity(block, domain) or {}
            except OutOfTime:
                generic = {}
            found.append(Judged(block, names, None, why, continuous=continuous, generic=generic))
        else:
            found.append(Judged(block, names, tuple(_back(f, back) for f in judged), continuous=continuous))
    return Analysis(dynamics, tuple(found))


def _canonical(
    block: Block, domain: Domain, kept: frozenset[sp.Symbol]
) -> tuple[object, Block, dict[sp.Symbol, sp.Symbol]]:
    """The block with its symbols numbered in the order in which they come, a key that is equal for blocks of one form,
    and the way back. Symbols that depend on others, or are in a group, keep their names."""
    forth: dict[sp.Symbol, sp.Symbol] = {}
    ends = []
    for lag in sorted(block.terms):
        for place in sorted(block.terms[lag]):
            for s in sorted(block.terms[lag][place].free_symbols, key=str):
                interval = domain.intervals.get(s)
                free = interval is None or not any(e.free_symbols for e in interval)
                if s not in forth and s not in kept and free:
                    forth[s] = sp.Symbol(f"_{len(forth)}", real=True)
                    ends.append(interval)
    terms = {lag: {p: v.xreplace(forth) for p, v in m.items()} for lag, m in block.terms.items()}
    key = (len(block.entries), tuple(sorted((lag, p, str(v)) for lag, m in terms.items() for p, v in m.items())),
           tuple(map(str, ends)))  # fmt: skip
    return key, replace(block, terms=terms), {v: k for k, v in forth.items()}


def _kept(domain: Domain) -> frozenset[sp.Symbol]:
    """Symbols that are in a group, or that the ends of others read."""
    grouped = {s for g in (*domain.stationary, *domain.simplexes) for s in g}
    read = {s for ends in domain.intervals.values() for e in ends for s in e.free_symbols}
    return frozenset(grouped | read)


def _renamed(domain: Domain, back: Mapping[sp.Symbol, sp.Symbol]) -> Domain:
    """The domain with the new names as well."""
    own = {new: domain.intervals[old] for new, old in back.items() if old in domain.intervals}
    return replace(domain, intervals={**domain.intervals, **own}, sampled={})


def _back(f: Factor, back: Mapping[sp.Symbol, sp.Symbol]) -> Factor:
    if not back or not (f.symbols or f.conditions):
        return f
    names = dict(back)
    return replace(
        f,
        coefficients=tuple(c.xreplace(names) for c in f.coefficients),
        conditions=tuple(g.xreplace(names) for g in f.conditions),
        witness=None if f.witness is None else {names.get(s, s): v for s, v in f.witness.items()},
    )
