"""The Model's expressions: a small DAG of array operations.

Every node has a shape, an axis (or None) for each dimension, a kind and the span it was written at. Nodes are compared
by identity; a traversal keeps a memo by `id`. The constructors below check shapes by NumPy's rules, fold constants and
drop exact zeros and ones, so that what is structurally zero is a constant zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import _numeric as numeric

Kind = Literal["real", "int", "bool"]
MAX_ELEMENTS = 4_000_000
"""The largest array an expression may hold."""


@dataclass(frozen=True)
class Axis:
    """A named axis with its labels: names, or consecutive integers from `labels[0]` on."""

    name: str
    labels: tuple[str, ...] | tuple[int, ...]
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def size(self) -> int:
        return len(self.labels)

    @property
    def is_named(self) -> bool:
        """Whether the labels are names rather than integers."""
        return bool(self.labels) and isinstance(self.labels[0], str)


class ExprError(Exception):
    """A shape, size or value that does not fit; the elaborator turns it into a diagnostic at the user's span."""

    def __init__(self, message: str, label: str = "", help: str = "") -> None:
        super().__init__(message)
        self.message, self.label, self.help = message, label, help


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. `attrs` is what is static about it:

    const: ()  with `value`;  param: (name,);  ref: (sort, name, lag) with sort state, obs, noise or input, the value at
    row t - lag, lag an int or the name of a bound index (sum over the whole past);  time: ();  bound: (name,), such an
    index as a number;  augment: (name, lag), an augmented parameter on its natural scale;  reshape, broadcast:
    (shape,);  sum, prod, max, min: (axis,);  concat: (axis,);  past_sum: (name,), the sum of the argument over
    name = 1..t;  flow, flow_law: (entries,);  rest: ().
    """

    op: str
    args: tuple[Node, ...]
    attrs: tuple[Any, ...]
    shape: tuple[int, ...]
    axes: tuple[Axis | None, ...]
    kind: Kind = "real"
    domain: Axis | None = None
    """The axis whose positions this (integer) value counts, if its values are labels."""
    value: np.ndarray | None = None
    span: Span | None = None

    def __repr__(self) -> str:
        return f"<{self.op} {self.attrs if self.attrs else ''}{self.shape}>"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_const(self) -> bool:
        return self.value is not None

    @property
    def is_zero(self) -> bool:
        return self.value is not None and not self.value.any()

    def at(self, span: Span | None) -> Node:
        """The same value, said to be written at `span`."""
        return self if span is None or span == self.span else replace(self, span=span)

    def with_axes(self, axes: Sequence[Axis | None]) -> Node:
        return replace(self, axes=tuple(axes))


# ---------------------------------------------------------------------------------------------------- leaves


def const(value: Any, *, axes: Sequence[Axis | None] | None = None, domain: Axis | None = None,
          span: Span | None = None) -> Node:
    """A known array."""
    array = np.asarray(value)
    if array.size > MAX_ELEMENTS:
        raise ExprError(f"an array of {array.size:,} numbers is more than the {MAX_ELEMENTS:,} allowed")
    kind: Kind = "bool" if array.dtype == bool else "int" if np.issubdtype(array.dtype, np.integer) else "real"
    if kind == "real":
        array = array.astype(float)
    return Node("const", (), (), array.shape, tuple(axes or (None,) * array.ndim), kind, domain, array, span)


def zeros(shape: Sequence[int]) -> Node:
    return const(np.zeros(tuple(shape)))


def param(name: str, shape: Sequence[int], axes: Sequence[Axis | None], span: Span | None = None) -> Node:
    return Node("param", (), (name,), tuple(shape), tuple(axes), span=span)


def ref(sort: str, name: str, lag: int | str, shape: Sequence[int], axes: Sequence[Axis | None], *, kind: Kind = "real",
        domain: Axis | None = None, span: Span | None = None) -> Node:
    return Node("ref", (), (sort, name, lag), tuple(shape), tuple(axes), kind, domain, span=span)


def time(span: Span | None = None) -> Node:
    """The row number t."""
    return Node("time", (), (), (), (), "int", span=span)


def bound(name: str, span: Span | None = None) -> Node:
    """The index of a sum over the whole past, as a number."""
    return Node("bound", (), (name,), (), (), "int", span=span)


def augment(name: str, lag: int, shape: Sequence[int], axes: Sequence[Axis | None], span: Span | None = None) -> Node:
    return Node("augment", (), (name, lag), tuple(shape), tuple(axes), span=span)


# ------------------------------------------------------------------------------------------------ operations


def _node(op: str, args: Sequence[Node], attrs: tuple[Any, ...], shape: Sequence[int], axes: Sequence[Axis | None],
          kind: Kind = "real", domain: Axis | None = None, span: Span | None = None) -> Node:
    shape = tuple(int(n) for n in shape)
    if np.prod(shape, dtype=float) > MAX_ELEMENTS:
        raise ExprError(f"an array of shape {shape} is larger than the {MAX_ELEMENTS:,} numbers allowed")
    if args and all(a.is_const for a in args):
        value, kind = _fold(op, attrs, [a.value for a in args], kind)  # type: ignore[misc]
        return Node("const", (), (), shape, tuple(axes), kind, domain, np.broadcast_to(value, shape), span)
    return Node(op, tuple(args), attrs, shape, tuple(axes), kind, domain, None, span)


def _fold(op: str, attrs: tuple[Any, ...], args: Sequence[np.ndarray], kind: Kind) -> tuple[np.ndarray, Kind]:
    """The value of an operation on constants. Integers that would overflow go on as reals."""
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(numeric.evaluate(op, attrs, args))
            if kind == "int" and op in ("add", "sub", "mul", "sum", "prod"):
                real = np.asarray(numeric.evaluate(op, attrs, [np.asarray(a, float) for a in args]))
                if np.any(np.abs(real) >= 2**53):
                    value, kind = real, "real"
    except np.linalg.LinAlgError as trouble:
        hint = "its argument is not positive definite" if op == "cholesky" else "its argument is singular"
        raise ExprError(f"{op} has no value here", hint) from trouble
    except (ValueError, OverflowError) as trouble:
        raise ExprError(f"{op} has no value here", "its argument is outside its domain") from trouble
    if op == "mod" and kind == "int" and not np.all(args[1]):
        raise ExprError("% by zero has no value")
    return value.astype({"real": float, "int": np.int64, "bool": bool}[kind]), kind


def broadcast_shapes(nodes: Sequence[Node]) -> tuple[tuple[int, ...], tuple[Axis | None, ...]]:
    """Shape and axes of an element-wise result, by position from the right."""
    ndim = max(n.ndim for n in nodes)
    shape: list[int] = [1] * ndim
    axes: list[Axis | None] = [None] * ndim
    for node in nodes:
        for d in range(node.ndim):
            at, size = ndim - node.ndim + d, node.shape[d]
            if size != 1 and shape[at] not in (1, size):
                shapes = " and ".join(str(n.shape) for n in nodes)
                raise ExprError(f"shapes {shapes} do not go together", f"{shape[at]} entries meet {size}",
                                "sizes that meet, counted from the last one, are the same or 1")  # fmt: skip
            if size != 1 or shape[at] == 1:
                shape[at] = size
                if axes[at] is None:
                    axes[at] = node.axes[d]
    return tuple(shape), tuple(axes)


def _kind(op: str, args: Sequence[Node]) -> Kind:
    if op in numeric.PREDICATES:
        return "bool"
    if op in numeric.INTEGER_PRESERVING and all(a.kind in ("int", "bool") for a in args):
        return "int"
    return "real"


def unary(op: str, x: Node, span: Span | None = None) -> Node:
    """neg, not, abs, exp, log, ... element by element."""
    return _node(op, (x,), (), x.shape, x.axes, _kind(op, (x,)), span=span)


def binary(op: str, a: Node, b: Node, span: Span | None = None) -> Node:
    """add, sub, mul, div, pow, mod, lt, ..., atan2, maximum, minimum, element by element."""
    shape, axes = broadcast_shapes((a, b))
    span = span or a.span
    if not (a.is_const and b.is_const):
        same = lambda n: n.shape == shape
        if op == "add" and ((a.is_zero and same(b)) or (b.is_zero and same(a))):
            return (b if a.is_zero and same(b) else a).at(span).with_axes(axes)
        if op == "sub" and b.is_zero and same(a):
            return a.at(span).with_axes(axes)
        if op == "sub" and a.is_zero and same(b):
            return unary("neg", b, span).with_axes(axes)
        if op == "mul":
            if a.is_zero or b.is_zero:
                return zeros(shape).at(span).with_axes(axes)
            for one, other in ((a, b), (b, a)):
                if one.is_const and (one.value == 1).all() and same(other):  # type: ignore[union-attr]
                    return other.at(span).with_axes(axes)
        if op == "div" and a.is_zero:
            return zeros(shape).at(span).with_axes(axes)
        if op in ("div", "pow") and b.is_const and (b.value == 1).all() and same(a):  # type: ignore[union-attr]
            return a.at(span).with_axes(axes)
    if op == "pow" and a.kind == b.kind == "int" and a.is_const and b.is_const:
        a = replace(a, value=a.value.astype(float), kind="real")  # type: ignore[union-attr]
        power = _node(op, (a, b), (), shape, axes, "real", span=span)
        exact = power.value is not None and np.all(np.abs(power.value) < 2**53) and np.all(power.value % 1 == 0)
        return replace(power, value=power.value.astype(np.int64), kind="int") if exact else power  # type: ignore
    return _node(op, (a, b), (), shape, axes, _kind(op, (a, b)), span=span)


add, sub, mul, div = (partial(binary, op) for op in ("add", "sub", "mul", "div"))


def neg(a: Node) -> Node:
    return unary("neg", a)


def where(test: Node, then: Node, otherwise: Node, span: Span | None = None) -> Node:
    """`if test then ... else ...`, element by element."""
    shape, axes = broadcast_shapes((test, then, otherwise))
    if test.is_const and test.size:
        for chosen, holds in ((then, test.value.all()), (otherwise, not test.value.any())):  # type: ignore[union-attr]
            if holds:
                return broadcast(chosen, shape).with_axes(axes).at(span)
    kind: Kind = then.kind if then.kind == otherwise.kind else "real"
    domain = then.domain if then.domain == otherwise.domain else None
    return _node("where", (test, then, otherwise), (), shape, axes, kind, domain, span)


def broadcast(x: Node, shape: Sequence[int]) -> Node:
    """x repeated to a larger shape (np.broadcast_to)."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    pad = len(shape) - x.ndim
    if pad < 0 or any(n not in (1, shape[pad + d]) for d, n in enumerate(x.shape)):
        raise ExprError(f"a value of shape {x.shape} does not fit the shape {shape}")
    axes = (None,) * pad + tuple(a if n == shape[pad + d] else None for d, (n, a) in enumerate(zip(x.shape, x.axes)))
    return _node("broadcast", (x,), (shape,), shape, axes, x.kind, x.domain, x.span)


def reshape(x: Node, shape: Sequence[int], axes: Sequence[Axis | None] | None = None) -> Node:
    shape = tuple(shape)
    if x.shape == shape:
        return x if axes is None else x.with_axes(axes)
    return _node("reshape", (x,), (shape,), shape, axes or (None,) * len(shape), x.kind, x.domain, x.span)


def transpose(x: Node, span: Span | None = None) -> Node:
    """The last two dimensions exchanged; a vector stays as it is."""
    if x.ndim < 2:
        return x
    swap = lambda v: (*v[:-2], v[-1], v[-2])
    return _node("transpose", (x,), (), swap(x.shape), swap(x.axes), x.kind, x.domain, span or x.span)


def matmul(a: Node, b: Node, span: Span | None = None) -> Node:
    """`a @ b` by NumPy's rules."""
    if a.ndim == 0 or b.ndim == 0:
        raise ExprError("`@` needs vectors or matrices", help="use `*` with a number")
    inner_b = b.shape[0] if b.ndim == 1 else b.shape[-2]
    if a.shape[-1] != inner_b:
        hint = "the last size of the first must be the first of the second; `'` turns a matrix over"
        raise ExprError(f"`@` of shapes {a.shape} and {b.shape}: {a.shape[-1]} columns meet {inner_b} rows", help=hint)
    batch_a, batch_b = zeros(a.shape[:-2]), zeros(b.shape[:-2])
    batch_a, batch_b = batch_a.with_axes(a.axes[:-2]), batch_b.with_axes(b.axes[:-2])
    shape, axes = broadcast_shapes((batch_a, batch_b))
    if a.ndim > 1:
        shape, axes = (*shape, a.shape[-2]), (*axes, a.axes[-2])
    if b.ndim > 1:
        shape, axes = (*shape, b.shape[-1]), (*axes, b.axes[-1])
    if a.is_zero or b.is_zero:
        return zeros(shape).with_axes(axes).at(span)
    return _node("matmul", (a, b), (), shape, axes, span=span or a.span)


def index(x: Node, indices: Sequence[Node], span: Span | None = None) -> Node:
    """`x[i, j, ...]`: positions (counted from 0) along the first dimensions, broadcast against each other."""
    k = len(indices)
    if k == 0:
        return x
    if k > x.ndim:
        raise ExprError(f"{k} indices for a value of {x.ndim} dimensions")
    for d, i in enumerate(indices):
        if i.is_const and i.size and (i.value.min() < 0 or i.value.max() >= x.shape[d]):  # type: ignore[union-attr]
            raise ExprError(f"position {int(i.value.max())} is off the end of {x.shape[d]} entries")  # type: ignore
    shape, axes = broadcast_shapes(tuple(indices))
    if x.op == "stack" and k and indices[0].is_const and indices[0].shape == ():
        return index(x.args[int(indices[0].value)], indices[1:], span).at(span)  # type: ignore[arg-type]
    whole = k == 1 and indices[0].is_const and indices[0].shape == x.shape[:1]
    if whole and np.array_equal(indices[0].value, np.arange(x.shape[0])):  # type: ignore[arg-type]
        return x.with_axes((axes[0] or x.axes[0], *x.axes[1:])).at(span)
    return _node("index", (x, *indices), (), (*shape, *x.shape[k:]), (*axes, *x.axes[k:]), x.kind, x.domain,
                 span or x.span)


def reduce(op: str, x: Node, axis: int, span: Span | None = None) -> Node:
    """sum, prod, max or min along one dimension."""
    axis %= max(x.ndim, 1)
    drop = lambda v: (*v[:axis], *v[axis + 1 :])
    if op == "sum" and x.is_zero:
        return zeros(drop(x.shape)).with_axes(drop(x.axes)).at(span)
    kind: Kind = "int" if op in ("sum", "prod") and x.kind == "bool" else x.kind
    return _node(op, (x,), (axis,), drop(x.shape), drop(x.axes), kind, span=span or x.span)


def stack(items: Sequence[Node], axis: Axis | None = None, span: Span | None = None) -> Node:
    """`[a, b, ...]`: the items, broadcast to one shape, along a new first dimension."""
    shape, axes = broadcast_shapes(tuple(items))
    same = tuple(broadcast(i, shape) for i in items)
    kinds = {i.kind for i in same}
    kind: Kind = same[0].kind if len(kinds) == 1 else "real"
    return _node("stack", same, (), (len(same), *shape), (axis, *axes), kind, same[0].domain, span)


def concat(items: Sequence[Node], axis: int = 0, span: Span | None = None) -> Node:
    """Arrays one after another along an existing dimension."""
    if len(items) == 1:
        return items[0]
    shape = list(items[0].shape)
    shape[axis] = sum(i.shape[axis] for i in items)
    axes = list(items[0].axes)
    axes[axis] = None
    return _node("concat", tuple(items), (axis,), shape, axes, span=span)


def past_sum(name: str, body: Node, span: Span | None = None) -> Node:
    """The sum of `body` over name = 1..t."""
    if body.is_zero:
        return zeros(body.shape).with_axes(body.axes).at(span)
    return Node("past_sum", (body,), (name,), body.shape, body.axes, span=span)


def flow(x: Node, h: Node, noise: Node, drift: Node, diffusion: Node,
         entries: tuple[tuple[str, tuple[int, ...]], ...]) -> Node:  # fmt: skip
    """x (n,) after a time h of dx = drift dt + diffusion dW, in as many steps as `noise` (K, 2, w) has; inside of drift
    (n,) and diffusion (n, w) the `entries` of states one row back are x, moving."""
    return Node("flow", (x, h, noise, drift, diffusion), (entries,), x.shape, (None,))


def flow_law(x: Node, h: Node, steps: int, drift: Node, diffusion: Node,
             entries: tuple[tuple[str, tuple[int, ...]], ...]) -> Node:  # fmt: skip
    """The mean of `flow` in its first row, and below it the lower triangular root of its covariance: (1 + n, n)."""
    still = zeros((steps, 2, diffusion.shape[1]))
    return Node("flow_law", (x, h, still, drift, diffusion), (entries,), (1 + x.size, x.size), (None, None))


def linalg(op: str, args: Sequence[Node], shape: Sequence[int], axes: Sequence[Axis | None] | None = None,
           span: Span | None = None, attrs: tuple[str, ...] = ()) -> Node:
    """diag (of a vector), diagonal (of a matrix), cholesky (`attrs`: see `loading.ANY_RANK`), inverse, kron,
    block_diag, softmax, interp, diffuse (of drifts (K, n, n), steps () or (K,) and loadings (K, n, d) of linear
    stochastic differential equations: their transition, its integral over the step and the root of the noise's
    covariance, (3, K, n, n)); matrix_power (of a matrix and a whole number that may be a value of the row), solve
    (A x = B), semidefinite_root (the lower triangular G with G G' = the argument, of any rank)."""
    return _node(op, tuple(args), attrs, shape, axes or (None,) * len(shape), span=span)


# ------------------------------------------------------------------------------------------------ traversals


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node under `roots` once, arguments before the nodes that use them, without recursion."""
    seen: set[int] = set()
    pending: list[tuple[Node, bool]] = [(r, False) for r in reversed(list(roots))]
    while pending:
        node, ready = pending.pop()
        if id(node) in seen:
            continue
        if ready:
            seen.add(id(node))
            yield node
        else:
            pending.append((node, True))
            pending.extend((a, False) for a in reversed(node.args) if id(a) not in seen)


def transform(root: Node, leaf: Callable[[Node], Node | None]) -> Node:
    """`root` with every node that `leaf` answers replaced by that answer, constants folded again."""
    done: dict[int, Node] = {}
    for node in walk([root]):
        new = leaf(node)
        if new is None:
            args = tuple(done[id(a)] for a in node.args)
            new = node if all(a is b for a, b in zip(args, node.args)) else rebuild(node, args)
        done[id(node)] = new
    return done[id(root)]


def rebuild(node: Node, args: Sequence[Node]) -> Node:
    """The same operation on other arguments (of the same shapes)."""
    op = node.op
    if op in numeric.UNARY:
        return unary(op, args[0], node.span).with_axes(node.axes)
    if op in numeric.BINARY:
        return binary(op, args[0], args[1], node.span).with_axes(node.axes)
    if op == "where":
        return where(args[0], args[1], args[2], node.span).with_axes(node.axes)
    if op == "matmul":
        return matmul(args[0], args[1], node.span).with_axes(node.axes)
    if op in ("flow", "flow_law"):
        return replace(node, args=tuple(args))
    if op == "past_sum":
        return past_sum(node.attrs[0], args[0], node.span).with_axes(node.axes)
    return _node(op, args, node.attrs, node.shape, node.axes, node.kind, node.domain, node.span)


def references(roots: Iterable[Node]) -> set[tuple[str, str, int | str]]:
    """(sort, name, lag) of every series that is read; augmented parameters count as sort 'augment'."""
    found: set[tuple[str, str, int | str]] = set()
    for node in walk(roots):
        if node.op == "ref":
            found.add(node.attrs)  # type: ignore[arg-type]
        elif node.op == "augment":
            found.add(("augment", *node.attrs))  # type: ignore[arg-type]
    return found


def parameters(roots: Iterable[Node]) -> set[str]:
    return {n.attrs[0] for n in walk(roots) if n.op == "param"}


def varies(roots: Iterable[Node]) -> bool:
    """Whether the value can differ from row to row although states and noises do not: it reads t, inputs or data."""
    return any(n.op in ("time", "past_sum") or (n.op == "ref" and n.attrs[0] in ("input", "obs")) for n in walk(roots))
