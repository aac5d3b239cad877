"""The engine `imm` against the Kalman filter of every path of the regimes."""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines.imm import IMM
from ssmlang.engines.markov_chain import MarkovChain, Memory
from ssmlang.engines.switching import Switching

K, N, M = 2, 2, 2


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


class Numbers:
    """Random matrices of each regime, data with gaps."""

    def __init__(self, seed: int, steps: int, *, own_past: bool = True, singular: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.start, self.P = rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(K), K)
        self.A = 0.7 * rng.normal(size=(K, N, N)) * own_past
        self.a, self.Z, self.d = rng.normal(size=(K, N)), rng.normal(size=(K, M, N)), rng.normal(size=(K, M))
        G = rng.normal(size=(K, N, 1 if singular else N))
        self.Q = G @ np.swapaxes(G, 1, 2)
        L = rng.normal(size=(K, M, M))
        self.R = L @ np.swapaxes(L, 1, 2) + 0.3 * np.eye(M)
        self.mean, self.cov = rng.normal(size=N), np.zeros((N, N)) if singular else np.eye(N)
        self.y = rng.normal(size=(steps, M))
        self.y[1, 0] = np.nan
        self.y[2] = np.nan

    def program(self, rows: int) -> Switching:
        """The program with so many rows of the regimes remembered; those before row 0 stand at 0."""
        memory = Memory((K,), (rows,))
        c = memory.configurations
        now = c[:, 0]
        possible = (c[:, 1:] == 0).all(axis=1)
        with np.errstate(divide="ignore"):
            chain = MarkovChain(jnp.log(self.start[now] * possible), jnp.log(self.P[now]),
                                jnp.zeros((len(self.y), memory.size)), memory)  # fmt: skip
        each = lambda v: jnp.asarray(v[now])
        same = lambda v: jnp.broadcast_to(v, (memory.size, *v.shape))
        return Switching(chain, each(self.A), each(self.a), each(self.Q), each(self.Z), each(self.d), each(self.R),
                         same(self.mean), same(self.cov), N)  # fmt: skip

    def joint(self, path: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean and covariance of all states, the loading of all observations on them and the observations' noise."""
        T = len(path)
        mean, cov = np.zeros(T * N), np.zeros((T * N, T * N))
        mean[:N], cov[:N, :N] = self.mean, self.cov
        for t in range(1, T):
            s, old, new = path[t], slice((t - 1) * N, t * N), slice(t * N, (t + 1) * N)
            mean[new] = self.A[s] @ mean[old] + self.a[s]
            cov[new, : t * N] = self.A[s] @ cov[old, : t * N]
            cov[: t * N, new] = cov[new, : t * N].T
            cov[new, new] = self.A[s] @ cov[old, old] @ self.A[s].T + self.Q[s]
        Z, R = np.zeros((T * M, T * N)), np.zeros((T * M, T * M))
        for t, s in enumerate(path):
            Z[t * M : (t + 1) * M, t * N : (t + 1) * N] = self.Z[s]
            R[t * M : (t + 1) * M, t * M : (t + 1) * M] = self.R[s]
        return mean, cov, Z, R

    def weight(self, path: tuple[int, ...]) -> float:
        return float(self.start[path[0]] * np.prod([self.P[a, b] for a, b in itertools.pairwise(path)]))

    def given(self, upto: int) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Log-density of rows before `upto`, and given them: P(s_t), mean and cov of x_t for all rows."""
        T = len(self.y)
        y = self.y.copy()
        y[upto:] = np.nan
        flat = y.reshape(-1)
        at = np.flatnonzero(~np.isnan(flat))
        total, p, first, second = 0.0, np.zeros((T, K)), np.zeros((T, N)), np.zeros((T, N, N))
        for path in itertools.product(range(K), repeat=T):
            mean, cov, Z, R = self.joint(path)
            offset = np.concatenate([self.d[s] for s in path])
            S = (Z @ cov @ Z.T + R)[np.ix_(at, at)]
            rest = (flat - Z @ mean - offset)[at]
            w = self.weight(path)
            if len(at):
                w *= np.exp(-0.5 * rest @ np.linalg.solve(S, rest)) / np.sqrt(np.linalg.det(2 * np.pi * S))
                gain = np.linalg.solve(S, (Z @ cov)[at]).T
                mean, cov = mean + gain @ rest, cov - gain @ (Z @ cov)[at]
            total += w
            for t, s in enumerate(path):
                own = slice(t * N, (t + 1) * N)
                p[t, s] += w
                first[t] += w * mean[own]
                second[t] += w * (cov[own, own] + np.outer(mean[own], mean[own]))
        mean = first / total
        return np.log(total), p / total, mean, second / total - mean[:, :, None] * mean[:, None, :]


def exact(numbers: Numbers, rows: int, method: str) -> None:
    program, engine, y = numbers.program(rows), IMM(method=method), jnp.asarray(numbers.y)
    steps = len(numbers.y)
    filtered, smoothed = jax.jit(lambda p, y: (engine.filter(p, y), engine.smooth(p, y)))(program, y)
    of_now = lambda p: np.asarray(program.chain.memory.marginal(p, 0))
    sums = [numbers.given(t)[0] for t in range(steps + 1)]
    np.testing.assert_allclose(filtered.log_likelihood, np.diff(sums), atol=1e-11)
    np.testing.assert_allclose(jax.jit(engine.log_likelihood)(program, y), sums[-1], atol=1e-11)
    for t in range(steps):
        _, p, mean, cov = numbers.given(t + 1)
        np.testing.assert_allclose(of_now(filtered.probability)[t], p[t], atol=1e-11)
        np.testing.assert_allclose(filtered.mean[t], mean[t], atol=1e-10)
        np.testing.assert_allclose(filtered.cov[t], cov[t], atol=1e-10)
        _, p, mean, cov = numbers.given(t)
        np.testing.assert_allclose(of_now(filtered.predicted_probability)[t], p[t], atol=1e-11)
        np.testing.assert_allclose(filtered.predicted_mean[t], mean[t], atol=1e-10)
        np.testing.assert_allclose(filtered.predicted_cov[t], cov[t], atol=1e-10)
    _, p, mean, cov = numbers.given(steps)
    np.testing.assert_allclose(of_now(smoothed.probability), p, atol=1e-10)
    np.testing.assert_allclose(smoothed.mean, mean, atol=1e-9)
    np.testing.assert_allclose(smoothed.cov, cov, atol=1e-9)


@pytest.mark.parametrize("method", ["kim", "imm"])
@pytest.mark.parametrize("singular", [False, True])
def test_with_all_regimes_remembered_nothing_is_approximated(method, singular):
    exact(Numbers(1, 4, singular=singular), 4, method)


@pytest.mark.parametrize("method", ["kim", "imm"])
def test_where_no_state_has_a_past_nothing_is_approximated(method):
    exact(Numbers(2, 5, own_past=False), 1, method)


def test_more_memory_brings_it_nearer_to_the_truth():
    errors = []
    for rows in (1, 2, 3, 4):
        numbers = Numbers(3, 6)
        found = jax.jit(IMM().log_likelihood)(numbers.program(rows), jnp.asarray(numbers.y))
        errors.append(abs(float(found) - numbers.given(6)[0]))
    assert errors[0] < 0.1
    assert errors[3] < errors[0] / 5
    assert errors[0] > 1e-6  # it is an approximation that is tested


def test_the_gradient_is_that_of_finite_differences():
    numbers = Numbers(4, 5)
    y = jnp.asarray(numbers.y)

    def value(A, chain):
        p = numbers.program(1)
        return IMM().log_likelihood(Switching(MarkovChain(p.chain.log_initial, chain, p.chain.log_emission,
                                    p.chain.memory), A, p.a, p.Q, p.Z, p.d, p.R, p.mean, p.cov, N), y)  # fmt: skip

    A, chain = jnp.asarray(numbers.A), jnp.log(numbers.P)
    slopes = jax.jit(jax.grad(value, argnums=(0, 1)))(A, chain)
    rng = np.random.default_rng(0)
    da, dc = jnp.asarray(rng.normal(size=A.shape)), jnp.asarray(rng.normal(size=chain.shape))
    h, f = 1e-5, jax.jit(value)
    along = (f(A + h * da, chain + h * dc) - f(A - h * da, chain - h * dc)) / (2 * h)
    np.testing.assert_allclose(jnp.sum(slopes[0] * da) + jnp.sum(slopes[1] * dc), along, rtol=1e-7)


@pytest.mark.parametrize("method, singular, bound", [("kim", False, False), ("imm", True, False), ("kim", True, True)])
def test_paths_have_the_law_that_all_paths_of_the_regimes_give(method, singular, bound):
    """`bound`: by covariances forward, and regimes proposed by the filter alone."""
    numbers = Numbers(3, 5, singular=singular)
    program, engine = numbers.program(1), IMM(method=method, proposals=40 if bound else 8)
    draws = 6000
    keys = jax.random.split(jax.random.key(0), draws)
    found = jax.jit(partial(engine.draw_paths, bound=bound))(program, jnp.asarray(numbers.y), keys)
    _, p, mean, cov = numbers.given(5)
    np.testing.assert_allclose(np.mean(found.memory == 1, axis=0), p[:, 1], atol=4 * np.sqrt(0.25 / draws))
    # A state that is known has no spread to measure by.
    sd = np.sqrt(np.maximum(np.diagonal(cov, axis1=1, axis2=2), 1e-12))
    np.testing.assert_allclose((np.mean(found.x, axis=0) - mean) / sd, 0.0, atol=4 / np.sqrt(draws))
    for t in range(5):
        spread = (np.cov(found.x[:, t].T) - cov[t]) / np.outer(sd[t], sd[t])
        np.testing.assert_allclose(spread, 0.0, atol=0.12)
    assert np.all(found.ess > 4)


def test_weights_mend_what_the_collapsed_mixture_proposes():
    numbers = Numbers(12, 5)
    program, (_, p, _, _) = numbers.program(1), numbers.given(5)
    keys = jax.random.split(jax.random.key(0), 6000)
    run = lambda engine: jax.jit(engine.draw_paths)(program, jnp.asarray(numbers.y), keys).memory
    off = [np.abs(np.mean(run(IMM(proposals=k)) == 1, axis=0) - p[:, 1]).max() for k in (1, 16)]
    assert off[0] > 0.04
    assert off[1] < 0.02
