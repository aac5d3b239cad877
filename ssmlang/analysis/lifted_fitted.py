"""A fitted lift as a linear-Gaussian model in its coordinates: extended dynamic mode decomposition as expressions.

At states x_s that the model visits under its prior, E[phi(x_t) | x_(t-1) = x_s] is regressed on (phi(x_s), 1) by ridge
least squares (Williams, Kevrekidis & Rowley 2015). The states are fixed when the model is compiled, so that K, the
offset and the covariance of what is left over are functions of the parameters alone. That covariance is the mean over
the x_s of the noise's own and of the squared misfit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.lifted_batch import Batch, normals_of
from ssmlang.analysis.lifted_design import design, normal_points
from ssmlang.analysis.lifted_exact import LiftedModel, placed
from ssmlang.analysis.lifted_model import Coordinates, Law
from ssmlang.analysis.lifted_nodes import Fresh, Nodes
from ssmlang.analysis.lifted_noise import Noises, expectation
from ssmlang.analysis.lifted_start import FirstRow
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Lift, Model

RIDGE = 1e-9
"""Beside the mean square of each coordinate over the states."""
WHY = ("K is fitted at states drawn from the prior, and what it leaves over counts as Gaussian noise: the filter is an "
       "approximation")  # fmt: skip


def lifted_fitted(model: Model, lift: Lift, ridge: float = RIDGE) -> LiftedModel:
    """The model in the coordinates of a fitted lift.

    Raises Unsupported where noises or the first row are not Gaussian, NotInTheLift for an emission that reads more.
    """
    koopman = Koopman(model)
    if koopman.continuous:
        raise Unsupported("a lift of differential equations is not run in its coordinates by this version", lift.span)
    if any(p.augment for p in model.parameters.values()):
        raise Unsupported("an augmented parameter is no coordinate of a lift", lift.span)
    functions = koopman.functions(lift.value)
    fresh = Fresh(lambda key: koopman.algebra.variable(key, "known"))
    nodes = Nodes(model, fresh)
    coordinates = Coordinates(model, lift, koopman, functions, nodes)
    mean, factor = _start(koopman, functions, nodes, fresh)
    fit = regression(model, lift, koopman, ridge)
    size = len(functions)
    pick = lambda i, j: expr.index(fit.coefficients, [expr.const(i), expr.const(j)])
    matrix = {i: {j: pick(i, j) for j in range(size)} for i in range(size)}
    offset = [pick(i, size) if fit.intercept else expr.const(0.0) for i in range(size)]
    root = expr.linalg("semidefinite_root", [fit.cov], fit.cov.shape)
    entry = lambda i, j: expr.index(root, [expr.const(i), expr.const(j)])
    loading = [[entry(i, j) if j <= i else expr.const(0.0) for j in range(size)] for i in range(size)]
    law = Law(matrix, offset, loading, coordinates.names, mean, factor)
    return LiftedModel(coordinates.lifted(law), lift, tuple(coordinates.names), (WHY,))


class Regression:
    """`coefficients` (D, D + 1) or, without `intercept`, (D, D); `cov` (D, D) of what they leave over."""

    def __init__(self, coefficients: Node, cov: Node, intercept: bool) -> None:
        self.coefficients, self.cov, self.intercept = coefficients, cov, intercept


def regression(model: Model, lift: Lift, koopman: Koopman, ridge: float) -> Regression:
    """Ridge least squares of the coordinates one row on, noise averaged over, as expressions of the parameters."""
    memory = koopman.memory
    reads = [Key("state", n, i, lag) for n, v in model.states.items() for i in range(v.size) for lag in range(memory)]
    states = design(model, reads)
    normals, weights = normal_points(normals_of(model))
    P, Q, D = len(next(iter(states.values()))), normals.shape[1], lift.value.size
    batch = Batch(model, {k: v[:, None] for k, v in states.items()}, lambda k: normals[k][None, :])
    spread = lambda values, shape: expr.stack([expr.broadcast(v.node, shape) for v in values])
    there = spread(batch.after(lift.value), (P, Q))
    mean = expr.reshape(expr.matmul(there, expr.const(weights)), (D, P))
    here = expr.reshape(spread(batch.here(lift.value), (P, 1)), (D, P))
    intercept = not _has_constant(here, D)
    if intercept:
        here = expr.concat([here, expr.const(np.ones((1, P)))])
    gram = expr.div(expr.matmul(here, expr.transpose(here)), expr.const(float(P)))
    cross = expr.div(expr.matmul(mean, expr.transpose(here)), expr.const(float(P)))
    penalty = expr.mul(expr.const(ridge * np.diag([1.0] * D + [0.0] * intercept)), gram)
    system = expr.add(gram, penalty)
    coefficients = expr.transpose(expr.linalg("solve", [system, expr.transpose(cross)], cross.shape[::-1]))
    misfit = expr.sub(mean, expr.matmul(coefficients, here))
    away = expr.sub(there, expr.reshape(mean, (D, P, 1)))
    scaled = expr.reshape(expr.mul(away, expr.const(np.sqrt(weights / P)[None, None, :])), (D, P * Q))
    own = expr.matmul(scaled, expr.transpose(scaled))
    left = expr.div(expr.matmul(misfit, expr.transpose(misfit)), expr.const(float(P)))
    return Regression(coefficients, expr.add(own, left), intercept)


def _has_constant(here: Node, count: int) -> bool:
    """Whether a function is the same at all states, so that it stands for the constant."""
    if here.value is None:
        return False
    return any(np.ptp(here.value[j]) == 0 and here.value[j, 0] != 0 for j in range(count))


def _start(koopman: Koopman, functions: Sequence[Element], nodes: Nodes, fresh: Fresh
           ) -> tuple[list[Node], list[list[Node]]]:  # fmt: skip
    """Mean and factor of the first row's coordinates: by closed forms where there are such, else by quadrature."""
    noises = Noises(koopman, fresh)
    first = FirstRow(noises)
    values = [first.at(f) for f in functions]
    uncertain = set(noises.names)
    used = sorted({s for v in values for s in _reached(v) if s in uncertain})
    points, weights = normal_points(len(used))
    places = {koopman.algebra.symbols[s].key: expr.const(points[k]) for k, s in enumerate(used)}

    def mean(element: Element) -> Node:
        closed = expectation(element, used)
        if closed is not None:
            return nodes(closed)
        at = expr.broadcast(nodes(element, lambda key: places[key]), (len(weights),))
        return expr.matmul(at, expr.const(weights))

    means = [mean(v) for v in values]
    active = [i for i, v in enumerate(values) if _reached(v) & uncertain]
    cov = [[expr.const(0.0)] * len(active) for _ in active]
    for a, i in enumerate(active):
        for b, j in enumerate(active[: a + 1]):
            closed = [expectation(e, used) for e in (values[i] * values[j], values[i], values[j])]
            both, one, other = closed
            if both is None or one is None or other is None:
                found = expr.sub(mean(values[i] * values[j]), expr.mul(means[i], means[j]))
            else:
                found = nodes(both - one * other)
            cov[a][b] = cov[b][a] = found
    rows = placed(cov, active, len(values))
    width = len(active)
    zero = expr.const(0.0)
    return means, [(row or [zero] * width) + [zero] * (len(values) - width) for row in rows]


def _reached(element: Element) -> set[int]:
    """The symbols that an element reads, inside of functions without an algebra too."""
    symbols, seen = element.algebra.symbols, set()
    pending = set(element.symbols())
    while pending:
        k = pending.pop()
        if k in seen:
            continue
        seen.add(k)
        inner = [*symbols[k].args, *([of] if (of := symbols[k].of) is not None else [])]
        pending |= {x for e in inner for x in e.symbols()} | ({symbols[k].base} if symbols[k].base >= 0 else set())
    return seen
