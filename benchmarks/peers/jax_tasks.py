"""The tasks of a JAX library, made of its log-likelihood and its smoother as pure functions of matrices and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from serving import Job, Problem, Task, fastest

NAMES = ("F", "H", "Q", "R")
LogLikelihood = Callable[..., jax.Array]
"""Of F, H, Q, R and y (T, m); the first state is N(0, I)."""


def matrices(problem: Problem) -> list[jax.Array]:
    return [jnp.asarray(problem[name]) for name in NAMES]


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A call that returns when the numbers are there."""
    return lambda: jax.block_until_ready(function(*arguments))


def value(result: Any) -> dict[str, np.ndarray]:
    return {"value": np.asarray(result).sum()}


def value_and_gradient(result: Any) -> dict[str, np.ndarray]:
    found, slopes = result
    return {"value": np.asarray(found).sum(), **{f"d{n}": np.asarray(s) for n, s in zip(NAMES, slopes, strict=True)}}


def moments(result: Any) -> dict[str, np.ndarray]:
    mean, cov = result
    return {"mean": np.asarray(mean), "cov": np.asarray(cov)}


def of_series(loglik: LogLikelihood) -> dict[str, Task]:
    """Value, and value with gradient in every entry of the matrices, of one series."""

    def likelihood(problem: Problem) -> Job:
        return Job(timed(jax.jit(loglik), *matrices(problem), jnp.asarray(problem["y"])), value)

    def gradient(problem: Problem) -> Job:
        function = jax.jit(jax.value_and_grad(loglik, (0, 1, 2, 3)))
        return Job(timed(function, *matrices(problem), jnp.asarray(problem["y"])), value_and_gradient)

    return {"loglik": likelihood, "gradient": gradient}


def of_panel(loglik: LogLikelihood) -> dict[str, Task]:
    """A panel: matrices of each series' own, or shared by all; the faster of a batch and a loop over series."""

    def own(problem: Problem) -> Job:
        y = jnp.asarray(problem["y"])
        batch = jax.jit(lambda mats, y: jax.vmap(loglik)(*mats, y).sum())
        loop = jax.jit(lambda mats, y: jax.lax.map(lambda one: loglik(*one), (*mats, y)).sum())
        forms = {"vmap": batch, "loop": loop}
        return fastest([Job(timed(f, matrices(problem), y), value, form) for form, f in forms.items()])

    def own_gradient(problem: Problem) -> Job:
        y = jnp.asarray(problem["y"])
        total = lambda mats, y: jax.vmap(loglik)(*mats, y).sum()
        return Job(timed(jax.jit(jax.value_and_grad(total)), matrices(problem), y), value_and_gradient, "vmap")

    def shared(problem: Problem) -> Job:
        total = jax.jit(lambda mats, y: jax.vmap(lambda one: loglik(*mats, one))(y).sum())
        return Job(timed(total, matrices(problem), jnp.asarray(problem["y"])), value, "vmap")

    return {"panel_own": own, "panel_own_gradient": own_gradient, "panel_shared": shared}


def of_smoother(smooth: Callable[..., tuple[jax.Array, jax.Array]]) -> dict[str, Task]:
    """Smoothed means (T, n) and covariances (T, n, n)."""

    def smoother(problem: Problem) -> Job:
        return Job(timed(jax.jit(smooth), *matrices(problem), jnp.asarray(problem["y"])), moments)

    return {"smoother": smoother}


def of_singular(ways: Mapping[str, LogLikelihood]) -> dict[str, Task]:
    """Value and gradient in (log q, log r) where Q = q g g' has rank one, by each way that the library offers.

    A way is a function of F, H, G, Q, R, y with Q = G G'. The answer has arrays `value` and `gradient`, a row a way.
    """

    def singular(problem: Problem) -> Job:
        F, H, g, y = (jnp.asarray(problem[k]) for k in ("F", "H", "g", "y"))

        def by(way: LogLikelihood) -> Callable[[jax.Array], Any]:
            def function(theta: jax.Array) -> jax.Array:
                q, r = jnp.exp(theta)
                return way(F, H, jnp.sqrt(q) * g, q * g @ g.T, r * jnp.eye(1), y)

            return jax.jit(jax.value_and_grad(function))

        functions = {name: by(way) for name, way in ways.items()}
        run = lambda: jax.block_until_ready([f(jnp.asarray(problem["theta"])) for f in functions.values()])
        return Job(run, lambda found: ways_answer(list(functions), found))

    return {"singular": singular}


def ways_answer(names: list[str], found: list[Any]) -> dict[str, np.ndarray]:
    """The answer to the singular task: names, values and gradients of each way."""
    values, gradients = zip(*found, strict=True)
    return {"ways": np.array(names), "value": np.array(values, float), "gradient": np.array(gradients, float)}
