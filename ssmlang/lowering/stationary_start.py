"""The joint stationary law of states whose `init` asks for it, and draws from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.engines.program import Initial
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model import expr
from ssmlang.model.differentials import stepped
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import (
    Dist,
    Equation,
    InitialEquation,
    InitialTarget,
    Model,
    Observation,
    State,
    Target,
    nodes_of,
)

_PROBE = "stationary probe"
_COPY = "noise copy "


class GaussianStart:
    """The joint stationary law of real states, and of the noises they read, in rows 0, -1, ..., -before.

    The states' equations alone, each named noise a state that copies it, are a linear model of their own; its first
    memory is the law. Raises the obstacle where they are not linear, not closed or change with time.
    """

    def __init__(self, model: Model, names: Sequence[str], before: int) -> None:
        self.before = before
        model = stepped(model)[0]
        kept = [e for e in (_restricted(e, set(names), model) for e in model.equations) if e is not None]
        read = {name for e in kept for sort, name, _ in expr.references(nodes_of(e)) if sort == "noise"}
        self.noises = [n for n in model.noises if n in read]
        self.states = [n for n in model.states if n in names]
        span = model.states[self.states[0]].span
        copies = {_COPY + n: State(_COPY + n, v.shape, v.axes, v.span) for n, v in model.noises.items() if n in read}
        states = {**{n: model.states[n] for n in self.states}, **copies}
        for n, copy in copies.items():
            value = expr.ref("noise", n[len(_COPY) :], 0, copy.shape, copy.axes)
            kept.append(Equation("transition", (Target(n, tuple(range(copy.size))),), copy.span, value=value))
        # A probe that reads everything at the deepest lag makes the memory reach back so far.
        total: Node = expr.const(0.0)
        for n, s in states.items():
            flat = expr.reshape(expr.ref("state", n, before, s.shape, s.axes), (s.size,))
            total = expr.add(total, expr._node("sum", (flat,), (0,), (), ()))
        kept.append(Equation("emission", (Target(_PROBE, (0,)),), span, value=total))
        targets = tuple(InitialTarget(n, 0, tuple(range(s.size))) for n, s in states.items())
        self.model = replace(
            model, states=states, observations={_PROBE: Observation(_PROBE, (), (), span)}, definitions={},
            noises={n: model.noises[n] for n in self.noises}, equations=tuple(kept), differentials=(), lifts=(),
            assertions=(), initials=(InitialEquation(targets, span, special="stationary"),),
            inputs={n: v for n, v in model.inputs.items() if any(
                ("input", n) == r[:2] for r in expr.references([node for e in kept for node in nodes_of(e)]))},
        )  # fmt: skip
        form = linear_form(self.model)
        if not isinstance(form, LinearForm):
            raise SsmError([o.diagnostic() for o in form])
        self._lowering = GaussianLowering(self.model, form)

    @property
    def memory(self) -> int:
        """How many numbers the law is over."""
        return self._lowering.structure.memory_size

    def first(self, params: Mapping[str, Array]) -> Initial:
        """The law of the memory; where the parameters allow none, `exists` is False and the numbers are finite."""
        # A law that inputs move is refused above; what moves the rows after the first is of no account here.
        still = {n: jnp.ones((1, *v.shape)) for n, v in self.model.inputs.items()}
        return self._lowering.program(params, {_PROBE: jnp.full((1,), jnp.nan)}, still, 1)[0].initial

    def root(self, params: Mapping[str, Array]) -> float:
        """The largest modulus of the eigenvalues of what moves the memory from row to row, on the host."""
        still = {n: jnp.ones(v.shape) for n, v in self.model.inputs.items()}
        start = self._lowering.start
        env = Environment(params=params, read=lambda sort, name, lag: still[name], t=0, dtype=float)
        A, _, _ = start.stationary_system(evaluate(start.nodes, env))
        return float(np.abs(np.linalg.eigvals(np.asarray(A))).max(initial=0.0))

    def draw(self, key: Array, params: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        """{name: (before + 1, size)}, rows 0, -1, ...: of states and of noises, and whether such a law exists."""
        first = self.first(params)
        key_factor, key_cov = jax.random.split(key)
        s = first.mean + first.factor @ jax.random.normal(key_factor, (first.factor.shape[1],))
        values, vectors = jnp.linalg.eigh(first.cov)
        s = s + vectors @ (jnp.sqrt(jnp.maximum(values, 0.0)) * jax.random.normal(key_cov, values.shape))
        return self.rows(s), jnp.asarray(first.exists)

    def rows(self, s: Array) -> dict[str, Array]:
        """{name: (before + 1, size)}, rows 0, -1, ..., of a memory: states, and the noises that are read later."""
        n = self._lowering.structure.n
        rows = s[: n * self._lowering.structure.state_rows].reshape(-1, n)[: self.before + 1]
        out, at = {}, 0
        for name, state in self.model.states.items():
            out[name.removeprefix(_COPY)] = rows[:, at : at + state.size]
            at += state.size
        return out


def _restricted(e: Equation, names: set[str], model: Model) -> Equation | None:
    """The part of an equation that gives the states `names`."""
    if e.role != "transition":
        return None
    inside = [t.name in names for t in e.targets]
    if not any(inside) or all(inside):
        return e if all(inside) else None
    ends = np.cumsum([0, *(len(t.entries) for t in e.targets)])
    at = np.concatenate([np.arange(a, b) for a, b, keep in zip(ends, ends[1:], inside) if keep])
    picked = expr.const(at)
    targets = tuple(t for t, keep in zip(e.targets, inside) if keep)
    steady = _restricted(e.steady, names, model) if e.steady is not None else None
    if e.value is not None:
        value = expr.index(expr.reshape(e.value, (int(ends[-1]),)), [picked])
        return replace(e, targets=targets, value=value, steady=steady)
    assert e.law is not None
    if e.law.name == "MvNormal":
        return replace(e, targets=targets, law=_of_entries(e.law, at), steady=steady)
    args = {k: expr.index(expr.broadcast(v, (int(ends[-1]),)), [picked]) for k, v in e.law.args.items()}
    law = Dist(e.law.name, args, (len(at),), e.law.event_ndim, e.law.span)
    return replace(e, targets=targets, law=law, steady=steady)


def _of_entries(law: Dist, at: np.ndarray) -> Dist:
    """The joint law of some entries of a normal one, or of several side by side, (K, n): covariances stay apart."""
    n = law.shape[-1]
    K = int(np.prod(law.shape[:-1]))
    args = law.args
    cov = args["cov"] if "cov" in args else expr.matmul(args["scale_tril"], expr.transpose(args["scale_tril"]))
    cov = expr.reshape(expr.broadcast(cov, (*law.shape, n)), (K, n, n))
    loc = expr.index(expr.reshape(expr.broadcast(args["loc"], law.shape), (K * n,)), [expr.const(at)])
    both = lambda m, k: expr.transpose(expr.index(expr.transpose(expr.index(m, [k])), [k]))
    own = [(b, at[at // n == b] % n) for b in np.unique(at // n)]
    blocks = [both(expr.index(cov, [expr.const(int(b))]), expr.const(k)) for b, k in own]
    if len(blocks) == 1:
        return Dist("MvNormal", {"loc": loc, "cov": blocks[0]}, (len(at),), 1, law.span)
    if len({len(k) for _, k in own}) == 1:
        shape = (len(blocks), len(own[0][1]))
        return Dist("MvNormal", {"loc": expr.reshape(loc, shape), "cov": expr.stack(blocks)}, shape, 1, law.span)
    rows = [expr.concat([m if i == j else expr.zeros((len(k), len(other))) for j, (_, other) in enumerate(own)], 1)
            for i, (m, (_, k)) in enumerate(zip(blocks, own))]  # fmt: skip
    return Dist("MvNormal", {"loc": loc, "cov": expr.concat(rows)}, (len(at),), 1, law.span)
