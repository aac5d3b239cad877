"""What states' noise tells of the parameters: how far the observations' laws move together from row to row.

With noises scaled by a small e, the laws of two rows t != s (their arguments, which the data tell) have the covariance
e^2 G_t G_s' + O(e^4), G_t the derivative of row t's arguments by the noises along the noise-free path. A direction of
the parameters that leaves that path as it is to first order, and moves one of these covariances, moves the law of the
data; if all such directions do, the parameters are told apart for small noises and, laws being analytic in e, for
almost all. Covariances within a row are left out: what the states do there cannot be told from the law's own spread.

Derivatives by noises are exact, those by parameters are differences in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_point import Coordinate, coordinates, duals
from ssmlang.analysis.identifiability_rings import Reals, Unsupported
from ssmlang.analysis.identifiability_skeleton import Path, Rows
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, nodes_of

Array = np.ndarray
STEP = 1e-4
"""Size of the differences, relative to the coordinates' own sizes."""
ZERO = 1e-4
"""What is smaller than this, relative to the largest, is not counted on."""
ROUNDING = 1e-8
"""Changes of a covariance that are smaller than this, relative to the largest covariance, are rounding."""
POINTS = 2
MOST_UNSEEN, MOST_NOISES, MOST_SEEN = 40, 600, 400
MOST_ROWS = 12
"""More rows say no more than these of all but very slow states, and cost their square."""


class Covariances:
    """The coordinates that covariances between rows tell apart. Raises Unsupported where noises are not followed."""

    def __init__(self, path: Path, steps: int) -> None:
        model = path.model
        if any(sort == "obs" for sort, *_ in expr.references(n for e in model.equations for n in nodes_of(e))):
            raise Unsupported("what is observed comes back into the equations")
        self.path, self.steps = path, steps + path.memory
        self.beside = coordinates(model, sorted(path.read - path.followed))
        self.coords = [*path.coords, *self.beside]
        self.sizes = dict(self._sources())
        if not self.sizes:
            raise Unsupported("no noise moves the states")
        each, before = sum(self.sizes.values()), path.memory + 1
        self.shaken = min(self.steps, MOST_NOISES // each - before, MOST_ROWS)
        """Rows whose covariances are looked at"""
        if self.shaken < 2:
            raise Unsupported(f"{each} noises in a row are more than this check takes")
        self.noises = each * (self.shaken + before)
        self.nodes: dict[int, Node] = {}
        """By transition a draw of its law near its middle"""

    def _sources(self) -> Iterator[tuple[str, int]]:
        """What moves the states, by name, with how many numbers it has in a row."""
        model = self.path.model
        for i, e in enumerate(self.path.steps_of):
            if e.law is not None:
                yield f"law {i}", int(np.prod(e.law.shape, dtype=int))
        for n in model.noises.values():
            yield n.name, n.size
        for d in model.differentials:
            for node in expr.walk([d.value]):
                if node.op == "ref" and node.attrs[0] == "increment" and node.attrs[1] != "dt":
                    yield node.attrs[1], node.size
        for p in self.path.augmented:
            if p.walk is not None and not p.walk.is_zero:
                raise Unsupported(f"{p.name} walks, which is not followed here")

    def told(self, wanted: Sequence[Coordinate]) -> list[Coordinate]:
        """Those of `wanted` that are told apart, at each of some plausible settings."""
        left = list(wanted)
        for k, piece in enumerate(self.path.pieces[:POINTS]):
            if left:
                left = [c for c in left if c in self._at(piece, 11 + k)]
        return left

    def _at(self, piece: Mapping[str, Array], seed: int) -> set[Coordinate]:
        path = self.path.at_piece(piece)
        values = {n: np.asarray(piece[n], float) for n in path.read}
        free = len(path.first_values)
        own = np.array([max(abs(float(values[c.parameter].reshape(-1)[c.entry])), 0.1) for c in self.coords])
        sizes = np.concatenate([own, np.ones(free)])
        on_path, count = len(path.coords), len(self.coords)
        if self.path.all_told:
            # No other direction leaves the path as it is, by exact rank.
            return self._moved(path, values, seed, sizes, np.eye(count + free)[:, on_path:count])
        known = path._slopes(Reals(), values, np.random.default_rng(seed), self.steps)
        slopes = np.zeros((len(known), count + free))
        slopes[:, :on_path], slopes[:, count:] = known[:, :on_path], known[:, on_path:]
        unseen = _null(slopes * sizes)
        if unseen.shape[1] > MOST_UNSEEN:
            raise Unsupported(f"{unseen.shape[1]} directions are more than this check takes ({MOST_UNSEEN})")
        return self._moved(path, values, seed, sizes, unseen)

    def _moved(self, path: Path, values: Mapping[str, Array], seed: int, sizes: Array, unseen: Array
               ) -> set[Coordinate]:  # fmt: skip
        """The coordinates that no direction of `unseen` moves without moving a covariance."""
        changes, largest = [], 0.0
        for direction in unseen.T:
            self.path.budget.check()
            ends = [self._covariances(path, values, seed, sign * STEP * direction * sizes) for sign in (1.0, -1.0)]
            changes.append((ends[0] - ends[1]) / (2 * STEP))
            largest = max(largest, *(float(np.abs(c).max(initial=0.0)) for c in ends))
        moved = np.stack(changes, axis=1) if changes else np.zeros((0, 0))
        if not np.isfinite(moved).all():
            return set()
        moved = np.where(np.abs(moved) > ROUNDING * largest, moved, 0.0)
        hidden = unseen @ _null(moved) if changes else unseen
        return {c for i, c in enumerate(self.coords) if np.abs(hidden[i]).max(initial=0.0) < ZERO}

    def _covariances(self, path: Path, values: Mapping[str, Array], seed: int, move: Array) -> Array:
        """Of the arguments of different rows' laws, at the point `move` away."""
        calculus = Calculus(Reals(), self.noises)
        along = duals(path.model, Calculus(Reals(), len(self.coords)), values, self.coords)
        own = move[: len(self.coords)]
        params = {n: Dual(d.value if d.tangent is None else d.value + np.tensordot(own, d.tangent, 1))
                  for n, d in along.items()}  # fmt: skip
        floats = dict(path._floats) | {name: d.value for name, d in params.items()}
        rows = _ShakenRows(path, calculus, Expressions(calculus, params, floats), np.random.default_rng(seed),
                           self.sizes, move[len(self.coords) :], self.nodes)  # fmt: skip
        seen, row_of = [np.zeros((0, self.noises))], []
        for t in range(self.shaken):
            for d in rows.observed(t):
                own = np.zeros((self.noises, d.value.size)) if d.tangent is None else d.tangent
                seen.append(own.reshape(self.noises, -1).T)
                row_of += [t] * d.value.size
        if len(row_of) > MOST_SEEN:
            raise Unsupported(f"{len(row_of)} numbers seen are more than this check takes ({MOST_SEEN})")
        G = np.concatenate(seen)
        at = np.array(row_of)
        return (G @ G.T)[at[:, None] < at]


class _ShakenRows(Rows):
    """States row after row at their middles, with their derivatives by the noises."""

    def __init__(self, path: Path, calculus: Calculus, expressions: Expressions, random: np.random.Generator,
                 sizes: Mapping[str, int], shift: Array, nodes: dict[int, Node]) -> None:  # fmt: skip
        self.sizes, self.shift, self.nodes = sizes, shift, nodes
        self.places: dict[tuple[str, int], int] = {}
        super().__init__(path, calculus, expressions, random, Reals())

    def _mark(self, own: Dual, which: int, entry: int) -> None:
        """First values have no direction of their own here."""

    def _first(self) -> None:
        super()._first()
        for by, (name, row, entry) in zip(self.shift, self.path.first_values, strict=True):
            own, floats = self.known[name, row]
            value = own.value.copy()
            value[entry] += by
            self.known[name, row] = Dual(value, own.tangent), floats

    def _node(self, e: Equation, t: int) -> Node:
        if e.law is None:
            return super()._node(e, t)
        known = self.nodes.get(id(e))
        if known is None:
            known = self.nodes[id(e)] = shaken(e.law, f"law {self.path.steps_of.index(e)}")
        return known

    def _outside(self, sort: str, name: str, row: int) -> tuple[Dual, Array]:
        if sort == "noise" and not self.shaken:
            law = self.path.model.noises[name].law
            assert law is not None
            key = ("small noise", name, row)
            if key not in self.outside:
                [value] = self.expressions([shaken(law, name)], max(row, 0), self._read(row))
                self.outside[key] = value, np.asarray(self.expressions.beside[0], float)
            return self.outside[key]
        if sort == "increment" and name != "dt":
            return self._shock(name, row)
        return self._shock(name, row) if sort == "shock" else super()._outside(sort, name, row)

    def _shock(self, name: str, row: int) -> tuple[Dual, Array]:
        """Zeros, each with a direction of its own."""
        size = self.sizes[name]
        first = self.places.setdefault((name, row), sum(self.sizes[n] for n, _ in self.places))
        if first + size > self.c.directions:
            raise Unsupported(f"{name} is read too far back")
        tangent = np.zeros((self.c.directions, size))
        tangent[first + np.arange(size), np.arange(size)] = 1.0
        shape = self._shape_of(name)
        return Dual(np.zeros(shape), tangent.reshape(self.c.directions, *shape)), np.zeros(shape)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        model = self.path.model
        if name in model.noises:
            return model.noises[name].shape
        if name.startswith("law "):
            law = self.path.steps_of[int(name[4:])].law
            assert law is not None
            return law.shape
        nodes = expr.walk([d.value for d in model.differentials])
        return next(n.shape for n in nodes if n.op == "ref" and n.attrs[:2] == ("increment", name))


def shaken(law: Dist, name: str) -> Node:
    """A draw of a law near its middle as a function of a small number of unit variance. Raises Unsupported."""
    args, shape = law.args, law.shape
    z = expr.ref("shock", name, 0, shape, (None,) * len(shape))
    spread = lambda name: expr.broadcast(args[name], shape)
    match law.name:
        case "Normal" | "Laplace" | "StudentT":
            return expr.add(spread("loc"), expr.mul(spread("scale"), z))
        case "LogNormal":
            return expr.unary("exp", expr.add(spread("loc"), expr.mul(spread("scale"), z)))
        case "MvNormal" if len(shape) == 1:
            factor = (
                args["scale_tril"]
                if "scale_tril" in args
                else expr.linalg("cholesky", [args["cov"]], args["cov"].shape)
            )
            turned = expr.reshape(expr.matmul(factor, expr.reshape(z, (*shape, 1))), shape)
            return expr.add(spread("loc"), turned)
    raise Unsupported(f"noise drawn from {law.name} is not followed here")


def _null(a: Array) -> Array:
    """An orthonormal basis (columns) of what a matrix does not see, or hardly."""
    if not len(a):
        return np.eye(a.shape[1])
    size = np.abs(a).max(axis=1, keepdims=True)
    _, s, vt = np.linalg.svd(a / np.where(size > 1e-12 * size.max(initial=0.0), size, np.inf))
    return vt[int((s > ZERO * s.max(initial=0.0)).sum()) :].T
