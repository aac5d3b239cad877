"""Random linear-Gaussian programs of every kind the engines must take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from ssmlang.engines import Initial, LinearGaussian, Structure

jit: Callable = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time code that runs a little slower: the tests run each program on few rows."""


def pattern(X: np.ndarray, base: int) -> tuple:
    """Nonzero pattern over all rows, as nested tuples."""
    nonzero = np.asarray(X) != 0
    if nonzero.ndim > base:
        nonzero = nonzero.any(axis=0)
    return tuple(tuple(tuple(bool(b) for b in row) for row in block) for block in nonzero)


def make(F, G, H, J, c=None, d=None, mean=None, factor=None, cov=None, diffuse=None) -> LinearGaussian:
    """A program from NumPy arrays; zeros in them are structural."""
    F, G, H, J = (np.asarray(X, float) for X in (F, G, H, J))
    n, m, r = F.shape[-1], H.shape[-2], G.shape[-1]
    s = Structure(n, m, r, pattern(F, 3), pattern(G, 3), pattern(H, 3), pattern(J, 3))
    N = s.memory_size
    initial = Initial(
        np.zeros(N) if mean is None else np.asarray(mean, float),
        np.zeros((N, 0)) if factor is None else np.asarray(factor, float),
        np.zeros((N, N)) if cov is None else np.asarray(cov, float),
        np.zeros((N, 0)) if diffuse is None else np.asarray(diffuse, float),
    )
    c = np.zeros(n) if c is None else c
    d = np.zeros(m) if d is None else d
    return LinearGaussian(*(np.asarray(X, float) for X in (F, c, G, H, d, J)), initial, s)


@dataclass(frozen=True)
class Kind:
    """What to draw."""

    n: int = 2
    m: int = 1
    r: int = 3
    order: int = 1
    emission_lags: int = 0
    noise_lags: int = 0
    emission_noise_lags: int = 0
    varying: bool = False
    noise: str = "shared"
    """shared: states and observations load on the same noises; own: one noise for each observation; dense: observation
    noises correlated with each other; none: exact observations"""
    rank: int | None = None
    """of the initial covariance (None: full)"""
    diffuse: int = 0
    sparse: float = 0.0
    seed: int = 0


def random_program(kind: Kind, steps: int) -> LinearGaussian:
    """A stable-ish program with sizes of order one."""
    rng = np.random.default_rng(kind.seed)
    n, m, r = kind.n, kind.m, kind.r
    lead = (steps,) if kind.varying else ()

    def draw(*shape: int) -> np.ndarray:
        base = rng.normal(size=lead + shape)
        return base * (rng.uniform(size=shape) >= kind.sparse)

    F = draw(kind.order, n, n) * 0.8 / np.sqrt(n * kind.order)
    G = draw(kind.noise_lags + 1, n, r)
    H = draw(kind.emission_lags + 1, m, n)
    if kind.noise == "shared":
        J = draw(kind.emission_noise_lags + 1, m, r)
    else:
        own = {"own": m, "dense": m + 1, "none": 0}[kind.noise]
        J = np.zeros((*lead, 1, m, r + own))
        G = np.concatenate([G, np.zeros((*G.shape[:-1], own))], axis=-1)
        if kind.noise == "own":
            J[..., 0, :, r:] = np.eye(m) * rng.uniform(0.5, 1.5, size=m)
        elif kind.noise == "dense":
            J[..., 0, :, r:] = rng.normal(size=(m, own))
    bare = make(F, G, H, J)
    N = bare.structure.memory_size
    rank = N if kind.rank is None else min(kind.rank, N)
    half = rank // 2
    cov_root = rng.normal(size=(N, rank - half))
    D = np.zeros((N, kind.diffuse))
    if kind.diffuse:
        x_lags = n * bare.structure.state_rows
        D[:x_lags] = rng.normal(size=(x_lags, kind.diffuse))
    return make(
        F, G, H, J,
        c=rng.normal(size=(*lead, n)), d=rng.normal(size=(*lead, m)), mean=rng.normal(size=N),
        factor=rng.normal(size=(N, half)), cov=cov_root @ cov_root.T, diffuse=D,
    )  # fmt: skip


def random_data(kind: Kind, steps: int, missing: float = 0.0, rows: tuple[int, ...] = ()) -> np.ndarray:
    """Data with missing entries and whole missing rows."""
    rng = np.random.default_rng(kind.seed + 1000)
    y = rng.normal(size=(steps, kind.m)) * 2
    y[rng.uniform(size=y.shape) < missing] = np.nan
    y[list(rows)] = np.nan
    return y
