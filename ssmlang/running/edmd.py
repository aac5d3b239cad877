"""`model.edmd`: the least-squares operator of a lift, from simulations or from data that hold the states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.lifted_batch import Batch, normals_of
from ssmlang.analysis.lifted_design import normal_points
from ssmlang.analysis.lifted_model import Coordinates
from ssmlang.analysis.lifted_nodes import Fresh, Nodes
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key
from ssmlang.analysis.values import evaluate_all
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Lift
from ssmlang.results.edmd import Edmd, Fit, labelled, least_squares, prediction

if TYPE_CHECKING:
    from ssmlang.compiled import Model

Path = Mapping[str, np.ndarray]
"""States by name, (rows, entries)."""
PATHS, ROWS = 30, 100
SERIES = 8
"""Simulated series on which predictions are compared."""
AGAIN, LEVELS = 20, (0.5, 1.0, 1.5, 2.0)
"""Noise is added so often at variances of these multiples of the noise that the data have already."""


def edmd(model: Model, data: Any, params: Mapping[str, Any] | None, *, ridge: float, noise: Mapping[str, float] | None,
         seed: int) -> Edmd:  # fmt: skip
    """The operator of the model's first lift; see `Model.edmd`. Raises E451, E502."""
    lift = _lift(model)
    values = model.params_of(params) if params is not None else {}
    if params is None and expr.parameters([lift.value]):
        raise SsmError(Diagnostic("E451", f"{lift.name} reads parameters: give `params`", lift.span))
    try:
        koopman = Koopman(model.spec)
        fresh = Fresh(lambda key: koopman.algebra.variable(key, "known"))
        functions = koopman.functions(lift.value)
        names = Coordinates(model.spec, lift, koopman, functions, Nodes(model.spec, fresh)).names
        paths = _simulated(model, params, seed) if data is None else _given(model, data)
        train, held = _split(model, lift, paths, values, koopman.memory)
        fit = least_squares(train, held, ridge)
        pairs, notes = sum(len(here) for here, _ in train), []
        bias = None
        if data is not None:
            source = "from data"
            if noise:
                bias = fit.matrix - _without_noise(model, lift, paths, values, koopman.memory, noise, ridge, seed, fit)
            else:
                notes.append("states measured with noise draw K towards zero: `noise={name: sd}` tells by how much")
        else:
            source = "simulated" + ("" if params is not None else ", each path with parameters drawn from the prior")
        compared = _compared(model, lift, values, koopman.memory, seed) if params is not None else None
    except Unsupported as trouble:
        raise SsmError(Diagnostic("E502", f"the lift {lift.name} gives no linear program", trouble.span or lift.span,
                                  trouble.reason)) from None  # fmt: skip
    return labelled(names, fit, model=model.name, lift=lift.name, source=source, pairs=pairs, ridge=ridge,
                    noise_bias=bias, prediction=compared, notes=tuple(notes))  # fmt: skip


def _lift(model: Model) -> Lift:
    if not model.spec.lifts:
        raise SsmError(Diagnostic("E451", f"model {model.name} has no lift",
                                  help=("declare one: `lift z[t] = [...] fitted`",)))  # fmt: skip
    return model.spec.lifts[0]


# --------------------------------------------------------------------------------------------------------------- paths


def _simulated(model: Model, params: Any, seed: int) -> list[Path]:
    drawn = model.simulate(ROWS, params, draws=PATHS, seed=seed)
    return [{n: drawn[n].values[k].reshape(ROWS, -1) for n in model.spec.states} for k in range(PATHS)]


def _given(model: Model, data: Any) -> list[Path]:
    found: list[Path] = []
    for one in data if isinstance(data, (list, tuple)) else [data]:
        path = {}
        for name, state in model.spec.states.items():
            if not hasattr(one, "__getitem__") or name not in one:
                help = ("EDMD needs every state: a dict or Dataset of arrays, time first",)
                raise SsmError(Diagnostic("E451", f"the data lack the state `{name}`", state.span, "declared here",
                                          help=help))  # fmt: skip
            values = np.asarray(getattr(one[name], "values", one[name]), float)
            if values.shape[1:] != state.shape:
                raise SsmError(Diagnostic("E451", f"`{name}` has rows of shape {values.shape[1:]}, not {state.shape}",
                                          state.span, "declared here"))  # fmt: skip
            path[name] = values.reshape(len(values), -1)
        found.append(path)
    return found


def _split(model: Model, lift: Lift, paths: Sequence[Path], values: Mapping[str, Any], memory: int) -> Any:
    """Pairs of coordinates for the fit and pairs held out: every third path, or the last third of a single one."""
    lifted = [z for z in (_whole(model, lift.value, path, values, memory) for path in paths) if _runs(z)]
    size = lift.value.size
    if sum(len(run) for z in lifted for run in _runs(z)) < 3 * size:
        raise SsmError(Diagnostic("E451", f"too few rows to fit an operator of {size} coordinates",
                                  help=("give more rows, or a smaller lift",)))  # fmt: skip
    if len(lifted) > 2:
        both = [[z for i, z in enumerate(lifted) if (i % 3 == 2) == held] for held in (False, True)]
    else:
        both = [[z[: 2 * len(z) // 3] for z in lifted], [z[2 * len(z) // 3 :] for z in lifted]]
    return tuple([(run[:-1], run[1:]) for z in side for run in _runs(z)] for side in both)


def _runs(whole: np.ndarray) -> list[np.ndarray]:
    """The rows (rows, D) as stretches without a gap, those of a single row left out."""
    good = np.isfinite(whole).all(axis=1)
    stretches = np.split(whole, np.flatnonzero(np.diff(good)) + 1)
    return [z for z in stretches if len(z) > 1 and np.isfinite(z).all()]


def _coordinates(model: Model, node: Node, path: Path, values: Mapping[str, Any], memory: int) -> np.ndarray:
    """`_whole` up to the first row without a value."""
    whole = _whole(model, node, path, values, memory)
    good = np.isfinite(whole).all(axis=1)
    return whole[: len(good) if good.all() else int(np.argmin(good))]


def _whole(model: Model, node: Node, path: Path, values: Mapping[str, Any], memory: int) -> np.ndarray:
    """(rows, D) of functions of the state along a path, not finite where a state that they read is not."""
    rows = len(next(iter(path.values())))
    keys = {Key("state", n, i, lag): path[n][memory - 1 - lag : rows - lag, i] for n in path
            for i in range(path[n].shape[1]) for lag in range(memory)}  # fmt: skip
    batch = Batch(model.spec, keys, lambda k: np.zeros(1))
    found = evaluate_all([expr.broadcast(v.node, (rows - memory + 1,)) for v in batch.here(node)], values)
    return np.stack(found, axis=1)


def _without_noise(model: Model, lift: Lift, paths: Sequence[Path], values: Mapping[str, Any], memory: int,
                   noise: Mapping[str, float], ridge: float, seed: int, fit: Fit) -> np.ndarray:  # fmt: skip
    """K as it would be without noise in the data, by simulation and extrapolation (Cook & Stefanski 1994): noise is
    added at several variances, and the quadratic through what K becomes is followed back to none."""
    unknown = [n for n in noise if n not in model.spec.states]
    if unknown:
        raise SsmError(Diagnostic("E451", f"`{unknown[0]}` is no state of {model.name}"))
    random = np.random.default_rng(seed)
    found = [fit.matrix]
    for level in LEVELS:
        total = np.zeros_like(fit.matrix)
        for _ in range(AGAIN):
            noisy = [{n: v + np.sqrt(level) * noise.get(n, 0.0) * random.standard_normal(v.shape) for n, v in p.items()}
                     for p in paths]  # fmt: skip
            train, held = _split(model, lift, noisy, values, memory)
            total += least_squares(train, held, ridge).matrix
        found.append(total / AGAIN)
    X = np.vander([0.0, *LEVELS], 3)
    curve = np.linalg.lstsq(X, np.array(found).reshape(len(found), -1), rcond=None)[0]
    return (np.vander([-1.0], 3) @ curve).reshape(fit.matrix.shape)


# --------------------------------------------------------------------------------------------------------- predictions


def _compared(model: Model, lift: Lift, values: Mapping[str, Any], memory: int, seed: int) -> Any:
    """One-step-ahead means of what is observed, less its noise, beside the truth; None where it is not Gaussian."""
    emissions = [e for e in model.spec.equations if e.role == "emission"]
    if any(e.law is None or e.law.name not in LOCATED for e in emissions) or model.spec.inputs:
        return None
    drawn = [model.simulate(ROWS, values, seed=seed + 1 + k) for k in range(SERIES)]
    locs = [expr.broadcast(e.law.args[LOCATED[e.law.name]], e.law.shape) for e in emissions if e.law is not None]
    names = [model.spec.observations[t.name].entry_names()[i] for e in emissions for t in e.targets for i in t.entries]
    normals, weights = normal_points(normals_of(model.spec))
    squares: dict[str, list[np.ndarray]] = {"lift (kalman)": [], "ekf": [], "knowing the state": []}
    scores: dict[str, list[float]] = {"lift (kalman)": [], "ekf": []}
    for one in drawn:
        path = {n: one[n].values.reshape(ROWS, -1) for n in model.spec.states}
        truth = np.concatenate([_coordinates(model, loc, path, values, memory) for loc in locs], axis=1)[1:]
        before = {Key("state", n, i, lag): path[n][memory - 1 - lag : ROWS - 1 - lag, i][:, None] for n in path
                  for i in range(path[n].shape[1]) for lag in range(memory)}  # fmt: skip
        batch = Batch(model.spec, before, lambda k: normals[k][None, :])
        nodes = [expr.broadcast(v.node, (ROWS - memory, normals.shape[1])) for loc in locs for v in batch.after(loc)]
        best = np.stack([v @ weights for v in evaluate_all(nodes, values)], axis=1)
        squares["knowing the state"].append(np.mean((best - truth) ** 2, axis=0))
        data = {n: one[n].values for n in model.spec.observations}
        for label, engine in (("lift (kalman)", "kalman"), ("ekf", "ekf")):
            found: Any = model.filter(data, values, engine=engine)
            means = found.observed_mean.sel(obs=names).values[memory:]
            squares[label].append(np.mean((means - truth) ** 2, axis=0))
            scores[label].append(float(found.log_likelihood.sum()) / ROWS)
    errors = {e: np.sqrt(np.mean(v, axis=0)) for e, v in squares.items()}
    return prediction(names, errors, {e: float(np.mean(v)) for e, v in scores.items()})
