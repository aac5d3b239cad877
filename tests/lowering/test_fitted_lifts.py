"""The operator of a fitted lift beside plain least squares in NumPy, and dictionaries of every kind."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.draws import draw_priors
from ssmlang.analysis.lifted_design import PATHS, ROWS, design
from ssmlang.analysis.lifted_exact import LiftedModel
from ssmlang.analysis.lifted_fitted import regression
from ssmlang.analysis.lifting import lifted
from ssmlang.analysis.prior_paths import state_paths
from ssmlang.analysis.skeleton import Key
from ssmlang.analysis.values import evaluate_all
from ssmlang.frontend import check_text
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm
from tests.api.test_lifts import KOOPMAN, PENDULUM
from tests.lowering.lifts import CASES

DT, PUSH = 0.05, 0.3
MAP = """model map
param a in (-1, 1) ~ Normal(0.8, 0.1)
param s ~ HalfNormal(0.3)
def squash(v) = [tanh(2 * v), v / (1 + v^2)]
state x
obs y
init x ~ Normal(0.5, 0.5)
x[t] {law}
y[t] ~ Normal({read}, s)
lift z[t] = {functions} fitted
"""
DICTIONARIES = {
    "monomials": ("monomials(x[t], 3)", "x[t] + x[t]^3"),
    "fourier": ("fourier(x[t], 2)", "sin(x[t]) - cos(2 * x[t])"),
    "rbf": ("[x[t], exp(-(x[t] - 1)^2), exp(-x[t]^2 / 2)]", "2 * x[t]"),
    "centers": ("rbf(x[t], [-1, 0, 1])", "exp(-(x[t] - 1)^2 / 2)"),
    "functions of the user's": ("[squash(x[t])[0], squash(x[t])[1], x[t]]", "tanh(2 * x[t])"),
}


def test_the_operator_is_that_of_least_squares() -> None:
    model = check_text(PENDULUM.format(amplitude=1.5)).require()
    states = design(model, [Key("state", "angle"), Key("state", "rate")])
    angle, rate = states[Key("state", "angle")], states[Key("state", "rate")]
    lift = lambda a, r: np.stack([a, r, np.sin(a), np.cos(a), r * np.cos(a)])
    ahead, mean = angle + DT * rate, rate - DT * 9.81 * np.sin(angle)
    here, there = np.vstack([lift(angle, rate), np.ones_like(rate)]), lift(ahead, mean)
    K = np.linalg.lstsq(here.T, there.T, rcond=None)[0].T
    misfit = there - K @ here
    zero = np.zeros_like(rate)
    loading = np.stack([zero, zero + 1, zero, zero, np.cos(ahead)])  # of the push, at each state
    cov = (misfit @ misfit.T + PUSH**2 * loading @ loading.T) / len(rate)
    found = regression(model, model.lifts[0], Koopman(model), 1e-12, {})
    coefficients, left = evaluate_all([found.coefficients, found.cov], {"sd_push": np.array(PUSH)})
    np.testing.assert_allclose(coefficients, K, atol=1e-6)
    np.testing.assert_allclose(left, cov, atol=1e-6)


def test_rows_that_algebra_knows_are_those_that_the_regression_finds() -> None:
    model = check_text(KOOPMAN.format(mean=1).replace("exact", "fitted")).require()
    found = regression(model, model.lifts[0], Koopman(model), 1e-12, {})
    a, b = 0.9, 0.5
    at = {"a": np.array(a), "b": np.array(b)}
    coefficients, left = evaluate_all([found.coefficients, found.cov], at)
    np.testing.assert_allclose(coefficients, [[a, 0, 0, 0], [0, b, b - a**2, 0], [0, 0, a**2, 0]], atol=1e-8)
    np.testing.assert_allclose(left, 0, atol=1e-12)
    made = lifted(model)
    assert isinstance(made, LiftedModel) and isinstance(made.form, LinearForm)
    assert made.form.transition.terms["x", 1].nnz == 4 and ("e", 0) not in made.form.transition.terms


@pytest.mark.parametrize(("name", "law"), [
    ("monomials", "= a * x[t-1] / (1 + x[t-1]^2) + 0.1"), ("fourier", "~ Normal(a * sin(2 * x[t-1]), 0.2)"),
    ("rbf", "~ LogNormal(a * log(1 + x[t-1]^2) / 2, 0.1)"), ("centers", "~ Normal(a * tanh(x[t-1]), 0.2)"),
    ("functions of the user's", "~ Normal(a * sin(2 * x[t-1]), 0.2)"),
])  # fmt: skip
def test_dictionaries(name: str, law: str) -> None:
    """Each gives a program that is smooth in the parameters."""
    functions, read = DICTIONARIES[name]
    made = lifted(check_text(MAP.format(law=law, functions=functions, read=read)).require())
    assert isinstance(made, LiftedModel) and isinstance(made.form, LinearForm), made
    lowering = GaussianLowering(made.model, made.form)
    with jax.enable_x64(True):

        @jax.jit
        def numbers(a: jax.Array) -> jax.Array:
            program, _ = lowering.program({"a": a, "s": jnp.asarray(0.3)}, {"y": jnp.zeros(2)}, {}, 2)
            return jnp.concatenate([program.F[0], program.c[:, None], program.G[0] @ program.G[0].T], axis=1)

        a = jnp.asarray(0.8)
        assert np.isfinite(numbers(a)).all()
        slope, h = jax.jacfwd(numbers)(a), 1e-5
        difference = (np.asarray(numbers(a + h)) - np.asarray(numbers(a - h))) / (2 * h)
        np.testing.assert_allclose(slope, difference, atol=1e-5, rtol=1e-5)


def test_noise_is_averaged_over() -> None:
    """E[tanh(2 x')] at each state by quadrature, beside many draws."""
    functions, read = DICTIONARIES["functions of the user's"]
    law = "~ Normal(a * sin(2 * x[t-1]), 0.2)"
    model = check_text(MAP.format(law=law, functions=functions, read=read)).require()
    found = regression(model, model.lifts[0], Koopman(model), 1e-12, {})
    x = design(model, [Key("state", "x")])[Key("state", "x")]
    squash = lambda v: np.stack([np.tanh(2 * v), v / (1 + v**2), v])
    e = np.random.default_rng(1).standard_normal(20_000)
    e = np.concatenate([e, -e])
    there = squash(0.8 * np.sin(2 * x)[:, None] + 0.2 * e)
    mean = there.mean(axis=2)
    here = np.vstack([squash(x), np.ones_like(x)])
    K = np.linalg.lstsq(here.T, mean.T, rcond=None)[0].T
    misfit, away = mean - K @ here, there - mean[:, :, None]
    cov = misfit @ misfit.T / len(x) + np.einsum("ipq,jpq->ij", away, away) / away[0].size
    coefficients, left = evaluate_all([found.coefficients, found.cov], {"a": np.array(0.8), "s": np.array(0.3)})
    np.testing.assert_allclose(coefficients @ here, K @ here, atol=2e-3)
    np.testing.assert_allclose(left, cov, atol=5e-4)


def test_the_first_row_by_quadrature_is_that_of_closed_forms() -> None:
    case = next(c for c in CASES if c.name == "a phase times what is uncertain with it")
    closed = lifted(check_text(case.text).require())
    # tanh has no algebra: with it in the lift the moments come by quadrature, of the other coordinates too.
    text = case.text.replace("v[t] * cos(x[t])] exact", "v[t] * cos(x[t]), tanh(x[t])] fitted")
    fitted = lifted(check_text(text).require())
    assert isinstance(closed, LiftedModel) and isinstance(fitted, LiftedModel)
    starts = []
    for made in (closed, fitted):
        assert isinstance(made.form, LinearForm)
        lowering = GaussianLowering(made.model, made.form)
        with jax.enable_x64(True):
            params = {k: jnp.asarray(v) for k, v in case.params.items()}
            lower = lambda params, low=lowering: low.program(params, {"y": np.zeros(3)}, {}, 3)[0].initial
            first = jax.jit(lower)(params)
            starts.append((np.asarray(first.mean), np.asarray(first.factor)))
    (mean, factor), (other, root) = starts
    np.testing.assert_allclose(other[:2], mean, atol=1e-9)
    np.testing.assert_allclose((root @ root.T)[:2, :2], factor @ factor.T, atol=1e-9)
    draws = np.random.default_rng(0).standard_normal(400_000)
    assert abs(other[2] - np.tanh(0.2 + np.sqrt(0.2) * draws).mean()) < 3e-3


DUFFING = """model duffing
const dt = 0.1
const centers = [[-1, 0], [1, 0], [0, 0]]
param sd ~ HalfNormal(0.5)
param sd_obs ~ HalfNormal(0.5)
state x[2]
obs y
init x ~ Normal([1, 0], 0.3)
x[t] ~ Normal([x[t-1, 0] + dt * x[t-1, 1],
               x[t-1, 1] + dt * (x[t-1, 0] - x[t-1, 0]^3 - 0.3 * x[t-1, 1])], [0.001, sd])
y[t] ~ Normal(x[t, 0], sd_obs)
lift z[t] = {functions} fitted
"""


def test_a_list_joins_dictionaries_to_single_functions() -> None:
    """So that an observation of a state can be read from a lift of sines or bumps."""
    functions = "[x[t], fourier(x[t], 1), x[t, 0] * x[t, 1], rbf(x[t], centers)]"
    lift = check_text(DUFFING.format(functions=functions)).require().lifts[0]
    assert lift.value.shape == (2 + 4 + 1 + 3,)
    model = ssmlang.compile(DUFFING.format(functions=functions))
    params = {"sd": 0.05, "sd_obs": 0.1}
    data = {"y": model.simulate(12, params, seed=1)["y"].values}
    found = model.filter(data, params, engine="kalman")
    assert found.sizes["state"] == 10 and np.isfinite(found["mean"].values).all()
    with pytest.raises(ssmlang.SsmError, match="a lift is a vector of functions"):
        check_text(DUFFING.format(functions="[x[t], [[1, 2], [3, 4]] * x[t, 0]]")).require()


def test_paths_that_leave_for_infinity_are_left_out() -> None:
    """Where the step is too long for a steep force some paths of the prior run away, over the whole range of floats."""
    model = check_text(DUFFING.format(functions="[x[t, 0], x[t, 1], x[t, 0]^3]")).require()
    keys = [Key("state", "x", 0), Key("state", "x", 1)]
    random = np.random.default_rng(0)
    drawn = [state_paths(model, params, ROWS, random)["x"] for params in draw_priors(model, PATHS)]
    assert 0 < sum(not np.isfinite(x).all() for x in drawn) < PATHS
    states = design(model, keys)
    assert max(np.abs(states[k]).max() for k in keys) < 100
