"""Laplace's approximation against a grid, against the exact engine, and against finite differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ssmlang
from ssmlang.engines import Importance, Laplace
from ssmlang.lowering.nonlinear import NonlinearLowering
from tests.engines.grid_oracle import EMISSIONS, PARAMS, OnGrid, autoregression, text
from tests.engines.programs import jit

STEPS = 40
SIZES = {"volatility": 0.05, "poisson": 0.1, "negative_binomial": 0.12, "bernoulli": 0.12, "binomial": 0.12,
         "student": 1.0}  # fmt: skip
"""How far the log-likelihood of these 40 rows may be from the truth: the sizes that docs/non_gaussian.md gives."""


class Case:
    """A model, data and its programs."""

    def __init__(self, source: str, params: dict[str, Any], steps: int = STEPS, seed: int = 3) -> None:
        self.model = ssmlang.compile(source)
        self.lowering = NonlinearLowering(self.model.spec, {})
        drawn = self.model.simulate(steps=steps, params=params, seed=seed)
        self.data = {n: drawn[n].values.astype(float) for n in self.model.spec.observations}
        next(iter(self.data.values()))[7] = np.nan
        self.params = {k: jnp.asarray(v, float) for k, v in params.items()}
        self.steps = steps

    def program(self, params: dict[str, Any] | None = None) -> tuple[Any, Any]:
        data = {k: jnp.asarray(v) for k, v in self.data.items()}
        return self.lowering.program(self.params if params is None else params, data, {}, self.steps)


def on_grid(case: Case, emission: str) -> OnGrid:
    return autoregression(case.data["y"], EMISSIONS[emission][1], **PARAMS, points=601)


@pytest.mark.parametrize("emission", EMISSIONS)
def test_likelihood_and_moments_are_near_the_truth(emission: str) -> None:
    case = Case(text(emission), PARAMS)
    truth = on_grid(case, emission)
    engine = Laplace()
    ask = lambda: (engine.log_likelihood(*case.program()), engine.smooth(*case.program()))
    value, found = jit(ask)()
    assert abs(float(value) - truth.terms.sum()) < SIZES[emission]
    assert float(found.log_likelihood.sum()) == pytest.approx(float(value), abs=1e-8)
    np.testing.assert_allclose(found.mean[:, 0], truth.smoothed, atol=0.2 * np.sqrt(truth.smoothed_var.max()) + 0.05)
    ratio = np.asarray(found.cov[:, 0, 0]) / truth.smoothed_var
    assert ratio.min() > 0.6 and ratio.max() < 1.5


def test_filter_is_near_the_truth() -> None:
    case = Case(text("poisson"), PARAMS)
    truth = on_grid(case, "poisson")
    found = jit(lambda: Laplace().filter(*case.program()))()
    np.testing.assert_allclose(found.mean[:, 0], truth.filtered, atol=0.15)
    np.testing.assert_allclose(found.cov[:, 0, 0], truth.filtered_var, atol=0.05)
    # One step ahead the mean count is E exp(x) and its variance E exp(x) + Var exp(x), x normal: closed forms.
    m, v = np.asarray(found.predicted_mean[:, 0]), np.asarray(found.predicted_cov[:, 0, 0])
    mean = np.exp(m + v / 2)
    np.testing.assert_allclose(found.observed_mean[:, 0], mean, rtol=1e-6)
    np.testing.assert_allclose(found.observed_cov[:, 0, 0], mean + mean**2 * np.expm1(v), rtol=1e-4)


LINEAR = """
param a ~ Normal(0, 1)
state x[2], z
obs y[2], w
init x ~ Normal(0, 1)
init z ~ Normal(0.5, 2)
x[t, 0] ~ Normal(a * x[t-1, 0] + 0.2 * x[t-1, 1] - 0.1 * z[t-1], 0.5)
x[t, 1] = x[t-1, 0]
z[t] ~ Normal(0.7 * z[t-1] + 0.3 * z[t-2], 0.3)
y[t] ~ MvNormal(x[t] + [z[t-1], 0], [[0.5, 0.2], [0.2, 0.4]])
w[t] ~ Normal(z[t], 0.7)
"""


@pytest.fixture(scope="module")
def linear() -> Case:
    """Singular noise, a lag, several observations, missing entries."""
    with jax.enable_x64(True):
        case = Case(LINEAR, {"a": 0.5}, steps=20)
        case.data["w"][3] = case.data["y"][4, 1] = np.nan
        return case


def test_linear_gaussian_programs_are_exact(linear: Case) -> None:
    both = jax.value_and_grad(lambda a: Laplace().log_likelihood(*linear.program({"a": a})))
    exact = jax.jit(jax.value_and_grad(lambda p: linear.model.log_likelihood(linear.data, p, engine="kalman")))
    # The second derivative is that of the first, and brings value and slope along.
    (found, slope), (_, second) = jit(lambda a: jax.jvp(both, (a,), (jnp.ones_like(a),)))(linear.params["a"])
    expected, its_slope = exact(linear.params)
    np.testing.assert_allclose([found, slope], [expected, its_slope["a"]], rtol=1e-9)
    h = 1e-5
    ends = [exact({"a": linear.params["a"] + d})[1]["a"] for d in (-h, h)]
    np.testing.assert_allclose(second, (ends[1] - ends[0]) / (2 * h), rtol=1e-6)


def test_so_are_their_moments(linear: Case) -> None:
    engine = Laplace()
    ask = lambda: (engine.filter(*linear.program()), engine.smooth(*linear.program()))
    filtered, smoothed = jit(ask)()
    for found, verb in ((filtered, "filter"), (smoothed, "smooth")):
        expected = getattr(linear.model, verb)(linear.data, linear.params, engine="kalman")
        names = ["mean", "cov", "observed_mean", "observed_cov", "log_likelihood", "predicted_mean", "predicted_cov"]
        for name in names if verb == "filter" else names[:4]:
            np.testing.assert_allclose(getattr(found, name), expected[name].values, rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("emission", ["volatility", "student"])
def test_gradients_go_through_the_mode(emission: str, once: bool) -> None:
    case = Case(text(emission), PARAMS)
    engine = Laplace(once=once)
    both = jit(jax.value_and_grad(lambda p: engine.log_likelihood(*case.program(p))))
    slope = both(case.params)[1]
    h = 1e-5
    for name, at in case.params.items():
        ends = [both(case.params | {name: at + d})[0] for d in (-h, h)]
        np.testing.assert_allclose(slope[name], (ends[1] - ends[0]) / (2 * h), rtol=1e-6, atol=1e-6, err_msg=name)


BENT = """
param r ~ Normal(0, 1)
state x, v
obs y
init x ~ Normal(1, 0.3)
init v ~ Normal(0, 0.3)
x[t] = x[t-1] + 0.3 * v[t-1]
v[t] ~ Normal(v[t-1] - 0.3 * r * sin(x[t-1]), 0.2 * exp(0.3 * v[t-1]))
y[t] ~ Poisson(exp(1 + x[t]))
"""


@pytest.fixture(scope="module")
def bent() -> Case:
    """States that move nonlinearly, with noise of rank one and a scale that moves too."""
    with jax.enable_x64(True):
        return Case(BENT, {"r": 1.0}, steps=8)


def test_nonlinear_states_by_the_dense_hessian(bent: Case) -> None:
    program, y = bent.program()

    def negative(e: jax.Array) -> jax.Array:
        s = program.first(e[:2])
        total = program.log_emission(jnp.asarray(0), s, y[0])
        for t in range(1, 8):
            s = program.transition(jnp.asarray(t), s, e[t + 1 : t + 2])
            total += program.log_emission(jnp.asarray(t), s, y[t])
        return 0.5 * e @ e - total

    at = jit(lambda e: (*jax.value_and_grad(negative)(e), jax.hessian(negative)(e)))
    e = np.zeros(9)
    for _ in range(30):
        _, gradient, hessian = at(e)
        e = e - np.linalg.solve(hessian, gradient)
    least, gradient, hessian = at(e)
    assert np.abs(gradient).max() < 1e-10
    expected = -float(least) - 0.5 * np.linalg.slogdet(hessian)[1]
    np.testing.assert_allclose(jit(lambda: Laplace().log_likelihood(*bent.program()))(), expected, rtol=1e-9)


def test_and_their_gradients(bent: Case) -> None:
    both = jit(jax.value_and_grad(lambda r: Laplace().log_likelihood(*bent.program({"r": r}))))
    slope = both(bent.params["r"])[1]
    h = 1e-5
    ends = [both(bent.params["r"] + d)[0] for d in (-h, h)]
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * h), rtol=1e-6)


def test_a_surprising_category_does_not_overshoot() -> None:
    """One Newton step from the prior mean leaves the mode far behind; softmax's covariance is singular."""
    source = """
state h[2]
obs word in 0..2
init h ~ Normal([6, -4], 3)
h[t] ~ Normal(h[t-1], 0.1)
word[t] ~ Categorical(logits = [h[t, 0], h[t, 1], 0])
"""
    model = ssmlang.compile(source)
    lowering = NonlinearLowering(model.spec, {})
    program, y = lowering.program({}, {"word": jnp.array([1.0])}, {}, 1)
    found = jit(lambda: Laplace().filter(program, y))()

    def negative(h: np.ndarray) -> float:
        return float(np.sum((h - [6, -4]) ** 2) / 18 - h[1] + np.logaddexp(np.logaddexp(h[0], h[1]), 0))

    import scipy.optimize

    mode = scipy.optimize.minimize(negative, [0.0, 0.0], method="BFGS", tol=1e-10).x
    np.testing.assert_allclose(found.mean[0], mode, atol=1e-6)


def test_too_few_steps_are_no_answer() -> None:
    case = Case(text("volatility"), PARAMS)
    assert np.isnan(jit(lambda: Laplace(iterations=1).log_likelihood(*case.program()))())


def test_importance_is_named_beside_it() -> None:
    assert Importance().requires.random and not Laplace().requires.random


HEAVY = ("param s ~ HalfNormal(1)\nstate {states}\nobs y\n{rest}init q ~ Normal(0, 1)\nq[t] ~ Normal(q[t-1], 0.3)\n"
         "y[t] ~ StudentT(4, exp(q[t] / 2), s)\n")  # fmt: skip


@pytest.mark.parametrize(
    ("states", "rest"), [("q", ""), ("q, z", "init z ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], 1)\n")], ids=["one", "two"]
)
def test_far_from_the_mode_under_heavy_tails(states: str, rest: str) -> None:
    """The start is hundreds of scales from most data, where the density of Student's t bends upwards."""
    case = Case(HEAVY.format(states=states, rest=rest), {"s": 0.02}, steps=200)
    value = lambda engine: jit(lambda: engine.log_likelihood(*case.program()))()
    few, many = value(Laplace(iterations=40)), value(Laplace(iterations=400))
    assert float(few) == pytest.approx(float(many), abs=1e-6)
    ask = lambda: Laplace(iterations=40).smooth(*case.program()).mean[:, 0]
    mode, y = np.asarray(jit(ask)()), case.data["y"]
    residual = y - np.exp(mode / 2)
    near = np.abs(residual[~np.isnan(y)]) < 0.5
    assert near.mean() > 0.97 and np.median(np.abs(residual[~np.isnan(y)])) < 0.04
