"""A fitted lift as a linear-Gaussian model in its coordinates: extended dynamic mode decomposition as expressions.

At states x_s that the model visits under its prior, E[phi(x_t) | x_(t-1) = x_s] is regressed on (phi(x_s), 1) by ridge
least squares (Williams, Kevrekidis & Rowley 2015). The states are fixed when the model is compiled, so that K, the
offset and the covariance of what is left over are functions of the parameters alone. That covariance is the mean over
the x_s of the noise's own and of the squared misfit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Span, common
from ssmlang.analysis.lifted_batch import Batch, normals_of
from ssmlang.analysis.lifted_design import design, normal_points
from ssmlang.analysis.lifted_exact import LiftedModel, matrix_of, placed
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
SECONDS = 2.0
"""Processor time for the rows of K that algebra knows."""
WHY = ("K is fitted at states drawn from the prior, and what it leaves over counts as Gaussian noise: the filter is an "
       "approximation")  # fmt: skip


def lifted_fitted(
    model: Model, lift: Lift, ridge: float = RIDGE, tick: Callable[[], None] = lambda: None
) -> LiftedModel:
    """The model in the coordinates of a fitted lift.

    Raises Unsupported where noises or the first row are not Gaussian, NotInTheLift for an emission that reads more.
    """
    koopman = Koopman(model, tick)
    if koopman.continuous:
        raise Unsupported("a lift of differential equations is not run in its coordinates by this version", lift.span)
    if any(p.augment for p in model.parameters.values()):
        raise Unsupported("an augmented parameter is no coordinate of a lift", lift.span)
    functions = koopman.functions(lift.value)
    fresh = Fresh(lambda key: koopman.algebra.variable(key, "known"))
    nodes = Nodes(model, fresh)
    coordinates = Coordinates(model, lift, koopman, functions, nodes)
    mean, factor = _start(koopman, functions, nodes, fresh)
    rows = closing(koopman, functions, nodes, fresh)
    fit = regression(model, lift, koopman, ridge, rows)
    size = len(functions)
    pick = lambda i, j: expr.index(fit.coefficients, [expr.const(fit.fitted.index(i)), expr.const(j)])
    matrix: dict[int, dict[int, Node]] = {i: {j: pick(i, j) for j in range(size)} for i in fit.fitted}
    offset = [pick(i, size) if i in fit.fitted and fit.intercept else expr.const(0.0) for i in range(size)]
    for i, row in rows.items():
        matrix[i] = {j: c for j, c in row.coefficients.items() if j < size}
        offset[i] = row.coefficients.get(size, expr.const(0.0))
    loading = placed(fit.cov, fit.active, size)
    zero = expr.const(0.0)
    law = Law(matrix, offset, [r or [zero] * len(fit.active) for r in loading],
              [coordinates.names[i] for i in fit.active], mean, factor)  # fmt: skip
    return LiftedModel(coordinates.lifted(law), lift, tuple(coordinates.names), (WHY,))


@dataclass(frozen=True)
class Closing:
    """A row of K that is known by algebra: its coefficients by coordinate (their number: of the constant), and
    whether any noise enters."""

    coefficients: dict[int, Node]
    noisy: bool


def closing(koopman: Koopman, functions: Sequence[Element], nodes: Nodes, fresh: Fresh) -> dict[int, Closing]:
    """The coordinates whose mean one row on is a combination of the coordinates, by algebra; those that take it long
    are left to the regression, which finds the same to rounding."""
    found: dict[int, Closing] = {}
    noises = Noises(koopman, fresh)
    tick, koopman.algebra.tick = koopman.algebra.tick, Budget(SECONDS).check
    for i, f in enumerate(functions):
        try:
            after = noises.after(f)
            mean = expectation(after, noises.symbols)
            if mean is None:
                continue
            own, (image,) = common([*functions, koopman.algebra.constant(1)], [mean])
            where, left = Span(own).coordinates(image)
            if not left:
                noisy = bool(reached(after) & set(noises.names))
                found[i] = Closing({j: nodes(c) for j, c in where.items()}, noisy)
        except Unsupported:
            continue
        except OutOfTime:
            break
    koopman.algebra.tick = tick
    return found


@dataclass(frozen=True)
class Regression:
    """`coefficients` (fitted rows, D + 1), without a last column where there is no `intercept`; `cov` of what is left
    over in the `active` rows."""

    coefficients: Node
    fitted: list[int]
    cov: Node
    active: list[int]
    intercept: bool


def regression(model: Model, lift: Lift, koopman: Koopman, ridge: float, known: Mapping[int, Closing]) -> Regression:
    """Ridge least squares of the coordinates one row on, noise averaged over, as expressions of the parameters."""
    D = lift.value.size
    fitted = [i for i in range(D) if i not in known]
    active = [i for i in range(D) if i not in known or known[i].noisy]
    if not active:
        return Regression(expr.zeros((0, D)), [], expr.zeros((0, 0)), [], False)
    memory = koopman.memory
    reads = [Key("state", n, i, lag) for n, v in model.states.items() for i in range(v.size) for lag in range(memory)]
    states = design(model, reads)
    normals, weights = normal_points(normals_of(model))
    P, Q = len(next(iter(states.values()))), normals.shape[1]
    batch = Batch(model, {k: v[:, None] for k, v in states.items()}, lambda k: normals[k][None, :])
    spread = lambda values, shape: expr.stack([expr.broadcast(v.node, shape) for v in values])
    rows = lambda node, at: expr.index(node, [expr.const(np.array(at, int))])
    there = rows(spread(batch.after(lift.value), (P, Q)), active)
    mean = expr.reshape(expr.matmul(there, expr.const(weights)), (len(active), P))
    here = expr.reshape(spread(batch.here(lift.value), (P, 1)), (D, P))
    intercept = not _has_constant(here, D)
    if intercept:
        here = expr.concat([here, expr.const(np.ones((1, P)))])
    gram = expr.div(expr.matmul(here, expr.transpose(here)), expr.const(float(P)))
    penalty = expr.mul(expr.const(ridge * np.diag([1.0] * D + [0.0] * intercept)), gram)
    target = rows(mean, [active.index(i) for i in fitted])
    cross = expr.div(expr.matmul(target, expr.transpose(here)), expr.const(float(P)))
    system = expr.add(gram, penalty)
    coefficients = expr.transpose(expr.linalg("solve", [system, expr.transpose(cross)], cross.shape[::-1]))
    misfit = expr.sub(target, expr.matmul(coefficients, here))
    left = expr.div(expr.matmul(misfit, expr.transpose(misfit)), expr.const(float(P)))
    away = expr.sub(there, expr.reshape(mean, (len(active), P, 1)))
    scaled = expr.mul(away, expr.const(np.sqrt(weights / P)[None, None, :]))
    flat = expr.reshape(scaled, (len(active), P * Q))
    place = np.zeros((len(active), len(fitted)))
    place[[active.index(i) for i in fitted], np.arange(len(fitted))] = 1
    moved = expr.matmul(expr.matmul(expr.const(place), left), expr.const(place.T))
    cov = expr.add(expr.matmul(flat, expr.transpose(flat)), moved)
    return Regression(coefficients, fitted, cov, active, intercept)


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
    used = sorted({s for v in values for s in reached(v) if s in uncertain})
    points, weights = normal_points(len(used))
    places = {koopman.algebra.symbols[s].key: expr.const(points[k]) for k, s in enumerate(used)}

    def mean(element: Element) -> Node:
        closed = expectation(element, used)
        if closed is not None:
            return nodes(closed)
        at = expr.broadcast(nodes(element, lambda key: places[key]), (len(weights),))
        return expr.matmul(at, expr.const(weights))

    means = [mean(v) for v in values]
    active = [i for i, v in enumerate(values) if reached(v) & uncertain]
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
    rows = placed(matrix_of(cov), active, len(values))
    width = len(active)
    zero = expr.const(0.0)
    return means, [(row or [zero] * width) + [zero] * (len(values) - width) for row in rows]


def reached(element: Element) -> set[int]:
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
