"""Draws from the stationary law of chains whose `init` asks for it."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.laws import complete_arguments
from ssmlang.model import expr
from ssmlang.model.chain_obstacles import nodes_of
from ssmlang.model.model import Dist, Equation, Model, State


def chain_start(key: Array, model: Model, name: str, params: Mapping[str, Array], before: int = 0) -> Array:
    """A draw (before + 1, size) of a discrete state in rows -before, ..., 0 from the stationary law of its chain; its
    entries are separate chains.

    Raises E350 where the chain has no constant transition matrix of its own.
    """
    state = model.states[name]
    out = jnp.zeros((before + 1, state.size))
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
        logs, law_of = jnp.log(jnp.maximum(pi, 0.0)), jnp.log(jnp.maximum(P, 0.0))
        for row_ in range(before + 1):
            key, now = jax.random.split(key)
            found = jax.random.categorical(now, logs, axis=-1)
            out = out.at[row_, np.asarray(e.targets[0].entries)].set((found + first).astype(float))
            logs = jnp.take_along_axis(law_of, found[:, None, None], axis=1)[:, 0]
    return out


def _width(state: State) -> int:
    assert state.values is not None
    lower, upper = state.values.lower, state.values.upper
    if upper is None:
        raise SsmError(Diagnostic("E350", f"'{state.name}' has no stationary law that can be drawn from", state.span,
                                  "has no upper end"))  # fmt: skip
    return upper - (lower or 0) + 1


def _changes(e: Equation, name: str) -> bool:
    nodes = nodes_of(e)
    own = {("state", name, 1)}
    return expr.varies(nodes) or bool(expr.references(nodes) - own)
