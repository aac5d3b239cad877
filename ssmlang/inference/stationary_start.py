"""Draws from the stationary law of diffusions and of chains whose `init` asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.inference.forward import Increments, Paths, Rows, change, increments
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.laws import complete_arguments
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, State


def diffusion_start(key: Array, rows: Rows, paths: Paths, names: Sequence[str]) -> dict[str, Array]:
    """Draws, flat, from the stationary law of states whose differential equations have a linear drift and a constant
    diffusion: A m + b = 0 and A P + P A' + Q Q' = 0. NaN where there is no such law.

    Raises E350 where the equations are not of this kind.
    """
    equations = rows.model.differentials
    sizes = {n: rows.model.states[n].size for n in names}
    zero = {n: jnp.zeros(size) for n, size in sizes.items()}
    stacked = lambda parts: jnp.concatenate([parts[n] for n in names])
    ends = np.cumsum(list(sizes.values()))[:-1]
    split = lambda v: dict(zip(names, jnp.split(v, ends)))
    still = increments(equations, rows.model)

    def drift(x: Array) -> Array:
        return stacked(change(rows, paths, jnp.asarray(1), split(x), still, jnp.asarray(1.0)))

    def pushed(noise: Increments) -> Array:
        return stacked(change(rows, paths, jnp.asarray(1), zero, noise, jnp.asarray(0.0)))

    _require_linear(rows, names)
    start = jnp.zeros(sum(sizes.values()))
    A, b = jax.jacfwd(drift)(start), drift(start)
    G = jnp.concatenate([j.reshape(start.size, -1) for j in jax.tree.leaves(jax.jacfwd(pushed)(still))], axis=1)
    eye = jnp.eye(start.size)
    P = jnp.linalg.solve(jnp.kron(A, eye) + jnp.kron(eye, A), -(G @ G.T).ravel()).reshape(A.shape)
    values, vectors = jnp.linalg.eigh(0.5 * (P + P.T))
    root = vectors * jnp.sqrt(values)  # NaN where the drift is not stable: P is then not a covariance
    return split(jnp.linalg.solve(A, -b) + root @ jax.random.normal(key, start.shape))


def _nodes(e: Equation) -> list[Node]:
    return [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []


def _require_linear(rows: Rows, names: Sequence[str]) -> None:
    for d in rows.model.differentials:
        nodes = [d.value]
        reads = {(s, n) for s, n, _ in expr.references(nodes) if s not in ("increment",)}
        outside = {(s, n) for s, n in reads if s != "state" or n not in names}
        if not outside and _is_affine(d.value):
            continue
        raise SsmError(Diagnostic(
            "E350", f"'{d.target.name}' has no stationary law that can be drawn from", d.span,
            "is not a linear equation with a constant diffusion",
            help=(f"give its first law: `init {d.target.name} ~ ...`",),
        ))  # fmt: skip


def _is_affine(value: Node) -> bool:
    """Whether every state enters in sums and products with what is not a state or an increment."""
    degree: dict[int, set[str]] = {}
    for node in expr.walk([value]):
        inside = [degree[id(a)] for a in node.args]
        if node.op == "ref":
            sort, name = node.attrs[0], node.attrs[1]
            degree[id(node)] = {"dt" if name == "dt" else "dW"} if sort == "increment" else {"x"}
            continue
        found = set().union(*inside) if inside else set()
        if node.op in ("mul", "matmul", "div"):
            left, right = inside[0], inside[1]
            if (node.op == "div" and right) or left & right or ({"x", "dW"} <= found and left and right):
                return False
        elif found - {"dt"} and node.op not in ("add", "sub", "neg", "sum", "reshape", "broadcast", "transpose",
                                                "index", "stack", "concat", "diag"):  # fmt: skip
            return False
        degree[id(node)] = found
    return True


def chain_start(key: Array, model: Model, name: str, params: Mapping[str, Array]) -> Array:
    """A draw, flat, of a discrete state from the stationary law of its chain; its entries are separate chains.

    Raises E350 where the chain has no constant transition matrix of its own.
    """
    state = model.states[name]
    out = jnp.zeros(state.size)
    assert state.values is not None
    for e in model.equations:
        if e.role != "transition" or all(t.name != name for t in e.targets):
            continue
        if e.law is None or e.law.name != "Categorical" or len(e.targets) != 1 or _changes(e, name):
            raise SsmError(Diagnostic(
                "E350", f"'{name}' has no stationary law that can be drawn from", e.span, "is not a chain of its own",
                ("it takes a Categorical whose probabilities read this state one row back and nothing that changes",),
                (f"give its first law: `init {name} ~ Categorical(...)`",),
            ))  # fmt: skip
        count = state.values.axis.size if state.values.axis is not None else _width(state)
        first = state.values.lower or 0 if state.values.axis is None else 0
        law = e.law

        def row(k: Array, law: Dist = law, first: int = first, count: int = count) -> Array:
            read = lambda sort, _, lag: jnp.full(state.shape, k + first, int)
            args = evaluate(list(law.args.values()), Environment(params=params, read=read, t=1, dtype=float))
            given = complete_arguments(law.name, dict(zip(law.args, args)))
            probs = given["probs"] if "probs" in given else jax.nn.softmax(given["logits"], axis=-1)
            return jnp.broadcast_to(probs, (*law.shape, count)).reshape(-1, count)

        P = jnp.swapaxes(jax.vmap(row)(jnp.arange(count)), 0, 1)  # (entries, from, to)
        # pi (P - I) = 0 and sum(pi) = 1 as one regular system, for an irreducible chain.
        A = jnp.swapaxes(P, 1, 2) - jnp.eye(count) + 1.0
        pi = jnp.linalg.solve(A, jnp.ones((len(P), count, 1)))[..., 0]
        key, now = jax.random.split(key)
        found = jax.random.categorical(now, jnp.log(jnp.maximum(pi, 0.0)), axis=-1) + first
        out = out.at[np.asarray(e.targets[0].entries)].set(found.astype(float))
    return out


def _width(state: State) -> int:
    assert state.values is not None
    lower, upper = state.values.lower, state.values.upper
    if upper is None:
        raise SsmError(Diagnostic("E350", f"'{state.name}' has no stationary law that can be drawn from", state.span,
                                  "has no upper end"))  # fmt: skip
    return upper - (lower or 0) + 1


def _changes(e: Equation, name: str) -> bool:
    nodes = _nodes(e)
    own = {("state", name, 1)}
    return expr.varies(nodes) or bool(expr.references(nodes) - own)
