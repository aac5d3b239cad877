"""Which parameters are the coefficients of a state's own lags: what `in stationary` is for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.language.diagnostics import Findings
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.affine import Affine, affine
from ssmlang.model.expr import Node
from ssmlang.model.model import Equation, Model, Parameter, State

POINTS = 2
"""Coefficients are compared at so many random values of the parameters; that is exact but for an accident."""


def check_stationary(model: Model, findings: Findings) -> None:
    """E218 for a `stationary` parameter that is not the coefficients of one state's own lags."""
    found = autoregressions(model)
    for p in model.parameters.values():
        if p.support.kind == "stationary" and p.name not in found:
            findings.add(
                "E218", "`stationary` is for the coefficients of one state's own lags", p.span,
                f"{p.name} is not used so",
                why=f"the region where x[t] = {p.name}[first] x[t-1] + ... is stable says nothing about another use",
                help=f"write the lags out, sum({p.name}[k] * x[t-k] for k in ...), or give {p.name} an interval",
            )  # fmt: skip


def autoregressions(model: Model) -> dict[str, str]:
    """Parameters declared `stationary` that are exactly the coefficients of a state's own lags, with that state."""
    declared = [p for p in model.parameters.values() if p.support.kind == "stationary"]
    return {p.name: name for p in declared if (name := state_of(model, p)) is not None}


def state_of(model: Model, p: Parameter) -> str | None:
    """The state whose own lags have exactly this parameter as their coefficients, if there is one."""
    found = None
    for s in model.states.values():
        if p.shape and s.order == p.shape[-1] and p.shape[:-1] in ((), s.shape) and _matches(model, p, s):
            found = s.name
    return found


def _matches(model: Model, p: Parameter, s: State) -> bool:
    equations = [e for e in model.equations if e.role == "transition" and any(t.name == s.name for t in e.targets)]
    return bool(equations) and all(_in_equation(model, e, p, s) for e in equations)


def _in_equation(model: Model, e: Equation, p: Parameter, s: State) -> bool:
    node = e.value if e.value is not None else e.law.args.get("loc") if e.law is not None else None
    if node is None or s.order is None:
        return False
    sizes = [len(t.entries) for t in e.targets]
    wanted_shape = e.law.shape if e.law is not None else node.shape
    form = affine(expr.broadcast(node, wanted_shape), lambda sort, name, lag: (sort, name) == ("state", s.name))
    if not isinstance(form, Affine):
        return False
    entries = np.concatenate([np.asarray(t.entries) if t.name == s.name else np.full(n, -1)
                              for t, n in zip(e.targets, sizes)])  # fmt: skip
    for point in range(POINTS):
        values = _random_point(model, point)
        for lag in range(1, s.order + 1):
            matrix = np.zeros((len(entries), s.size))
            term = form.terms.get(("state", s.name, lag))
            if term is not None:
                given = value_at(term.values, values)
                if given is None:
                    return False
                matrix[term.rows, term.cols] = np.broadcast_to(given, (term.nnz,))
            wanted = np.zeros_like(matrix)
            own = np.flatnonzero(entries >= 0)
            coefficients = np.broadcast_to(values[p.name][..., lag - 1].reshape(-1), (s.size,))
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
