"""The states at which a fitted lift's operator is fitted, and the points at which noises are averaged over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssmlang.analysis.draws import draw_priors
from ssmlang.analysis.prior_paths import NotDrawn, state_paths
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key
from ssmlang.model.model import Model

PATHS, ROWS, STATES = 24, 120, 400
"""So many paths of so many rows are drawn from the prior; of the states that they visit so many are kept."""
NODES = {1: 15, 2: 7, 3: 5}
"""Nodes of the Gauss-Hermite rule by how many noises there are; with more noises, draws."""
DRAWS = 200
LARGEST = 1e6
"""States beyond are not visited by a model that makes sense of data."""


def design(model: Model, keys: Sequence[Key], states: int = STATES) -> dict[Key, np.ndarray]:
    """States that the model visits under its prior: by key (lag 0 is the row itself) a number for each of them.

    Every path has parameters of its own; those that grow beyond bounds are left out. Raises Unsupported where the model
    cannot be drawn.
    """
    depth = max((k.lag for k in keys), default=0)
    random = np.random.default_rng(0)
    rows: list[list[float]] = []
    try:
        for params in draw_priors(model, PATHS):
            drawn = state_paths(model, params, ROWS, random)
            # A path that leaves for infinity is none of the model's: its states would outweigh all others.
            if not all((np.abs(v) < LARGEST).all() for v in drawn.values()):
                continue
            for t in range(depth, ROWS):
                rows.append([float(drawn[k.name][t - k.lag, k.entry]) for k in keys])
    except NotDrawn as trouble:
        raise Unsupported(f"no states can be drawn from the prior of a model {trouble}") from None
    found = np.array(rows)
    if len(found) < states // 4:
        raise Unsupported("the states drawn from the prior have no values, or grow beyond bounds")
    kept = random.permutation(len(found))[:states]
    return {k: found[kept, j] for j, k in enumerate(keys)}


def normal_points(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, Q) standard normals and their weights (Q,): a product rule for up to three of them, else antithetic
    draws."""
    if count == 0:
        return np.zeros((0, 1)), np.ones(1)
    if count in NODES:
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[count])
        weights = weights / weights.sum()
        grids = np.meshgrid(*[nodes] * count, indexing="ij")
        whole = np.ones(NODES[count] ** count)
        for w in np.meshgrid(*[weights] * count, indexing="ij"):
            whole = whole * w.reshape(-1)
        return np.array([g.reshape(-1) for g in grids]).reshape(count, -1), whole
    half = np.random.default_rng(0).standard_normal((count, DRAWS // 2))
    return np.concatenate([half, -half], axis=1), np.full(DRAWS, 1 / DRAWS)
