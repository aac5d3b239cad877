"""NumPy meaning of a linear stochastic differential equation's step, for drifts and steps known at compile time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_SHORT = 0.5
"""Series and quadrature are exact to rounding where the norm of drift times step is at most this."""
_TERMS = 18


def diffuse(A: NDArray, h: NDArray, L: NDArray, root: Callable[[NDArray], NDArray]) -> NDArray:
    """(3, *batch, n, n) of A (*batch, n, n), h (*batch) and L (*batch, n, d): e^{Ah}, int_0^h e^{As} ds and the root of
    int_0^h e^{As} L L' e^{A's} ds."""
    batch, n = A.shape[:-2], A.shape[-1]
    steps = np.broadcast_to(h, batch)
    out = np.empty((3, *batch, n, n))
    for at in np.ndindex(*batch):
        F, phi, Q = moments(np.asarray(A[at], float), float(steps[at]), np.asarray(L[at], float))
        out[(slice(None), *at)] = F, phi, root(Q)
    return out


def moments(A: NDArray, h: float, L: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """e^{Ah} and the integrals over the step of e^{As} and of e^{As} L L' e^{A's}, by doubling a short step."""
    eye = np.eye(len(A))
    norm = float(np.abs(A * h).sum(axis=1).max(initial=0.0))
    levels = math.ceil(math.log2(norm / _SHORT)) if _SHORT < norm < math.inf else 0
    short = h / 2**levels
    E, phi = _series(A * short, 1.0), short * (eye + _series(A * short, 1.0, integral=True))
    moved = [L + _series(A * short, (1 + s) / 2) @ L for s in _NODES]
    Q = short * sum((w / 2 * m @ m.T for w, m in zip(_WEIGHTS, moved)), np.zeros_like(A))
    for _ in range(levels):
        half = Q + E @ Q
        E, phi, Q = 2 * E + E @ E, 2 * phi + E @ phi, Q + half + half @ E.T
    return eye + E, phi, Q


def _series(X: NDArray, s: float, integral: bool = False) -> NDArray:
    """e^{Xs} - I; `integral`: int_0^1 e^{Xs} ds - I."""
    total, term = np.zeros_like(X), np.eye(len(X))
    for k in range(1, _TERMS + 1):
        term = term @ X * (s / k)
        total = total + (term / (k + 1) if integral else term)
    return total
