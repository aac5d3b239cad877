"""What small changes of the parameters leave the law of the observations as it is, at random points and exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.identifiability_blocks import parts
from ssmlang.analysis.identifiability_dual import Calculus, Dual
from ssmlang.analysis.identifiability_law import Law, Point, Start, laws
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals, plausible, residues
from ssmlang.analysis.identifiability_rank import jacobian, null_space, orthogonal, random_field
from ssmlang.analysis.identifiability_rings import NoRoot, PrimeField, Reals, Ring, Singular, Unsupported
from ssmlang.analysis.residues import reduced
from ssmlang.analysis.sides import compared, one_sided, parameters_compared, rows_until_typical, turns
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model

Array = np.ndarray
MOST_TRIES, MOST_SINGULAR = 60, 4
MOST_COORDINATES = 150
MOST_COORDINATES_TRIED = 16
MOST_AROUND = 6
"""Coordinates of a model in which functions of all of them are looked for."""
SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
MOST_MOMENTS = 4_000_000
"""Numbers that the derivative of one block's covariance may have."""


@dataclass(frozen=True)
class Tie:
    """An equation between coordinates that a point is made to satisfy: coordinate = sign * other, = a number, or what
    a function of all coordinates' residues gives."""

    coordinate: int
    other: int | None = None
    value: int = 0
    sign: int = 1
    solved: Callable[[Sequence[int]], int] | None = None


@dataclass(frozen=True)
class Sample:
    """A random point: residues of the coordinates, and the directions (d, k) in which the law does not change."""

    values: Array
    null: Array


@dataclass
class Study:
    """The linear form of a model, and the coordinates of the parameters that it reads."""

    model: Model
    form: LinearForm
    budget: Budget
    inputs: Mapping[tuple[str, str], Array] | None = None
    """Series that are known, (sort, name) -> rows; random numbers stand for those that are not."""
    rows: int | None = None
    """How many rows the data have, where that is known."""
    _around: dict[tuple[Coordinate, ...], list[Coordinate]] = field(default_factory=dict, repr=False)
    _floats: dict[int, dict[str, Array]] = field(default_factory=dict, repr=False)

    @cached_property
    def read(self) -> set[str]:
        """Parameters in the equations and initial laws."""
        found = {name for nodes in self._systems.values() for name in expr.parameters(nodes)}
        return {n for n in found if not self.model.parameters[n].augment}

    @cached_property
    def read_after_start(self) -> set[str]:
        """Parameters in the equations of rows after the first."""
        nodes = [n for name in ("transition", "emission") for n in self._systems[name]]
        return expr.parameters(nodes)

    @cached_property
    def _systems(self) -> dict[str, list[expr.Node]]:
        form = self.form
        systems = {"transition": form.transition, "emission": form.emission, "first": form.first}
        if form.stationary is not None:
            systems["stationary"] = form.stationary.transition
        return {k: [r.constant, *(m.values for m in r.terms.values())] for k, r in systems.items()}

    @cached_property
    def coords(self) -> list[Coordinate]:
        found = coordinates(self.model, sorted(self.read))
        if len(found) > MOST_COORDINATES:
            raise Unsupported(f"{len(found)} parameters are more than this check takes ({MOST_COORDINATES})")
        return found

    @cached_property
    def blocks(self) -> list:
        return parts(self.form)

    @cached_property
    def memory(self) -> int:
        """Numbers that carry a block from row to row, and its flat coordinates, at most."""
        form = self.form
        deep = {"x": np.ones(form.stacking.n, int), "e": np.zeros(form.stacking.r, int)}
        for rows, own in ((form.transition, 0), (form.emission, 1)):
            for (kind, lag), m in rows.terms.items():
                if kind in deep:
                    np.maximum.at(deep[kind], m.cols, lag + own if lag else 0)
        size = lambda b: int(deep["x"][b.x].sum() + deep["e"][b.e].sum()) + len(b.delta)
        return max((size(b) for b in self.blocks), default=0)

    @cached_property
    def lengths(self) -> list[int]:
        """Numbers of rows to look at, one after another. Twice the memory and a little more says all that a
        time-invariant law has to say: its moments obey a recursion of that order."""
        last = self.usual
        first = max(4, min(last, self.memory // max(self.form.stacking.m, 1) + 3))
        widest = max((len(b.y) for b in self.blocks), default=1)
        most = int(np.sqrt(MOST_MOMENTS / max(len(self.coords), 1)) / max(widest, 1))
        if most < 3:
            raise Unsupported("too many observations at once for this check")
        found = [first]
        while found[-1] < last:
            found.append(min(2 * found[-1], last))
        kept = sorted({min(k, most) for k in found})
        shown = self.kept(self.enough)
        return [*kept, self.enough] if self.enough > last and len(shown or range(self.enough)) <= most else kept

    @property
    def complete(self) -> bool:
        """Whether the longest length is as long as it should be."""
        return self.lengths[-1] >= self.enough

    @cached_property
    def usual(self) -> int:
        return 2 * self.memory + 4

    @cached_property
    def enough(self) -> int:
        """Rows that say all there is to say: as many again once the last function of the row number has turned."""
        return self.usual + max([0, *self._late])

    @cached_property
    def typical(self) -> int:
        """The first rows that are like those to come: functions of the row number have turned, known inputs vary."""
        known = (self.inputs or {}).items()
        given = [np.asarray(v, float).reshape(len(v), -1) for (sort, _), v in known if sort == "input"]
        varied = max([0, *(rows_until_typical(v) for v in given)])
        turned = max([0, *self._late])
        return max(varied, turned) + self.memory + 2 if varied > 2 or turned else 0

    @cached_property
    def in_conditions(self) -> set[str]:
        """Parameters that conditions read."""
        return parameters_compared(self._nodes)

    @property
    def turns_late(self) -> bool:
        """Whether a function of the row number first changes in a later row than row 1."""
        return bool(self._late)

    @cached_property
    def _late(self) -> list[int]:
        return [t for t in turns(self._nodes, self.rows) if t > 1]

    def kept(self, steps: int) -> frozenset[int] | None:
        """Rows of which the observations are looked at; None for all of them. Where functions of the row number turn
        late: the first rows, and those around each turn."""
        if steps < self.enough or not self._late:
            return None
        near = [range(max(t - 1, 0), t + self.usual) for t in self._late]
        found = frozenset(row for rows in [range(self.usual), *near] for row in rows if row < steps)
        return found if len(found) < steps else None

    @cached_property
    def _nodes(self) -> list[expr.Node]:
        return [n for system in self._systems.values() for n in system]

    def one_sided(self) -> expr.Node | None:
        """A condition on parameters, inputs or data of which the rows looked at show one side alone."""
        steps = self.lengths[-1]
        point, _, _ = self.exact_point(self.rooted_seed, [], steps=steps)

        def at(t: int) -> tuple[int, Callable[[str, str, int | str], Array]]:
            def read(sort: str, name: str, lag: int | str) -> Array:
                floats = point.series[sort, name][1]
                return floats[min(max(t - int(lag) + self.before, 0), len(floats) - 1)]

            return t, read

        return one_sided(self._nodes, self.floats(self.rooted_seed), [at(t) for t in range(steps)])

    # ---------------------------------------------------------------------------------------------------- points

    def floats(self, seed: int) -> dict[str, Array]:
        if seed not in self._floats:
            self._floats[seed] = plausible(self.model, seed)
        return self._floats[seed]

    def series(self, ring: Ring, random: np.random.Generator, steps: int) -> dict:
        """Random rows of inputs and data, `before` of them before row 0."""
        found = {}
        groups = (("input", self.model.inputs), ("obs", self.model.observations))
        for sort, name, variable in ((s, n, v) for s, group in groups for n, v in group.items()):
            shape = (steps + self.before, *variable.shape)
            given = (self.inputs or {}).get((sort, name))
            if given is not None:
                rows = np.nan_to_num(np.asarray(given, float)[:steps]).reshape(-1, *variable.shape)
                head = np.zeros((self.before, *variable.shape))
                floats = np.concatenate([head, rows])
                found[sort, name] = ring.number(floats), floats
                continue
            floats = np.abs(random.normal(1, 0.5, shape)) + 0.1
            if (sort, name) in self._compared:  # on either side of nought, in any order of two
                floats = floats * SIGNS[np.arange(len(floats)) % len(SIGNS)].reshape(-1, *[1] * len(variable.shape))
            found[sort, name] = ring.number(random.integers(2, 2**31 - 3, shape)) if ring.exact else floats, floats
        return found

    @cached_property
    def _compared(self) -> set[tuple[str, str]]:
        return compared(self._nodes)

    @cached_property
    def before(self) -> int:
        lags = [lag for _, _, lag in expr.references(self._nodes) if isinstance(lag, int)]
        reads = [self.form.transition.depth("y"), self.form.emission.depth("y")]
        return max([0, *lags, *reads])

    def exact_point(self, seed: int, coords: Sequence[Coordinate], ties: Sequence[Tie] = (), steps: int = 1,
                    change: object = None, known: PrimeField | None = None
                    ) -> tuple[Point, PrimeField, dict[str, Array]]:  # fmt: skip
        """A random point of the field with directions `coords`; `change` maps the residues to others. `known`: the
        field of another point of this seed, so that exp(-a) is one over the exp(a) that was met there."""
        ring, random = random_field(seed)
        ring = ring if known is None else known
        values = residues(self.model, ring, random, sorted(self.read))
        for tie in ties:
            at = self.coords[tie.coordinate]
            value = tie.value
            if tie.solved is not None:
                value = tie.solved([int(values[k.parameter].reshape(-1)[k.entry]) for k in self.coords])
            if tie.other is not None:
                source = self.coords[tie.other]
                value = tie.sign * int(values[source.parameter].reshape(-1)[source.entry])
            values[at.parameter].reshape(-1)[at.entry] = value % (2**31 - 1)
        if callable(change):
            values = change(values)
        calculus = Calculus(ring, len(coords))
        params = duals(self.model, calculus, values, coords)
        point = Point(ring, len(coords), params, self.floats(seed), self.series(ring, random, steps), self.before)
        return point, ring, values

    def sample(self, seed: int, steps: int, coords: Sequence[Coordinate] | None = None, start: Start = "given",
               ties: Sequence[Tie] = (), said: Sequence[Coordinate] | None = None, jumps: bool = False
               ) -> Sample:  # fmt: skip
        """The unseen directions among `coords` at a random point, with the values of `said` (those of `coords`).
        `jumps`: those alone that move no threshold either, for at one the law jumps."""
        coords = self.coords if coords is None else coords
        singular = True
        for attempt in range(MOST_TRIES):
            self.budget.check()
            try:
                point, ring, values = self.exact_point(seed + 1000 * attempt, coords, ties, steps)
                margins: list[Dual] | None = [] if jumps else None
                found = laws(self.model, self.form, point, steps, start, self.blocks, self.kept(steps), margins)
                slopes = [jacobian(found, ring, len(coords), seed), *(
                    m.tangent.reshape(len(coords), -1).T for m in margins or () if m.tangent is not None)]  # fmt: skip
                null = null_space(np.concatenate(slopes))
            except NoRoot as trouble:
                singular &= isinstance(trouble, Singular)
                if singular and attempt == MOST_SINGULAR:
                    break
                continue
            said = coords if said is None else said
            at = np.array([values[k.parameter].reshape(-1)[k.entry] for k in said], np.int64)
            return Sample(at, null)
        if not singular:
            raise Unsupported("no random point has the square roots that the model takes")
        if self.form.stationary is not None:
            raise Unsupported("the law that Stationary() asks for does not exist at any random point")
        raise Unsupported("a matrix that is to be inverted is singular at every random point")

    @cached_property
    def rooted_seed(self) -> int:
        """A seed at whose random point the model's square roots exist in the field."""
        for seed in range(11, 1000 * MOST_TRIES, 1000):
            try:
                point, _, _ = self.exact_point(seed, [], steps=2)
                laws(self.model, self.form, point, 2, "given", self.blocks)
            except NoRoot:
                continue
            return seed
        return 11

    def unseen(self, start: Start = "given") -> tuple[int, Sample]:
        """How many rows it takes, and the unseen directions that are left (none: full rank, which is a proof)."""
        for steps in self.lengths:
            found = self.sample(1, steps, start=start)
            if not found.null.shape[1]:
                return steps, found
        again = self.sample(2, self.lengths[-1], start=start)
        return self.lengths[-1], found if found.null.shape[1] <= again.null.shape[1] else again

    def components(self, null: Array) -> list[list[int]]:
        """Coordinates that unseen directions move together."""
        basis = reduced(null.T)[0]
        groups: list[set[int]] = []
        for row in basis:
            own = set(np.flatnonzero(row).tolist())
            touching = [g for g in groups if g & own]
            groups = [g for g in groups if not g & own] + [own.union(*touching)]
        return sorted(sorted(g) for g in groups)

    def around(self, coords: Sequence[Coordinate]) -> list[Coordinate]:
        """Some coordinates, then those others on which their unseen directions depend, where these are few."""
        return self._around.get(tuple(coords), list(coords))

    def _look_around(self, coords: Sequence[Coordinate], steps: int, start: Start) -> None:
        usual = self.sample(50, steps, coords, start, jumps=True).null
        few = self.coords if len(self.coords) <= MOST_COORDINATES_TRIED else []
        tied = lambda i: self.sample(50, steps, coords, start, [Tie(i, value=12345)], jumps=True).null
        moves = lambda i: not np.array_equal(tied(i), usual)
        found = [other for i, other in enumerate(few) if other not in set(coords) and moves(i)]
        if len(found) + len(coords) <= MOST_AROUND:
            self._around[tuple(coords)] = [*coords, *found]

    def within(self, coords: Sequence[Coordinate], steps: int, start: Start = "given", ties: Sequence[Tie] = ()
               ) -> Callable[[int], Sample]:  # fmt: skip
        """Random points with the unseen directions that move `coords` alone, and without `ties` no threshold; the
        values are those of `around`."""
        known: dict[int, Sample] = {}
        if not ties and tuple(coords) not in self._around:
            self._around[tuple(coords)] = list(coords)
            self._look_around(coords, steps, start)
        around = self.around(coords)

        def sample(k: int) -> Sample:
            if k not in known:
                s = self.sample(50 + k, steps, coords, start, ties, around, jumps=not ties)
                still = np.zeros((len(around) - len(coords), s.null.shape[1]), np.int64)
                known[k] = Sample(s.values, np.concatenate([s.null, still]))
            return known[k]

        return sample

    # ---------------------------------------------------------------------------------------------------- floats

    def float_laws(self, params: Mapping[str, Array], steps: int, coords: Sequence[Coordinate] = (),
                   start: Start = "given", every: bool = False) -> list[Law]:  # fmt: skip
        """The law in double precision, with directions `coords`; of `every` row, or of those that `kept` names."""
        ring = Reals()
        calculus = Calculus(ring, len(coords))
        values = {n: np.asarray(params[n], float) for n in self.read}
        point = Point(ring, len(coords), duals(self.model, calculus, values, coords), params,
                      self.series(ring, np.random.default_rng(7), steps), self.before)  # fmt: skip
        return laws(self.model, self.form, point, steps, start, self.blocks, None if every else self.kept(steps))


def same_law(a: Sequence[Law], b: Sequence[Law], tolerance: float) -> bool:
    """Whether two laws in double precision agree beyond what flat coordinates can be: the span of these, then mean and
    covariance orthogonal to it."""
    for one, two in zip(a, b, strict=True):
        X, Y = one.flat.value, two.flat.value
        beyond = orthogonal(X, Reals()) if X.shape[1] else np.eye(len(X))
        if X.shape[1] and np.abs(beyond @ Y).max(initial=0) > 1e3 * tolerance * max(np.abs(Y).max(), 1e-300):
            return False
        covs = [beyond @ law.cov.value @ beyond.T for law in (one, two)]
        size = max(np.abs(covs[0]).max(initial=0), 1e-300)
        if not np.abs(covs[0] - covs[1]).max(initial=0) <= tolerance * size:
            return False
        means = [beyond @ law.mean.value for law in (one, two)]
        scale = max(np.abs(means[0]).max(initial=0), np.sqrt(size), 1e-300)
        if not np.abs(means[0] - means[1]).max(initial=0) <= tolerance * scale:
            return False
    return True
