"""Paths of the regimes and of the states drawn given all rows, for the engine `imm`.

Regimes are proposed row by row from the last: p(m_t | m_{t+1:T}, y) is proportional to p(m_t | y_{1:t}) times
p(m_{t+1} | m_t) times the likelihood of the rows to come, given the regimes drawn there, with the state of row t summed
out over the filter's law of it (Sarkka, Bunch & Godsill 2012, "A backward-simulation based Rao-Blackwellized particle
smoother"). The likelihood of rows to come is kept as exp(c + eta's - s'Lambda s / 2), which noise of any rank
leaves finite. Given all regimes the law is one Gaussian, so that what a proposal weighs, p(m, y) / q(m), is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ssmlang.engines._mixtures import Laws
from ssmlang.engines.markov_chain import MarkovChain
from ssmlang.engines.semidefinite import semidefinite_root


class Onward(NamedTuple):
    """A row given the state s before it and its own data: s' ~ N(M s + b, G G'), and the data's log-density in s."""

    M: Float[Array, "*L N N"]
    b: Float[Array, "*L N"]
    G: Float[Array, "*L N N"]
    seen: Information


class Information(NamedTuple):
    """A log-likelihood c + eta's - s'Lambda s / 2 of a state."""

    Lambda: Float[Array, "*L N N"]
    eta: Float[Array, "*L N"]
    c: Float[Array, "*L"]

    def at(self, s: Float[Array, " N"]) -> Array:
        return self.c + self.eta @ s - 0.5 * s @ self.Lambda @ s


class SwitchingPaths(NamedTuple):
    """Draws given all rows; `ess`: the effective number of the proposals that each was chosen among."""

    memory: Int[Array, "draws T"]
    x: Float[Array, "draws T n"]
    ess: Float[Array, " draws"]


def onward(A: Array, a: Array, Q: Array, Z: Array, d: Array, R: Array, y: Float[Array, " m"]) -> Onward:
    """A row of one regime; NaN in y is missing. NaN where the data of a row bind the state before it exactly."""
    there = ~jnp.isnan(y)
    read, rest = jnp.where(there[:, None], Z, 0.0), jnp.where(there, y - d, 0.0)
    noise = jnp.where(there[:, None] & there, R, 0.0)
    L = jnp.linalg.cholesky(read @ Q @ read.T + noise + jnp.diag(jnp.where(there, 0.0, 1.0)))
    white = lambda v: jax.scipy.linalg.solve_triangular(L, v, lower=True)
    C, r = white(read @ A), white(rest - read @ a)
    gain = jax.scipy.linalg.solve_triangular(L, white(read @ Q), lower=True, trans=1).T
    left = jnp.eye(len(a)) - gain @ read
    cov = left @ Q @ left.T + gain @ noise @ gain.T
    logs = jnp.sum(jnp.where(there, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
    seen = Information(C.T @ C, C.T @ r, -0.5 * r @ r - logs)
    return Onward(left @ A, left @ a + gain @ rest, semidefinite_root(cov), seen)


def without(ahead: Information, G: Float[Array, "N N"]) -> Information:
    """As a function of the mean of a state of covariance G G', which is integrated out."""
    root = jnp.linalg.cholesky(jnp.eye(len(G)) + G.T @ ahead.Lambda @ G)
    white = lambda v: jax.scipy.linalg.solve_triangular(root, G.T @ v, lower=True)
    W, w = white(ahead.Lambda), white(ahead.eta)
    c = ahead.c + 0.5 * w @ w - jnp.sum(jnp.log(jnp.diagonal(root)))
    return Information(ahead.Lambda - W.T @ W, ahead.eta - W.T @ w, c)


def before(ahead: Information, row: Onward) -> Information:
    """The likelihood of a row and of those after it, of the state before it."""
    of = without(ahead, row.G)
    turned = of.Lambda @ row.b
    return Information(
        row.M.T @ of.Lambda @ row.M + row.seen.Lambda,
        row.M.T @ (of.eta - turned) + row.seen.eta,
        of.at(row.b) + row.seen.c,
    )


def drawn_state(key: Key[Array, ""], mean: Array, G: Array, ahead: Information) -> Float[Array, " N"]:
    """A state of law N(mean, G G') given the rows to come."""
    root = jnp.linalg.cholesky(jnp.eye(len(G)) + G.T @ ahead.Lambda @ G)
    solve = lambda v, trans: jax.scipy.linalg.solve_triangular(root, v, lower=True, trans=trans)
    z = solve(G.T @ (ahead.eta - ahead.Lambda @ mean), 0) + jax.random.normal(key, mean.shape, mean.dtype)
    return mean + G @ solve(z, 1)


def draw(chain: MarkovChain, rows: Onward, log_filtered: Float[Array, "T C"], filtered: Laws, start: Array, n: int,
         proposals: int, key: Key[Array, ""]) -> tuple[Array, Array, Array]:  # fmt: skip
    """The memory (T,) and the states (T, n) of one path, one of so many proposals, and how many of these counted.

    `rows` (T, C): row 0 is not used. `filtered`: the laws of the filter, its covariances as their roots. `start`: the
    log-density of row 0.
    """
    own, choice, last = jax.random.split(key, 3)
    T, N = filtered.mean.shape[0], filtered.mean.shape[-1]
    flat = Information(jnp.zeros((N, N)), jnp.zeros(N), jnp.zeros(()))
    moves = lambda t: chain.log_transition[t] if chain.varies else chain.log_transition
    at = lambda tree, *where: jax.tree.map(lambda v: v[where], tree)
    successors = jnp.asarray(chain.memory.successors)

    def pick(key: Array, weights: Array) -> tuple[Array, Array]:
        m = jax.random.categorical(key, weights)
        return m, jax.nn.log_softmax(weights)[m]

    def proposed(key: Array) -> tuple[Array, Array]:
        """The memory of every row, and the logarithm of target over proposal."""
        keys = jax.random.split(key, T)
        end, q = pick(keys[-1], log_filtered[-1])

        def back(carry: tuple[Array, Information, Array], row: tuple[Array, Array]) -> tuple[tuple, Array]:
            after, ahead, weight = carry
            t, key = row
            ahead = before(ahead, at(rows, t + 1, after))
            leads = jnp.max(jnp.where(successors == after, moves(t + 1), -jnp.inf), axis=1)
            worth = jax.vmap(lambda mean, G: without(ahead, G).at(mean))(*at(filtered, t))
            m, q = pick(key, log_filtered[t] + leads + worth)
            weight = weight + leads[m] + chain.log_emission[t + 1, after] - q
            return (m, ahead, weight), m

        carry, path = jax.lax.scan(back, (end, flat, -q), (jnp.arange(T - 1), keys[:-1]), reverse=True)
        first, ahead, weight = carry
        law = at(filtered, 0, first)
        whole = weight + start + log_filtered[0, first] + without(ahead, law.cov).at(law.mean)
        return jnp.concatenate([path, end[None]]), whole

    paths, weights = jax.vmap(proposed)(jax.random.split(own, proposals))
    share = jax.nn.softmax(weights)
    path = paths[jax.random.categorical(choice, weights)]

    def to_come(ahead: Information, row: Onward) -> tuple[Information, Information]:
        return before(ahead, row), ahead

    given = at(rows, jnp.arange(1, T), path[1:])
    ahead, later = jax.lax.scan(to_come, flat, given, reverse=True)
    keys = jax.random.split(last, T)
    law = at(filtered, 0, path[0])
    first = drawn_state(keys[0], law.mean, law.cov, ahead)

    def forth(s: Array, row: tuple[Array, Onward, Information]) -> tuple[Array, Array]:
        key, on, ahead = row
        s = drawn_state(key, on.M @ s + on.b, on.G, ahead)
        return s, s

    _, rest = jax.lax.scan(forth, first, (keys[1:], given, later))
    return path, jnp.concatenate([first[None], rest])[:, :n], 1.0 / jnp.sum(share**2)
