"""The forward sweep z = S rho, which runs the difference equation, and what stands around it.

Row t of  z_t - sum_k A_{t,k} z_{t-k} = rho_t  for the rows -past..T-1, with A = 0 up to row 0. The backward sweep is
the transpose: the dual control system of Kudre, Chang & Mehta (2026), arXiv 2604.03909, eq. (5), where eta_t reads
eta_{t+1+k} through the matrix of row t+k. A sweep is few big products: the equation is solved in blocks of rows, each a
triangular solve and one product with the block before; or, for a long memory that does not change with time, as a
convolution with the impulse response by FFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from ssmlang.engines._order_p import OrderP

Method = Literal["blocks", "fft"]
BLOCK = 32
"""Entries of z that a block of rows holds at least."""
FFT_FROM = (48, 256)
"""Order times entries of z, and rows times entries, from which a constant equation is solved by FFT."""
_SERIES_START = 64
"""Terms of the impulse response that are solved for directly before Newton's doubling."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["form", "inner", "outer", "spectrum", "lags"],
    meta_fields=["method", "block"],
)
@dataclass(frozen=True)
class Sweeps:
    """Forward and backward sweeps of one equation; vectors are (rows, k) or (rows, k, columns)."""

    form: OrderP
    inner: Float[Array, "blocks Bk Bk"] | None
    """I - A within each block (its strict lower triangle), for "blocks" """
    outer: Float[Array, "blocks Bk Bk"] | None
    """A from each block's rows to those of the block before"""
    spectrum: Float[Array, "frequencies k k"] | None
    """of the impulse response, for "fft" """
    lags: Float[Array, "frequencies k k"] | None
    """of A, where there are rows before 0"""
    method: Method
    block: int

    def forward(self, rho: Float[Array, "rows k *c"]) -> Float[Array, "rows k *c"]:
        """S rho."""
        if rho.ndim == 2:
            return self.forward(rho[..., None])[..., 0]
        return self._by_fft(rho) if self.method == "fft" else self._by_blocks(rho)

    def backward(self, eta: Float[Array, "rows k *c"]) -> Float[Array, "rows k *c"]:
        """S' eta."""
        (found,) = jax.linear_transpose(self.forward, eta)(eta)
        return found

    def _by_blocks(self, rho: Float[Array, "rows k c"]) -> Float[Array, "rows k c"]:
        assert self.inner is not None and self.outer is not None
        rows, k, c = rho.shape
        blocks = self.inner.shape[0]
        stacked = jnp.pad(rho, ((0, blocks * self.block - rows), (0, 0), (0, 0))).reshape(blocks, self.block * k, c)
        solve = partial(solve_triangular, lower=True, unit_diagonal=True)
        if blocks == 1:
            found = solve(self.inner[0], stacked[0])[None]
        else:

            def body(before: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Array]:
                inner, outer, right = x
                here = solve(inner, right + outer @ before)
                return here, here

            found = jax.lax.scan(body, jnp.zeros_like(stacked[0]), (self.inner, self.outer, stacked))[1]
        return found.reshape(blocks * self.block, k, c)[:rows]

    def _by_fft(self, rho: Float[Array, "rows k c"]) -> Float[Array, "rows k c"]:
        assert self.spectrum is not None
        rows = rho.shape[0]
        length, first = _fft_length(rows), self.form.extents.past + 1
        if first > 1:
            # The response to rho is that of an equation from the first row on; the first rows are given, not produced.
            assert self.lags is not None
            head = _convolve(self.lags, rho[:first], length)[:first]
            rho = rho.at[:first].add(-head)
        return _convolve(self.spectrum, rho, length)[:rows]

    def emit(self, z: Float[Array, "rows k *c"]) -> Float[Array, "T m *c"]:
        """The observations' part that is linear in z."""
        return emit(self.form, z)

    def emit_back(self, u: Float[Array, "T m *c"]) -> Float[Array, "rows k *c"]:
        """The transpose of `emit`."""
        e = self.form.extents
        (found,) = jax.linear_transpose(self.emit, jnp.zeros((e.rows, e.k, *u.shape[2:]), u.dtype))(u)
        return found

    def source(self, eta: Float[Array, "rows k *c"]) -> Float[Array, "rows k *c"]:
        """Cov(rho) eta: the initial law, then each row's Q."""
        f, e = self.form, self.form.extents
        first = (f.cov @ eta[: e.past + 1].reshape((e.past + 1) * e.k, -1)).reshape(eta[: e.past + 1].shape)
        Q = f.Q if f.Q.ndim == 2 else f.Q[1:]
        rest = jnp.einsum("tij,tj...->ti..." if Q.ndim == 3 else "ij,tj...->ti...", Q, eta[e.past + 1 :])
        return jnp.concatenate([first, rest])

    def noise(self, u: Float[Array, "T m *c"]) -> Float[Array, "T m *c"]:
        """R u."""
        return jnp.einsum("tij,tj...->ti..." if self.form.R.ndim == 3 else "ij,tj...->ti...", self.form.R, u)

    def means(self) -> tuple[Float[Array, "rows k"], Float[Array, "T m"]]:
        """Means of z and y."""
        f = self.form
        z = self.forward(jnp.concatenate([f.mean, f.per_row("a")[1:]]))
        return z, self.emit(z) + f.d


def sweeps(form: OrderP, method: Method | None = None) -> Sweeps:
    """The sweeps of an equation, by blocks or, if that is possible and seems quicker, by FFT."""
    e = form.extents
    if method is None:
        long = e.order * e.k >= FFT_FROM[0] and e.rows * e.k >= FFT_FROM[1]
        method = "fft" if form.A.ndim == 3 and long else "blocks"
    if method == "fft":
        if form.A.ndim != 3:
            raise ValueError("an equation that changes with time is no convolution")
        length = _fft_length(e.rows)
        lags = jnp.concatenate([jnp.zeros_like(form.A[:1]), form.A[: e.rows - 1]])
        spectrum = jnp.fft.rfft(_impulse_response(form.A, e.rows), length, axis=0)
        return Sweeps(form, None, None, spectrum, jnp.fft.rfft(lags, length, axis=0), "fft", 0)
    inner, outer, block = banded(form)
    return Sweeps(form, inner, outer, None, None, "blocks", block)


def banded(form: OrderP) -> tuple[Float[Array, "blocks Bk Bk"], Float[Array, "blocks Bk Bk"], int]:
    """I - A in blocks of so many rows, at least the order: within a block, and (less the sign) to the block before."""
    e = form.extents
    reach = min(e.order, e.rows - 1)
    block = max(reach, -(-BLOCK // max(e.k, 1)), 1)
    if 2 * block > e.rows:
        block = e.rows
    blocks = -(-e.rows // block)
    A = jnp.pad(form.per_row("A")[1:, :reach], ((e.past + 1, blocks * block - e.rows), (1, 0), (0, 0), (0, 0)))
    A = A.reshape(blocks, block, reach + 1, e.k, e.k)
    within = np.arange(block)[:, None] - np.arange(block)

    def dense(lag: np.ndarray) -> Array:
        at = np.where((lag >= 1) & (lag <= reach), lag, 0)
        whole = A[:, np.arange(block)[:, None], at]
        return jnp.swapaxes(whole, 2, 3).reshape(blocks, block * e.k, block * e.k)

    outer = dense(within + block) if blocks > 1 else jnp.zeros((1, block * e.k, block * e.k), A.dtype)
    return jnp.eye(block * e.k, dtype=A.dtype) - dense(within), outer, block


def emit(form: OrderP, z: Float[Array, "rows k *c"]) -> Float[Array, "T m *c"]:
    """sum_k C_{t,k} z_{t-k}."""
    if z.ndim == 2:
        return emit(form, z[..., None])[..., 0]
    C, e = form.C, form.extents
    if C.shape[-3] == 1:
        read, C = z[e.past :], C[..., 0, :, :]
        return jnp.einsum("tmk,tkc->tmc" if C.ndim == 3 else "mk,tkc->tmc", C, read)
    at = e.past + np.arange(e.steps)[:, None] - np.arange(C.shape[-3])
    read = jnp.where((at >= 0)[:, :, None, None], z[np.maximum(at, 0)], 0.0)
    return jnp.einsum("tlmk,tlkc->tmc" if C.ndim == 4 else "lmk,tlkc->tmc", C, read)


def _fft_length(rows: int) -> int:
    """A length with small factors, at least twice the rows."""
    best = 1 << (2 * rows - 1).bit_length()
    for odd in (3, 5, 9, 15):
        power = max(-(-2 * rows // odd) - 1, 0).bit_length()
        best = min(best, odd << power)
    return best


def _convolve(spectrum: Array, rho: Float[Array, "rows k c"], length: int) -> Float[Array, "length k c"]:
    """The convolution of matrices, given by their spectrum, with vectors."""
    moved = jnp.fft.rfft(rho, length, axis=0)
    return jnp.fft.irfft(jnp.einsum("fij,fjc->fic", spectrum, moved), length, axis=0)


def _impulse_response(A: Float[Array, "P k k"], rows: int) -> Float[Array, "rows k k"]:
    """The first terms of (I - sum_k A_k s^k)^-1 by Newton's doubling: Psi <- Psi - Psi (L Psi - I)."""
    k = A.shape[-1]
    start = min(rows, _SERIES_START)
    L = jnp.concatenate([jnp.eye(k, dtype=A.dtype)[None], -A])[:rows]
    L = jnp.pad(L, ((0, rows - len(L)), (0, 0), (0, 0)))
    lag = np.arange(start)[:, None] - np.arange(start)
    dense = jnp.where((lag >= 0)[:, :, None, None], L[np.maximum(lag, 0)], 0.0)
    dense = jnp.swapaxes(dense, 1, 2).reshape(start * k, start * k)
    first = jnp.zeros((start * k, k), A.dtype).at[:k].set(jnp.eye(k, dtype=A.dtype))
    psi = solve_triangular(dense, first, lower=True, unit_diagonal=True).reshape(start, k, k)
    while len(psi) < rows:
        size = min(2 * len(psi), rows)
        length = _fft_length(2 * size)
        of_psi, of_L = (jnp.fft.rfft(X, length, axis=0) for X in (psi, L[:size]))
        excess = jnp.fft.irfft(of_L @ of_psi, length, axis=0)[:size].at[0].add(-jnp.eye(k, dtype=A.dtype))
        step = jnp.fft.irfft(of_psi @ jnp.fft.rfft(excess, length, axis=0), length, axis=0)[:size]
        psi = jnp.pad(psi, ((0, size - len(psi)), (0, 0), (0, 0))) - step
    return psi
