"""Changes of the parameters that leave every path of a model as it is, its randomness being held.

Each random quantity is written as a function of the parameters and of numbers that no parameter moves: loc + scale z,
with z a standard draw. Where a change of the parameters moves none of the observations' laws for any z, it moves no law
of the data: what is unseen so is not identified. The converse does not hold, for a law may be the same though the paths
are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals, residues
from ssmlang.analysis.identifiability_rank import float_rank, null_space, random_field
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Ring, Unsupported
from ssmlang.analysis.identifiability_skeleton import MOST, TRIES, Path, Rows
from ssmlang.analysis.sides import AT_ZERO, COMPARED, compared
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation

Array = np.ndarray
SERIES = 3
"""Paths of held numbers that are looked at together: an accident at one is none at all."""
Draw = Callable[[tuple[int, ...]], Array]


class Held:
    """The directions of some parameters that no held path shows. Raises Unsupported where a law cannot be held.

    `hidden`: coordinates that the noise-free path does not tell. What no held path shows moves these alone, and those
    that are not on that path: a held path with no noise is a noise-free one.
    """

    def __init__(self, path: Path, hidden: Sequence[Coordinate]) -> None:
        if path.flows_noisily:
            raise Unsupported("noise in continuous time is not held")
        equations = [n for e in path.model.equations for n in _all(e)]
        switches = [n for n in expr.walk(equations) if n.op in COMPARED | AT_ZERO]
        if any(n.op == "time" for n in expr.walk(switches)):
            raise Unsupported("the equations change at some row, which may be a late one")
        if compared(equations) & {(s, n) for s, n, _ in expr.references(equations) if s in ("input", "obs")}:
            raise Unsupported("the equations change with the data, of which one side alone may have been looked at")
        self.path = path
        self.coords = [*hidden, *coordinates(path.model, sorted(path.read - path.followed))]
        if len(self.coords) > MOST:
            raise Unsupported(f"{len(self.coords)} parameters are more than this check takes ({MOST})")

    @property
    def steps(self) -> int:
        """Rows to look at: of known paths, each shows one more function of the parameters or none does, once what they
        move has had time to reach an observation."""
        states = sum(s.size for s in self.path.model.states.values()) * self.path.memory
        return 2 * len(self.coords) + states + 6

    def unseen(self, steps: int, seed: int) -> tuple[Array, Array]:
        """Values of the coordinates at a random point, and the unseen directions (coordinates, k), modulo P."""
        for attempt in range(TRIES):
            self.path.budget.check()
            try:
                return self._unseen(steps, seed + 1000 * attempt)
            except NoRoot:
                continue
        raise Unsupported("no random point has the square roots that the model takes")

    def _unseen(self, steps: int, seed: int) -> tuple[Array, Array]:
        ring, random = random_field(seed)
        values = residues(self.path.model, ring, random, sorted(self.path.read))
        rows = []
        for series in range(SERIES):
            jac = self.slopes(ring, values, steps, np.random.default_rng([seed, series]))
            own, flat = jac[:, : len(self.coords)], jac[:, len(self.coords) :]
            if flat.any():  # first values that are diffuse: whatever they are
                own = ring.matmul(null_space(flat.T).T, own)
            rows.append(own)
        at = np.array([values[k.parameter].reshape(-1)[k.entry] for k in self.coords], np.int64)
        return at, null_space(np.concatenate(rows))

    def rank(self, steps: int) -> int | None:
        """The rank in double precision at a plausible setting; None where a path has no finite values there."""
        values = {n: np.asarray(self.path._floats[n], float) for n in self.path.read}
        rows = []
        for series in range(SERIES):
            with np.errstate(all="ignore"):
                jac = self.slopes(Reals(), values, steps, np.random.default_rng([5, series]))
            if not np.isfinite(jac).all():
                return None
            own, flat = jac[:, : len(self.coords)], jac[:, len(self.coords) :]
            if flat.any():
                left, s, _ = np.linalg.svd(flat)
                size = np.abs(own).max(initial=0)
                own = left[:, int((s > 1e-10 * s.max(initial=0)).sum()) :].T @ own
                own = np.where(np.abs(own) > 1e-9 * size, own, 0.0)  # what cancels leaves rounding
            rows.append(own)
        return float_rank(np.concatenate(rows), np.ones(len(self.coords)))[0]

    def slopes(self, ring: Ring, values: dict[str, Array], steps: int, random: np.random.Generator) -> Array:
        """(rows, coordinates and diffuse first values): what small changes do to a path and to the laws along it."""
        flat = diffuse(self.path)
        directions = len(self.coords) + len(flat)
        calculus = Calculus(ring, directions)
        expressions = Expressions(calculus, duals(self.path.model, calculus, values, self.coords), self.path._floats)
        rows = HeldRows(self.path, calculus, expressions, random, ring, {k: len(self.coords) + i
                                                                         for i, k in enumerate(flat)})  # fmt: skip
        found: list[Dual] = []
        for t in range(steps):
            self.path.budget.check()
            found += rows.observed(t)
        found += rows.unchanged + expressions.margins
        parts = [d.tangent.reshape(directions, -1) for d in found if d.tangent is not None]
        return np.concatenate(parts, axis=1).T if parts else np.zeros((0, directions), np.int64)


def diffuse(path: Path) -> list[tuple[str, int, int]]:
    """First values that are any number at all."""
    free = {(t.name, e) for i in path.model.initials if i.special == "diffuse" for t in i.targets for e in t.entries}
    return [key for key in path.first_values if (key[0], key[2]) in free]


class HeldRows(Rows):
    """States row after row where each draw is what its held number makes of it."""

    def __init__(self, path: Path, calculus: Calculus, expressions: Expressions, random: np.random.Generator,
                 ring: Ring, free: dict[tuple[str, int, int], int]) -> None:  # fmt: skip
        self.free = free
        self.unchanged: list[Dual] = []
        """Arguments of laws that are no matter of location and scale: where they stay, so do the laws."""
        super().__init__(path, calculus, expressions, random, ring)

    def _first(self) -> None:
        for name, row, entry in self.path.first_values:
            variable = self.path.model.parameters[name] if row == 1 else self.path.model.states[name]
            own, floats = self.known.setdefault((name, row), self._blank(variable.size))
            near = self.random.normal(0.5, 0.5) if row != 1 else self.path._floats[name].reshape(-1)[entry]
            own.value[entry] = self.ring.number(self.random.integers(2, 2**31 - 3))
            floats[entry] = near
            if (name, row, entry) in self.free and own.tangent is not None:
                own.tangent[self.free[name, row, entry], entry] = 1
        for p in self.path.augmented:
            laws = [*(p.prior.args.values() if p.prior is not None else ()), p.support.lower, p.support.upper]
            self._stays([n for n in laws if n is not None], 0)
        for initial in self._in_order():
            if initial.special == "stationary":
                # That law is made of all that the equations of the state read.
                names = {t.name for t in initial.targets}
                own_ = [e for e in self.path.steps_of if any(t.name in names for t in e.targets)]
                read = sorted(expr.parameters([n for e in own_ for n in _all(e)]))
                parameters = [self.path.model.parameters[n] for n in read]
                self._stays([expr.param(p.name, p.shape, p.axes) for p in parameters], 0)
            elif initial.special is None:
                self._start(initial)

    def _start(self, initial: InitialEquation) -> None:
        node = initial.value if initial.law is None else self._drawn(initial.law, 0)
        assert node is not None
        [value] = self.expressions([node], 0, self._read(0))
        flat = self.expressions.beside[0].reshape(-1)
        for t in initial.targets:
            if t.name in self.path.model.states:
                own, floats = self.known.get((t.name, t.row), self._blank(self.path.model.states[t.name].size))
                self.known[t.name, t.row] = self._placed(own, floats, t.entries, value, flat, initial.targets, t)

    def _in_order(self) -> list[InitialEquation]:
        """Initial laws after those whose values they read."""
        states = self.path.model.states
        waiting = [i for i in self.path.model.initials if any(t.name in states for t in i.targets)]
        found: list[InitialEquation] = []
        while waiting:
            given = [(i, {t.name for t in i.targets}) for i in waiting]
            reads = lambda i: {n for s, n, _ in expr.references(_all(i)) if s == "state"}
            ready = [i for i in waiting if not any(reads(i) & names for o, names in given if o is not i)]
            if not ready:
                raise Unsupported("first values that read each other in turn")
            found += ready
            waiting = [i for i in waiting if i not in ready]
        return found

    def _node(self, e: Equation, t: int) -> Node:
        return super()._node(e, t) if e.law is None else self._drawn(e.law, t)

    def _outside(self, sort: str, name: str, row: int) -> tuple[Dual, Array]:
        if sort != "noise":
            return super()._outside(sort, name, row)
        key = (sort, name, row)
        if key not in self.outside:
            law = self.path.model.noises[name].law
            assert law is not None
            [value] = self.expressions([self._drawn(law, row)], max(row, 0), self._read(row))
            shape = self.path.model.noises[name].shape
            placed = self.c.move([value], np.arange(1, value.value.size + 1).reshape(shape))
            self.outside[key] = placed, np.asarray(self.expressions.beside[0], float).reshape(shape)
        return self.outside[key]

    def _drawn(self, law: Dist, row: int) -> Node:
        node, stays = held(law, self._held_number)
        self._stays(stays, row)
        return node

    def _stays(self, nodes: Sequence[Node], row: int) -> None:
        moving = [n for n in nodes if expr.parameters([n])]
        if moving:
            self.unchanged += self.expressions(moving, max(row, 0), self._read(row))

    def _held_number(self, shape: tuple[int, ...]) -> Array:
        """Decimals of three digits: exact in the field, and numbers of about one beside it."""
        return np.asarray(self.random.integers(100, 2500, shape) / 1000) * self.random.choice([-1.0, 1.0], shape)


def held(law: Dist, draw: Draw) -> tuple[Node, list[Node]]:
    """A draw of a law as a function of its parameters and of a held number, and the arguments of the law that must stay
    as they are for that."""
    args, shape = law.args, law.shape
    z = expr.const(draw(shape))
    size = expr.const(np.abs(z.value)) if z.value is not None else z
    usual = DISTRIBUTIONS[law.name].defaults
    spread = lambda name: expr.broadcast(args[name] if name in args else expr.const(usual[name]), shape)
    match law.name:
        case "Normal" | "StudentT" | "Laplace" | "Cauchy":
            stays = [n for k, n in args.items() if k not in ("loc", "scale")]
            return expr.add(spread("loc"), expr.mul(spread("scale"), z)), stays
        case "LogNormal":
            return expr.unary("exp", expr.add(spread("loc"), expr.mul(spread("scale"), z))), []
        case "HalfNormal" | "HalfCauchy":
            return expr.mul(spread("scale"), size), []
        case "Exponential" | "Gamma":
            return expr.div(size, spread("rate")), [n for k, n in args.items() if k != "rate"]
        case "Uniform":
            share = expr.const(np.abs(np.asarray(z.value)) / 3)
            return expr.add(spread("low"), expr.mul(expr.sub(spread("high"), spread("low")), share)), []
        case "MvNormal" if "scale_tril" in args and len(shape) == 1:
            turned = expr.reshape(expr.matmul(args["scale_tril"], expr.reshape(z, (*shape, 1))), shape)
            return expr.add(spread("loc"), turned), []
        case "MvNormal":
            return expr.add(spread("loc"), z), [n for k, n in args.items() if k != "loc"]
    return z, list(args.values())


def _all(e: Equation | InitialEquation) -> list[Node]:
    return [*(e.law.args.values() if e.law is not None else ()), *([e.value] if e.value is not None else [])]

