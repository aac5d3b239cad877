"""Smoothing of a program linearised row by row: exact for the affine program that stands for it.

    s_t ~ F_t s_{t-1} + b_t + N(0, Q_t),    z_t ~ H_t s_t + d_t + N(0, R_t)

Backwards, r and N are gathered from the rows to come (de Jong 1989; Durbin & Koopman 2012, section 4.4):

    smoothed mean = m + P r,   smoothed covariance = P - P N P

with m, P ahead of the row's observations. No covariance of a memory is inverted, so that they may have any rank.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._linearise import Affine
from ssmlang.engines._moment_rows import innovations, moments_of, standard, update
from ssmlang.engines._products import product, product_transposed, symmetric
from ssmlang.engines.nonlinear import Law
from ssmlang.engines.semidefinite import semidefinite_root


class Linearised(NamedTuple):
    """The affine program of T rows; row 0 of `moves` is not used."""

    start: Law
    moves: Affine
    """(T, N, N), (T, N), (T, N, N)"""
    sights: Affine
    """(T, k, N), (T, k), (T, k, k)"""


def carried(law: Law, move: Affine, fused: bool) -> Law:
    """The law of an affine image."""
    found = moments_of(law, move, fused)
    return Law(found.mean, found.cov)


def ahead_of(program: Linearised, z: Float[Array, "T k"], fused: bool) -> tuple[Law, Float[Array, " T"]]:
    """The laws ahead of each row's observations, and the log-density of each row."""

    def run(program: Linearised, z: Array) -> tuple[Law, Array]:
        moves = jax.tree.map(lambda a: jnp.roll(a, -1, axis=0), program.moves)

        def body(ahead: Law, row: tuple[Affine, Affine, Array]) -> tuple[Law, tuple[Law, Array]]:
            move, sight, z = row
            after, term = update(ahead, moments_of(ahead, sight, fused), z, fused)
            return carried(after, move, fused), (ahead, term)

        return jax.lax.scan(body, program.start, (moves, program.sights, z))[1]

    return one_kernel(run, fused)(program, z)


class Gain(NamedTuple):
    """Of a row's observations: the gain K, V with S^-1 = V' V on what is used, and V times the innovation."""

    K: Float[Array, "N k"]
    V: Float[Array, "k k"]
    e: Float[Array, " k"]


def gain(law: Law, sight: Affine, z: Float[Array, " k"], fused: bool) -> Gain:
    """What the observations of a row do to the law ahead of them."""
    of = moments_of(law, sight, fused)
    X, e, w, _ = innovations(len(law.mean), of, z, fused)
    half = standard(w)
    V = half[:, None] * X
    K = product(product_transposed(of.cross, V, fused), V, fused)
    return Gain(K, V, half * e)


def smoothed(program: Linearised, ahead: Law, z: Float[Array, "T k"], fused: bool) -> Law:
    """The law of each row given all rows."""

    def run(program: Linearised, ahead: Law, z: Array) -> Law:
        N = ahead.mean.shape[1]
        mul = lambda A, b: product(A, b[:, None], fused)[:, 0]

        def body(carry: tuple[Array, Array], row: tuple[Law, Affine, Affine, Array]) -> tuple[tuple[Array, Array], Law]:
            (r, M), (law, move, sight, z) = carry, row
            K, V, e = gain(law, sight, z, fused)
            seen = product(V, sight.A, fused)
            L = jnp.eye(N, dtype=r.dtype) - product(K, sight.A, fused)
            r = mul(seen.T, e) + mul(L.T, r)
            M = symmetric(product(L.T, product(M, L, fused), fused) + product(seen.T, seen, fused))
            cov = law.cov - product(law.cov, product(M, law.cov, fused), fused)
            found = Law(law.mean + mul(law.cov, r), symmetric(cov))
            F = move.A
            return (mul(F.T, r), product(F.T, product(M, F, fused), fused)), found

        nothing = (jnp.zeros(N, z.dtype), jnp.zeros((N, N), z.dtype))
        rows = (ahead, program.moves, program.sights, z)
        return jax.lax.scan(body, nothing, rows, reverse=True)[1]

    return one_kernel(run, fused)(program, ahead, z)


def paths(
    program: Linearised, ahead: Law, z: Float[Array, "T k"], means: Float[Array, "T N"], keys: Key[Array, " draws"]
) -> Float[Array, "draws T N"]:
    """A draw of the memories given z for each key, by mean correction (Durbin & Koopman 2002); `means` are smoothed.

    A draw of the program less its smoothed mean has the law of the memories about theirs; both are worked out for
    deviations from the laws ahead.
    """
    steps, N = ahead.mean.shape
    gains = jax.vmap(lambda law, sight, z: gain(law, sight, z, False))(ahead, program.sights, z)
    roots = jax.vmap(semidefinite_root)(program.moves.Omega).at[0].set(semidefinite_root(program.start.cov))
    noises = jax.vmap(semidefinite_root)(program.sights.Omega)
    F = program.moves.A.at[0].set(0.0)
    H, seen = program.sights.A, ~jnp.isnan(z)

    def one(key: Array) -> Array:
        of_states, of_sights = jax.random.split(key)
        shocks = jnp.einsum("tij,tj->ti", roots, jax.random.normal(of_states, (steps, N)))
        blurs = jnp.einsum("tij,tj->ti", noises, jax.random.normal(of_sights, z.shape))

        def forward(carry: tuple[Array, Array], row: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
            (s, m), (F, shock, H, blur, K, seen) = carry, row
            s, m = F @ s + shock, F @ m
            v = jnp.where(seen, H @ (s - m) + blur, 0.0)
            return (s, m + K @ v), (s, m, v)

        nothing = jnp.zeros(N, z.dtype)
        _, (s, m, v) = jax.lax.scan(forward, (nothing, nothing), (F, shocks, H, blurs, gains.K, seen))

        def backward(r: Array, row: tuple) -> tuple[Array, Array]:
            F, H, K, V, v = row
            r = r + H.T @ (V.T @ (V @ v) - K.T @ r)
            return F.T @ r, r

        _, r = jax.lax.scan(backward, nothing, (F, H, gains.K, gains.V, v), reverse=True)
        return means + s - m - jnp.einsum("tij,tj->ti", ahead.cov, r)

    return jax.lax.map(one, keys)
