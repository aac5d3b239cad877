"""The extended Kalman filter with a precision of a diagonal and a low rank: the full one where the rank is full."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.engines import EKF
from ssmlang.engines.nonlinear import Facts, Law
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.nonlinear import NonlinearLowering
from tests.engines.nonlinear_programs import gaussian
from tests.engines.programs import jit

LINEAR = """
input g[4]
state x[4]
obs y[2]
init x ~ Normal(0.5, 2)
x[t, 0] ~ Normal(0.9 * x[t-1, 0] + 0.1, 0.5)
x[t, 1] = x[t-1, 1]
x[t, 2] ~ Normal(-0.5 * x[t-1, 2], 0.3)
x[t, 3] = 0.7
y[t] ~ MvNormal([g[t] @ x[t], x[t, 1] - x[t, 2]], [[0.5, 0.2], [0.2, 0.4]])
"""
NETWORK = """
input u[2]
augment param W[3, 2] ~ Normal(0, 1) walk 0.05
augment param v[3] ~ Normal(0, 1) walk 0.001
state x
obs y, hit
init x ~ Normal(0, 1)
x[t] ~ Normal(0.8 * x[t-1], 0.3)
y[t] ~ Normal(x[t] + v @ tanh(W @ u[t]), 0.2)
hit[t] ~ Bernoulli(logits = v[0] + 2 * x[t])
"""


def program_of(source: str, steps: int = 15) -> tuple[Any, Any]:
    model = ssmlang.compile(source)
    rng = np.random.default_rng(0)
    inputs = {n: jnp.asarray(rng.normal(size=(steps, *v.shape))) for n, v in model.spec.inputs.items()}
    data = {n: rng.normal(size=(steps, *v.shape)) for n, v in model.spec.observations.items()}
    if "hit" in data:
        data["hit"] = (data["hit"] > 0).astype(float)
    for values in data.values():
        values[4] = np.nan
    next(iter(data.values())).reshape(steps, -1)[7, 0] = np.nan
    from ssmlang.inference.augmented import walks_of

    lowering = NonlinearLowering(model.spec, walks_of(model.spec))
    return lowering.program({}, {k: jnp.asarray(v) for k, v in data.items()}, inputs, steps)


@pytest.mark.parametrize("source", [LINEAR, NETWORK], ids=["linear", "network"])
def test_a_full_rank_gives_the_numbers_of_the_full_covariance(source: str) -> None:
    program, y = program_of(source)
    assert program.facts.apart
    low = EKF(covariance="low_rank", rank=program.facts.N)
    a, b = jit(lambda: (low.filter(program, y), EKF().filter(program, y)))()
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    for name in ("mean", "predicted_mean", "observed_mean", "observed_cov"):
        close(getattr(a, name), getattr(b, name))
    close(a.sd, np.sqrt(np.diagonal(b.cov, axis1=1, axis2=2)))
    close(a.predicted_sd, np.sqrt(np.diagonal(b.predicted_cov, axis1=1, axis2=2)))
    if program.facts.gaussian_emission:
        close(a.log_likelihood, b.log_likelihood)
    else:  # along what the row sees, not along all axes
        np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, atol=0.1)


def test_means_are_exact_until_more_directions_were_seen_than_there_are() -> None:
    """Entries that stand still, of equal variance, seen through few directions."""
    n, seen = 12, 3
    rng = np.random.default_rng(1)
    H = jnp.asarray(rng.normal(size=(seen, n)))
    program = standing(n, lambda t: H[t % seen][None])
    y = jnp.asarray(rng.normal(size=(10, 1)))
    few, whole = EKF(covariance="low_rank", rank=seen).filter(program, y), EKF().filter(program, y)
    np.testing.assert_allclose(few.mean, whole.mean, atol=1e-10)
    np.testing.assert_allclose(few.sd, np.sqrt(np.diagonal(whole.cov, axis1=1, axis2=2)), atol=1e-10)
    fewer = EKF(covariance="low_rank", rank=1).filter(program, y)
    assert np.abs(fewer.mean - whole.mean).max() > 1e-3


def standing(n: int, rows: Any) -> Any:
    facts = Facts(n=n, N=n, first_noises=n, noises=n, m=1, k=1, additive=True, linear=True, apart=True,
                  gaussian_emission=True)  # fmt: skip
    seen = lambda t, s: Law(rows(t) @ s, jnp.eye(1) * 0.1)
    return gaussian(facts, lambda e: 2 * e, lambda t, s, e: s + 0.0 * e, seen)


def test_a_step_of_four_hundred_entries_costs_a_fraction() -> None:
    n, steps = 400, 30
    g = jnp.asarray(np.random.default_rng(2).normal(size=(steps, n)))
    y = jnp.asarray(np.random.default_rng(3).normal(size=(steps, 1)))
    program = standing(n, lambda t: g[t][None])

    def operations(engine: EKF) -> float:
        """As the compiler counts them: of one row, the loop over rows being one body."""
        cost: Any = jax.jit(lambda y: engine.log_likelihood(program, y)).lower(y).compile().cost_analysis()
        return cost["flops"]

    assert operations(EKF(covariance="low_rank", rank=10)) < 0.1 * operations(EKF())


def test_what_it_cannot_do_is_said() -> None:
    for wrong in ({"covariance": "low_rank"}, {"covariance": "low_rank", "rank": 0}, {"rank": 3}, {"covariance": "no"}):
        with pytest.raises(ValueError):
            EKF(**wrong)
    low = EKF(covariance="low_rank", rank=2)
    coupled = ssmlang.compile("state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t, 0] ~ Normal(x[t-1, 1], 1)\n"
                              "x[t, 1] ~ Normal(sin(x[t-1, 0]), 1)\ny[t] ~ Normal(x[t, 0], 1)")  # fmt: skip
    with pytest.raises(SsmError) as found:
        coupled.filter({"y": np.zeros(3)}, {}, engine=low)
    assert "move by themselves" in str(found.value) and 'covariance="full"' in str(found.value)
    alone = ssmlang.compile("state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"
                            "y[t] ~ Normal(x[t, 0] * x[t, 1], 1)")  # fmt: skip
    assert "sd" in alone.filter({"y": np.zeros(3)}, {}, engine=low)
    with pytest.raises(SsmError) as found:
        alone.smooth({"y": np.zeros(3)}, {}, engine=low)
    assert "filters alone" in str(found.value)
