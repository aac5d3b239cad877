"""Lifted models against the joint moments of their coordinates and data: the best linear filter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from ssmlang.analysis.lifted_exact import LiftedModel
from ssmlang.analysis.lifting import lifted
from ssmlang.engines.kalman import Kalman
from ssmlang.frontend import check_text
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm, linear_form
from tests.lowering.lifts import CASES, INPUT, Lifted, joint


def lowering(text: str) -> tuple[LiftedModel, GaussianLowering]:
    made = lifted(check_text(text).require())
    assert isinstance(made, LiftedModel), made
    form = linear_form(made.model)
    assert isinstance(form, LinearForm), form
    return made, GaussianLowering(made.model, form)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_filter_and_smoother_are_the_best_linear_ones(case: Lifted) -> None:
    made, lower = lowering(case.text)
    assert made.exact == case.exact, made.reasons
    law = joint(case)
    T, D, m = law.rows, law.D, law.m
    rng = np.random.default_rng(1)
    y = law.mean[T * D :].reshape(T, m) + rng.normal(size=(T, m))
    y[1, 0] = np.nan
    cov = law.cov + np.diag(np.r_[np.zeros(T * D), np.full(T * m, case.variance)])
    with jax.enable_x64(True):
        params = {k: jnp.asarray(v) for k, v in case.params.items()}
        inputs = {"u": INPUT[:T]} if "input" in case.text else {}
        shaped = y if len(lower.model.observations["y"].shape) else y[:, 0]

        @jax.jit
        def moments(params: dict, y: jax.Array, inputs: dict) -> tuple:
            program, data = lower.program(params, {"y": y}, inputs, T)
            return Kalman().filter(program, data), Kalman().smooth(program, data)

        filtered, smoothed = moments(params, shaped, inputs)
    flat = y.reshape(-1)
    for t in range(T):
        for found, seen in ((filtered, np.arange(T * m) < (t + 1) * m), (smoothed, np.ones(T * m, bool))):
            k = T * D + np.flatnonzero(seen & ~np.isnan(flat))
            at = np.arange(t * D, (t + 1) * D)
            gain = np.linalg.solve(cov[np.ix_(k, k)], cov[np.ix_(k, at)]).T
            mean = law.mean[at] + gain @ (flat[k - T * D] - law.mean[k])
            np.testing.assert_allclose(found.mean[t], mean, atol=1e-8)
            expected = cov[np.ix_(at, at)] - gain @ cov[np.ix_(k, at)]
            np.testing.assert_allclose(found.cov[t], expected, atol=1e-8)
    k = np.flatnonzero(~np.isnan(flat))
    density = multivariate_normal(law.mean[T * D + k], cov[np.ix_(T * D + k, T * D + k)]).logpdf(flat[k])
    np.testing.assert_allclose(np.asarray(filtered.log_likelihood).sum(), density, atol=1e-8)


def log_likelihood(text: str, y: np.ndarray, latent: tuple[str, ...] = ()) -> float:
    model = check_text(text).require()
    form = linear_form(model, latent)
    if not isinstance(form, LinearForm):
        made = lifted(model)
        assert isinstance(made, LiftedModel), made
        model, form = made.model, linear_form(made.model, latent)
    assert isinstance(form, LinearForm), form
    with jax.enable_x64(True):
        low = GaussianLowering(model, form)
        return float(jax.jit(lambda y: Kalman().log_likelihood(*low.program({}, {"y": y}, {}, len(y))))(y))


SQUARE = """state x, v
obs y
init x ~ Normal(0.5, 0.3)
init v = 0
x[t] = 0.9 * x[t-1]
v[t] ~ Normal(0.5 * v[t-1] + x[t-1]^2, 0.2)
{emission}
lift z[t] = [x[t], v[t], x[t]^2] exact
"""


def test_noises_of_the_data_and_data_that_are_read_back() -> None:
    y = np.random.default_rng(0).normal(size=12)
    plain = SQUARE.format(emission="y[t] ~ Normal(v[t] + 2 * x[t]^2, 0.3)")
    named = SQUARE.format(emission="noise w[2] ~ Normal(0, 0.1)\n"
                          "y[t] = v[t] + 2 * x[t]^2 + w[t, 0] + sqrt(8) * w[t, 1]")  # fmt: skip
    np.testing.assert_allclose(log_likelihood(named, y), log_likelihood(plain, y), atol=1e-9)
    fed = SQUARE.format(emission="init y ~ Normal(v + 2 * x^2, 0.3)\n"
                        "y[t] ~ Normal(v[t] + 2 * x[t]^2 + 0.5 * y[t-1], 0.3)")  # fmt: skip
    back = y.copy()
    for t in range(1, len(y)):
        back[t] = y[t] + 0.5 * back[t - 1]
    np.testing.assert_allclose(log_likelihood(fed, back), log_likelihood(plain, y), atol=1e-9)


def test_multiplied_noise_is_added_to_a_logarithm() -> None:
    """Gompertz' model of growth, x[t] = x[t-1]^0.8 e^(0.1 + noise), is an autoregression of log x."""
    y = np.random.default_rng(0).normal(size=8)
    growth = ("state x\nobs y\ninit x ~ LogNormal(0.2, 0.3)\nx[t] ~ LogNormal(0.8 * log(x[t-1]) + 0.1, 0.2)\n"
              "y[t] ~ Normal(log(x[t]), 0.5)\nlift z[t] = [log(x[t]), 1] exact\n")  # fmt: skip
    logs = ("state x\nobs y\ninit x ~ Normal(0.2, 0.3)\nx[t] ~ Normal(0.8 * x[t-1] + 0.1, 0.2)\n"
            "y[t] ~ Normal(x[t], 0.5)\n")  # fmt: skip
    np.testing.assert_allclose(log_likelihood(growth, y), log_likelihood(logs, y), atol=1e-9)
    made, _ = lowering(growth)
    assert made.exact


def test_roots_and_powers_of_matrices() -> None:
    """Of any rank, in NumPy as in JAX, and differentiable where the rank stays."""
    random = np.random.default_rng(0)
    factor = random.normal(size=(4, 2))
    with jax.enable_x64(True):
        loads = lambda s: expr.mul(expr.const(factor), s)
        scale = expr.param("s", (), ())
        gram = expr.matmul(loads(scale), expr.transpose(loads(scale)))
        root = expr.linalg("semidefinite_root", [gram], gram.shape)
        value = lambda s: evaluate([root], Environment({"s": s}))[0]
        G = np.asarray(value(jnp.asarray(1.5)))
        np.testing.assert_allclose(G @ G.T, 2.25 * factor @ factor.T, atol=1e-12)
        assert not G[:, 2:].any() and (np.triu(G, 1) == 0).all()
        folded = expr.linalg("semidefinite_root", [expr.const(2.25 * factor @ factor.T)], (4, 4))
        np.testing.assert_allclose(folded.value, G, atol=1e-12)
        np.testing.assert_allclose(jax.jacfwd(value)(jnp.asarray(1.5)), G / 1.5, atol=1e-10)
        square = expr.const(random.normal(size=(3, 3)))
        power = expr.linalg("matrix_power", [square, expr.time()], (3, 3))
        for horizon in (13, None):
            at = lambda t, horizon=horizon: evaluate([power], Environment({}, t=t, horizon=horizon))[0]
            found = jax.vmap(at)(jnp.arange(14))
            for t in (0, 1, 6, 13):
                np.testing.assert_allclose(found[t], np.linalg.matrix_power(square.value, t), rtol=1e-10)
