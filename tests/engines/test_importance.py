"""Importance sampling: unbiased against a grid, exact for linear-Gaussian programs, smooth in the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import ssmlang
from ssmlang.engines import Importance
from ssmlang.engines._antithetic import flipped, normals
from tests.engines.grid_oracle import PARAMS, text
from tests.engines.programs import jit
from tests.engines.test_laplace import BENT, LINEAR, Case, on_grid

KEY = 5


@pytest.mark.parametrize(("emission", "antithetic"), [("volatility", "none"), ("poisson", "both")])
def test_the_mean_likelihood_is_the_likelihood(emission: str, antithetic: str) -> None:
    case = Case(text(emission), PARAMS)
    truth = on_grid(case, emission).terms.sum()
    engine = Importance(samples=8, antithetic=antithetic)  # type: ignore[arg-type]
    keys = jax.random.split(jax.random.key(KEY), 200)
    found = jit(lambda: jax.lax.map(lambda key: engine.log_likelihood(*case.program(), key), keys))()
    ratio = np.exp(np.asarray(found) - truth)
    error = ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert 0 < error < 0.03 and abs(ratio.mean() - 1) < 3 * error


def test_linear_gaussian_programs_are_exact_with_any_draws() -> None:
    case = Case(LINEAR, {"a": 0.5}, steps=20)
    case.data["w"][3] = case.data["y"][4, 1] = np.nan
    engine = Importance(samples=1, antithetic="none")
    ask = lambda: engine.log_likelihood_terms(*case.program(), jax.random.key(KEY))
    filtered: Any = case.model.filter(case.data, case.params, engine="kalman")
    expected = filtered["log_likelihood"].values
    np.testing.assert_allclose(jit(ask)(), expected, rtol=1e-9, atol=1e-9)


def test_weights_and_moments() -> None:
    case = Case(text("volatility"), PARAMS)
    truth = on_grid(case, "volatility")
    engine = Importance(samples=4000)
    key = jax.random.key(KEY)
    found, value = jit(lambda: (engine.smooth(*case.program(), key), engine.filter(*case.program(), key)))()
    sd = np.sqrt(truth.smoothed_var)
    assert np.abs((found.mean[:, 0] - truth.smoothed) / sd).max() < 0.12
    np.testing.assert_allclose(found.cov[:, 0, 0], truth.smoothed_var, rtol=0.2)
    assert found.paths.shape == (4000, case.steps, 1)
    assert np.abs((np.mean(found.paths[..., 0], axis=0) - truth.smoothed) / sd).max() < 0.2
    assert 0.6 * 4000 < float(found.ess[-1]) <= 4000
    assert float(value.log_likelihood.sum()) == pytest.approx(truth.terms.sum(), abs=0.05)


def test_moving_from_the_mode_evens_the_weights() -> None:
    case = Case(text("volatility"), PARAMS, steps=150)
    key = jax.random.key(KEY)
    found: Any = lambda rounds: Importance(samples=400, rounds=rounds).filter(*case.program(), key)
    size = lambda rounds: found(rounds).ess[-1]
    plain, moved = jit(lambda: (size(0), size(3)))()
    assert 1.3 * plain < moved


TWO = """
param sd ~ HalfNormal(0.5)
state x[2]
obs n[2]
init x ~ Normal(1, 1)
x[t] ~ Normal(0.9 * x[t-1], sd)
n[t] ~ Poisson(exp(x[t]))
"""
SOURCES = {
    "linear": (text("poisson"), PARAMS, 20),
    "bent": (BENT, {"r": 1.0}, 10),
    "two states": (TWO, {"sd": 0.3}, 10),
}


@pytest.mark.parametrize("source", SOURCES)
def test_gradients_are_those_of_what_is_computed(source: str) -> None:
    case = Case(*SOURCES[source])
    if source == "two states":
        case.data["n"][4] = np.nan  # a row without data, whose curvature is zero in every direction
    engine = Importance(samples=8)
    value = lambda p: engine.log_likelihood(*case.program(p), jax.random.key(KEY))
    both = jit(jax.value_and_grad(value))
    slope = both(case.params)[1]
    h = 1e-5
    for name, at in case.params.items():
        ends = [both(case.params | {name: at + d})[0] for d in (-h, h)]
        np.testing.assert_allclose(slope[name], (ends[1] - ends[0]) / (2 * h), rtol=2e-6, atol=1e-6, err_msg=name)


def test_nonlinear_states_are_unbiased_too() -> None:
    """Against plain Monte Carlo from the prior, on rows few enough for it."""
    case = Case(BENT, {"r": 1.0}, steps=8)
    program, y = case.program()

    def prior(key: jax.Array) -> jax.Array:
        e = jax.random.normal(key, (9,))
        s = program.first(e[:2])
        total = program.log_emission(jnp.asarray(0), s, y[0])
        for t in range(1, 8):
            s = program.transition(jnp.asarray(t), s, e[t + 1 : t + 2])
            total += program.log_emission(jnp.asarray(t), s, y[t])
        return total

    likelihoods = np.exp(np.asarray(jit(jax.vmap(prior))(jax.random.split(jax.random.key(1), 400_000))))
    mean, error = likelihoods.mean(), likelihoods.std() / np.sqrt(len(likelihoods))
    engine = Importance(samples=2000)
    found = jit(lambda: engine.log_likelihood_terms(program, y, jax.random.key(KEY)))()
    assert abs(np.exp(float(found.sum())) - mean) < 4 * error + 0.01 * mean and error < 0.02 * mean


def test_a_state_that_only_its_first_row_moves() -> None:
    """Rows without noise: an error in a reshape, before."""
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(1, 0.5)\nx[t] = 0.9 * x[t-1]\ny[t] ~ Poisson(exp(x[t]))\n")
    y, z = np.array([3.0, 2.0, 1.0]), np.linspace(-8, 8, 2001)
    rate = np.exp(np.outer(0.9 ** np.arange(3), 1 + 0.5 * z))
    joint = scipy.stats.poisson.logpmf(y[:, None], rate).sum(axis=0) + scipy.stats.norm.logpdf(z)
    found = model.log_likelihood({"y": y}, {}, engine=Importance(samples=400))
    assert abs(found - np.log(np.trapezoid(np.exp(joint), z))) < 0.005


def test_the_correction_takes_off_the_bias_of_the_logarithm() -> None:
    case = Case(text("volatility"), PARAMS, steps=150)
    truth = on_grid(case, "volatility").terms.sum()
    keys = jax.random.split(jax.random.key(KEY), 150)
    mean = []
    for corrected in (False, True):
        engine = Importance(samples=6, antithetic="none", corrected=corrected, rounds=0)
        found = jit(lambda e=engine: jax.lax.map(lambda key: e.log_likelihood(*case.program(), key), keys))()
        mean.append(float(np.mean(found)) - truth)
    assert mean[0] < -0.05 and abs(mean[1]) < abs(mean[0])


@pytest.mark.parametrize("a", [0.5, 3.0, 500.0])
def test_lengths_are_flipped_at_the_complement(a: float) -> None:
    x = scipy.stats.gamma.ppf([1e-6, 0.01, 0.3, 0.5, 0.9, 0.9999], a)
    np.testing.assert_allclose(jit(lambda x: flipped(x, a))(x), scipy.stats.gamma.isf(scipy.stats.gamma.cdf(x, a), a),
                               rtol=1e-8)  # fmt: skip


def test_groups_are_balanced() -> None:
    u = np.asarray(normals(jax.random.key(KEY), 6, 21, "both"))
    assert u.shape == (6, 4, 6)
    np.testing.assert_allclose(u.sum(axis=1), 0, atol=1e-12)
    p = scipy.stats.chi2.cdf(np.sum(u**2, axis=2), 6)
    np.testing.assert_allclose(p[:, 0] + p[:, 1], 1, atol=1e-10)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        Importance(samples=0)
