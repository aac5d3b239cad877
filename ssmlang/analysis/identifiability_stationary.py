"""Autocovariances of a stationary linear recursion with their derivatives: the Yule-Walker equations, over a ring."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.analysis.identifiability_dual import Calculus, Dual
from ssmlang.analysis.identifiability_rings import Unsupported

MAX_UNKNOWNS = 400


def responses(c: Calculus, F: Mapping[int, Dual], G: Mapping[int, Dual], n: int, r: int, last: int) -> list[Dual]:
    """Psi_0..Psi_last (n, r): what a noise does that many rows later."""
    found: list[Dual] = []
    for i in range(last + 1):
        total = G.get(i, c.zeros((n, r)))
        for k, f in F.items():
            if 1 <= k <= i:
                total = c.add(total, c.matmul(f, found[i - k]))
        found.append(total)
    return found


def autocovariances(c: Calculus, F: Mapping[int, Dual], G: Mapping[int, Dual], n: int, r: int, count: int
                    ) -> list[Dual]:  # fmt: skip
    """Gamma(0), ..., Gamma(count - 1), (n, n): Gamma(k) = Cov(x_t, x_{t-k}), of
    x_t = sum_k F_k x_{t-k} + sum_j G_j e_{t-j} with standard-normal e.

    Gamma(k) = sum_i F_i Gamma(k - i) + sum_{j >= k} G_j Psi_{j-k}', k = 0..p: a linear system (Brockwell and Davis
    1991, 11.3.2), solved by blocks of states that never meet.
    """
    p, q = max(F, default=0), max(G, default=0)
    psi = responses(c, F, G, n, r, q)
    driven = []
    for k in range(max(p + 1, count)):
        total = c.zeros((n, n))
        for j, g in G.items():
            if j >= k:
                total = c.add(total, c.matmul(g, c.transpose(psi[j - k])))
        driven.append(total)
    found = [c.zeros((n, n)) for _ in range(p + 1)]
    for block in _blocks(F, driven, n):
        inner = {k: c.take(f, np.ix_(block, block)) for k, f in F.items()}
        solved = _yule_walker(c, inner, [c.take(d, np.ix_(block, block)) for d in driven[: p + 1]], len(block), p)
        table = np.zeros((n, n), int)
        table[np.ix_(block, block)] = np.arange(1, len(block) ** 2 + 1).reshape(len(block), -1)
        found = [c.add(a, c.move([b], table)) for a, b in zip(found, solved)]
    for k in range(p + 1, count):
        total = driven[k]
        for i, f in F.items():
            total = c.add(total, c.matmul(f, found[k - i]))
        found.append(total)
    return found[:count]


def _blocks(F: Mapping[int, Dual], driven: list[Dual], n: int) -> list[np.ndarray]:
    """States that meet in a transition or a noise."""
    meets = np.zeros((n, n), bool)
    for d in (*F.values(), *driven):
        meets |= d.value != 0
        if d.tangent is not None:
            meets |= (d.tangent != 0).any(axis=0)
    meets |= meets.T
    label = np.arange(n)
    while True:
        lower = np.array([min([label[i], *label[meets[i]]]) for i in range(n)], int)
        if (lower == label).all():
            return [np.flatnonzero(label == v) for v in np.unique(label)]
        label = lower


def _yule_walker(c: Calculus, F: Mapping[int, Dual], driven: list[Dual], n: int, p: int) -> list[Dual]:
    unknowns = n * n * (p + 1)
    if unknowns > MAX_UNKNOWNS:
        raise Unsupported("a stationary law of so many states is not followed")
    ring = c.ring
    coefficients = {k: f.value for k, f in F.items()}
    unit = ring.number(np.eye(unknowns, dtype=int)).reshape(unknowns, p + 1, n, n)
    moved = _applied(ring, coefficients, unit, p).reshape(unknowns, unknowns).T
    inverse = ring.inverse(ring.reduce(ring.number(np.eye(unknowns, dtype=int)) - moved))
    right = np.stack([d.value for d in driven]).reshape(unknowns, 1)
    value = ring.matmul(inverse, right).reshape(1, p + 1, n, n)
    tangents = [d.tangent for d in (*F.values(), *driven) if d.tangent is not None]
    if not tangents:
        return [Dual(value[0, k]) for k in range(p + 1)]
    directions = len(tangents[0])
    zero = np.zeros((directions, n, n), value.dtype)
    change = np.stack([zero if d.tangent is None else d.tangent for d in driven], axis=1)
    slopes = {k: zero if f.tangent is None else f.tangent for k, f in F.items()}
    change = ring.reduce(change + _applied(ring, slopes, value, p))
    tangent = ring.matmul(change.reshape(directions, unknowns), inverse.T).reshape(directions, p + 1, n, n)
    return [Dual(value[0, k], tangent[:, k]) for k in range(p + 1)]


def _applied(ring, F: Mapping[int, np.ndarray], gammas: np.ndarray, p: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """sum_i F_i Gamma(k - i) for k = 0..p, Gamma(-k) = Gamma(k)'; `gammas` (B, p + 1, n, n)."""
    rows = []
    for k in range(p + 1):
        total = None
        for i, f in F.items():
            gamma = gammas[:, k - i] if k >= i else np.swapaxes(gammas[:, i - k], -1, -2)
            term = ring.matmul(f, gamma)
            total = term if total is None else ring.reduce(total + term)
        rows.append(np.zeros_like(gammas[:, 0]) if total is None else total)
    shape = (max(r.shape[0] for r in rows), *rows[0].shape[1:])
    return np.stack([np.broadcast_to(r, shape) for r in rows], axis=1)
