"""Expressions of a model with their derivatives in the parameters, over a ring: forward differentiation of the DAG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.identifiability_rings import Ring, Unsupported
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node

Array = np.ndarray
_MOVES = {"broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "block_diag"}
_PLAIN = {"exp", "log", "sqrt", "sin", "cos", "asin", "acos", "atan", "lgamma", "gamma", "normal_cdf"}


@dataclass(frozen=True)
class Dual:
    """A value with its derivatives: `tangent` (directions, *shape), None where there are none."""

    value: Array
    tangent: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


class Calculus:
    """Arithmetic of duals over a ring, with `directions` directions."""

    def __init__(self, ring: Ring, directions: int) -> None:
        self.ring, self.directions = ring, directions

    def constant(self, x: object) -> Dual:
        return Dual(self.ring.number(x))

    def zeros(self, shape: Sequence[int]) -> Dual:
        return Dual(self.ring.number(np.zeros(tuple(shape), int)))

    def add(self, a: Dual, b: Dual) -> Dual:
        return self._sum(a, b, 1)

    def sub(self, a: Dual, b: Dual) -> Dual:
        return self._sum(a, b, -1)

    def _sum(self, a: Dual, b: Dual, sign: int) -> Dual:
        shape = np.broadcast_shapes(a.shape, b.shape)
        value = self.ring.reduce(a.value + sign * b.value)
        if a.tangent is None and b.tangent is None:
            return Dual(value)
        ta, tb = self._spread(a, shape), self._spread(b, shape)
        if tb is None:
            return Dual(value, ta)
        return Dual(value, self.ring.reduce(sign * tb if ta is None else ta + sign * tb))

    @staticmethod
    def _spread(a: Dual, shape: tuple[int, ...]) -> Array | None:
        if a.tangent is None:
            return None
        k = len(shape) - a.value.ndim
        t = a.tangent.reshape(len(a.tangent), *(1,) * k, *a.shape)
        return np.broadcast_to(t, (len(t), *shape))

    def scale(self, a: Dual, by: Array) -> Dual:
        """a times numbers of the ring, which broadcast to its shape."""
        return Dual(self.ring.mul(a.value, by), None if a.tangent is None else self.ring.mul(a.tangent, by))

    def mul(self, a: Dual, b: Dual) -> Dual:
        shape = np.broadcast_shapes(a.shape, b.shape)
        value = self.ring.mul(a.value, b.value)
        parts = [self.ring.mul(t, other.value) for one, other in ((a, b), (b, a))
                 if (t := self._spread(one, shape)) is not None]  # fmt: skip
        return Dual(value, _total(self.ring, parts))

    def matmul(self, a: Dual, b: Dual) -> Dual:
        """Of matrices (..., i, j) and (..., j, k)."""
        r = self.ring
        value = r.matmul(a.value, b.value)
        parts = [] if a.tangent is None else [r.matmul(a.tangent, b.value)]
        parts += [] if b.tangent is None else [r.matmul(a.value, b.tangent)]
        return Dual(value, _total(r, parts))

    def transpose(self, a: Dual) -> Dual:
        return Dual(np.swapaxes(a.value, -1, -2), None if a.tangent is None else np.swapaxes(a.tangent, -1, -2))

    def inverse(self, a: Dual) -> Dual:
        value = self.ring.inverse(a.value)
        if a.tangent is None:
            return Dual(value)
        return Dual(value, self.ring.reduce(-self.ring.matmul(self.ring.matmul(value, a.tangent), value)))

    def reciprocal(self, a: Dual) -> Dual:
        value = self.ring.reciprocal(a.value)
        slope = self.ring.reduce(-self.ring.mul(value, value))
        return Dual(value, None if a.tangent is None else self.ring.mul(a.tangent, slope))

    def function(self, name: str, a: Dual) -> Dual:
        value, slope = self.ring.function(name, a.value)
        return Dual(value, None if a.tangent is None else self.ring.mul(a.tangent, slope))

    def move(self, parts: Sequence[Dual], places: Array) -> Dual:
        """Entries of the parts by place, counted from 1 over all of them in C order; 0 stands for zero."""
        ring = self.ring
        first = ring.number(np.zeros(1, int))
        value = np.concatenate([first, *(p.value.reshape(-1) for p in parts)])[places]
        if all(p.tangent is None for p in parts):
            return Dual(value)
        d = self.directions
        flat = [np.zeros((d, p.value.size), first.dtype) if p.tangent is None else p.tangent.reshape(d, -1)
                for p in parts]  # fmt: skip
        return Dual(value, np.concatenate([np.zeros((d, 1), first.dtype), *flat], axis=1)[:, places])

    def concatenate(self, parts: Sequence[Dual]) -> Dual:
        """Along the first dimension."""
        value = np.concatenate([p.value for p in parts])
        if all(p.tangent is None for p in parts):
            return Dual(value)
        zero = lambda p: np.zeros((self.directions, *p.shape), value.dtype)
        return Dual(value, np.concatenate([zero(p) if p.tangent is None else p.tangent for p in parts], axis=1))

    def take(self, a: Dual, at: object) -> Dual:
        """Entries by an index of NumPy, which names no new dimension."""
        whole = at if isinstance(at, tuple) else (at,)
        return Dual(a.value[whole], None if a.tangent is None else a.tangent[(slice(None), *whole)])

    def sum(self, a: Dual, axis: int) -> Dual:
        axis %= a.value.ndim
        return Dual(self.ring.reduce(a.value.sum(axis)),
                    None if a.tangent is None else self.ring.reduce(a.tangent.sum(axis + 1)))  # fmt: skip


def _total(ring: Ring, parts: Sequence[Array]) -> Array | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else ring.reduce(parts[0] + parts[1])


Read = Callable[[str, str, int], tuple[Dual, Array]]
"""A series at a lag, in the ring and as floats."""


THRESHOLDS, KINKS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"}), frozenset({"maximum", "minimum", "relu"})


@dataclass
class Expressions:
    """Values of expressions at a point: `params` in the ring, `floats` beside them for what needs an order
    (comparisons, integers, the larger of two), which only decides on which piece of the model the point lies."""

    calculus: Calculus
    params: Mapping[str, Dual]
    floats: Mapping[str, Array]

    def __post_init__(self) -> None:
        self._plans: dict[tuple[int, ...], list[tuple[Node, int, bool]]] = {}
        self._settled: set[tuple[int, ...]] = set()
        self._fixed: dict[int, tuple[Node, Dual]] = {}
        self._fixed_floats: dict[int, Array] = {}
        self.beside: list[Array] = []
        """The floats of the values last asked for."""
        self._thresholds: list[Dual] = []
        self._kinks: dict[int, tuple[set[bool], list[Dual]]] = {}

    @property
    def margins(self) -> list[Dual]:
        """By how much the sides of comparisons differ, and those of a `max` or `relu` of which one side alone was met:
        what moves them may move the law, though no derivative of a path shows it."""
        return self._thresholds + [m for sides, own in self._kinks.values() if len(sides) < 2 for m in own]

    def __call__(self, nodes: Sequence[Node], t: int, read: Read | None = None, bound: int = 0) -> list[Dual]:
        """The values in row t; `read` gives series, `bound` is the index of a sum over the past."""
        here: dict[int, Dual] = {}
        floats: dict[int, Array] = {}
        for node, at, moving in self._plan(nodes):
            known = self._fixed.get(at)
            if known is not None:
                here[at], floats[at] = known[1], self._fixed_floats[at]
                continue
            floats[at] = self._float(node, [floats[id(a)] for a in node.args], t, read, bound)
            here[at] = self._one(node, [here[id(a)] for a in node.args], floats, t, read, bound)
            if not moving:
                self._fixed[at], self._fixed_floats[at] = (node, here[at]), floats[at]
        self.beside = [floats[id(n)] for n in nodes]
        return [here[id(n)] for n in nodes]

    def _plan(self, nodes: Sequence[Node]) -> list[tuple[Node, int, bool]]:
        """The nodes in the order of their arguments, each with its id and whether a row changes it; what rows do not
        change comes without what it is made of once it is known."""
        key = tuple(map(id, nodes))
        found = self._plans.get(key)
        if found is None:
            moving: dict[int, bool] = {}
            found = []
            for n in expr.walk(nodes):
                moving[id(n)] = n.op in ("time", "ref", "bound", "augment") or any(moving[id(a)] for a in n.args)
                found.append((n, id(n), moving[id(n)]))
            self._plans[key] = found
        elif key not in self._settled and all(moving or at in self._fixed for _, at, moving in found):
            used = {id(a) for n, _, moving in found if moving for a in n.args} | set(key)
            found = [step for step in found if step[2] or step[1] in used]
            self._plans[key] = found
            self._settled.add(key)
        return found

    def _float(self, node: Node, args: list[Array], t: int, read: Read | None, bound: int) -> Array:
        if node.value is not None:
            return node.value
        match node.op:
            case "param":
                return self.floats[node.attrs[0]]
            case "time":
                return np.asarray(t)
            case "bound":
                return np.asarray(bound)
            case "ref" | "augment":
                return self._series(node, read, bound)[1]
            case "past_sum":
                raise Unsupported("a sum over the whole past is not followed here")
        with np.errstate(all="ignore"):
            try:
                return np.asarray(numeric.evaluate(node.op, node.attrs, args))
            except (np.linalg.LinAlgError, ValueError) as trouble:
                raise Unsupported(f"{node.op} has no value at a draw of the parameters") from trouble

    def _series(self, node: Node, read: Read | None, bound: int) -> tuple[Dual, Array]:
        sort, name, lag = node.attrs if node.op == "ref" else ("augment", *node.attrs)
        if read is None:
            raise Unsupported(f"{name} is read where no series exists")
        return read(sort, name, bound if isinstance(lag, str) else lag)

    def _one(self, node: Node, args: list[Dual], floats: Mapping[int, Array], t: int, read: Read | None, bound: int
             ) -> Dual:  # fmt: skip
        c, op = self.calculus, node.op
        if node.value is not None:
            return c.constant(node.value)
        if op in THRESHOLDS:
            self._thresholds.append(c.sub(*args))
        elif op in KINKS:
            sides, margins = self._kinks.setdefault(id(node), (set(), []))
            own = [floats[id(a)] for a in node.args]
            sides |= set(np.unique(own[0] >= (own[1] if len(own) > 1 else 0)).tolist())
            margins.append(c.sub(*args) if len(args) > 1 else args[0])
        if node.kind == "bool" or (node.kind == "int" and op != "ref"):
            return c.constant(np.asarray(floats[id(node)], np.int64))
        shape = node.shape
        near = lambda i: floats[id(node.args[i])]
        if op == "param":
            return self.params[node.attrs[0]]
        if op in ("ref", "augment"):
            return self._series(node, read, bound)[0]
        if op in _MOVES:
            return c.move(args, _placed(op, node.attrs, args))
        if op in _PLAIN:
            return c.function(op, args[0])
        match op:
            case "add":
                return c.add(*args)
            case "sub":
                return c.sub(*args)
            case "mul":
                return c.mul(*args)
            case "div":
                return c.mul(args[0], c.reciprocal(args[1]))
            case "neg":
                return c.sub(c.zeros(()), args[0])
            case "pow":
                return self._power(args[0], args[1], node.args[1])
            case "mod":
                whole = c.constant(np.floor(near(0) / near(1)))
                return c.sub(args[0], c.mul(whole, args[1]))
            case "sum":
                return c.sum(args[0], node.attrs[0])
            case "prod":
                moved = np.moveaxis(np.arange(1, args[0].value.size + 1).reshape(args[0].shape), node.attrs[0], 0)
                total = c.constant(np.ones(shape, int))
                for places in moved:
                    total = c.mul(total, c.move(args, places))
                return total
            case "max" | "min":
                pick = (np.argmax if op == "max" else np.argmin)(near(0), axis=node.attrs[0])
                places = np.arange(1, args[0].value.size + 1).reshape(args[0].shape)
                chosen = np.take_along_axis(places, np.expand_dims(pick, node.attrs[0]), node.attrs[0])
                return c.move(args, chosen.reshape(shape))
            case "maximum" | "minimum":
                return self._where((near(0) >= near(1)) == (op == "maximum"), args[0], args[1], shape)
            case "abs":
                return c.mul(c.constant(np.sign(np.nan_to_num(near(0))).astype(int)), args[0])
            case "relu":
                return c.mul(c.constant((near(0) > 0).astype(int)), args[0])
            case "where":
                return self._where(np.asarray(near(0), bool), args[1], args[2], shape)
            case "index":
                positions = tuple(np.asarray(near(i), np.int64) for i in range(1, len(args)))
                return c.take(args[0], positions)
            case "matmul":
                return self._matmul(args[0], args[1], shape)
            case "inverse":
                return c.inverse(args[0])
            case "cholesky":
                return self._cholesky(args[0])
            case "kron":
                (m, n), (p, q) = args[0].shape, args[1].shape
                rows, cols = np.divmod(np.arange(m * p), p), np.divmod(np.arange(n * q), q)
                left = c.take(args[0], (rows[0][:, None], cols[0][None]))
                return c.mul(left, c.take(args[1], (rows[1][:, None], cols[1][None])))
        return self._composed(op, args)

    def _composed(self, op: str, args: list[Dual]) -> Dual:
        """Functions made of others."""
        c, x = self.calculus, args[0]
        one = c.constant(1)
        negative = lambda: c.function("exp", c.sub(c.zeros(()), x))
        match op:
            case "expm1":
                return c.sub(c.function("exp", x), one)
            case "exprel":
                return c.mul(c.sub(c.function("exp", x), one), c.reciprocal(x))
            case "log1p":
                return c.function("log", c.add(one, x))
            case "sigmoid":
                return c.reciprocal(c.add(one, negative()))
            case "tanh":
                e = c.function("exp", c.add(x, x))
                return c.mul(c.sub(e, one), c.reciprocal(c.add(e, one)))
            case "softplus":
                return c.function("log", c.add(one, c.function("exp", x)))
            case "logit":
                return c.sub(c.function("log", x), c.function("log", c.sub(one, x)))
            case "tan":
                return c.mul(c.function("sin", x), c.reciprocal(c.function("cos", x)))
            case "atan2":
                return c.function("atan", c.mul(x, c.reciprocal(args[1])))
            case "softmax":
                e = c.function("exp", x)
                total = c.sum(e, -1)
                places = np.broadcast_to(np.arange(1, total.value.size + 1).reshape(*total.shape, 1), x.shape)
                return c.mul(e, c.reciprocal(c.move([total], places)))
        raise Unsupported(f"{op} of a parameter is not followed")

    def _where(self, test: Array, a: Dual, b: Dual, shape: tuple[int, ...]) -> Dual:
        test = np.broadcast_to(test, shape)
        at = lambda d, offset: np.broadcast_to(np.arange(1, d.value.size + 1).reshape(d.shape) + offset, shape)
        return self.calculus.move([a, b], np.where(test, at(a, 0), at(b, a.value.size)))

    def _matmul(self, a: Dual, b: Dual, shape: tuple[int, ...]) -> Dual:
        c = self.calculus
        whole = lambda d, s: c.move([d], np.arange(1, d.value.size + 1).reshape(s))
        a2 = whole(a, (1, *a.shape)) if a.value.ndim == 1 else a
        b2 = whole(b, (*b.shape, 1)) if b.value.ndim == 1 else b
        if a2.value.ndim > 2 or b2.value.ndim > 2:
            batch = np.broadcast_shapes(a2.shape[:-2], b2.shape[:-2])
            spread = lambda d: c.move([d], np.broadcast_to(
                np.arange(1, d.value.size + 1).reshape(d.shape), (*batch, *d.shape[-2:])))  # fmt: skip
            a2, b2 = spread(a2), spread(b2)
        return whole(c.matmul(a2, b2), shape)

    def _power(self, a: Dual, b: Dual, exponent: Node) -> Dual:
        c = self.calculus
        if exponent.value is not None:
            sizes = np.unique(np.asarray(exponent.value, float))
            if len(sizes) == 1 and float(2 * sizes[0]).is_integer() and abs(sizes[0]) <= 64:
                n = int(2 * abs(sizes[0]))
                base = a if n % 2 == 0 else c.function("sqrt", a)
                found = c.constant(np.ones(np.broadcast_shapes(a.shape, exponent.shape), int))
                for _ in range(n // 2 if n % 2 == 0 else n):
                    found = c.mul(found, base)
                return found if sizes[0] >= 0 else c.reciprocal(found)
        return c.function("exp", c.mul(b, c.function("log", a)))

    def _cholesky(self, a: Dual) -> Dual:
        """Column by column; of the last two dimensions of one matrix."""
        if a.value.ndim != 2:
            raise Unsupported("the factors of a stack of matrices are not followed")
        c, n = self.calculus, a.shape[0]
        entry: dict[tuple[int, int], Dual] = {}
        for j in range(n):
            for i in range(j, n):
                left = c.take(a, (i, j))
                for k in range(j):
                    left = c.sub(left, c.mul(entry[i, k], entry[j, k]))
                entry[i, j] = c.function("sqrt", left) if i == j else c.mul(left, c.reciprocal(entry[j, j]))
        order = list(entry)
        places = np.zeros((n, n), int)
        for place, (i, j) in enumerate(order):
            places[i, j] = place + 1
        return c.move([entry[k] for k in order], places)


def _placed(op: str, attrs: tuple, args: Sequence[Dual]) -> Array:
    """Where each entry of a result that only moves entries comes from: places counted from 1, 0 for a zero."""
    offsets = np.cumsum([1, *(a.value.size for a in args)])
    numbered = [np.arange(a.value.size).reshape(a.shape) + first for a, first in zip(args, offsets)]
    return np.asarray(numeric.evaluate(op, attrs, numbered)).astype(np.int64)
