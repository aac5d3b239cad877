"""Paths drawn for the engine `imm` where data bind states exactly: covariances forward, which may have any rank.

Regimes are proposed from the last row back by the filter's probabilities, q(m_t | m_{t+1}) proportional to p(m_t |
y_{1:t}) p(m_{t+1} | m_t) (Kim 1994), and weighed by what a Kalman filter along each path finds, p(m, y) / q(m). The
states of the path that is kept are drawn backward from that filter (Carter & Kohn 1994).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._mixtures import Laws, gain, predicted, updated
from ssmlang.engines.markov_chain import MarkovChain
from ssmlang.engines.semidefinite import semidefinite_root


class Given(NamedTuple):
    """The matrices of each row and each value of the chain's memory, the laws of row 0, the data."""

    A: Float[Array, "T C N N"]
    a: Float[Array, "T C N"]
    Q: Float[Array, "T C N N"]
    Z: Float[Array, "T C m N"]
    d: Float[Array, "T C m"]
    R: Float[Array, "T C m m"]
    mean: Float[Array, "C N"]
    cov: Float[Array, "C N N"]
    y: Float[Array, "T m"]


def draw_bound(chain: MarkovChain, given: Given, log_filtered: Float[Array, "T C"], n: int, proposals: int,
               key: Key[Array, ""]) -> tuple[Array, Array, Array]:  # fmt: skip
    """The memory (T,) and the states (T, n) of one path, one of so many proposals, and how many of these counted."""
    own, choice, last = jax.random.split(key, 3)
    T = len(log_filtered)
    successors = jnp.asarray(chain.memory.successors)
    moves = lambda t: chain.log_transition[t] if chain.varies else chain.log_transition

    def proposed(key: Array) -> tuple[Array, Array]:
        keys = jax.random.split(key, T)

        def pick(key: Array, weights: Array) -> tuple[Array, Array]:
            m = jax.random.categorical(key, weights)
            return m, jax.nn.log_softmax(weights)[m]

        def back(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            after, weight = carry
            t, key = row
            leads = jnp.max(jnp.where(successors == after, moves(t + 1), -jnp.inf), axis=1)
            m, q = pick(key, log_filtered[t] + leads)
            return (m, weight + leads[m] + chain.log_emission[t + 1, after] - q), m

        end, q = pick(keys[-1], log_filtered[-1])
        (first, weight), path = jax.lax.scan(back, (end, -q), (jnp.arange(T - 1), keys[:-1]), reverse=True)
        path = jnp.concatenate([path, end[None]])
        terms = _along(given, path)[2]
        return path, weight + chain.log_initial[first] + chain.log_emission[0, first] + jnp.sum(terms)

    paths, weights = jax.vmap(proposed)(jax.random.split(own, proposals))
    path = paths[jax.random.categorical(choice, weights)]
    return path, _states(given, path, last)[:, :n], 1.0 / jnp.sum(jax.nn.softmax(weights) ** 2)


def _along(given: Given, path: Array) -> tuple[Laws, Laws, Array]:
    """The laws ahead of each row's data and after them, and the rows' log-densities, given the regimes."""
    t = jnp.arange(len(path))
    A, a, Q, Z, d, R = (M[t, path] for M in given[:6])

    def body(before: Laws, row: tuple[Array, ...]) -> tuple[Laws, tuple[Laws, Laws, Array]]:
        A, a, Q, Z, d, R, y = row
        ahead = predicted(before, A, a, Q)
        after, term = updated(ahead, y, Z, d, R)
        return after, (ahead, after, term)

    start = Laws(given.mean[path[0]], given.cov[path[0]])
    first, term = updated(start, given.y[0], Z[0], d[0], R[0])
    _, rest = jax.lax.scan(body, first, tuple(v[1:] for v in (A, a, Q, Z, d, R, given.y)))
    found: tuple[Laws, Laws, Array] = jax.tree.map(
        lambda a, b: jnp.concatenate([a[None], b]), (start, first, term), rest
    )
    return found


def _states(given: Given, path: Array, key: Key[Array, ""]) -> Float[Array, "T N"]:
    ahead, after, _ = _along(given, path)
    A = given.A[jnp.arange(len(path)), path]
    normal = jax.random.normal(key, after.mean.shape, after.mean.dtype)
    last = after.mean[-1] + semidefinite_root(after.cov[-1]) @ normal[-1]

    def back(later: Array, row: tuple[Laws, Laws, Array, Array]) -> tuple[Array, Array]:
        now, ahead, A, e = row
        J = gain(now.cov @ A.T, ahead.cov)
        rest = now.cov - J @ ahead.cov @ J.T
        s = now.mean + J @ (later - ahead.mean) + semidefinite_root(0.5 * (rest + rest.T)) @ e
        return s, s

    cut = lambda tree, of: jax.tree.map(lambda v: v[of], tree)
    early, late = slice(None, -1), slice(1, None)
    _, rest = jax.lax.scan(back, last, (cut(after, early), cut(ahead, late), A[1:], normal[:-1]), reverse=True)
    return jnp.concatenate([rest, last[None]])
