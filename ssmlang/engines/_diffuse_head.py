"""How long the diffuse phase lasts, found out on the host before anything is compiled."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from ssmlang.engines.companion import Layout
from ssmlang.engines.program import LinearGaussian


class DiffuseHead(NamedTuple):
    """Rows to run in diffuse form, and whether it is certain that nothing is diffuse after them."""

    rows: int
    certain: bool


def diffuse_head(program: LinearGaussian, seen: Bool[np.ndarray, "T m"]) -> DiffuseHead:
    """The length of the diffuse phase for a pattern of observed entries: what `Kalman` takes as `diffuse`.

    With concrete F, H, noise loadings and diffuse columns (NumPy arrays, also while the rest is traced) the answer is
    certain and the filter needs no other way out; with traced ones it is what numbers in general position would take,
    and the filter goes on in diffuse form where the real numbers take longer. Rounded up to a power of two, so that few
    lengths are ever compiled.
    """
    layout = Layout(program.structure)
    d = program.initial.diffuse.shape[1]
    if d == 0:
        return DiffuseHead(0, True)
    concrete = not any(isinstance(a, jax.core.Tracer) for a in (program.F, program.G, program.H, program.J))
    known = not isinstance(program.initial.diffuse, jax.core.Tracer)
    rng = np.random.default_rng(0)
    N = layout.program_size
    D = np.asarray(program.initial.diffuse, float) if known else rng.normal(size=(N, d))
    D = _span(D)
    idle = 0
    for t in range(len(seen)):
        Z = _emission(program, layout, t) if concrete else rng.normal(size=layout.Z_pattern.shape) * layout.Z_pattern
        before = D.shape[1]
        for i in np.flatnonzero(seen[t]):
            w = Z[i, :N] @ D
            if D.shape[1] and np.linalg.norm(w) > 1e-7 * np.abs(Z[i]).sum():
                D = D @ np.linalg.svd(w[None, :])[2][1:].T
        if D.shape[1] == 0:
            return DiffuseHead(min(len(seen), 1 << t.bit_length()), concrete and known)
        D = _span(_advance(program, layout, t + 1, D, rng if not concrete else None))
        idle = idle + 1 if seen[t].any() and D.shape[1] == before else 0
        if idle > N + d:
            break
    return DiffuseHead(len(seen), True)


def _row(array: object, dimensions: int, t: int) -> np.ndarray:
    values = np.asarray(array, float)
    return values if values.ndim == dimensions else values[min(t, len(values) - 1)]


def _emission(program: LinearGaussian, layout: Layout, t: int) -> Float[np.ndarray, "m N"]:
    s, M = program.structure, list(layout.memory_noises)
    H, J = _row(program.H, 3, t), _row(program.J, 3, t)
    Z = np.zeros((s.m, layout.size))
    for k in range(len(H)):
        Z[:, k * s.n : (k + 1) * s.n] = H[k]
    for j in range(len(J) if M else 0):
        start = layout.x_lags + j * len(M)
        Z[:, start : start + len(M)] = J[j][:, M]
    return Z


def _advance(
    program: LinearGaussian, layout: Layout, t: int, D: Float[np.ndarray, "N r"], rng: np.random.Generator | None
) -> Float[np.ndarray, "N r"]:
    """A_t D, with random numbers in A's pattern where it is traced."""
    s, M = program.structure, list(layout.memory_noises)
    out = np.zeros_like(D)
    if rng is None:
        F, G = _row(program.F, 3, t), _row(program.G, 3, t)
        for k in range(len(F)):
            out[: s.n] += F[k] @ D[k * s.n : (k + 1) * s.n]
        for j in range(1, len(G) if M else 0):
            start = layout.x_lags + (j - 1) * len(M)
            out[: s.n] += G[j][:, M] @ D[start : start + len(M)]
    else:
        read = min(layout.read, len(D))
        top = rng.normal(size=layout.top_pattern.shape) * layout.top_pattern
        out[: s.n] = top[:, :read] @ D[:read]
    for to, source in layout.shifts:
        out[to] = D[source]
    return out


def _span(D: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "N r"]:
    """An orthonormal basis of the columns of D."""
    U, s, _ = np.linalg.svd(D, full_matrices=False)
    return U[:, s > 1e-9 * s.max(initial=0.0)]
