"""How long the diffuse phase lasts, found out on the host before anything is compiled."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian


class DiffuseHead(NamedTuple):
    """Rows to run in diffuse form, and whether it is certain that nothing is diffuse after them."""

    rows: int
    certain: bool


def diffuse_head(program: LinearGaussian, seen: Bool[np.ndarray, "T m"]) -> DiffuseHead:
    """The length of the diffuse phase for a pattern of observed entries: what `Kalman` takes as `diffuse`.

    With concrete F, H and diffuse columns (NumPy arrays, also while the rest is traced; G and J too where noises are
    read at a later row or by both equations) the answer is certain and the filter needs no other way out; with traced
    ones it is what numbers in general position would take, and the filter goes on in diffuse form where the real
    numbers take longer. Rounded up to a power of two, so that few lengths are ever compiled.
    """
    layout = Layout(program.structure)
    d = program.initial.diffuse.shape[1]
    if d == 0:
        return DiffuseHead(0, True)
    meets = [program.F, program.H, *((program.G, program.J) if layout.memory_noises else ())]
    concrete = not any(isinstance(a, jax.core.Tracer) for a in meets)
    known = not isinstance(program.initial.diffuse, jax.core.Tracer)
    rng = np.random.default_rng(0)
    N = layout.program_size
    D = np.asarray(program.initial.diffuse, float)[layout.kept] if known else rng.normal(size=(N, d))
    D = _span(D)
    idle = 0
    for t in range(len(seen)):
        Z = (_columns(layout, ("H", program.H), ("J", program.J), t) if concrete
             else (rng.normal(size=layout.Z_pattern.shape) * layout.Z_pattern)[:, :N])  # fmt: skip
        before = D.shape[1]
        for i in np.flatnonzero(seen[t]):
            w = Z[i] @ D
            if D.shape[1] and np.linalg.norm(w) > 1e-7 * np.abs(Z[i]).sum():
                D = D @ np.linalg.svd(w[None, :])[2][1:].T
        if D.shape[1] == 0:
            return DiffuseHead(min(len(seen), 1 << t.bit_length()), concrete and known)
        top = (_columns(layout, ("F", program.F), ("G", program.G), t + 1) if concrete
               else _padded(rng.normal(size=layout.top_pattern.shape) * layout.top_pattern, N))  # fmt: skip
        D = _span(_advance(top, layout, D))
        idle = idle + 1 if seen[t].any() and D.shape[1] == before else 0
        if idle > N + d:
            break
    return DiffuseHead(len(seen), True)


def _row(array: object, dimensions: int, t: int) -> np.ndarray:
    values = np.asarray(array, float)
    return values if values.ndim == dimensions else values[min(t, len(values) - 1)]


def _columns(layout: Layout, x: tuple[str, object], e: tuple[str, object], t: int) -> Float[np.ndarray, "i N"]:
    """What an equation reads of the memory, row noises left out: they are never diffuse."""
    blocks = [layout.lagged(x[0], _row(x[1], 3, t))]
    if layout.memory_noises:
        blocks.append(layout.lagged(e[0], _row(e[1], 3, t)))
    return np.concatenate(blocks, axis=1)


def _advance(top: Float[np.ndarray, "n N"], layout: Layout, D: Float[np.ndarray, "N r"]) -> Float[np.ndarray, "N r"]:
    """A D."""
    n, N = layout.structure.n, layout.program_size
    source = layout.source[n:N]
    return np.concatenate([top @ D, np.where(source[:, None] < 0, 0.0, D[source])])


def _padded(X: Float[np.ndarray, "i j"], columns: int) -> Float[np.ndarray, "i N"]:
    return np.pad(X, ((0, 0), (0, columns - X.shape[1])))


def _span(D: Float[np.ndarray, "N d"]) -> Float[np.ndarray, "N r"]:
    """An orthonormal basis of the columns of D."""
    U, s, _ = np.linalg.svd(D, full_matrices=False)
    return U[:, s > 1e-9 * s.max(initial=0.0)]
