"""A LinearGaussian program as a difference equation of order P with white noises.

    z_t = sum_{k=1..P} A_{t,k} z_{t-k} + a_t + w_t,     w_t ~ N(0, Q_t),      t = 1, ..., T-1
    y_t = sum_{k=0..l} C_{t,k} z_{t-k} + d_t + v_t,     v_t ~ N(0, R_t),      t = 0, ..., T-1

z_t = (x_t, e_t[M]): beside the states stand the noises that are read at a later row, or by states and observations
both. So w and v are white and independent, nothing is stacked over lags, and moving averages and correlated noises are
covered. The rows -past..0 have the joint law of the program's memory at row 0, of any rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines.program import LinearGaussian, Structure


@dataclass(frozen=True)
class Extents:
    """Sizes, in plain Python."""

    steps: int
    n: int
    """states: the first entries of z"""
    k: int
    """entries of z"""
    signal: int
    """entries of z that the signal reads: those beyond are noises that only row t's observations read"""
    m: int
    order: int
    """P"""
    past: int
    """rows before 0 that there are"""

    @property
    def rows(self) -> int:
        """Rows -past..steps-1."""
        return self.past + self.steps


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["A", "a", "Q", "C", "d", "R", "mean", "cov"],
    meta_fields=["extents"],
)
@dataclass(frozen=True)
class OrderP:
    """The program in this form; arrays are constant or have a leading axis T."""

    A: Float[Array, "*T P k k"]
    a: Float[Array, "*T k"]
    Q: Float[Array, "*T k k"]
    C: Float[Array, "*T lags m k"]
    d: Float[Array, "*T m"]
    R: Float[Array, "*T m m"]
    mean: Float[Array, "past+1 k"]
    """of rows -past..0, in the order of time"""
    cov: Float[Array, "K K"]
    extents: Extents

    def per_row(self, name: str) -> Float[Array, "T ..."]:
        """One of the arrays with its axis of time, repeated where it is constant."""
        array: Array = getattr(self, name)
        dimensions = {"A": 3, "a": 1, "Q": 2, "C": 3, "d": 1, "R": 2}[name]
        if array.ndim > dimensions:
            return array
        return jnp.broadcast_to(array, (self.extents.steps, *array.shape))


def check_start(program: LinearGaussian) -> None:
    """Raise ValueError for a diffuse initial law, which has no covariance."""
    if program.initial.diffuse.shape[-1]:
        raise ValueError("a program with a diffuse initial law has no joint covariance")


def order_p(program: LinearGaussian, steps: int, *, diagonal: bool = False) -> OrderP:
    """Bring a program into this form, for so many rows.

    `diagonal`: R is made diagonal, noises that several observations of a row share being entries of z too.
    """
    check_start(program)
    s, exists = program.structure, program.initial.exists
    program = jax.tree.map(jnp.asarray, program)
    for name, dimensions in {"F": 3, "c": 1, "G": 3, "H": 3, "d": 1, "J": 3}.items():
        array = getattr(program, name)
        if array.ndim > dimensions and array.shape[0] != steps:
            raise ValueError(f"'{name}' has {array.shape[0]} rows, the data have {steps}")
    M = list(s.memory_noises)
    shared, own = _row_noises(s, M, diagonal)
    held = M + shared
    n, k = s.n, s.n + len(held)
    F, G, H, J = program.F, program.G, program.H, program.J
    lags_G, lags_J = G.shape[-3], J.shape[-3]
    order = max(F.shape[-3], lags_G - 1 if M else 0, 1)
    if exists is not True:
        # Where there is no initial law, a transition that cannot overflow keeps derivatives finite.
        F = jnp.where(program.initial.exists, F, 0.0)

    A = _block(order, k, k, [(F, 0, 0), (G[..., 1:, :, :][..., M] if M else None, 0, n)])
    if lags_G:
        loading = _block(1, k, s.r, [(G[..., :1, :, :], 0, 0), (_selector(held, s.r)[None], n, 0)])[..., 0, :, :]
    else:
        loading = _block(1, k, s.r, [(_selector(held, s.r)[None], n, 0)])[..., 0, :, :]
    lags = max(H.shape[-3], lags_J if M else 0, 1)
    parts = [(H, 0, 0), (J[..., M] if M else None, 0, n)]
    if shared:
        parts.append((J[..., :1, :, :][..., shared], 0, n + len(M)))
    C = _block(lags, s.m, k, parts)
    R = jnp.zeros((s.m, s.m), program.d.dtype)
    if own:
        D = J[..., 0, :, :][..., own]
        R = D @ jnp.swapaxes(D, -1, -2)

    past = _past_rows(s, max(s.state_rows, s.noise_rows) - 1)
    mean, cov = _start(program, past, held, len(M))
    extents = Extents(steps, n, k, n + len(M), s.m, order, past)
    c = jnp.pad(program.c, [(0, 0)] * (program.c.ndim - 1) + [(0, k - n)])
    Q = loading @ jnp.swapaxes(loading, -1, -2)
    return OrderP(A, c, Q, C, program.d, R, mean, cov, extents)


def _past_rows(structure: Structure, reached: int) -> int:
    """How many rows before row 0 there are: those that something reaches, but where a program has no such rows."""
    return reached if structure.past_rows is None else min(reached, structure.past_rows)


def _row_noises(s: Structure, M: list[int], diagonal: bool) -> tuple[list[int], list[int]]:
    """Noises read by several observations of their own row and nothing else, if those are to be kept apart; the other
    noises of the observations that nothing else reads."""
    J = s.patterns[3]
    readers = J[0].sum(axis=0) if len(J) else np.zeros(s.r, int)
    alone = [j for j in range(s.r) if readers[j] and j not in M]
    shared = [j for j in alone if readers[j] > 1] if diagonal else []
    return shared, [j for j in alone if j not in shared]


def own_noise(s: Structure) -> list[bool]:
    """For each observation, whether it has a noise that nothing else reads."""
    M, J = list(s.memory_noises), s.patterns[3]
    own = _row_noises(s, M, True)[1]
    return [bool(b) for b in J[0][:, own].any(axis=1)] if len(J) else [False] * s.m


def _selector(held: list[int], r: int) -> Float[Array, "held r"]:
    return jnp.asarray(np.eye(r)[held].reshape(len(held), r))


def _block(lags: int, rows: int, columns: int, parts: list[tuple[Array | None, int, int]]) -> Float[Array, "*T L i j"]:
    """Arrays (*T, L, i, j) put at a (row, column) of a larger one, zero elsewhere."""
    found = [(X, i, j) for X, i, j in parts if X is not None]
    leading = jnp.broadcast_shapes(*(X.shape[:-3] for X, _, _ in found))
    whole = jnp.zeros((*leading, lags, rows, columns), found[0][0].dtype)
    for X, i, j in found:
        after = (lags - X.shape[-3], rows - i - X.shape[-2], columns - j - X.shape[-1])
        pads = [(0, 0)] * (X.ndim - 3) + [(0, after[0]), (i, after[1]), (j, after[2])]
        whole = whole + jnp.pad(X.astype(whole.dtype), pads)
    return whole


def _start(program: LinearGaussian, past: int, held: list[int], memory: int) -> tuple[Array, Array]:
    """Mean and covariance of rows -past..0; noises of row 0 beyond the memory's are standard normal."""
    s, init = program.structure, program.initial
    size = s.memory_size
    at = []
    for lag in range(past, -1, -1):
        x = lag * s.n + np.arange(s.n) if lag < s.state_rows else np.full(s.n, size)
        first = s.n * s.state_rows + lag * memory
        e = first + np.arange(memory) if lag < s.noise_rows else np.full(memory, size)
        fresh = np.full(len(held) - memory, size + 1 if lag == 0 else size)
        at.append(np.concatenate([x, e, fresh]))
    places = np.concatenate(at).astype(np.int32)
    known = places < size
    take = np.where(known, places, 0)
    mean = jnp.where(known, init.mean[take], 0.0) if size else jnp.zeros(len(places), init.mean.dtype)
    cov = jnp.diag(jnp.asarray(places == size + 1, init.mean.dtype))
    if size:
        factor = jnp.where(known[:, None], init.factor[take], 0.0)
        both = known[:, None] & known[None, :]
        cov = cov + factor @ factor.T + jnp.where(both, init.cov[take[:, None], take[None, :]], 0.0)
    return mean.reshape(past + 1, -1), cov
