"""The covariance from which the filter of a program starts, in NumPy, on the memory of its companion form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmlang.analysis.filter_stability_riccati import lyapunov
from ssmlang.analysis.numeric import NumericSystem
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model.linear import LinearForm
from ssmlang.model.sparse import Sparse

DIFFUSE = 1e6
"""Stands for an infinite variance, in units of the variance that the settled filter has."""


def start_covariance(form: LinearForm, system: NumericSystem, point: Mapping[str, np.ndarray], scale: np.ndarray
                     ) -> np.ndarray | None:  # fmt: skip
    """Cov of z[0] = (x[0], x[-1], ..., e[0], e[-1], ...) before any observation; None where it cannot be had.

    `scale` (N,): standard deviations in whose units a diffuse direction is wide.
    """
    n, r, size = system.n, system.r, len(system.companion[0])
    kept = system.order
    memory = (size - kept * n) // r if r else 0
    rows = form.depth * n
    try:
        terms = {slot: _dense(m, point) for slot, m in form.first.terms.items()}
    except Unreadable:
        return None
    noises = max([memory, *(lag + 1 for kind, lag in terms if kind == "e")], default=0)
    base = np.zeros((kept * n + memory * r, rows + noises * r))
    shared = min(kept * n, rows)
    base[:shared, :shared] = np.eye(shared)
    # Rows of x that nothing gave have no variance; noises before row 0 are drawn like any other.
    base[kept * n :, rows : rows + memory * r] = np.eye(memory * r)
    W = np.zeros((rows + noises * r, noises * r))
    W[rows:] = np.eye(noises * r)
    cov = np.zeros((rows + noises * r,) * 2)
    for (kind, lag), m in terms.items():
        if kind == "e":
            W[:rows, lag * r : (lag + 1) * r] += m
        elif kind == "xi":
            cov[:rows, :rows] += m @ m.T
        elif kind == "delta":
            wide = np.zeros(rows)
            wide[: min(rows, kept * n)] = scale[: min(rows, kept * n)]
            wide = np.where(wide > 0, wide, max(float(scale.max(initial=0)), 1.0))
            cov[:rows, :rows] += DIFFUSE * (m @ m.T) * np.outer(wide, wide)
        elif kind == "stat":
            law = _stationary(form, system)
            if law is None:
                return None
            values, cross = law
            cov[:rows, :rows] += m @ values @ m.T
            known = rows + cross.shape[1]
            cov[:rows, rows:known] += m @ cross
            cov[rows:known, :rows] += (m @ cross).T
    cov += W @ W.T
    found = base @ cov @ base.T
    return found if np.isfinite(found).all() else None


def _dense(m: Sparse, point: Mapping[str, np.ndarray]) -> np.ndarray:
    found = np.zeros(m.shape)
    found[m.rows, m.cols] = evaluate(m.values, point, 0)
    return found


def _stationary(form: LinearForm, system: NumericSystem) -> tuple[np.ndarray, np.ndarray] | None:
    """Covariance of rows 0, -1, ..., of the states in their stationary law, the others zero, and that with the noises
    in memory."""
    group, n = form.stationary, system.n
    if group is None:
        return None
    F, _, L, _ = system.companion
    kept = system.order * n
    own = np.zeros(len(F), bool)
    for k in range(system.order):
        own[k * n + group.entries] = True
    own[kept:] = True
    F, L = F[np.ix_(own, own)], L[own]
    if np.abs(np.linalg.eigvals(F)).max(initial=0) >= 1:
        return None
    law = np.zeros((system.order * n + len(own) - kept,) * 2)
    law[np.ix_(own, own)] = lyapunov(F, L @ L.T)
    rows = form.depth * n
    found = np.zeros((rows, rows))
    shared = min(rows, kept)
    found[:shared, :shared] = law[:shared, :shared]
    cross = np.zeros((rows, len(law) - kept))
    cross[:shared] = law[:shared, kept:]
    # Rows further back than the companion form holds are not read by it.
    return found, cross
