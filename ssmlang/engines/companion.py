"""A LinearGaussian program in Markov form, on its memory.

    s_t = A_t s_{t-1} + a_t + B_t e_t,        t = 1, 2, ...
    y_t = Z_t s_t + d_t + v_t,                v_t[i] ~ N(0, R_t[i]) independent over i and t

The Markov memory is the program's memory s_t (see `program`) followed by the *row noises*: noises that only row t's
observations read, but more than one of them. With them in the memory the v_t are independent, so observations can be
taken in one at a time (Koopman & Durbin 2000) and no covariance matrix is ever factored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from ssmlang.engines._products import FUSED_LIMIT
from ssmlang.engines.program import LinearGaussian, Structure


@dataclass(frozen=True)
class Layout:
    """Where things stand in the Markov memory; plain Python, hashable, made from a Structure alone."""

    structure: Structure

    @cached_property
    def patterns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nonzero patterns of F, G, H, J with their full shapes, also where an extent is zero."""
        s = self.structure
        shapes = [
            (len(s.transition), s.n, s.n),
            (len(s.transition_noise), s.n, s.r),
            (len(s.emission), s.m, s.n),
            (len(s.emission_noise), s.m, s.r),
        ]
        fields = [s.transition, s.transition_noise, s.emission, s.emission_noise]
        F, G, H, J = (np.array(f, bool).reshape(shape) for f, shape in zip(fields, shapes, strict=True))
        return F, G, H, J

    @cached_property
    def memory_noises(self) -> tuple[int, ...]:
        """M of the program: noises that the program's memory holds."""
        return self.structure.memory_noises

    @cached_property
    def row_noises(self) -> tuple[int, ...]:
        """Noises read by two or more observations of their own row and by nothing else."""
        J = self.patterns[3]
        if not len(J):
            return ()
        M = self.memory_noises
        return tuple(int(j) for j in np.flatnonzero(J[0].sum(axis=0) > 1) if j not in M)

    @cached_property
    def own_noises(self) -> tuple[int, ...]:
        """Noises read by exactly one observation of their own row and by nothing else."""
        J = self.patterns[3]
        if not len(J):
            return ()
        M = self.memory_noises
        return tuple(int(j) for j in np.flatnonzero(J[0].sum(axis=0) == 1) if j not in M)

    @property
    def program_size(self) -> int:
        """Length of the program's memory."""
        return self.structure.memory_size

    @property
    def size(self) -> int:
        """Length of the Markov memory."""
        return self.program_size + len(self.row_noises)

    @property
    def fused(self) -> bool:
        """Whether products are written element by element."""
        return self.size <= FUSED_LIMIT

    @property
    def x_lags(self) -> int:
        """Entries of the memory that hold x_t, x_{t-1}, ...."""
        return self.structure.n * self.structure.state_rows

    @cached_property
    def read(self) -> int:
        """The transition reads the first `read` entries of the memory at most."""
        top = self._wide_top_pattern
        columns = np.flatnonzero(top.any(axis=0))
        return int(columns[-1]) + 1 if columns.size else 0

    @property
    def top_pattern(self) -> np.ndarray:
        """Pattern of the rows of A that give x_t, (n, read)."""
        return self._wide_top_pattern[:, : self.read]

    @cached_property
    def shifts(self) -> tuple[tuple[int, int], ...]:
        """(to, from) for the entries of the memory that only move down a row."""
        n, width = self.structure.n, len(self.memory_noises)
        pairs = [(i + n, i) for i in range(self.x_lags - n)]
        if self.structure.noise_rows:
            pairs += [(i + width, i) for i in range(self.x_lags, self.program_size - width)]
        return tuple(pairs)

    @cached_property
    def _wide_top_pattern(self) -> np.ndarray:
        s, M = self.structure, list(self.memory_noises)
        F, G, _, _ = self.patterns
        top = np.zeros((s.n, self.size), bool)
        for k in range(len(F)):
            top[:, k * s.n : (k + 1) * s.n] = F[k]
        for j in range(1, len(G)):
            start = self.x_lags + (j - 1) * len(M)
            top[:, start : start + len(M)] = G[j][:, M]
        return top

    @cached_property
    def Z_pattern(self) -> np.ndarray:
        """Pattern of Z, (m, N)."""
        s, M = self.structure, list(self.memory_noises)
        _, _, H, J = self.patterns
        Z = np.zeros((s.m, self.size), bool)
        for k in range(len(H)):
            Z[:, k * s.n : (k + 1) * s.n] = H[k]
        for j in range(len(J)):
            start = self.x_lags + j * len(M)
            Z[:, start : start + len(M)] = J[j][:, M]
        if self.row_noises:
            Z[:, self.program_size :] = J[0][:, list(self.row_noises)]
        return Z

    @cached_property
    def selected(self) -> tuple[int | None, ...]:
        """For each observation the single memory entry it reads, or None where it reads several or none."""
        found: list[int | None] = []
        for row in self.Z_pattern:
            columns = np.flatnonzero(row)
            found.append(int(columns[0]) if len(columns) == 1 else None)
        return tuple(found)

    @cached_property
    def noisy(self) -> tuple[bool, ...]:
        """Which observations have a noise of their own."""
        J = self.patterns[3]
        own = list(self.own_noises)
        return tuple(bool(b) for b in J[0][:, own].any(axis=1)) if len(J) else (False,) * self.structure.m

    @cached_property
    def can_be_predicted_exactly(self) -> bool:
        """Whether some observation could have zero one-step variance at generic parameters.

        It cannot where each observation without own noise can be matched with a noise that first enters in its row
        (structural rank): then its variance given all the past and the other observations of its row is positive.
        """
        bare = [i for i, noisy in enumerate(self.noisy) if not noisy]
        if not bare:
            return False
        s, M = self.structure, list(self.memory_noises)
        G = self.patterns[1]
        entering = np.zeros((self.size, s.r), bool)
        if len(G):
            entering[: s.n] = G[0]
        if self.structure.noise_rows:
            for position, j in enumerate(M):
                entering[self.x_lags + position, j] = True
        for position, j in enumerate(self.row_noises):
            entering[self.program_size + position, j] = True
        reached = (self.Z_pattern[bare].astype(int) @ entering.astype(int)) > 0
        matched = maximum_bipartite_matching(csr_array(reached.astype(np.int8)), perm_type="column")
        return bool((matched < 0).any())


class Markov(NamedTuple):
    """The program in Markov form; arrays are constant or have a leading axis T.

    `top` are the rows of A that give x_t, over the first `layout.read` entries of s_{t-1}; the other rows of A shift
    (see `_univariate.advance_rows`). Q = B B'.
    """

    top: Float[Array, "*T n read"]
    a: Float[Array, "*T n"]
    Q: Float[Array, "*T N N"]
    Z: Float[Array, "*T m N"]
    d: Float[Array, "*T m"]
    R: Float[Array, "*T m"]
    mean: Float[Array, " N"]
    cov: Float[Array, "N N"]
    diffuse: Float[Array, "N d"]


def companion(program: LinearGaussian, layout: Layout) -> Markov:
    """Bring a program into Markov form on the memory of `layout`."""
    sometimes = program.initial.exists is not True
    program = jax.tree.map(jnp.asarray, program)
    F, G, H, J = program.F, program.G, program.H, program.J
    p, q1, l1, j1 = (len(pattern) for pattern in layout.patterns)
    s, M, N, extra = program.structure, list(layout.memory_noises), layout.size, len(layout.row_noises)
    unused = len(M) * s.noise_rows

    lagged = [G[..., j, :, :][..., M] for j in range(1, q1)] if M else []
    top = _beside([_lags(F, p, s.state_rows), *lagged])
    top = _pad(top, N)[..., : layout.read]

    now = [J[..., j, :, :][..., M] for j in range(j1)] if M else []
    Z = _pad(_beside([_lags(H, l1, s.state_rows), *now]), layout.x_lags + unused)
    if extra:
        Z = _beside([Z, J[..., 0, :, :][..., list(layout.row_noises)]])

    if sometimes:
        # Where there is no initial law, a transition that cannot overflow keeps derivatives finite.
        top = jnp.where(program.initial.exists, top, 0.0)

    B = noise_loading(program, layout)
    own = list(layout.own_noises)
    R = jnp.sum(J[..., 0, :, :][..., own] ** 2, axis=-1) if own else jnp.zeros((s.m,), program.d.dtype)

    init = program.initial
    cov = init.factor @ init.factor.T + init.cov
    cov = jnp.zeros((N, N), cov.dtype).at[: N - extra, : N - extra].set(cov)
    fresh = np.arange(N - extra, N)
    return Markov(
        top=top,
        a=program.c,
        Q=B @ jnp.swapaxes(B, -1, -2),
        Z=Z,
        d=program.d,
        R=R,
        mean=jnp.pad(init.mean, (0, extra)),
        cov=cov.at[fresh, fresh].set(1.0),
        diffuse=jnp.pad(init.diffuse, ((0, extra), (0, 0))),
    )


def memory_transition(program: LinearGaussian) -> tuple[Array, Array, Array]:
    """A (N, N), a (N,) and B (N, r) of s_t = A s_{t-1} + a + B e_t on the program's own memory, as dense arrays.

    With a leading axis T where the program's arrays have one; for stationary laws and analysis, not for filtering.
    """
    program = jax.tree.map(jnp.asarray, program)
    layout = Layout(program.structure)
    markov = companion(program, layout)
    N, n = layout.program_size, layout.structure.n
    A = _pad(markov.top, layout.size)[..., :N]
    A = jnp.pad(A, [(0, 0)] * (A.ndim - 2) + [(0, N - n), (0, 0)])
    for to, source in layout.shifts:
        A = A.at[..., to, source].set(1.0)
    a = jnp.pad(markov.a, [(0, 0)] * (markov.a.ndim - 1) + [(0, N - n)])
    return A, a, noise_loading(program, layout)[..., :N, :]


def noise_loading(program: LinearGaussian, layout: Layout) -> Float[Array, "*T N r"]:
    """B: how the noises e_t enter s_t."""
    s, N = program.structure, layout.size
    G0 = program.G[..., 0, :, :] if len(layout.patterns[1]) else jnp.zeros((s.n, s.r), program.d.dtype)
    B = jnp.zeros((*G0.shape[:-2], N, s.r), G0.dtype).at[..., : s.n, :].set(G0)
    entries = [(layout.x_lags + k, j) for k, j in enumerate(layout.memory_noises) if s.noise_rows]
    entries += [(layout.program_size + k, j) for k, j in enumerate(layout.row_noises)]
    for row, column in entries:
        B = B.at[..., row, column].set(1.0)
    return B


def _lags(X: Float[Array, "*T k i n"], lags: int, rows: int) -> Float[Array, "*T i rows*n"]:
    """[X_1 X_2 ... X_lags 0 ... 0]: one block of columns for each of the memory's rows of x."""
    i, n = X.shape[-2:]
    wide = jnp.swapaxes(X, -3, -2).reshape((*X.shape[:-3], i, lags * n))
    return _pad(wide, rows * n)


def _pad(X: Float[Array, "*T i j"], columns: int) -> Float[Array, "*T i columns"]:
    """Zero columns on the right up to `columns`."""
    return jnp.pad(X, [(0, 0)] * (X.ndim - 1) + [(0, columns - X.shape[-1])])


def _beside(blocks: list[Float[Array, "*T i _"]]) -> Float[Array, "*T i _"]:
    """Blocks side by side; those constant in time are repeated where another is not."""
    leading = jnp.broadcast_shapes(*(b.shape[:-2] for b in blocks))
    return jnp.concatenate([jnp.broadcast_to(b, leading + b.shape[-2:]) for b in blocks], axis=-1)
