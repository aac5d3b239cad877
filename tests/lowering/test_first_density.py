"""The density of a whole path of states, against that of the joint Gaussian."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines.nonlinear import Nonlinear
from ssmlang.lowering.nonlinear import NonlinearLowering

HEAD = "param phi in (-1, 1) ~ Normal(0.5, 0.4)\nparam q ~ HalfNormal(1)\nstate x\nobs y\n"
TAIL = "x[t] ~ Normal(phi * x[t-1], q)\ny[t] ~ Normal(x[t], 0.5)\n"
PARAMS = {"phi": 0.8, "q": 0.7}


def lowered(text: str) -> NonlinearLowering:
    return NonlinearLowering(ssmlang.compile(text).spec, {})


def program(text: str, steps: int) -> Nonlinear:
    params = {n: jnp.asarray(v) for n, v in PARAMS.items()}
    return lowered(text).program(params, {"y": jnp.zeros(steps)}, {}, steps)[0]


@pytest.mark.parametrize(
    ("init", "variance"), [("Stationary()", 0.49 / (1 - 0.64)), ("Normal(0, 2 * q)", 1.96)]
)  # fmt: skip
def test_a_path_has_the_density_of_the_joint_law(init: str, variance: float) -> None:
    path = np.random.default_rng(0).normal(size=6)
    with jax.enable_x64(True):
        p = program(HEAD + f"init x ~ {init}\n" + TAIL, 6)
        assert p.log_first is not None
        step = jax.jit(p.log_transition)
        total = float(jax.jit(p.log_first)(path[:1]))
        total += sum(float(step(t, path[t - 1 : t], path[t : t + 1])) for t in range(1, 6))
    A = np.eye(6) - 0.8 * np.eye(6, k=-1)
    noise = np.diag([variance, *[0.49] * 5])
    cov = np.linalg.solve(A, np.linalg.solve(A, noise).T)
    np.testing.assert_allclose(total, stats.multivariate_normal(np.zeros(6), cov).logpdf(path), rtol=1e-10)


def test_a_first_row_by_the_equation_and_one_that_is_a_number() -> None:
    two = "param phi ~ Normal(0, 1)\nparam q ~ HalfNormal(1)\nstate x, v\nobs y\ninit v = 2\n"
    two += "v[t] ~ Normal(v[t-1], q)\nx[t] ~ Normal(phi * v[t], 0.3)\ny[t] ~ Normal(x[t], 1)\n"
    with jax.enable_x64(True):
        p = program(two, 3)
        assert p.log_first is not None
        found = p.log_first(jnp.asarray([1.1, 2.0]))
    np.testing.assert_allclose(found, stats.norm(1.6, 0.3).logpdf(1.1), rtol=1e-12)


@pytest.mark.parametrize("init", ["init x = phi", "init x[-1] ~ Normal(0, 1)"])
def test_where_the_first_row_has_none(init: str) -> None:
    assert not lowered(HEAD + init + "\n" + TAIL).first_density
