"""Expressions of the Model as JAX operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special
from jax.scipy.linalg import block_diag

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, product_transposed
from ssmlang.engines.diffusion import exprel, transition
from ssmlang.engines.flow import Diffusion, Field, flow, moments
from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.lowering.alike import Alike, alike
from ssmlang.model import expr
from ssmlang.model._numeric import EPS, ROUNDING, no_covariance
from ssmlang.model.expr import Node

UNARY: dict[str, Callable[[Any], jax.Array]] = {
    "neg": jnp.negative, "not": jnp.logical_not, "abs": jnp.abs, "exp": jnp.exp, "log": jnp.log, "log1p": jnp.log1p,
    "expm1": jnp.expm1, "exprel": exprel, "sqrt": jnp.sqrt, "sin": jnp.sin, "cos": jnp.cos, "tan": jnp.tan,
    "asin": jnp.arcsin, "acos": jnp.arccos, "atan": jnp.arctan, "tanh": jnp.tanh, "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus, "logit": lambda x: jnp.log(x) - jnp.log1p(-x),
    "lgamma": special.gammaln, "gamma": special.gamma, "normal_cdf": special.ndtr,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], jax.Array]] = {
    "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply, "div": jnp.true_divide, "mod": jnp.mod,
    "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal, "eq": jnp.equal,
    "ne": jnp.not_equal, "and": jnp.logical_and, "or": jnp.logical_or, "atan2": jnp.arctan2,
    "maximum": jnp.maximum, "minimum": jnp.minimum,
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., jax.Array]] = {"sum": jnp.sum, "prod": jnp.prod, "max": jnp.max, "min": jnp.min}
_OF_REALS = frozenset(UNARY) - {"neg", "not", "abs", "relu"} | {"div", "pow", "atan2"}

Read = Callable[[str, str, Any], jax.Array]


def _no_series(sort: str, name: str, lag: Any) -> jax.Array:
    raise LookupError(f"{sort} {name} is read where only parameters are known")


@dataclass(frozen=True)
class Environment:
    """What the leaves of an expression are at one row.

    `read(sort, name, lag)` gives the value of a series `lag` rows back (an int, or a traced integer inside a sum over
    the whole past) in the variable's own shape. `augmented` holds augmented parameters by (name, lag). `horizon` bounds
    a sum over the whole past: the largest t that will be met. `dtype` is that of real results.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    read: Read = _no_series
    t: Any = None
    augmented: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    bound: Mapping[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    dtype: Any = float


@dataclass
class Shared:
    """Values of expressions that several calls of `evaluate` share, of one row."""

    which: frozenset[int]
    """ids of nodes that mean the same in every call"""
    values: dict[int, jax.Array] = field(default_factory=dict)


def evaluate(nodes: Sequence[Node], env: Environment, shared: Shared | None = None) -> list[jax.Array]:
    """The values of expressions, as JAX arrays of the nodes' shapes; a node that several share is computed once.

    Reals come in `env.dtype`, labels as integer positions. What is `shared` is taken from there, or left there.
    """
    memo: dict[int, jax.Array] = dict(shared.values) if shared is not None else {}
    _evaluate_into(memo, nodes, env)
    if shared is not None:
        shared.values.update((i, v) for i, v in memo.items() if i in shared.which)
    return [memo[id(n)] for n in nodes]


def early(groups: Sequence[Sequence[Node]]) -> frozenset[int]:
    """Of expressions that are evaluated one group after another, as values of a row come to be: the nodes of several
    groups that read none of them."""
    late: dict[int, bool] = {}
    count: dict[int, int] = {}
    for nodes in groups:
        for n in expr.walk(nodes):
            own = n.op == "bound" or (n.op == "augment" and n.attrs[1] == 0)
            own = own or (n.op == "ref" and n.attrs[0] != "input" and n.attrs[2] == 0)
            late[id(n)] = own or any(late[id(a)] for a in n.args)
            count[id(n)] = count.get(id(n), 0) + 1
    return frozenset(i for i, times in count.items() if times > 1 and not late[i])


def _evaluate_into(memo: dict[int, jax.Array], nodes: Sequence[Node], env: Environment) -> None:
    together: dict[int, Alike] = {}
    for node in _walk_outside_sums(nodes, memo, together):
        if id(node) in together:
            memo[id(node)] = _together(node, together[id(node)], memo, env)
            continue
        inner = {"past_sum": _past_sum, "flow": _flow, "flow_law": _flow}.get(node.op, _one)
        memo[id(node)] = inner(node, memo, env)


def _together(node: Node, parts: Alike, memo: Mapping[int, jax.Array], env: Environment) -> jax.Array:
    """A `concat` or `stack` of parts that are written alike."""

    def one(values: dict[str, jax.Array]) -> jax.Array:
        own = {id(n): memo[id(n)] for n in parts.common}
        _evaluate_into(own, [parts.one], replace(env, bound={**env.bound, **values}))
        return own[id(parts.one)]

    found = jax.vmap(one, axis_size=len(node.args))({name: jnp.asarray(v) for name, v in parts.values.items()})
    if node.op == "stack":
        return found
    axis = node.attrs[0]
    return jnp.moveaxis(found, 0, axis).reshape(node.shape)


def _walk_outside_sums(roots: Sequence[Node], memo: Mapping[int, Any], together: dict[int, Alike]) -> Iterator[Node]:
    """Like `expr.walk`, but not into sums over the whole past, whose index has no value outside of them, nor into the
    drift and diffusion of a flow, which are those of each of its steps, nor into parts that are written alike, which
    are noted in `together`."""
    pending: list[tuple[Node, bool]] = [(r, False) for r in reversed(roots)]
    while pending:
        node, ready = pending.pop()
        if id(node) in memo:
            continue
        if ready or node.op == "past_sum":
            yield node
        else:
            pending.append((node, True))
            args = node.args[:3] if node.op in ("flow", "flow_law") else node.args
            parts = alike(node)
            if parts is not None:
                together[id(node)], args = parts, parts.common
            pending.extend((a, False) for a in reversed(args) if id(a) not in memo)


def _flow(node: Node, memo: Mapping[int, jax.Array], env: Environment) -> jax.Array:
    x, h, noise = (memo[id(a)].astype(env.dtype) for a in node.args[:3])
    drift, diffusion, still = fields(node, env)
    if node.op == "flow_law":
        mean, cov = moments(drift, diffusion, x, h, len(noise), still)
        return jnp.concatenate([mean[None], semidefinite_root(0.5 * (cov + cov.T))])
    return flow(drift, diffusion, x, h, noise, still)


def fields(node: Node, env: Environment) -> tuple[Field, Diffusion, bool]:
    """Drift and diffusion of a flow as functions of what moves, and whether the diffusion is none."""
    drift, diffusion = node.args[3:]
    (entries,) = node.attrs
    ends = np.cumsum([len(at) for _, at in entries])

    def at(x: jax.Array, body: Node) -> jax.Array:
        parts: dict[str, list[tuple[tuple[int, ...], jax.Array]]] = {}
        for (name, own), value in zip(entries, jnp.split(x, ends[:-1])):
            parts.setdefault(name, []).append((own, value))

        def read(sort: str, name: str, lag: Any) -> jax.Array:
            value = env.read(sort, name, lag)
            if sort != "state" or lag != 1 or name not in parts:
                return value
            flat = value.astype(env.dtype).reshape(-1)
            for own, moving in parts[name]:
                flat = flat.at[np.asarray(own, np.int32)].set(moving, unique_indices=True)
            return flat.reshape(value.shape)

        return evaluate([body], replace(env, read=read))[0]

    still = not any(sort == "state" and lag == 1 and name in dict(entries)
                    for sort, name, lag in expr.references([diffusion]))  # fmt: skip
    return lambda x: at(x, drift), lambda x: at(x, diffusion), still


def _matrix_power(base: jax.Array, exponent: jax.Array, horizon: int | None) -> jax.Array:
    """A whole power from 0 up to the horizon, by squaring."""
    bits = max(int(horizon).bit_length(), 1) if horizon is not None else 31
    found = jnp.eye(base.shape[-1], dtype=base.dtype)
    for b in range(bits):
        if b:
            base = jnp.matmul(base, base, precision=jax.lax.Precision.HIGHEST)
        taken = jnp.matmul(found, base, precision=jax.lax.Precision.HIGHEST)
        found = jnp.where((exponent >> b) & 1 == 1, taken, found)
    return found


def _semidefinite_root(a: jax.Array) -> jax.Array:
    """Cholesky's recursion in which a column without variance of its own is zero: right, and differentiable, at any
    rank that does not change nearby."""
    n = a.shape[-1]
    least = ROUNDING * n * (1.0 if a.dtype == jnp.float64 else float(jnp.finfo(a.dtype).eps) / EPS)
    columns: list[jax.Array] = []
    for j in range(n):
        column = a[:, j]
        for before in columns:
            column = column - before * before[j]
        alive = ~(column[j] <= least * a[j, j])
        scaled = column / jnp.sqrt(jnp.where(alive, column[j], 1.0))
        columns.append(jnp.where(alive & (np.arange(n) >= j), scaled, 0.0))
    return jnp.stack(columns, axis=1)


def checked_root(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A root of whatever rank, and whether it is one of this matrix, which is a covariance then."""
    n, root = a.shape[-1], semidefinite_root(a)
    left = jnp.abs(a - product_transposed(root, root, n <= FUSED_LIMIT)).max()
    return root, left <= no_covariance(n, float(jnp.finfo(a.dtype).eps)) * jnp.abs(a).max()


def _covariance_root(a: jax.Array) -> jax.Array:
    """See `loading.ANY_RANK`: where pivots are zero, the Cholesky factor with something there, less those columns, so
    that the derivative is that of a Cholesky factor."""

    n, fused = a.shape[-1], a.shape[-1] <= FUSED_LIMIT

    def short(a: jax.Array) -> tuple[jax.Array, jax.Array]:
        root, sound = checked_root(a)
        return jnp.sum(jnp.eye(n) * root, axis=0) > 0, sound

    def definite(a: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.ones(n, bool), jnp.ones((), bool)

    known = jax.lax.stop_gradient(a)
    if n == 1:
        there, sound = known[0] > 0, known[0, 0] >= 0
    else:
        factored = jnp.isfinite(jnp.linalg.cholesky(known)).all()
        there, sound = jax.lax.cond(factored, definite, one_kernel(short, fused), known)
    filled = a + jnp.diag(jnp.where(there, 0.0, jnp.abs(known).max(initial=0.0) + 1.0))
    return jnp.where(sound, jnp.where(there, jnp.linalg.cholesky(filled), 0.0), jnp.nan)


def _past_sum(node: Node, memo: Mapping[int, jax.Array], env: Environment) -> jax.Array:
    if env.horizon is None:
        raise LookupError("a sum over the whole past needs a horizon")
    (body,), (name,) = node.args, node.attrs

    def term(k: jax.Array) -> jax.Array:
        inner = dict(memo)
        _evaluate_into(inner, [body], replace(env, bound={**env.bound, name: k}))
        return jnp.where(k <= env.t, inner[id(body)], 0)

    if env.horizon < 1:
        return jnp.zeros(node.shape, env.dtype)
    return jnp.sum(jax.vmap(term)(jnp.arange(1, env.horizon + 1)), axis=0)


def _one(node: Node, memo: Mapping[int, jax.Array], env: Environment) -> jax.Array:
    op = node.op
    if node.value is not None:
        return jnp.asarray(node.value, {"real": env.dtype, "int": int, "bool": bool}[node.kind])
    match op:
        case "param":
            return jnp.asarray(env.params[node.attrs[0]], env.dtype)
        case "ref":
            sort, name, lag = node.attrs
            return jnp.asarray(env.read(sort, name, env.bound[lag] if isinstance(lag, str) else lag))
        case "augment":
            return jnp.asarray(env.augmented[node.attrs], env.dtype)
        case "time":
            return jnp.asarray(env.t)
        case "bound":
            return jnp.asarray(env.bound[node.attrs[0]])
    args = [memo[id(a)] for a in node.args]
    if op in _OF_REALS:
        args = [a.astype(env.dtype) if not jnp.issubdtype(a.dtype, jnp.floating) else a for a in args]
    elif op in ("add", "sub", "mul", "neg", "abs", "sum", "prod"):
        args = [a.astype(int) if a.dtype == bool else a for a in args]
    value = _matrix_power(args[0], args[1], env.horizon) if op == "matrix_power" else _apply(node, args)
    if node.kind == "real" and not jnp.issubdtype(value.dtype, jnp.floating):
        value = value.astype(env.dtype)
    return value


def _apply(node: Node, args: Sequence[jax.Array]) -> jax.Array:
    op = node.op
    if op in UNARY:
        return UNARY[op](args[0])
    if op in BINARY:
        return BINARY[op](args[0], args[1])
    if op in REDUCTIONS:
        return REDUCTIONS[op](args[0], axis=node.attrs[0])
    match op:
        case "pow":
            return _power(args[0], args[1], node.args[1].value)
        case "where":
            return jnp.where(args[0], args[1], args[2])
        case "broadcast":
            return jnp.broadcast_to(args[0], node.shape)
        case "reshape":
            return args[0].reshape(node.shape)
        case "transpose":
            return jnp.swapaxes(args[0], -1, -2)
        case "matmul":
            return jnp.matmul(args[0], args[1], precision=jax.lax.Precision.HIGHEST)
        case "index":
            return _index(args[0], args[1:], node)
        case "stack":
            return jnp.stack(args)
        case "concat":
            return jnp.concatenate(args, axis=node.attrs[0])
        case "diag":
            return args[0][..., None] * jnp.eye(node.shape[-1], dtype=args[0].dtype)
        case "diagonal":
            return jnp.diagonal(args[0], axis1=-2, axis2=-1)
        case "cholesky":
            return _covariance_root(args[0]) if node.attrs else jnp.linalg.cholesky(args[0])
        case "inverse":
            return jnp.linalg.inv(args[0])
        case "kron":
            return jnp.kron(args[0], args[1])
        case "block_diag":
            return block_diag(*args)
        case "softmax":
            return jax.nn.softmax(args[0], axis=-1)
        case "interp":
            return jnp.interp(args[0], args[1], args[2])
        case "diffuse":
            return _diffused(args[0], args[1], args[2], node)
        case "solve":
            return jnp.linalg.solve(args[0], args[1])
        case "semidefinite_root":
            return _semidefinite_root(args[0])
    raise ValueError(f"no operation {op}")


def _diffused(A: jax.Array, h: jax.Array, L: jax.Array, node: Node) -> jax.Array:
    """One step of each of several linear differential equations."""
    one = lambda A, h, L: jnp.stack(transition(A, h, L))
    if node.ndim == 3:
        return one(A, h, L)
    moved = jax.vmap(one, in_axes=(0, 0 if h.ndim else None, 0))(A, h, L)
    return jnp.moveaxis(moved, 0, 1)


def _power(base: jax.Array, exponent: jax.Array, known: np.ndarray | None) -> jax.Array:
    # A whole exponent known at compile time is a product: exact, and with a derivative at zero and below.
    if known is not None and known.size and (known == known.flat[0]).all() and float(known.flat[0]).is_integer():
        whole = int(known.flat[0])
        if abs(whole) <= 64:
            return jnp.broadcast_to(base**whole, jnp.broadcast_shapes(base.shape, exponent.shape))
    return jnp.power(base, exponent)


def _index(x: jax.Array, indices: Sequence[jax.Array], node: Node) -> jax.Array:
    known = [a.value for a in node.args[1:]]
    if all(k is not None for k in known):
        # Static positions become slices; JAX warns of 64-bit ones in single precision.
        return x[tuple(np.asarray(k, np.int32) for k in known)]
    # Of 32 bits: under a caller's jit in single precision JAX cannot lower a slice at one of 64.
    return x[tuple(i.astype(jnp.int32) for i in indices)]
