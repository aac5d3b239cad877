"""Points of the parameter space with local coordinates: random residues for exact ranks, plausible floats beside them.

A parameter with constraints among its entries (a simplex, a factor of a correlation matrix, coefficients of a
stationary autoregression) has as many coordinates as it has freedom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.identifiability_dual import Calculus, Dual
from ssmlang.analysis.identifiability_rings import Ring
from ssmlang.model.autoregression import value_at
from ssmlang.model.model import Model, Parameter

Array = np.ndarray


@dataclass(frozen=True)
class Coordinate:
    """One freedom of the parameters: that of an entry, `name` as the user writes it."""

    parameter: str
    entry: int
    name: str


def coordinates(model: Model, names: Sequence[str]) -> list[Coordinate]:
    """Those of the named parameters, in the order of the file."""
    found = []
    for p in model.parameters.values():
        if p.name in names:
            entries = p.entry_names()
            found += [Coordinate(p.name, e, entries[e]) for e in free(p)]
    return found


def free(p: Parameter) -> list[int]:
    """Entries that are coordinates."""
    at = np.arange(p.size).reshape(p.shape)
    if p.support.kind == "simplex":
        return at[..., :-1].reshape(-1).tolist()
    if p.support.kind == "correlation_cholesky":
        rows, cols = np.tril_indices(p.shape[-1], -1)
        return at[..., rows, cols].reshape(-1).tolist()
    return at.reshape(-1).tolist()


def duals(model: Model, calculus: Calculus, values: Mapping[str, Array], coords: Sequence[Coordinate]
          ) -> dict[str, Dual]:  # fmt: skip
    """Parameters as functions of their coordinates at `values`; a direction for each of `coords`."""
    place = {(k.parameter, k.entry): i for i, k in enumerate(coords)}
    ring = calculus.ring
    found = {}
    for name, value in values.items():
        p = model.parameters[name]
        at = [(place[name, e], e) for e in free(p) if (name, e) in place]
        if not at:
            found[name] = Dual(value)
            continue
        tangent = np.zeros((calculus.directions, p.size), value.dtype)
        for i, e in at:
            tangent[i, e] = ring.number(1)
            for other, slope in _follows(ring, p, value, e):
                tangent[i, other] = slope
        found[name] = Dual(value, tangent.reshape(calculus.directions, *p.shape))
    return found


def _follows(ring: Ring, p: Parameter, value: Array, e: int) -> list[tuple[int, Array]]:
    """The entries that move with a coordinate, and how fast."""
    if p.support.kind == "simplex":
        last = p.shape[-1]
        return [(e // last * last + last - 1, ring.reduce(ring.number(-1)))]
    if p.support.kind == "correlation_cholesky":
        n = p.shape[-1]
        i = e // n % n
        diagonal = e // n * n + i
        flat = value.reshape(-1)
        return [(diagonal, ring.reduce(-ring.mul(flat[e], ring.reciprocal(flat[diagonal][None])[0])))]
    return []


def residues(model: Model, ring: Ring, random: np.random.Generator, names: Sequence[str]) -> dict[str, Array]:
    """Random values in the field that satisfy what entries must satisfy among themselves."""
    from ssmlang.analysis.identifiability_rings import P

    found = {}
    for name in names:
        p = model.parameters[name]
        value = random.integers(2, P - 2, p.shape)
        if p.support.kind == "simplex":
            value[..., -1] = ring.reduce(1 - value[..., :-1].sum(-1))
        elif p.support.kind == "correlation_cholesky":
            value = _unit_rows(ring, value)
        found[name] = np.asarray(value, np.int64)
    return found


def _unit_rows(ring: Ring, u: Array) -> Array:
    """Lower-triangular with rows of length one: row i from i random numbers by stereographic projection."""
    n = u.shape[-1]
    found = np.zeros_like(u)
    found[..., 0, 0] = 1
    for i in range(1, n):
        free = u[..., i, :i]
        square = ring.reduce(ring.mul(free, free).sum(-1))
        below = ring.reciprocal(ring.reduce(1 + square))
        found[..., i, :i] = ring.mul(ring.reduce(2 * free), below[..., None])
        found[..., i, i] = ring.mul(ring.reduce(1 - square), below)
    return found


def plausible(model: Model, seed: int, near: Mapping[str, Array] | None = None) -> dict[str, Array]:
    """Values inside every support, of order one where the support says nothing; `near` gives values of its own."""
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {k: np.asarray(v, float) for k, v in (near or {}).items()}
    waiting = [p for p in model.parameters.values() if not p.augment and p.name not in found]
    for _ in range(len(waiting) + 1):
        later = []
        for p in waiting:
            ends = [None if n is None else value_at(n, found) for n in (p.support.lower, p.support.upper)]
            if any(n is not None and v is None for n, v in zip((p.support.lower, p.support.upper), ends)):
                later.append(p)
                continue
            found[p.name] = _draw(p, random, *ends)
        waiting = later
    return found


def _draw(p: Parameter, random: np.random.Generator, low: Array | None, high: Array | None) -> Array:
    kind, shape = p.support.kind, p.shape
    if kind == "simplex":
        return random.dirichlet(np.full(shape[-1], 4.0), shape[:-1])
    if kind == "correlation_cholesky":
        n = shape[-1]
        factor = np.eye(n) + 0.4 * np.tril(random.normal(size=shape), -1)
        return factor / np.linalg.norm(factor, axis=-1, keepdims=True)
    if kind == "stationary":
        partial = random.uniform(-0.7, 0.7, shape or (1,))
        return _levinson(partial).reshape(shape)
    low_end = np.full(shape, -np.inf) if low is None else np.broadcast_to(low, shape)
    high_end = np.full(shape, np.inf) if high is None else np.broadcast_to(high, shape)
    if kind == "unit_circle":
        return random.uniform(-2, 2, shape)
    uniform = random.uniform(0.2, 0.8, shape)
    with np.errstate(all="ignore"):
        inside = low_end + (high_end - low_end) * uniform
        above, below = low_end + np.exp(random.normal(0, 0.5, shape)), high_end - np.exp(random.normal(0, 0.5, shape))
    free = random.normal(0.3, 0.7, shape)
    return np.where(np.isfinite(low_end) & np.isfinite(high_end), inside,
                    np.where(np.isfinite(low_end), above, np.where(np.isfinite(high_end), below, free)))  # fmt: skip


def _levinson(partial: Array) -> Array:
    """Coefficients of a stationary autoregression from its partial autocorrelations (last dimension)."""
    found = partial[..., :1]
    for k in range(1, partial.shape[-1]):
        last = partial[..., k : k + 1]
        found = np.concatenate([found - last * found[..., ::-1], last], axis=-1)
    return found


def inside(model: Model, values: Mapping[str, Array]) -> bool:
    """Whether values lie in the open supports."""
    for name, value in values.items():
        p = model.parameters[name]
        kind = p.support.kind
        if not np.isfinite(value).all():
            return False
        if kind == "simplex" and not ((value > 0).all() and np.allclose(value.sum(-1), 1)):
            return False
        if kind == "stationary" and not _is_stationary(np.atleast_1d(value)):
            return False
        for node, sign in ((p.support.lower, 1), (p.support.upper, -1)):
            end = value_at(node, values) if node is not None else None
            if end is not None and not (sign * (value - end) > 0).all():
                return False
    return True


def _is_stationary(coefficients: Array) -> bool:
    for row in coefficients.reshape(-1, coefficients.shape[-1]):
        if np.abs(np.roots(np.concatenate([[1.0], -row]))).max(initial=0) >= 1:
            return False
    return True


def moved(model: Model, values: Mapping[str, Array], coords: Sequence[Coordinate], change: Callable[[Array], Array]
          ) -> dict[str, Array]:  # fmt: skip
    """The setting with its coordinates changed, and what follows from them."""
    found = {k: np.array(v, float) for k, v in values.items()}
    new = change(np.array([found[k.parameter].reshape(-1)[k.entry] for k in coords]))
    for k, v in zip(coords, new):
        found[k.parameter].reshape(-1)[k.entry] = v
    for name in {k.parameter for k in coords}:
        kind = model.parameters[name].support.kind
        if kind == "simplex":
            found[name][..., -1] = 1 - found[name][..., :-1].sum(-1)
        elif kind == "correlation_cholesky":
            n = found[name].shape[-1]
            below = np.tril(found[name], -1)
            left = 1 - (below**2).sum(-1)
            found[name] = below + np.sqrt(np.maximum(left, 0))[..., None] * np.eye(n)
    return found
