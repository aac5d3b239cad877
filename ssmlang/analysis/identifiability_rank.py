"""Linear algebra modulo a prime, and the Jacobian of a law: what small changes of the parameters do to it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ssmlang.analysis.identifiability_law import Law
from ssmlang.analysis.identifiability_rings import P, PrimeField, Ring
from ssmlang.analysis.residues import fractions
from ssmlang.analysis.residues import null_space as null_rows

Array = np.ndarray
ROUNDING = 1e-9
"""Relative size below which a singular value in double precision counts as zero."""
NOTHING = 1e-12
"""Size of a row, relative to the largest, that is rounding alone."""


def null_space(a: Array) -> Array:
    """Columns (d, k) that span {v: a v = 0} modulo P, in reduced form."""
    return null_rows(a, P).T


def rational(vectors: Array) -> list[list[Fraction]] | None:
    """Columns of residues as fractions; None where one is none of a small size."""
    found = []
    for column in vectors.T:
        numbers = fractions(column)
        if numbers is None:
            return None
        found.append(numbers)
    return found


def jacobian(laws: Sequence[Law], ring: Ring, directions: int, seed: int) -> Array:
    """(rows, directions): derivatives of what the law says beyond its flat coordinates.

    With W' flat = 0, that is W' mean and W' cov W. Flat coordinates are unknown numbers: a change of the loadings on
    them changes the mean by a random combination.
    """
    random = np.random.default_rng(seed)
    dtype = ring.number(0).dtype
    rows = [np.zeros((0, directions), dtype)]
    for law in laws:
        k, q, own = len(law.seen), law.flat.value.shape[1], len(law.active)
        beyond = orthogonal(law.flat.value, ring) if q else None
        parts = []
        if law.cov.tangent is not None:
            change = law.cov.tangent
            if beyond is not None:
                change = ring.matmul(ring.matmul(beyond, change), beyond.T)
            upper = np.triu_indices(change.shape[-1])
            parts.append(_compressed(change[:, upper[0], upper[1]].T, ring, own, random))
        mean = np.zeros((k, own), dtype) if law.mean.tangent is None else law.mean.tangent.T
        if q and law.flat.tangent is not None:
            start = ring.number(random.integers(2, 2**15, q) if ring.exact else random.normal(size=q))
            moved = ring.matmul(law.flat.tangent, start[:, None])[..., 0]
            mean = ring.reduce(mean + moved.T)
        if mean.any():
            parts.append(mean if beyond is None else ring.matmul(beyond, mean))
        for part in parts:
            whole = np.zeros((len(part), directions), dtype)
            whole[:, law.active] = part
            rows.append(whole)
    return np.concatenate(rows)


def _compressed(a: Array, ring: Ring, directions: int, random: np.random.Generator) -> Array:
    """As many random combinations of rows as keep the null space."""
    if not ring.exact or len(a) <= directions + 3:
        return a
    return ring.matmul(random.integers(0, P, (directions + 3, len(a))), a)


def orthogonal(flat: Array, ring: Ring) -> Array:
    """Rows that span what is orthogonal to the flat directions."""
    if ring.exact:
        return null_space(flat.T).T
    U, s, _ = np.linalg.svd(flat, full_matrices=True)
    return U[:, int((s > ROUNDING * max(s.max(initial=0), 1e-300)).sum()) :].T


def float_rank(jac: Array, scale: Array) -> tuple[int, float]:
    """Rank in double precision, with the parameters in units of `scale`, and how clear it is: the smallest singular
    value that counts over the largest one."""
    scaled = jac * scale
    norms = np.linalg.norm(scaled, axis=1)
    counts = norms > NOTHING * norms.max(initial=0.0)
    scaled = scaled[counts] / norms[counts, None]
    s = np.linalg.svd(scaled, compute_uv=False)
    if not len(s) or s[0] == 0:
        return 0, 1.0
    kept = s > ROUNDING * s[0]
    return int(kept.sum()), float(s[kept].min() / s[0])


def random_field(seed: int) -> tuple[PrimeField, np.random.Generator]:
    """A field with its own random values, and the generator to draw a point with."""
    return PrimeField(seed), np.random.default_rng([seed, 1])
