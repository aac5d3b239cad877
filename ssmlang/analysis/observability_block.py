"""One independent block: what is lost almost everywhere, or else the sets of parameters where something is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import sympy as sp
from sympy.polys.rings import PolyElement

from ssmlang.analysis import elimination, modular, residues
from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.exceptions import Candidates, common_zeros, inside
from ssmlang.analysis.modular_points import point_on
from ssmlang.analysis.nowhere_zero import NowhereZero
from ssmlang.analysis.polynomials import Polynomials
from ssmlang.analysis.system import Entries, System

MOST_STACKED = 400
"""Stacked states up to which a block is looked at."""
MOST_PARTS = 24
MOST_DENSE, MOST_ROW_TERMS = 6, 60
"""Stacked states, and terms in a row, up to which the determinant of the observability matrix is formed."""
LARGEST = 200
"""A numerator or denominator above this is taken for an accident."""
Vector = dict[int, sp.Expr]
"""A direction of the stacked state: entry -> coefficient, one of them 1."""


@dataclass(frozen=True)
class Exception_:
    """Parameters where more is lost: all `equations` are zero.

    `lost`: directions of the stacked state as numbers, empty where they depend on the parameters, None where no point
    of the set could be found to look at. `touched`: the entries they hold. `harmless`: of delays alone, every state of
    the row itself is known.
    """

    equations: tuple[sp.Expr, ...]
    lost: tuple[Vector, ...] | None
    harmless: bool
    touched: tuple[int, ...] = ()


@dataclass
class BlockResult:
    """`lost`: directions of x[t] that are never seen, for almost all parameters; `whole`: the same with the delays
    they leave behind, in stacked entries; both are None where they could not be written. `forgotten`: entries of
    directions of delays alone.
    `exceptions` are all there are where `complete`; `late` says what took too long."""

    system: System
    lost: tuple[Vector, ...] | None = ()
    whole: tuple[Vector, ...] | None = ()
    dimension: int = 0
    entries: frozenset[int] = frozenset()
    forgotten: frozenset[int] = frozenset()
    exceptions: list[Exception_] = field(default_factory=list)
    complete: bool = True
    late: str | None = None


def numbers_of(basis: np.ndarray, p: int) -> tuple[Vector, ...] | None:
    """A basis of residues as one of fractions; None where one is too large to be meant."""
    rows = [residues.fractions(row, p, LARGEST) for row in basis]
    if any(row is None for row in rows):
        return None
    return tuple({i: sp.Rational(v.numerator, v.denominator) for i, v in enumerate(row or ()) if v} for row in rows)


class Block:
    """A block at random points of a finite field, and symbolically."""

    def __init__(self, context: Context, system: System, seed: int = 0) -> None:
        self.context, self.system = context, system
        companion = system.companion
        self.size = companion.size
        self.F: Entries = dict(companion.F.todok())
        self.H: Entries = dict(companion.H.todok())
        rng = np.random.default_rng(seed)
        self.field = modular.Field([*self.F.values(), *self.H.values()], rng)
        self.rng = rng

    # ------------------------------------------------------------------------------------------------- in the field

    def unseen(self, fixed: dict[sp.Expr, int] | None = None) -> np.ndarray:
        """A basis of the unobservable states at a new random point, some symbols fixed."""
        for _ in range(20):
            self.field.at(fixed or {})
            try:
                F = modular.matrix(self.F, (self.size, self.size), self.field)
                H = modular.matrix(self.H, (self.system.m, self.size), self.field)
            except modular.Impossible:
                continue
            return residues.unseen(F, H, self.field.p)
        raise modular.Impossible("every point is a pole")

    def directions(self, bases: Sequence[np.ndarray]) -> tuple[Vector, ...] | None:
        """The same space at several points as one of numbers, where it is one."""
        first = bases[0]
        if any(b.shape != first.shape or (b != first).any() for b in bases[1:]):
            return None
        return numbers_of(first, self.field.p)

    def symbolic(self, basis: np.ndarray) -> tuple[Vector, ...] | None:
        """The directions as rational functions of the parameters, from as many rows of H, HF, ... as they need."""
        support = [int(i) for i in np.flatnonzero(basis.any(axis=0))]
        wanted = len(support) - len(basis)
        if len(support) > 8 or len(basis) > 4:
            return None
        p, columns = self.field.p, {i: k for k, i in enumerate(support)}
        rows: list[dict[int, sp.Expr]] = [{} for _ in range(self.system.m)]
        for (i, j), v in self.H.items():
            rows[i][j] = v
        chosen: list[list[sp.Expr]] = []
        numbers = np.zeros((0, len(support)), np.int64)
        for _ in range(self.size):
            for row in rows:
                self.context.budget.check()
                cut = [sp.S.Zero] * len(support)
                for j, v in row.items():
                    if j in columns:
                        cut[columns[j]] = v
                try:
                    more = np.array([[self.field.value(v) for v in cut]], np.int64)
                except modular.Impossible:
                    return None
                both, _ = residues.reduced(np.concatenate([numbers, more]), p)
                if len(both) > len(numbers):
                    numbers = both
                    chosen.append(cut)
                if len(chosen) == wanted:
                    return self._confirmed(_null(chosen, support))
            rows = [self._times_transition(r) for r in rows]
        return None

    def _in_time(self, basis: np.ndarray) -> tuple[Vector, ...] | None:
        """`symbolic`, or None where it takes too long: what is lost is known without its direction."""
        try:
            return self.symbolic(basis)
        except OutOfTime:
            return None

    def _confirmed(self, found: tuple[Vector, ...] | None) -> tuple[Vector, ...] | None:
        """The directions, if at another random point they span what is unseen there."""
        if found is None:
            return None
        basis = self.unseen()
        own = np.zeros((len(found), self.size), np.int64)
        try:
            for k, v in enumerate(found):
                own[k, list(v)] = [self.field.value(c) for c in v.values()]
        except modular.Impossible:
            return None
        span = residues.reduced(own, self.field.p)[0]
        return found if span.shape == basis.shape and (span == basis).all() else None

    def _times_transition(self, row: dict[int, sp.Expr]) -> dict[int, sp.Expr]:
        found: dict[int, sp.Expr] = {}
        by_row: dict[int, list[tuple[int, sp.Expr]]] = {}
        for (i, j), v in self.F.items():
            by_row.setdefault(i, []).append((j, v))
        for i, c in row.items():
            for j, v in by_row.get(i, ()):
                found[j] = found.get(j, sp.S.Zero) + c * v
        return {j: sp.expand(v) for j, v in found.items()}

    def of_row(self, basis: np.ndarray) -> np.ndarray:
        """The directions of x[t] itself in a space of stacked states."""
        return residues.reduced(basis[:, : self.system.n].copy(), self.field.p)[0]

    # ---------------------------------------------------------------------------------------------- the whole answer

    def result(self) -> BlockResult:
        found = BlockResult(self.system)
        bases = [self.unseen() for _ in range(3)]
        basis = min(bases, key=len)
        if len(basis):
            same = [b for b in bases if len(b) == len(basis)]
            now = [self.of_row(b) for b in same]
            if len(now[0]):
                found.dimension = len(basis)
                found.entries = frozenset(int(i) for i in np.flatnonzero(now[0].any(axis=0)))
                found.whole = self.directions(same) or self._in_time(same[-1])
                found.lost = self.directions(now) or cut(found.whole, self.system.n)
                return found
            found.forgotten = frozenset(int(i) for b in same for i in np.flatnonzero(b.any(axis=0)))
        try:
            self._exceptions(found)
        except OutOfTime as late:
            found.complete, found.late = False, str(late)
        return found

    # ---------------------------------------------------------------------------------------------- exceptional sets

    def _exceptions(self, found: BlockResult) -> None:
        system, budget = self.system, self.context.budget
        values = [v for part in (system.transition, system.emission) for m in part.values() for v in m.values()]
        polynomials = Polynomials(values)
        never = NowhereZero(self.context, polynomials)
        wanted, found.complete = self._candidates(polynomials, never)
        kept: list[tuple[tuple[PolyElement, ...], Exception_]] = []
        for equations in wanted:
            budget.check()
            if any(inside(equations, other) and (not e.harmless) for other, e in kept):
                continue
            one = self._judged(tuple(polynomials.expression(f) for f in equations))
            if one is not None:
                kept.append((equations, one))
                found.exceptions = [e for _, e in kept]

    def _candidates(
        self, polynomials: Polynomials, never: NowhereZero
    ) -> tuple[list[tuple[PolyElement, ...]], bool]:  # fmt: skip
        system, budget = self.system, self.context.budget
        found: list[Candidates] = []
        parts = elimination.transition_parts(system)
        if system.m == 1 and 1 < len(parts) <= MOST_PARTS:
            for part in parts:
                found.append(self._direct(system.part(part, [0], []), polynomials, never))
            squares = [elimination.square(system, part, polynomials) for part in parts]
            for f, g in combinations(squares, 2):
                if not never.apart(f, g):
                    found.append(common_zeros([f, g], polynomials, never, never.apart, budget))
        else:
            whole = self._by_determinant(polynomials, never) if system.m == 1 else None
            if whole is not None:
                return list(whole.sets), True
            found.append(self._direct(system, polynomials, never))
        found.append(self._at_infinity(polynomials, never))
        coefficients = self._coefficients(polynomials, never)
        sets = list(dict.fromkeys(s for c in found for s in c.sets if s))
        sets += [s for s in coefficients if s not in sets]
        return sorted(sets, key=len), all(c.complete for c in found)

    def _direct(self, system: System, polynomials: Polynomials, never: NowhereZero) -> Candidates:
        grid = elimination.polynomial_matrix(system, polynomials)
        return self._of_grid(grid, polynomials, never, never.is_unit)

    def _by_determinant(self, polynomials: Polynomials, never: NowhereZero) -> Candidates | None:
        """With one observation the exceptions are the zeros of one determinant, that of H, H F, H F^2, ...; None where
        it is too large to be formed and factored, or vanishes everywhere because delays are lost."""
        if self.size > MOST_DENSE or any(self.system.noise_memory):
            return None
        n, ring = self.size, polynomials.ring
        top, bottom = ({at: polynomials.fraction(v) for at, v in e.items()} for e in (self.F, self.H))
        if any(down != ring.one for e in (top, bottom) for _, down in e.values()):
            return None
        row = [bottom[0, j][0] if (0, j) in bottom else ring.zero for j in range(n)]
        rows = [row]
        for _ in range(n - 1):
            self.context.budget.check()
            row = [polynomials.reduce(sum((row[i] * f for (i, k), (f, _) in top.items() if k == j), ring.zero))
                   for j in range(n)]  # fmt: skip
            if sum(map(len, row)) > MOST_ROW_TERMS:
                return None
            rows.append(row)
        whole = polynomials.reduce(elimination.determinant(rows, ring))
        own = polynomials.factors(whole) if whole else None
        if own is None:
            return None
        return Candidates(tuple((f,) for f in own if not never(f)), True)

    def _of_grid(self, grid: elimination.Grid, polynomials: Polynomials, never: NowhereZero,
                 unit: elimination.IsUnit) -> Candidates:  # fmt: skip
        budget = self.context.budget
        left = elimination.eliminated(grid, unit, polynomials, budget)
        if not left:
            return Candidates((), True)
        sets: list[tuple[PolyElement, ...]] = []
        complete = True
        for component in elimination.components(left):
            if not component or len(component) < len(component[0]):
                return Candidates((), False)
            values = elimination.minors(component, polynomials, budget)
            if not values:
                complete = False
                continue
            own = common_zeros(values, polynomials, never, never.apart, budget)
            sets += own.sets
            complete &= own.complete
        return Candidates(tuple(sets), complete)

    def _at_infinity(self, polynomials: Polynomials, never: NowhereZero) -> Candidates:
        """Modes with the eigenvalue zero: the coefficients of the oldest row of each state must have full rank."""
        system = self.system
        n, m, oldest = system.n, system.m, system.memory
        rows: list[list[PolyElement]] = [[polynomials.ring.zero] * n for _ in range(n + m)]
        for part, first, shift in ((system.transition, 0, 0), (system.emission, n, 1)):
            for lag, entries in part.items():
                for (i, j), v in entries.items():
                    if oldest[j] == lag + shift:
                        rows[first + i][j] = polynomials.fraction(v)[0]
        found = self._of_grid(rows, polynomials, never, never.is_unit)
        # Where delays are lost for all parameters this says nothing more; the coefficients themselves are tried below.
        return Candidates(found.sets, True)

    def _coefficients(self, polynomials: Polynomials, never: NowhereZero) -> list[tuple[PolyElement, ...]]:
        """Where a single coefficient vanishes."""
        found: dict[PolyElement, None] = {}
        for part in (self.system.transition, self.system.emission):
            for entries in part.values():
                for v in entries.values():
                    if v.is_number or len(found) > 60:
                        continue
                    for f in polynomials.factors(polynomials.fraction(v)[0]) or []:
                        if not never(f):
                            found[f] = None
        return [(f,) for f in found]

    def _judged(self, equations: tuple[sp.Expr, ...]) -> Exception_ | None:
        """What is lost on a set; None where nothing is."""
        bases = []
        for _ in range(2):
            point = point_on(equations, self.field, self.rng)
            if point is None:
                return Exception_(equations, None, False)
            bases.append(self.unseen(point))
        basis = min(bases, key=len)
        if not len(basis):
            return None
        generic = self._generic
        if len(basis) <= generic:
            return None
        now = self.of_row(basis)
        same = [b for b in bases if len(b) == len(basis)]
        shown = [self.of_row(b) for b in same] if len(now) else same
        touched = tuple(int(i) for i in np.flatnonzero(shown[0].any(axis=0)))
        return Exception_(equations, self.directions(shown) or (), not len(now), touched)

    @property
    def _generic(self) -> int:
        if not hasattr(self, "_generic_dimension"):
            self._generic_dimension = min(len(self.unseen()) for _ in range(2))
        return self._generic_dimension


def _is_zero(e: sp.Expr) -> bool:
    """For fractions in the parameters; sympy's own test tries much more, and takes seconds for it."""
    return bool(sp.cancel(e) == 0)


def cut(whole: tuple[Vector, ...] | None, n: int) -> tuple[Vector, ...] | None:
    """The directions of the first n entries in a space of more."""
    if not whole:
        return whole
    rows = [[d.get(i, sp.S.Zero) for i in range(n)] for d in whole]
    echelon, pivots = sp.Matrix(rows).rref(simplify=sp.cancel, iszerofunc=_is_zero)
    return tuple({i: echelon[k, i] for i in range(n) if echelon[k, i] != 0} for k in range(len(pivots)))


def _null(rows: list[list[sp.Expr]], support: list[int]) -> tuple[Vector, ...] | None:
    basis = sp.Matrix(rows).nullspace(simplify=sp.cancel, iszerofunc=_is_zero)
    found = []
    for v in basis:
        lead = next((x for x in v if x != 0), None)
        if lead is None:
            return None
        found.append({i: sp.cancel(x / lead) for i, x in zip(support, v) if x != 0})
    return tuple(found)

