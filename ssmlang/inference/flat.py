"""Directions at an optimum in which the data say nothing: named, since a standard error alone does not tell."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

_SHARE = 0.05
"""The share of the curvature that comes from the data, below which a direction is the prior's alone."""
_FLAT = 1e-8
_NAMED = 0.2
"""An entry that moves less than this share of the one that moves most is not named."""


def uninformed(
    hessian: Float[np.ndarray, "d d"], prior: Float[np.ndarray, "d d"], names: list[str]
) -> list[tuple[str, ...]]:
    """The entries of each direction whose curvature is the prior's: `hessian` of the posterior, positive definite, and
    `prior` of the prior alone.

    The eigenvalues of (hessian - prior) v = share hessian v are the shares of the curvature that the data give.
    """
    if not len(names):
        return []
    shares, vectors = scipy.linalg.eigh(hessian - prior, hessian)
    # On the scale of each entry's own spread, on which a direction is compared.
    return _named((vectors / np.sqrt(np.diag(scipy.linalg.inv(hessian)))[:, None])[:, np.abs(shares) < _SHARE], names)


def flat(hessian: Float[np.ndarray, "d d"], names: list[str]) -> list[tuple[str, ...]]:
    """The entries of each direction without curvature."""
    if not len(names) or not np.isfinite(hessian).all():
        return []
    scale = np.sqrt(np.abs(np.diag(hessian)))
    still = scale == 0
    scale[still] = 1.0
    sizes, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    return _named(vectors[:, np.abs(sizes) < _FLAT], names)


def _named(vectors: Float[np.ndarray, "d k"], names: list[str]) -> list[tuple[str, ...]]:
    sizes = np.abs(vectors)
    return [tuple(np.array(names)[v >= _NAMED * v.max()]) for v in sizes.T]


def spoken(directions: list[tuple[str, ...]]) -> str:
    """`a and b together; c`, each once."""
    each = dict.fromkeys(d[0] if len(d) == 1 else f"{', '.join(d[:-1])} and {d[-1]} together" for d in directions)
    return "; ".join(each)
