"""Which parameters are the coefficients of own lags, of a state or of an observation: what `in stationary` is for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.language.diagnostics import Findings
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.affine import Affine, affine
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model, Observation, Parameter, State, nodes_of

POINTS = 2
"""Coefficients are compared at so many random values of the parameters; that is exact but for an accident."""


def check_stationary(model: Model, findings: Findings) -> None:
    """E218 for a `stationary` parameter that is not the coefficients of the own lags of one state or observation."""
    for p in model.parameters.values():
        if p.support.kind == "stationary" and whose(model, p) is None:
            findings.add(
                "E218", "`stationary` is for the coefficients of the own lags of one state or observation", p.span,
                f"{p.name} is not used so",
                why=f"the region where x[t] = {p.name}[first] x[t-1] + ... is stable says nothing about another use",
                help=f"write the lags out, sum({p.name}[k] * x[t-k] for k in ...), or give {p.name} an interval",
            )  # fmt: skip


def whose(model: Model, p: Parameter) -> str | None:
    """The state or observation whose own lags have exactly this parameter as their coefficients, if there is one."""
    found = None
    for sort, variables in (("state", model.states), ("obs", model.observations)):
        for v in variables.values():
            if p.shape and p.shape[:-1] in ((), v.shape) and _matches(model, p, sort, v):
                found = v.name
    return found


def _matches(model: Model, p: Parameter, sort: str, v: State | Observation) -> bool:
    equations = [e for e in model.equations if any(t.name == v.name for t in e.targets)]
    lags = [lag for e in equations for own, name, lag in expr.references(nodes_of(e)) if (own, name) == (sort, v.name)]
    # A sum over the whole past has no last lag.
    if not lags or not all(isinstance(lag, int) for lag in lags) or max(lags) != p.shape[-1]:
        return False
    return all(_in_equation(model, e, p, sort, v) for e in equations)


def _in_equation(model: Model, e: Equation, p: Parameter, sort: str, v: State | Observation) -> bool:
    node = e.value if e.value is not None else e.law.args.get("loc") if e.law is not None else None
    if node is None:
        return False
    sizes = [len(t.entries) for t in e.targets]
    wanted_shape = e.law.shape if e.law is not None else node.shape
    form = affine(expr.broadcast(node, wanted_shape), lambda own, name, lag: (own, name) == (sort, v.name))
    if not isinstance(form, Affine):
        return False
    entries = np.concatenate([np.asarray(t.entries) if t.name == v.name else np.full(n, -1)
                              for t, n in zip(e.targets, sizes)])  # fmt: skip
    for point in range(POINTS):
        values = _random_point(model, point)
        for lag in range(1, p.shape[-1] + 1):
            matrix = np.zeros((len(entries), v.size))
            term = form.terms.get((sort, v.name, lag))
            if term is not None:
                given = value_at(term.values, values)
                if given is None:
                    return False
                matrix[term.rows, term.cols] = np.broadcast_to(given, (term.nnz,))
            wanted = np.zeros_like(matrix)
            own = np.flatnonzero(entries >= 0)
            coefficients = np.broadcast_to(values[p.name][..., lag - 1].reshape(-1), (v.size,))
            wanted[own, entries[own]] = coefficients[entries[own]]
            if not np.allclose(matrix, wanted, rtol=1e-12, atol=0):
                return False
    return True


def _random_point(model: Model, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.1, 0.9, p.shape) for name, p in model.parameters.items()}


def value_at(node: Node, params: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The value of an expression of parameters alone; None where it reads anything else."""
    done: dict[int, np.ndarray] = {}
    for n in expr.walk([node]):
        if n.value is not None:
            done[id(n)] = np.asarray(n.value)
        elif n.op == "param" and n.attrs[0] in params:
            done[id(n)] = params[n.attrs[0]]
        elif not n.args:
            return None
        else:
            with np.errstate(all="ignore"):
                done[id(n)] = np.asarray(numeric.evaluate(n.op, n.attrs, [done[id(a)] for a in n.args]))
    return done[id(node)]
