"""Derivatives that are written down are those of the recursions themselves; what is hoisted is worked out once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.engines._hoisted import hoisted
from ssmlang.engines._linearise import _written_out
from ssmlang.engines._row_update import eliminated


@pytest.mark.parametrize(("size", "rank"), [(2, 1), (3, 3), (4, 3)])
def test_the_root_of_a_covariance_of_any_rank(size: int, rank: int) -> None:
    rng = np.random.default_rng(size)
    A, weight = rng.normal(size=(size, rank)), rng.normal(size=(size, size))
    A[1 : size - rank + 1 if size > 2 else 1] = 0.0  # a pivot that is zero to the last digit
    with jax.enable_x64(True):
        half = lambda root: lambda P: jnp.sum(weight * root(0.5 * (P + P.T)) ** 2)
        written, plain = half(_written_out), half(_written_out.fun)
        P = jnp.asarray(A @ A.T)
        np.testing.assert_allclose(_written_out(P) @ _written_out(P).T, P, atol=1e-13)
        np.testing.assert_allclose(jax.jit(jax.grad(written))(P), jax.jit(jax.grad(plain))(P), atol=1e-11)
        np.testing.assert_allclose(
            jax.jit(jax.hessian(written))(P), jax.jit(jax.hessian(plain))(P), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("seen", [[True, True], [False, True, True]])
def test_the_elimination_of_the_entries_that_are_seen(seen: list[bool]) -> None:
    rng, n = np.random.default_rng(len(seen)), len(seen)
    A, R = rng.normal(size=(n, n)), rng.uniform(0.5, 1, n)
    weights = [rng.normal(size=s) for s in ((n, n), n, n)]
    with jax.enable_x64(True):

        def total(run: object) -> object:
            def value(S: jax.Array, R: jax.Array) -> jax.Array:
                found = run(0.5 * (S + S.T), R, jnp.asarray(seen), jnp.zeros(n))[:3]  # type: ignore[operator]
                return sum(jnp.sum(w * f**2) for w, f in zip(weights, found, strict=True))  # type: ignore[return-value]

            return value

        at = (jnp.asarray(A @ A.T), jnp.asarray(R))
        for derivative, which in ((jax.grad, 0), (jax.grad, 1), (jax.hessian, 0)):
            written, plain = (jax.jit(derivative(total(f), which))(*at) for f in (eliminated, eliminated.fun))
            np.testing.assert_allclose(written, plain, rtol=1e-9, atol=1e-9)


def test_what_follows_from_numbers_alone_is_worked_out_once() -> None:
    with jax.enable_x64(True):

        def made(theta: jax.Array) -> object:
            cov = jnp.array([[1.0, 0.0], [0.0, 1.0]]).at[0, 1].set(theta).at[1, 0].set(theta)
            return hoisted(lambda t, s: jnp.linalg.cholesky(cov) @ s * jnp.where(t > 0, theta, 1.0),
                           jnp.asarray(1), jnp.zeros(2))  # fmt: skip

        def value(theta: jax.Array) -> jax.Array:
            function = made(theta)
            left = str(jax.make_jaxpr(lambda s: function(np.int32(2), s))(jnp.ones(2)))  # type: ignore[operator]
            assert "cholesky" not in left
            return jnp.sum(function(np.int32(2), jnp.ones(2)) ** 2)  # type: ignore[operator]

        # (1 + theta^2 + 2 theta sqrt(1 - theta^2) + 1 - theta^2) theta^2
        plain = lambda h: (2 + 2 * h * jnp.sqrt(1 - h**2)) * h**2
        for f, g in ((value, plain), (jax.grad(value), jax.grad(plain)), (jax.jit(value), plain)):
            assert float(f(jnp.asarray(0.4))) == pytest.approx(float(g(0.4)), rel=1e-12)
