"""The preconditioner of the dual filter: the same program with a short memory, solved directly.

With Sigma_p = Cov(Y) of the equation whose lags beyond p are left out, Woodbury's identity gives

    Sigma_p^-1 u = R^-1 (u - signal),   signal the smoothed one of the data u in the truncated program without means,

for which a block-banded Cholesky factor does. Where Q or R has not full rank a small multiple of the identity is added,
here and nowhere else: it changes how quickly a solution is reached and not which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _precision as precision
from ssmlang.engines._order_p import OrderP
from ssmlang.engines._sweeps import emit

FLOOR_Q, FLOOR_R = 1e-8, 1e-6
"""What is added to Q and to R, relative to the largest variance."""


def truncated(form: OrderP, order: int) -> OrderP:
    """The equation without its lags beyond `order`, those of the emission included, with Q and R of full rank."""
    e = form.extents
    A, C = form.A[..., :order, :, :], form.C[..., : order + 1, :, :]
    past = min(e.past, max(A.shape[-3], C.shape[-3]) - 1)
    kept = (past + 1) * e.k
    start = form.cov[len(form.cov) - kept :, len(form.cov) - kept :]
    largest = lambda X: jnp.max(jnp.diagonal(X, axis1=-2, axis2=-1), initial=0.0)
    at_start, each = largest(start), largest(form.Q)
    scale = jnp.where(each > 0.0, each, jnp.where(at_start > 0.0, at_start, 1.0))
    noise = largest(form.R) + jnp.max(C**2, initial=0.0) * scale
    return replace(
        form,
        A=A,
        C=C,
        Q=form.Q + FLOOR_Q * scale * jnp.eye(e.k, dtype=A.dtype),
        R=form.R + FLOOR_R * jnp.where(_positive(form.R), 0.0, noise) * jnp.eye(e.m, dtype=A.dtype),
        mean=form.mean[e.past - past :],
        cov=start,
        extents=replace(e, order=A.shape[-3], past=past),
    )


def _positive(R: Float[Array, "*T m m"]) -> Bool[Array, ""]:
    """Whether every R has full rank, by its Cholesky factor."""
    root = jnp.linalg.cholesky(R)
    pivots, sizes = (jnp.diagonal(X, axis1=-2, axis2=-1) for X in (root, R))
    return jnp.all(pivots**2 > 1e-12 * sizes)


def preconditioner(form: OrderP, seen: Bool[Array, "T m"], order: int) -> tuple[Callable[[Array], Array], Array]:
    """u -> Sigma_p^-1 u over the entries seen, u being zero elsewhere, and the roots of the R that it works with.

    Order 0: R^-1 alone.
    """
    short = truncated(form, max(order, 1))
    e = short.extents
    if order == 0:
        both = seen[:, :, None] & seen[:, None, :]
        root = jnp.linalg.cholesky(jnp.where(both, short.per_row("R"), jnp.eye(e.m, dtype=form.d.dtype)))
        return (lambda u: by_row(root, u)), root
    p = precision.factor(short, seen)
    first = precision.block_rows(e, short.C.shape[-3]) - 1 - e.past
    start, offsets = jnp.zeros_like(short.mean), jnp.zeros((e.steps - 1, e.k), form.d.dtype)

    def apply(u: Float[Array, "T m"]) -> Float[Array, "T m"]:
        z = precision.posterior(p, e, start, offsets, u).mean.reshape(-1, e.k)[first : first + e.rows]
        return by_row(p.R_root, u - jnp.where(seen, emit(short, z), 0.0))

    return apply, p.R_root


def by_row(root: Float[Array, "T m m"], u: Float[Array, "T m"]) -> Float[Array, "T m"]:
    """R^-1 u from the roots of R."""
    if u.shape[1] == 1:
        return u / root[:, :, 0] ** 2
    once = solve_triangular(root, u[..., None], lower=True)
    return solve_triangular(jnp.swapaxes(root, 1, 2), once, lower=False)[..., 0]
