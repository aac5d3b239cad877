"""The linear-Gaussian program that the exact engines run.

    x_t = c_t + sum_{k=1..p} F_{t,k} x_{t-k} + sum_{j=0..q} G_{t,j} e_{t-j},      t = 1, 2, ..., T-1
    y_t = d_t + sum_{k=0..l} H_{t,k} x_{t-k} + sum_{j=0..q'} J_{t,j} e_{t-j},     t = 0, 1, ..., T-1

with e_t ~ N(0, I_r), independent over t. States and observations may load on the same noise at the same or at later
rows (correlated noise, moving averages); every matrix may have any rank, zero included.

Row t of a time-varying array belongs to the equation that produces row t; row 0 of F, c and G is not used, for the
law of row 0 is given by `Initial`.

The memory of row t is  s_t = (x_t, x_{t-1}, ..., x_{t-L+1}, e_t[M], ..., e_{t-Qe+1}[M])  with L = max(p, l + 1),
where M lists the noises that are read at a later row or by both a state and an observation, and Qe = max(1, q, q' + 1)
if M is not empty, else 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int


@dataclass(frozen=True)
class Pattern:
    """Which entries of an array (lags, i, j) can differ from zero, in few bytes and quick to hash however many lags."""

    shape: tuple[int, int, int]
    packed: bytes

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "lags i j"]) -> Pattern:
        lags, i, j = mask.shape
        return cls((lags, i, j), np.packbits(mask.reshape(-1)).tobytes())

    @property
    def array(self) -> Bool[np.ndarray, "lags i j"]:
        """The pattern itself."""
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=int(np.prod(self.shape)))
        return bits.astype(bool).reshape(self.shape)

    def __len__(self) -> int:
        return self.shape[0]


Nested = tuple[tuple[tuple[bool, ...], ...], ...]


class Initial(NamedTuple):
    """Law of s_0: N(mean, factor factor' + cov), plus a flat (infinite variance) law along the columns of `diffuse`.

    The noises e_0[M], e_{-1}[M], ... are part of s_0, with their correlation with x_0, x_{-1}, ... where there is any.
    Where `exists` is False the numbers must still be finite.
    """

    mean: Float[Array, " N"]
    factor: Float[Array, "N k"]
    cov: Float[Array, "N N"]
    diffuse: Float[Array, "N d"]
    exists: Bool[Array, ""] | bool = True
    """False where the parameters allow no such law (no stationary one, say): the likelihood is zero there"""


@dataclass(frozen=True)
class Structure:
    """What is known before any number is: sizes and which entries can differ from zero (at any t). Hashable, so
    that compiled functions are cached by it."""

    n: int
    """number of state entries"""
    m: int
    """number of observation entries"""
    r: int
    """number of standard-normal noises"""
    transition: Nested | Pattern
    """nonzero pattern of F, (p, n, n)"""
    transition_noise: Nested | Pattern
    """of G, (q+1, n, r)"""
    emission: Nested | Pattern
    """of H, (l+1, m, n)"""
    emission_noise: Nested | Pattern
    """of J, (q'+1, m, r)"""
    past_rows: int | None = None
    """How many rows before row 0 have a law: those further back are zero, as where a sum over the whole past ends at
    row 0. None: all that the memory holds"""

    @property
    def patterns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nonzero patterns of F, G, H, J with their full shapes, also where an extent is zero."""
        fields = [self.transition, self.transition_noise, self.emission, self.emission_noise]
        sizes = [(self.n, self.n), (self.n, self.r), (self.m, self.n), (self.m, self.r)]
        F, G, H, J = (
            f.array if isinstance(f, Pattern) else np.array(f, bool).reshape(len(f), *size)
            for f, size in zip(fields, sizes, strict=True)
        )
        return F, G, H, J

    @property
    def memory_noises(self) -> tuple[int, ...]:
        """M: the noises that are part of the memory."""
        _, G, _, J = self.patterns
        used_G, used_J = np.logical_or.reduce(G, axis=1), np.logical_or.reduce(J, axis=1)
        later = used_G[1:].any(axis=0) | used_J[1:].any(axis=0)
        both = used_G.any(axis=0) & used_J.any(axis=0)
        return tuple(int(i) for i in np.flatnonzero(later | both))

    @property
    def state_rows(self) -> int:
        """L: how many rows of x the memory holds."""
        return max(len(self.transition), len(self.emission), 1)

    @property
    def noise_rows(self) -> int:
        """Qe: how many rows of the noises M the memory holds."""
        if not self.memory_noises:
            return 0
        return max(1, len(self.transition_noise) - 1, len(self.emission_noise))

    @property
    def memory_size(self) -> int:
        """N, the length of s_t."""
        return self.n * self.state_rows + len(self.memory_noises) * self.noise_rows

    @property
    def needed_entries(self) -> tuple[int, ...]:
        """Positions in s_t of x_t, and of the older entries and the noises that an equation of row t or later reads.

        A state entry that is read k rows back by the transition is needed for k rows, by the emission for k + 1; so
        are noises. What is needed moves down from what was needed a row earlier.
        """
        F, G, H, J = self.patterns
        M = list(self.memory_noises)
        x = np.maximum(np.maximum(_depth(F), _depth(H)), 1)
        e = np.maximum(_depth(G[1:])[M], _depth(J)[M])
        needed_x = (np.arange(self.state_rows)[:, None] < x).reshape(-1)
        needed_e = (np.arange(self.noise_rows)[:, None] < e).reshape(-1)
        return tuple(int(i) for i in np.flatnonzero(np.concatenate([needed_x, needed_e])))


def _depth(pattern: Bool[np.ndarray, "lags i j"]) -> Int[np.ndarray, " j"]:
    """For each column, how many lags there are up to the last one with an entry in it."""
    read = pattern.any(axis=1)
    return (np.arange(1, len(pattern) + 1)[:, None] * read).max(axis=0, initial=0)


@partial(
    jax.tree_util.register_dataclass, data_fields=["cov", "root"], meta_fields=["matrix", "rows", "noises"]
)
@dataclass(frozen=True)
class NoiseCovariance:
    """A covariance that the model states: the columns `noises` of G_0 (`matrix` "G") or J_0 ("J") are a lower
    triangular factor of it at `rows`, and zero elsewhere."""

    cov: Float[Array, "*T k k"]
    root: Float[Array, "*T k k"]
    """such a factor, without a derivative"""
    matrix: str
    rows: tuple[int, ...]
    noises: tuple[int, ...]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["F", "c", "G", "H", "d", "J", "initial", "covariances"],
    meta_fields=["structure"],
)
@dataclass(frozen=True)
class LinearGaussian:
    """A linear-Gaussian program with its numbers. Arrays are constant, or have a leading axis of length T.

    F: (p, n, n) or (T, p, n, n);  c: (n,) or (T, n);  G: (q+1, n, r) or (T, q+1, n, r);
    H: (l+1, m, n) or (T, l+1, m, n);  d: (m,) or (T, m);  J: (q'+1, m, r) or (T, q'+1, m, r).
    """

    F: Array
    c: Array
    G: Array
    H: Array
    d: Array
    J: Array
    initial: Initial
    structure: Structure
    covariances: tuple[NoiseCovariance, ...] = ()
    """Some blocks of G_0 G_0' and J_0 J_0', for engines that read them rather than the factors"""
