"""The passes of the Laplace approximation against dense matrices, as native functions and as library calls."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ssmlang.engines import _riccati as riccati
from ssmlang.engines._expansion import Expansion, Noises
from tests.engines.programs import jit

STEPS, N = 5, 3
small_and_large = pytest.mark.parametrize("r", [2, 8], ids=["one native function", "library calls"])


def expansion(r: int) -> Expansion:
    rng = np.random.default_rng(r)
    rows = STEPS - 1
    W = rng.normal(size=(STEPS, N, N))
    C = 0.02 * rng.normal(size=(rows, N + r, N + r))
    return Expansion(
        rng.normal(size=(N, r)), 0.6 * rng.normal(size=(rows, N, N)), rng.normal(size=(rows, N, r)),
        rng.normal(size=(STEPS, N)), 0.1 * W @ np.swapaxes(W, 1, 2), np.zeros((r, r)), C + np.swapaxes(C, 1, 2),
    )  # fmt: skip


def dense(x: Expansion) -> tuple[np.ndarray, np.ndarray]:
    """The precision of all noises, and the memories' (STEPS N) slopes in them."""
    r = x.G.shape[2]
    M = np.zeros((STEPS, N, STEPS * r))
    M[0, :, :r] = x.G0
    for t in range(1, STEPS):
        M[t] = x.F[t - 1] @ M[t - 1]
        M[t, :, t * r : (t + 1) * r] = x.G[t - 1]
    H = np.eye(STEPS * r)
    for t in range(STEPS):
        H += M[t].T @ x.W[t] @ M[t]
    for t in range(1, STEPS):
        read = np.vstack([M[t - 1], np.eye(STEPS * r)[t * r : (t + 1) * r]])
        H += read.T @ x.C[t - 1] @ read
    return H, M.reshape(STEPS * N, -1)


@small_and_large
def test_the_recursions_solve_the_whole_problem(r: int) -> None:
    x = expansion(r)
    H, M = dense(x)
    rng = np.random.default_rng(0)
    g = Noises(rng.normal(size=r), rng.normal(size=(STEPS - 1, r)))

    @jit
    def found(x, g):
        f = riccati.factor(x)
        step = riccati.solve(x, f, x.b, g)
        return riccati.log_dets(f), step.gain, riccati.carry_out(x, f, step), riccati.covariances(x, f)

    logs, gain, (e, s), cov = found(x, g)
    assert np.linalg.eigvalsh(H).min() > 0
    np.testing.assert_allclose(np.sum(logs), 0.5 * np.linalg.slogdet(H)[1], rtol=1e-10)
    slope = M.T @ x.b.ravel() + np.concatenate([g.first, g.later.ravel()])
    best = np.linalg.solve(H, slope)
    np.testing.assert_allclose(np.concatenate([e.first, e.later.ravel()]), best, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(s.ravel(), M @ best, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(gain, slope @ best, rtol=1e-9)
    whole = (M @ np.linalg.solve(H, M.T)).reshape(STEPS, N, STEPS, N)
    np.testing.assert_allclose(cov, np.stack([whole[t, :, t] for t in range(STEPS)]), rtol=1e-8, atol=1e-10)


@small_and_large
def test_a_precision_that_is_not_positive_is_not_a_number(r: int) -> None:
    x = expansion(r)
    assert riccati.is_positive(jit(riccati.factor)(x))
    assert not riccati.is_positive(jit(riccati.factor)(x._replace(W=x.W - 50 * np.eye(N))))


def test_few_entries_are_one_native_function_each_pass() -> None:
    def passes(x):
        f = riccati.factor(x)
        step = riccati.solve(x, f, x.b, Noises(x.b[0, :1] * np.ones(x.G0.shape[1]), x.G[:, 0]))
        return riccati.carry_out(x, f, step), riccati.covariances(x, f)

    named = lambda r: [e.primitive.name for e in jax.make_jaxpr(passes)(expansion(r)).jaxpr.eqns]
    assert named(2).count("one_kernel") == 4 and "scan" not in named(2)
    assert "one_kernel" not in named(8)
