"""The settled Kalman filter of a time-invariant program, in NumPy.

    z[t] = F z[t-1] + L e[t],    y[t] = H z[t] + M e[t],    e[t] ~ N(0, I)

P is the covariance of z[t] given the past, S = H P H' + H L M' + M L' H' + M M' that of y[t], K = (P H' + L M') S^+ the
gain, and P+ = F (P - K S K') F' + L L'. The predicted error moves by F (I - K H).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNIT = 1e-6
"""Eigenvalues within this of the unit circle are taken to be on it."""
RANK = 1e-7
"""Singular values below this, relative to the size of the matrices, are zero."""
NEWTON_STEPS = 60


@dataclass(frozen=True)
class Plant:
    """The matrices above, with the names of z and y."""

    F: np.ndarray
    H: np.ndarray
    L: np.ndarray
    M: np.ndarray

    @property
    def size(self) -> int:
        return len(self.F)


@dataclass(frozen=True)
class LostMode:
    """An eigenvalue that does not decay and is not seen (`vector`: the direction of the state), or not driven
    (`vector`: the combination of the states that no noise enters)."""

    value: complex
    vector: np.ndarray


def unseen(plant: Plant) -> list[LostMode]:
    """Modes that neither decay nor show in the observations: none iff (F, H) is detectable (the PBH test)."""
    return _lost(plant.F, plant.H)


def undriven(plant: Plant) -> list[LostMode]:
    """Modes that do not decay and that no noise drives: none iff the pair of transition and noise is stabilisable.

    What an observation shows of a noise that it shares is known once it is seen: with B = L M' R^+ the pair is that of
    (I + B H) z[t] = F z[t-1] + L (I - M' R^+ M) e[t] + what is known.
    """
    R = plant.M @ plant.M.T
    back = plant.M.T @ np.linalg.pinv(R, rcond=1e-12, hermitian=True) if R.any() else np.zeros(plant.M.T.shape)
    whole = np.eye(plant.size) + plant.L @ back @ plant.H
    if np.linalg.cond(whole) > 1e10:
        return []
    free = np.linalg.solve(whole, plant.L @ (np.eye(plant.L.shape[1]) - back @ plant.M))
    # Rounding of what cancels is no noise.
    free = np.where(np.abs(free) > 1e-10 * max(np.abs(plant.L).max(initial=0), 1e-300), free, 0.0)
    return _lost(np.linalg.solve(whole, plant.F).T, free.T)


def _lost(F: np.ndarray, H: np.ndarray) -> list[LostMode]:
    n = len(F)
    scale = max(1.0, float(np.linalg.norm(F, 2)), float(np.linalg.norm(H, 2)) if H.size else 0.0)
    # Rows of H of very different sizes are one observation each: only whether they vanish matters.
    sizes = np.linalg.norm(H, axis=1, keepdims=True) if H.size else np.zeros((0, 1))
    rows = (H / np.where(sizes > 0, sizes, 1.0))[sizes[:, 0] > 0] if H.size else H
    found: list[LostMode] = []
    for value in _distinct(np.linalg.eigvals(F)):
        stacked = np.concatenate([value * np.eye(n) - F, rows * scale])
        _, singular, vectors = np.linalg.svd(stacked)
        lost = np.array([vectors[k].conj() for k in range(n) if singular[k] < RANK * scale]).reshape(-1, n)
        found += [LostMode(value, v) for v in _few_entries(lost)]
    return found


def _few_entries(rows: np.ndarray) -> np.ndarray:
    """Vectors that span the same, with as few entries each as elimination gives: a direction that a person can name."""
    if len(rows) < 2:
        return rows
    left = rows.copy()
    for k in range(len(left)):
        i, j = divmod(int(np.argmax(np.abs(left[k:]))), left.shape[1])
        left[[k, k + i]] = left[[k + i, k]]
        left[k] /= left[k, j]
        others = np.arange(len(left)) != k
        left[others] -= left[others, j, None] * left[k]
    left[np.abs(left) < RANK] = 0
    return np.asarray(left / np.linalg.norm(left, axis=1, keepdims=True))


def _distinct(eigenvalues: np.ndarray) -> list[complex]:
    """Those that do not decay, each once, of conjugate pairs one; those that are nearly roots of one as such."""
    found: list[complex] = []
    for value in sorted(eigenvalues, key=lambda v: -abs(v)):
        if abs(value) < 1 - UNIT or value.imag < -1e-12:
            continue
        exact = of_unity(complex(value))
        # A multiple eigenvalue comes apart by about the root of rounding.
        if not any(abs(exact - other) < 1e-6 for other in found):
            found.append(exact)
    return found


def of_unity(value: complex) -> complex:
    """The root of one that a number of nearly unit modulus must be meant to be, else the number."""
    if abs(abs(value) - 1) > 1e-4:
        return value
    angle = float(np.angle(value)) / (2 * np.pi)
    for n in range(1, 61):
        if abs(angle * n - round(angle * n)) < 1e-5 * n:
            return complex(np.exp(2j * np.pi * round(angle * n) / n))
    return value


def gain(plant: Plant, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K and S for a predicted covariance."""
    cross = plant.L @ plant.M.T
    S = plant.H @ P @ plant.H.T + plant.H @ cross + cross.T @ plant.H.T + plant.M @ plant.M.T
    S = (S + S.T) / 2
    return (P @ plant.H.T + cross) @ _pseudo_inverse(S), S


def _pseudo_inverse(S: np.ndarray) -> np.ndarray:
    """S^+; observations of zero innovation (seen twice, or known) carry no news."""
    sizes = np.sqrt(np.maximum(np.diag(S), 0))
    scale = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1), 0.0)
    values, vectors = np.linalg.eigh(S * scale[:, None] * scale)
    kept = values > 1e-11 * max(1.0, float(values.max(initial=0)))
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0.0)
    return scale[:, None] * (vectors * inverse @ vectors.T) * scale


def advance(plant: Plant, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predicted covariance of the next row, and the gain of this one."""
    K, S = gain(plant, P)
    after = plant.F @ (P - K @ S @ K.T) @ plant.F.T + plant.L @ plant.L.T
    return (after + after.T) / 2, K


def closed_loop(plant: Plant, K: np.ndarray) -> np.ndarray:
    """F (I - K H)."""
    return plant.F @ (np.eye(plant.size) - K @ plant.H)


def riccati(plant: Plant, P: np.ndarray | None = None) -> np.ndarray | None:
    """The settled predicted covariance, or None where none is found.

    From a covariance `P` whose gain is stabilising by Newton's method, a Lyapunov equation a step (Hewer 1971); else by
    scipy's solver, where the observation noise has full rank. The residual is checked.
    """
    found = _by_newton(plant, np.eye(plant.size) if P is None else P)
    if found is None or not _solves(plant, found):
        found = _by_scipy(plant)
    return found if found is not None and _solves(plant, found) else None


def _by_scipy(plant: Plant) -> np.ndarray | None:
    R = plant.M @ plant.M.T
    if not len(R) or np.linalg.eigvalsh(R).min() <= 1e-10 * max(np.abs(R).max(), 1e-300):
        return None
    # scipy's equation is that of a state one row back: z[t] = F z[t-1] + L e[t] is seen through H F with the noise
    # (H L + M) e[t], driven by the same e[t].
    import scipy.linalg as sl

    F, H, L = plant.F, plant.H @ plant.F, plant.L
    N = plant.H @ plant.L + plant.M
    try:
        filtered = sl.solve_discrete_are(F.T, H.T, L @ L.T, N @ N.T, s=L @ N.T)
    except (np.linalg.LinAlgError, ValueError):
        return None
    predicted = F @ filtered @ F.T + L @ L.T
    return (predicted + predicted.T) / 2


def _by_newton(plant: Plant, P: np.ndarray) -> np.ndarray | None:
    F, L, M = plant.F, plant.L, plant.M
    for _ in range(NEWTON_STEPS):
        if not np.isfinite(P).all():
            return None
        K, _S = gain(plant, P)
        within = np.eye(plant.size) - K @ plant.H
        A = F @ within
        if not np.isfinite(A).all() or np.abs(np.linalg.eigvals(A)).max(initial=0) >= 1 - 1e-10:
            return None
        cross = within @ L @ M.T @ K.T
        added = F @ (K @ M @ M.T @ K.T - cross - cross.T) @ F.T + L @ L.T
        after = lyapunov(A, (added + added.T) / 2)
        after = (after + after.T) / 2
        if np.abs(after - P).max(initial=0) <= 1e-13 * max(1e-300, float(np.abs(after).max(initial=0))):
            return after
        P = after
    return P


def lyapunov(A: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """X = A X A' + Q for a spectral radius of A below one: the sum of A^k Q A'^k, twice as many a step (Smith 1968)."""
    X = Q
    while np.abs(more := A @ X @ A.T).max(initial=0) > 1e-17 * np.abs(X).max(initial=0):
        X, A = X + more, A @ A
    return X


def _solves(plant: Plant, P: np.ndarray) -> bool:
    after, _ = advance(plant, P)
    wide = 1e-7 * max(float(np.abs(P).max(initial=0)), 1e-300)
    return bool(np.isfinite(P).all() and np.abs(after - P).max(initial=0) <= wide)
