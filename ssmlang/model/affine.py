"""What is affine in what: one exact abstract interpretation of the expressions.

Every node becomes a constant part plus one sparse coefficient matrix for each series it reads, or the reason why it is
not affine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr, sparse
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.sparse import Sparse

Key = tuple[str, str, int | str]
"""(sort, name, lag) of a series. Under the lag `PAST` the coefficients hold the bound index `PAST`: they are those of
each of the rows t - 1, ..., 0, at which that index is 1, ..., t. Inside of a sum the lag is the name of its index."""
PAST = "k#past"
IsVariable = Callable[[str, str, int | str], bool]
MAX_TRIPLES = 16_000_000

_LINEAR_MOVES = {"broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "block_diag"}
_WORDS = {
    "sqrt": "the square root of", "abs": "the absolute value of", "log": "the logarithm of", "not": "a case that reads",
    "prod": "a product over", "max": "the largest of", "min": "the smallest of", "maximum": "max of",
    "minimum": "min of", "inverse": "the inverse of", "cholesky": "the Cholesky factor of", "mod": "the remainder of",
    "normal_cdf": "normal_cdf of", "interp": "interp at",
}  # fmt: skip


@dataclass(frozen=True)
class Affine:
    """constant + sum of terms[key] @ (the series `key` as a vector in C order), as a vector in C order.

    `constant` has the node's shape; `terms[key]` has the shape (node size, series size).
    """

    constant: Node
    terms: Mapping[Key, Sparse] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for _, name, _ in self.terms))


@dataclass(frozen=True)
class NotAffine:
    """Why an expression is not affine. `reason` is in the user's terms, `span` the offending part of the expression."""

    span: Span | None
    reason: str
    variables: frozenset[tuple[str, str, int | str]]


Form = Affine | NotAffine


def spoken(names: list[str]) -> str:
    """`x`, `x and z`, `x, y and z`."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


class Interpreter:
    """Interprets expressions with one set of variables; nodes met again cost nothing."""

    def __init__(self, is_variable: IsVariable) -> None:
        self.is_variable = is_variable
        self._memo: dict[int, tuple[Node, Form]] = {}

    def __call__(self, node: Node) -> Form:
        for n in expr.walk([node]):
            if id(n) not in self._memo:
                # The node is kept beside its form: a memo by `id` is sound only while the node lives.
                self._memo[id(n)] = (n, self._one(n, [self._memo[id(a)][1] for a in n.args]))
        return self._memo[id(node)][1]

    def _one(self, node: Node, args: list[Form]) -> Form:
        if node.op == "ref":
            return self._reference(node)
        if node.op == "augment" and self.is_variable("augment", *node.attrs):
            return self._bad(node, f"the parameter {node.attrs[0]} is a state")
        if all(isinstance(a, Affine) and not a.terms for a in args):
            same = all(isinstance(f, Affine) and f.constant is a for f, a in zip(args, node.args))
            return Affine(node if same else expr.rebuild(node, [f.constant for f in args]))  # type: ignore[union-attr]
        for a in args:
            if isinstance(a, NotAffine):
                return a
        try:
            return self._rule(node, args)  # type: ignore[arg-type]
        except ExprError as trouble:
            hint = trouble.help or "split the model into smaller ones"
            raise ExprError(trouble.message, trouble.label, hint) from None

    def _reference(self, node: Node) -> Form:
        sort, name, lag = node.attrs
        if not self.is_variable(sort, name, lag):
            return Affine(node)
        return Affine(expr.zeros(node.shape), {(sort, name, lag): sparse.identity(node.size)})

    def _rule(self, node: Node, args: list[Affine]) -> Form:
        op = node.op
        varying = [i for i, a in enumerate(args) if a.terms]
        if op in _LINEAR_MOVES:
            return self._moved(node, args)
        if op == "neg":
            return self._mapped(node, args, expr.neg)
        if op in ("add", "sub"):
            left, right = (self._spread(a, node) for a in args)
            if op == "sub":
                right = {k: v.map(expr.neg) for k, v in right.items()}
            return Affine(self._constant(node, args), _sum([left, right]))
        if op == "mul" and len(varying) == 1:
            known = args[1 - varying[0]].constant
            factors = sparse.flat(expr.broadcast(known, node.shape))
            spread = self._spread(args[varying[0]], node)
            return Affine(self._constant(node, args), _sum([{k: v.scale_rows(factors) for k, v in spread.items()}]))
        if op == "div" and varying == [0]:
            by = expr.broadcast(args[1].constant, node.shape)
            spread = self._spread(args[0], node)
            divide = lambda v: v.map(lambda values: expr.div(values, sparse.gather(by, v.rows)))
            return Affine(self._constant(node, args), _sum([{k: divide(v) for k, v in spread.items()}]))
        if op == "where" and 0 not in varying:
            return self._where(node, args)
        if op == "sum":
            return self._summed(node, args[0])
        if op in ("matmul", "kron") and len(varying) == 1:
            return self._bilinear(node, args, varying[0])
        if op == "index" and varying == [0]:
            return self._indexed(node, args)
        if op == "past_sum":
            return self._past_sum(node, args[0])
        return self._bad(node, self._reason(node, varying))

    # --------------------------------------------------------------------------------------------- linear rules

    def _constant(self, node: Node, args: list[Affine]) -> Node:
        return expr.rebuild(node, [a.constant for a in args])

    def _mapped(self, node: Node, args: list[Affine], change: Callable[[Node], Node]) -> Affine:
        return Affine(self._constant(node, args), {k: v.map(change) for k, v in args[0].terms.items()})

    def _spread(self, a: Affine, node: Node) -> dict[Key, Sparse]:
        """The terms of an argument broadcast to the node's shape."""
        if a.constant.shape == node.shape:
            return dict(a.terms)
        source = np.broadcast_to(sparse.positions(a.constant), node.shape).reshape(-1)
        return {k: v.take_rows(source) for k, v in a.terms.items()}

    def _moved(self, node: Node, args: list[Affine]) -> Affine:
        """Each entry of the result is an entry of an argument, or zero."""
        sizes = np.cumsum([0, *(a.constant.size for a in args)])
        numbered = [sparse.positions(a.constant) + first + 1 for a, first in zip(args, sizes)]
        source = numeric.evaluate(node.op, node.attrs, numbered).astype(int).reshape(-1) - 1
        found = []
        for a, first, last in zip(args, sizes, sizes[1:]):
            own = np.where((source >= first) & (source < last), source - first, -1)
            found.append({k: v.take_rows(own) for k, v in a.terms.items()})
        return Affine(self._constant(node, args), _sum(found))

    def _summed(self, node: Node, a: Affine) -> Affine:
        shape, axis = list(a.constant.shape), node.attrs[0]
        shape[axis] = 1
        target = np.broadcast_to(np.arange(node.size).reshape(shape), a.constant.shape).reshape(-1)
        to = lambda v: v.place(target, np.arange(v.shape[1]), (node.size, v.shape[1]))
        return Affine(self._constant(node, [a]), _sum([{k: to(v) for k, v in a.terms.items()}]))

    def _where(self, node: Node, args: list[Affine]) -> Affine:
        test = expr.broadcast(args[0].constant, node.shape)
        found = []
        for holds, a in ((True, args[1]), (False, args[2])):
            for k, v in self._spread(a, node).items():
                at = sparse.gather(test, v.rows)
                none = expr.zeros((v.nnz,))
                chosen = expr.where(at, v.values, none) if holds else expr.where(at, none, v.values)
                found.append({k: sparse.build(v.shape, v.rows, v.cols, chosen)})
        return Affine(self._constant(node, args), _sum(found))

    def _indexed(self, node: Node, args: list[Affine]) -> Affine:
        x, at = args[0], [a.constant for a in args[1:]]
        constant = self._constant(node, args)
        if all(i.is_const for i in at):
            source = sparse.positions(x.constant)[tuple(i.value for i in at)].reshape(-1)  # type: ignore[misc]
            return Affine(constant, _sum([{k: v.take_rows(source) for k, v in x.terms.items()}]))
        # Positions known only with the data choose among all entries: a matrix of zeros and ones.
        k = len(at)
        size = int(np.prod(x.constant.shape[:k]))
        if node.size * size > MAX_TRIPLES:
            raise ExprError(f"choosing among {size:,} entries for {node.size:,} values is too large")
        inner = node.size // max(int(np.prod(x.constant.shape[k:])), 1)
        out, chosen = np.divmod(np.arange(node.size * size), size)
        row, rest = np.divmod(out, node.size // max(inner, 1))
        test: Node = expr.const(np.ones(len(out)))
        for i, coordinate in zip(at, np.unravel_index(chosen, x.constant.shape[:k])):
            position = sparse.gather(expr.broadcast(i, node.shape[: node.ndim - x.constant.ndim + k]), row)
            same = expr.binary("eq", position, expr.const(coordinate))
            test = expr.where(same, test, expr.zeros(test.shape))
        source = chosen * (node.size // max(inner, 1)) + rest
        choice = sparse.build((node.size, x.constant.size), out, source, test)
        return Affine(constant, _sum([{key: sparse.product(choice, v) for key, v in x.terms.items()}]))

    def _past_sum(self, node: Node, a: Affine) -> Affine:
        (name,) = node.attrs
        found: list[dict[Key, Sparse]] = []
        for (sort, series, lag), v in a.terms.items():
            if lag == name:
                found.append({(sort, series, PAST): v.map(lambda values: _with_index(values, name))})
            else:
                found.append({(sort, series, lag): v.map(lambda values: expr.past_sum(name, values))})
        return Affine(self._constant(node, [a]), _sum(found))

    def _bilinear(self, node: Node, args: list[Affine], which: int) -> Affine:
        a, b = (x.constant for x in args)
        out, left, right = (_matmul_triples if node.op == "matmul" else _kron_triples)(a, b)
        variable, known, known_at = (right, a, left) if which == 1 else (left, b, right)
        present = np.zeros(args[which].constant.size, bool)
        for v in args[which].terms.values():
            present[v.rows] = True
        used = np.flatnonzero(present[variable] & sparse.nonzero(known).reshape(-1)[known_at])
        linear = sparse.build((node.size, args[which].constant.size), out[used], variable[used],
                              sparse.gather(known, known_at[used]))  # fmt: skip
        terms = {k: sparse.product(linear, v) for k, v in args[which].terms.items()}
        return Affine(self._constant(node, args), _sum([terms]))

    # -------------------------------------------------------------------------------------------------- reasons

    def _variables(self, node: Node) -> frozenset[tuple[str, str, int | str]]:
        found = (key for key in expr.references([node]) if self.is_variable(*key))
        return frozenset(found)

    def _read(self, node: Node) -> str:
        """The names of the series that a node reads, in the order in which they are written."""
        names = dict.fromkeys(
            n.attrs[1] if n.op == "ref" else n.attrs[0]
            for n in expr.walk([node])
            if (n.op == "ref" and self.is_variable(*n.attrs))
            or (n.op == "augment" and self.is_variable("augment", *n.attrs))
        )
        return spoken(list(names))

    def _bad(self, node: Node, reason: str) -> NotAffine:
        return NotAffine(node.span, reason, self._variables(node))

    def _reason(self, node: Node, varying: list[int]) -> str:
        op, read = node.op, self._read(node)
        if op in ("mul", "matmul", "kron"):
            first, second = (self._read(a) for a in node.args)
            return f"a product of {first} and {second}" if first != second else f"a product of {first} with itself"
        if op == "div":
            return f"a division by {self._read(node.args[1])}"
        if op == "pow":
            exponent = node.args[1]
            if 1 in varying:
                return f"a power that depends on {self._read(exponent)}"
            squared = exponent.value is not None and np.all(exponent.value == 2)
            return f"the square of {read}" if squared else f"a power of {read}"
        if op == "where":
            return f"a case that depends on {self._read(node.args[0])}"
        if op in numeric.PREDICATES and op != "not":
            return f"a comparison of {read}"
        if op == "index":
            return f"an entry chosen by {spoken([self._read(node.args[i]) for i in varying if i > 0])}"
        return f"{_WORDS.get(op, op + ' of')} {read}"


def _with_index(values: Node, name: str) -> Node:
    """The bound index `name` called `PAST`."""

    def leaf(n: Node) -> Node | None:
        if n.op == "bound" and n.attrs == (name,):
            return expr.bound(PAST, n.span)
        if n.op == "ref" and n.attrs[2] == name:
            sort, series, _ = n.attrs
            return expr.ref(sort, series, PAST, n.shape, n.axes, kind=n.kind, domain=n.domain, span=n.span)
        return None

    return expr.transform(values, leaf)


def _sum(parts: list[dict[Key, Sparse]]) -> dict[Key, Sparse]:
    keys = dict.fromkeys(k for p in parts for k in p)
    total = {k: sparse.add([p[k] for p in parts if k in p]) for k in keys}
    return {k: v for k, v in total.items() if v.nnz}


def _matmul_triples(a: Node, b: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(output, left, right) positions of every product in `a @ b`."""
    left, right = sparse.positions(a), sparse.positions(b)
    left = left[None, :] if a.ndim == 1 else left
    right = right[:, None] if b.ndim == 1 else right
    left, right = left[..., :, None, :], np.swapaxes(right, -1, -2)[..., None, :, :]
    shape = np.broadcast_shapes(left.shape, right.shape)
    if np.prod(shape, dtype=float) > MAX_TRIPLES:
        raise ExprError(f"`@` of shapes {a.shape} and {b.shape} is too large to be taken apart")
    out = np.arange(int(np.prod(shape[:-1]))).reshape(shape[:-1])[..., None]
    out, left, right = (np.broadcast_to(v, shape).reshape(-1) for v in (out, left, right))
    return out, left, right


def _kron_triples(a: Node, b: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = a.size * b.size
    if size > MAX_TRIPLES:
        raise ExprError(f"kron of shapes {a.shape} and {b.shape} is too large to be taken apart")
    left = np.kron(sparse.positions(a) + 1, np.ones(b.shape, int)).reshape(-1) - 1
    right = np.kron(np.ones(a.shape, int), sparse.positions(b) + 1).reshape(-1) - 1
    return np.arange(size), left, right


def affine(node: Node, is_variable: IsVariable) -> Form:
    """`node` as an affine function of the series that `is_variable(sort, name, lag)` names."""
    return Interpreter(is_variable)(node)
