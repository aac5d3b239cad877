"""The observations' laws along the noise-free path of a model, differentiated in parameters and first values.

For models that are not linear. Each row's states are what the transition gives with every noise at its middle; what
is seen of a row are the arguments of the observations' laws. First values without an exact equation are unknown
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals, plausible, residues
from ssmlang.analysis.identifiability_rank import float_rank, null_space, random_field
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Ring, Unsupported
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model

Array = np.ndarray
MIDDLE = {"Normal": "loc", "MvNormal": "loc", "StudentT": "loc", "Laplace": "loc", "Cauchy": "loc", "VonMises": "loc"}
ONE_TO_ONE = {"exp", "log", "sqrt", "neg", "sigmoid", "logit", "softplus", "tanh", "log1p", "expm1", "normal_cdf",
              "reshape", "broadcast"}  # fmt: skip
"""Seeing the value is as good as seeing the argument."""
MOST = 140
JITTER = 0.1
TRIES = 40


@dataclass
class Path:
    """A model along its noise-free path. Raises Unsupported where there is none."""

    model: Model
    budget: Budget
    near: Sequence[Mapping[str, Array]] = ()
    """Plausible settings, such as draws from the prior: on which piece of the model the path lies."""
    all_told: bool = False
    """Set by `unseen`: whether the path tells all coordinates and first values at almost every point."""
    _floats: dict[str, Array] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        model = self.model
        for s in model.states.values():
            if s.values is not None:
                raise Unsupported(f"{s.name} is discrete, which this check does not follow")
            if s.order is None:
                raise Unsupported(f"{s.name} reads its whole past, which this check does not follow here")
        if model.missing_constants:
            raise Unsupported(f"the constant {model.missing_constants[0]} has no value")
        self.steps_of = [e for e in model.equations if e.role == "transition"]
        self.seen_by = [e for e in model.equations if e.role == "emission"]
        self.middles = {id(e): self._middle(e) for e in self.steps_of}
        self.augmented = [p for p in model.parameters.values() if p.augment]
        usual = plausible(model, 5) | {p.name: np.full(p.shape, 0.7) for p in self.augmented}
        self.pieces = [*(dict(v) for v in self.near), usual]
        self._floats = self.pieces[0]
        self._blind = -1

    def _middle(self, e: Equation) -> Node:
        law = e.law
        if law is None:
            assert e.value is not None
            return e.value
        if law.name == "LogNormal":
            return expr.unary("exp", expr.broadcast(law.args["loc"], law.shape))
        if law.name not in MIDDLE:
            raise Unsupported(f"{e.targets[0].name} is drawn from {law.name}, which is no middle plus noise")
        return expr.broadcast(law.args[MIDDLE[law.name]], law.shape)

    # ------------------------------------------------------------------------------------- what reads the parameters

    @cached_property
    def read(self) -> set[str]:
        """Parameters that an equation, an initial law or a noise reads."""
        nodes = [n for e in self.model.equations for n in _nodes(e.law, e.value)]
        nodes += [n for i in self.model.initials for n in _nodes(i.law, i.value)]
        nodes += [n for v in self.model.noises.values() for n in _nodes(v.law, None)]
        nodes += [d.value for d in self.model.differentials]
        return {n for n in expr.parameters(nodes) if not self.model.parameters[n].augment}

    @cached_property
    def followed(self) -> set[str]:
        """Parameters on the path: of middles, exact first values and the observations' laws."""
        nodes = [*self.middles.values(), *(d.value for d in self.model.differentials)]
        nodes += [n for e in self.seen_by for n in _nodes(e.law, e.value)]
        nodes += [i.value for i in self.model.initials if i.value is not None]
        for d in self.model.differentials:  # its noise is left out
            nodes += [d.value]
        return {n for n in expr.parameters(nodes) if not self.model.parameters[n].augment}

    @cached_property
    def exact(self) -> bool:
        """Whether the states have no noise, so that the path is all there is."""
        noisy = {n.name for n in self.model.noises.values()}
        reads = {n for s, n, _ in expr.references(self.middles.values()) if s == "noise"}
        return not (any(e.law is not None for e in self.steps_of) or reads & noisy or self.augmented
                    or self.flows_noisily)  # fmt: skip

    @cached_property
    def flows_noisily(self) -> bool:
        """Whether a differential equation has noise."""
        flows = [d.value for d in self.model.differentials]
        return any(n for s, n, _ in expr.references(flows) if s == "increment" and n != "dt")

    @cached_property
    def coords(self) -> list[Coordinate]:
        return coordinates(self.model, sorted(self.followed))

    @cached_property
    def memory(self) -> int:
        nodes = [*self.middles.values(), *(n for e in self.seen_by for n in _nodes(e.law, e.value))]
        lags = [lag for sort, _, lag in expr.references(nodes) if sort == "state" and isinstance(lag, int)]
        return max([1, *lags])

    @cached_property
    def first_values(self) -> list[tuple[str, int, int]]:
        """(state, row, entry) of first values that no exact equation gives; then augmented parameters (row 1)."""
        exact = {(t.name, t.row, e) for i in self.model.initials if i.value is not None for t in i.targets
                 for e in t.entries}  # fmt: skip
        given = {(t.name, t.row, e) for i in self.model.initials for t in i.targets for e in t.entries}
        special = {(t.name, e) for i in self.model.initials if i.special for t in i.targets for e in t.entries}
        found = []
        for s in self.model.states.values():
            for row in range(0, -max(s.order or 1, 1), -1):
                for e in range(s.size):
                    if (s.name, row, e) in exact:
                        continue
                    if (s.name, row, e) in given or (s.name, e) in special:
                        found.append((s.name, row, e))
        return found + [(p.name, 1, e) for p in self.augmented for e in range(p.size)]

    # ---------------------------------------------------------------------------------------------------- the path

    def unseen(self) -> tuple[int, Array, Array]:
        """Rows taken, values of the coordinates at a random point, and unseen directions (coordinates, k)."""
        size = len(self.coords) + len(self.first_values)
        if size > MOST:
            raise Unsupported(f"{size} parameters and first values are more than this check takes ({MOST})")
        width = max(sum(sum(len(t.entries) for t in e.targets) for e in self.seen_by), 1)
        last = 2 * size + 6
        best: tuple[int, Array, Array] | None = None
        best_piece = self.pieces[0]
        for piece in self.pieces:
            self._floats, steps = piece, size // width + 3
            while True:
                values, null = self.at(steps, 1)
                if best is None or null.shape[1] < best[2].shape[1]:
                    best, best_piece = (steps, values, null), piece
                    self.all_told = self._blind == 0
                if not null.shape[1] or steps >= last:
                    break
                steps = min(2 * steps, last)
            if not null.shape[1]:
                break
        assert best is not None
        self._floats = best_piece
        return best

    def at(self, steps: int, seed: int) -> tuple[Array, Array]:
        """Values and unseen directions of the coordinates after so many rows, at one random point."""
        for attempt in range(TRIES):
            self.budget.check()
            try:
                jac, values = self._jacobian(steps, seed + 1000 * attempt)
            except NoRoot:
                continue
            null = null_space(jac)
            self._blind = null.shape[1]
            own = null[: len(self.coords)]
            return values, own[:, own.any(axis=0)]
        raise Unsupported("no random point has the square roots that the model takes")

    def _jacobian(self, steps: int, seed: int) -> tuple[Array, Array]:
        ring, random = random_field(seed)
        values = residues(self.model, ring, random, sorted(self.read))
        jac = self._slopes(ring, values, random, steps)
        at = np.array([values[k.parameter].reshape(-1)[k.entry] for k in self.coords], np.int64)
        return jac, at

    def at_piece(self, piece: Mapping[str, Array]) -> Path:
        """The same path at another plausible setting."""
        return replace(self, near=[piece])

    def rank(self, steps: int) -> int:
        """The rank in double precision at a plausible setting, less what first values alone take up."""
        values = {n: np.asarray(self._floats[n], float) for n in self.read}
        jac = self._slopes(Reals(), values, np.random.default_rng(3), steps)
        if not np.isfinite(jac).all():
            return -1
        own = len(self.coords)
        scale = np.ones(jac.shape[1])
        return float_rank(jac, scale)[0] - (float_rank(jac[:, own:], scale[own:])[0] if jac.shape[1] > own else 0)

    def _slopes(self, ring: Ring, values: Mapping[str, Array], random: np.random.Generator, steps: int) -> Array:
        """(rows, coordinates and first values)"""
        directions = len(self.coords) + len(self.first_values)
        calculus = Calculus(ring, directions)
        params = duals(self.model, calculus, values, self.coords)
        expressions = Expressions(calculus, params, self._floats)
        rows = Rows(self, calculus, expressions, random, ring)
        collected = []
        for t in range(steps):
            self.budget.check()
            for d in rows.observed(t):
                if d.tangent is not None:
                    collected.append(d.tangent.reshape(directions, -1))
        return np.concatenate(collected, axis=1).T if collected else np.zeros((0, directions), ring.number(0).dtype)


def _nodes(law: Dist | None, value: Node | None) -> list[Node]:
    return [*(law.args.values() if law is not None else ()), *([value] if value is not None else [])]


class Rows:
    """Values of states row after row."""

    def __init__(self, path: Path, calculus: Calculus, expressions: Expressions, random: np.random.Generator,
                 ring: Ring) -> None:  # fmt: skip
        self.path, self.c, self.expressions, self.random, self.ring = path, calculus, expressions, random, ring
        self.known: dict[tuple[str, int], tuple[Dual, Array]] = {}
        self.outside: dict[tuple[str, str, int], tuple[Dual, Array]] = {}
        self.shaken = False
        self._reads: dict[int, tuple[Node, frozenset[str]]] = {}
        """By expression the states of its own row that it reads"""
        self._first()

    def _first(self) -> None:
        """First values: unknown numbers, each with a direction of its own, and what is given exactly."""
        path, model = self.path, self.path.model
        offset = len(path.coords)
        for i, (name, row, entry) in enumerate(path.first_values):
            variable = model.parameters[name] if row == 1 else model.states[name]
            own, floats = self.known.setdefault((name, row), self._blank(variable.size))
            near = self.random.normal(0.5, 0.5) if row != 1 else path._floats[name].reshape(-1)[entry]
            own.value[entry] = self.random.integers(2, 2**31 - 3) if self.ring.exact else near
            self._mark(own, offset + i, entry)
            floats[entry] = near
        for initial in model.initials:
            node = initial.value
            if node is None and initial.law is not None and "loc" in initial.law.args:
                node = initial.law.args["loc"]
            if node is None or any(t.name not in model.states for t in initial.targets):
                continue
            for t in initial.targets:
                [value] = self.expressions([node], 0, self._read(t.row))
                flat = self.expressions.beside[0].reshape(-1)
                own, floats = self.known.get((t.name, t.row), self._blank(model.states[t.name].size))
                placed = self._placed(own, floats, t.entries, value, flat, initial.targets, t)
                if initial.value is not None:
                    self.known[t.name, t.row] = placed
                    continue
                # Of a law only what is near its middle is taken (not the middle itself, which may well be a fixed
                # point), as the number beside the exact one or, in double precision, in its place.
                near = placed[1].copy()
                at = list(t.entries)
                near[at] += JITTER * (np.abs(near[at]) + 0.5) * self.random.normal(size=len(at))
                self.known[t.name, t.row] = own if self.ring.exact else Dual(near, own.tangent), near

    def _mark(self, own: Dual, which: int, entry: int) -> None:
        """Give an unknown first value its direction."""
        assert own.tangent is not None
        own.tangent[which, entry] = 1

    def _blank(self, size: int) -> tuple[Dual, Array]:
        kind = self.ring.number(0).dtype
        return Dual(np.zeros(size, kind), np.zeros((self.c.directions, size), kind)), np.zeros(size)

    def _placed(self, own, floats, entries, value, flat, targets, target):  # type: ignore[no-untyped-def]
        """Values written over some entries; `value` stacks those of all targets."""
        first = 0
        for t in targets:
            if t is target:
                break
            first += len(t.entries)
        size = own.value.size
        whole = value.value.size
        places = np.arange(1, size + 1)
        at = first + np.arange(len(entries)) if whole > 1 else np.zeros(len(entries), int)
        places[list(entries)] = size + 1 + at
        floats = floats.copy()
        floats[list(entries)] = np.broadcast_to(flat, (whole,))[at]
        return self.c.move([own, value], places), floats

    def _read(self, t: int):  # type: ignore[no-untyped-def]
        model = self.path.model

        def one(sort: str, name: str, lag: int) -> tuple[Dual, Array]:
            if sort == "state":
                shape = model.states[name].shape
                if (name, t - lag) not in self.known:
                    raise Unsupported(f"{name} is read where it has no value")
                own, floats = self.known[name, t - lag]
            elif sort == "augment":
                shape = model.parameters[name].shape
                own, floats = self.known[name, 1]
            else:
                return self._outside(sort, name, t - lag)
            return self.c.move([own], np.arange(1, own.value.size + 1).reshape(shape)), floats.reshape(shape)

        return one

    def _outside(self, sort: str, name: str, row: int) -> tuple[Dual, Array]:
        """Inputs and data: random numbers. Noises: at their middle, or shaken. Increments: one step of length dt."""
        model = self.path.model
        key = (sort, name, row)
        if sort == "increment":
            if name != "dt":
                shape = next(n.shape for d in model.differentials for n in expr.walk([d.value])
                             if n.op == "ref" and n.attrs[:2] == ("increment", name))  # fmt: skip
                return self.c.zeros(shape), np.zeros(shape)
            if "dt" in model.constants:
                # Exactly, a step of any length: what no step shows, the flow does not.
                key, step = (sort, name, 0), np.asarray(model.constants["dt"], float)
                if self.ring.exact and key not in self.outside:
                    self.outside[key] = Dual(np.asarray(self.random.integers(2, 2**31 - 3), np.int64)), step
                return self.outside[key] if self.ring.exact else (self.c.constant(model.constants["dt"]), step)
            return self._outside("input", "dt", row)
        variable = (model.noises if sort == "noise" else model.observations if sort == "obs" else model.inputs)[name]
        if sort == "noise" and not self.shaken:
            return self.c.zeros(variable.shape), np.zeros(variable.shape)
        if key not in self.outside:
            floats = np.abs(self.random.normal(1, 0.3, variable.shape)) + 0.1
            exact = lambda: np.asarray(self.random.integers(2, 2**31 - 3, variable.shape), np.int64)
            self.outside[key] = Dual(exact() if self.ring.exact else np.asarray(floats)), floats
        return self.outside[key]

    # ------------------------------------------------------------------------------------------------------- rows

    def observed(self, t: int) -> list[Dual]:
        """The arguments of the laws of row t's observations."""
        self._states(t)
        found: list[Dual] = []
        for e in self.path.seen_by:
            nodes = [_bare(n) for n in _nodes(e.law, e.value)]
            if any(lag > t for sort, _, lag in expr.references(nodes) if sort == "state" and isinstance(lag, int)):
                continue
            found += self.expressions(nodes, t, self._read(t))
            if e.law is None and any(s == "noise" for s, *_ in expr.references(nodes)):
                self.shaken = True
                found += self.expressions(nodes, t, self._read(t))
                self.shaken = False
        return found

    def _same_row(self, node: Node) -> frozenset[str]:
        """The states of its own row that an expression reads."""
        known = self._reads.get(id(node))
        if known is None:
            read = expr.references([node])
            known = node, frozenset(n for s, n, lag in read if s == "state" and lag == 0)
            self._reads[id(node)] = known
        return known[1]

    def _node(self, e: Equation, t: int) -> Node:
        """What a transition gives in a row."""
        return self.path.middles[id(e)]

    def _states(self, t: int) -> None:
        if t == 0 and all((s, 0) in self.known for s in self.path.model.states):
            return
        model = self.path.model
        for d in model.differentials:
            [change] = self.expressions([d.value], t, self._read(t))
            flat = self.expressions.beside[0].reshape(-1)
            before, floats = self.known[d.target.name, t - 1]
            spread = np.zeros(before.value.size, int)
            spread[list(d.target.entries)] = np.arange(1, change.value.size + 1) if change.value.size > 1 else 1
            own, old = self.known.get((d.target.name, t), (before, floats.copy()))
            moved = old.copy()
            moved[list(d.target.entries)] += flat
            self.known[d.target.name, t] = self.c.add(own, self.c.move([change], spread)), moved
        waiting = list(self.path.steps_of)
        while waiting:
            later = []
            for e in waiting:
                node = self._node(e, t)
                pending = {x.name for o in waiting if o is not e for x in o.targets}
                if pending and any(n in pending for n in self._same_row(node)):
                    later.append(e)
                    continue
                [value] = self.expressions([node], t, self._read(t))
                flat = self.expressions.beside[0].reshape(-1)
                for x in e.targets:
                    own, floats = self.known.get((x.name, t), self._blank(model.states[x.name].size))
                    self.known[x.name, t] = self._placed(own, floats, x.entries, value, flat, e.targets, x)
            if len(later) == len(waiting):
                raise Unsupported("states of one row read each other in turn")
            waiting = later


def _bare(node: Node) -> Node:
    """What a law's argument is a one-to-one function of."""
    while node.op in ONE_TO_ONE and node.args and node.args[0].size == node.size:
        node = node.args[0]
    return node
