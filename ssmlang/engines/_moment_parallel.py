"""Smoothing of a program linearised row by row, all rows at once: `_moment_smooth` in logarithmic depth.

What each row says is an element that composes (`_elements`); the laws of the rows and what later rows say of them are
its products over growing stretches, as in the engine `parallel` (Sarkka & Garcia-Fernandez 2021). An iterated smoother
whose passes are these is that of Yaghoobi, Corenflos, Hassan & Sarkka (2025), with covariances of any rank.

After row 0 no observation may be known exactly from the memory of the row before: NaN where one is.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _elements as composed
from ssmlang.engines import _passes as passes
from ssmlang.engines._moment_rows import moments_of, update
from ssmlang.engines._moment_smooth import Linearised
from ssmlang.engines._rotations import beside, product, square
from ssmlang.engines._rows_last import RowsLast, elements
from ssmlang.engines.nonlinear import Law
from ssmlang.engines.semidefinite import semidefinite_root


def smoothed(program: Linearised, z: Float[Array, "T k"], fused: bool) -> tuple[Law, Law]:
    """The law of each row ahead of its observations, and given all rows."""
    start = program.start
    rows = _rows(program, z)
    N, T, dtype = len(start.mean), len(z), start.cov.dtype
    sight = jax.tree.map(lambda a: a[0], program.sights)
    after = update(start, moments_of(start, sight, fused), z[0], fused)[0]
    first = _law(after.mean, semidefinite_root(after.cov))
    steps = elements(rows.part(1, T), 4.0 * N * float(jnp.finfo(dtype).eps))
    rest = passes.laws(first.element(), steps, 0, None)
    laws = jax.tree.map(lambda a, b: jnp.concatenate([a[..., None], b], axis=-1), first, rest)

    seen = passes.sights(steps, None)
    none = composed.nothing(N, 1, steps.U)
    last = composed.Sight(none.eta, none.Z)
    seen = jax.tree.map(lambda a, b: jnp.concatenate([a, b[..., None]], axis=-1), seen, last)
    given_all = composed.look_ahead(laws, seen)

    A, B = rows.A[..., 1:], rows.B[..., 1:]
    mean = product(A, laws.m[..., :-1]) + rows.a[..., 1:]
    cov = square(beside(product(A, laws.U[..., :-1]), B))
    ahead = Law(jnp.concatenate([start.mean[None], _rows_first(mean)[..., 0]]),
                jnp.concatenate([start.cov[None], _rows_first(cov)]))  # fmt: skip
    return ahead, Law(_rows_first(given_all.m)[..., 0], _rows_first(square(given_all.U)))


def _rows(program: Linearised, z: Float[Array, "T k"]) -> RowsLast:
    """The affine program by noise loadings; what is missing is left out of the noise that observations share."""
    seen, k = ~jnp.isnan(z), z.shape[1]
    moves, sights = program.moves, program.sights
    own = jnp.where(seen[:, :, None] & seen[:, None, :], sights.Omega, 0.0)
    last = lambda a: jnp.moveaxis(a, 0, -1)
    return RowsLast(
        A=last(moves.A), a=last(moves.b)[:, None], B=last(jax.vmap(semidefinite_root)(moves.Omega)),
        Z=last(sights.A), d=last(sights.b)[:, None], W=last(jax.vmap(semidefinite_root)(own)),
        unit=np.eye(k), y=last(jnp.where(seen, z, 0.0))[:, None], seen=last(seen),
    )  # fmt: skip


def _law(mean: Float[Array, " N"], U: Float[Array, "N N"]) -> composed.Law:
    """A law of one series, without flat coefficients."""
    none = jnp.zeros((0, 0), U.dtype)
    return composed.Law(jnp.zeros((len(mean), 0), U.dtype), mean[:, None], U, jnp.zeros((0, 1), U.dtype), none)


def _rows_first(a: Array) -> Array:
    return jnp.moveaxis(a, -1, 0)
