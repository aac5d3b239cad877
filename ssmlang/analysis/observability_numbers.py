"""What is seen and what is lost of a block, in double precision at one point."""

from __future__ import annotations

import numpy as np

SIZE = 1e-7
"""What a direction that is said to be unseen may do to the observations at a prior draw, relative to the rest."""
NOTHING = 1e-12
"""Below this the smallest singular value of a mode's matrix, relative to the largest, is rounding."""


def numeric_unseen(F: np.ndarray, H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of the observability matrix, its powers scaled to one size, and the right vectors as rows."""
    rows, step = [H], H
    scale = max(np.abs(np.linalg.eigvals(F)).max(initial=0), 1e-3)
    for _ in range(F.shape[0] - 1):
        step = step @ F / scale
        rows.append(step)
    _, s, v = np.linalg.svd(np.concatenate(rows))
    return np.concatenate([s, np.zeros(F.shape[0] - len(s))]), v


def lost_radius(F: np.ndarray, H: np.ndarray) -> float | None:
    """The largest eigenvalue of what is lost."""
    s, v = numeric_unseen(F, H)
    lost = v[s <= SIZE * max(s[0], 1e-300)]
    if not len(lost):
        return None
    return float(np.abs(np.linalg.eigvals(lost @ F @ lost.T)).max())


def response(F: np.ndarray, H: np.ndarray, v: np.ndarray) -> float:
    """What a direction does to all later observations, relative to the largest that a direction of its size can do."""
    s, _ = numeric_unseen(F, H)
    rows, step = [H], H
    scale = max(np.abs(np.linalg.eigvals(F)).max(initial=0), 1e-3)
    for _ in range(F.shape[0] - 1):
        step = step @ F / scale
        rows.append(step)
    return float(np.linalg.norm(np.concatenate(rows) @ v) / (max(s[0], 1e-300) * np.linalg.norm(v)))


def weakest(F: np.ndarray, H: np.ndarray) -> float:
    """The smallest singular value of [lambda I - F; H] over the eigenvalues that are not zero, relative to the largest:
    zero where a mode is unseen (the test of Popov, Belevitch and Hautus)."""
    found = 1.0
    for value in np.linalg.eigvals(F):
        if abs(value) > 1e-6:
            s = np.linalg.svd(np.concatenate([value * np.eye(len(F)) - F, H]), compute_uv=False)
            found = min(found, float(s[-1] / s[0]))
    return found
