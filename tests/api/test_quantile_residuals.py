"""Residuals of programs that are not linear and Gaussian are standard normal draws where the model is right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines import EKF, Particle

STEPS = 300
COUNTS = (
    "param r ~ HalfNormal(1)\nstate x\nobs n\ninit x ~ Normal(1, 0.5)\nx[t] ~ Normal(0.9*x[t-1] + 0.02*n[t-1], r)\n"
    "n[t] ~ Poisson(exp(x[t]))\n"
)
CHAIN = (
    "axis w = {dry, wet}\nparam m[w] ~ HalfNormal(5)\nstate s in w\nobs y\ninit s ~ Categorical([0.5, 0.5])\n"
    "s[t] ~ Categorical(if s[t-1] == dry then [0.9, 0.1] else [0.3, 0.7])\ny[t] ~ Poisson(m[s[t]])\n"
)
REGIMES = (
    "axis regime = {calm, wild}\nparam q ~ HalfNormal(1)\nstate s in regime\nstate x\nobs y\n"
    "init s ~ Categorical([0.6, 0.4])\ninit x ~ Normal(0, 1)\n"
    "s[t] ~ Categorical(if s[t-1] == calm then [0.9, 0.1] else [0.2, 0.8])\n"
    "x[t] ~ Normal(0.8*x[t-1], if s[t] == calm then 0.1 else q)\ny[t] ~ Normal(x[t], 0.3)\n"
)


@pytest.mark.parametrize(
    ("text", "params", "wrong", "engine"),
    [(COUNTS, {"r": 0.2}, {"r": 0.01}, Particle(particles=300)), (COUNTS, {"r": 0.2}, {"r": 0.01}, "ukf"),
     (COUNTS, {"r": 0.2}, {"r": 0.01}, "iekf"),
     (CHAIN, {"m": [2.0, 9.0]}, {"m": [6.0, 9.0]}, "discrete"), (REGIMES, {"q": 1.5}, {"q": 0.05}, "imm")],
)  # fmt: skip
def test_they_are_standard_normal_draws(text: str, params: dict, wrong: dict, engine: object) -> None:
    model = ssmlang.compile(text)
    drawn = model.simulate(STEPS, params, seed=2)
    (name,) = model.spec.observations
    values = drawn[name].values.astype(float)
    values[7] = np.nan
    diagnosis = model.diagnose({name: values}, params, engine=engine, seed=3)
    residuals = diagnosis.residuals["standardized"].values[:, 0]
    assert np.flatnonzero(np.isnan(residuals)).tolist() == [7]
    assert stats.kstest(residuals[~np.isnan(residuals)], "norm").pvalue > 0.01
    assert all(f.p > 0.001 for f in diagnosis.findings)
    assert diagnosis.residuals.attrs["standardized"].startswith("quantile")
    assert "noise_mean" not in diagnosis.residuals
    assert not model.diagnose({name: values}, wrong, engine=engine, seed=3).ok


LEARNT = "augment param w[3] ~ Normal(0, 1) walk 0.01\ninput u[3]\nobs n\nn[t] ~ Bernoulli(logits = dot(w, u[t]))\n"


def test_engines_that_linearise_at_a_point_average_over_the_law_of_the_state() -> None:
    """Where states do not move by themselves a low rank that is all of it, and two filters, are the one filter."""
    model, rng = ssmlang.compile(LEARNT), np.random.default_rng(0)
    u = rng.normal(size=(200, 3))
    n = 1.0 * (rng.uniform(size=200) < 1 / (1 + np.exp(-u @ [1.0, -1.0, 0.5])))
    n[5] = np.nan
    of = lambda e: model.residuals({"n": n, "u": u}, {}, engine=e, seed=3)["standardized"].values[:, 0]
    found = of("ekf")
    assert np.flatnonzero(np.isnan(found)).tolist() == [5]
    assert stats.kstest(found[~np.isnan(found)], "norm").pvalue > 0.05
    # Row 0 by hand: logits of variance u'u about 0 are even, so the probability of a one is a half on average.
    u0 = np.random.default_rng([3, 0]).uniform(size=(200, 1))[0, 0]
    np.testing.assert_allclose(found[0], stats.norm.ppf(0.5 * (n[0] + u0)), atol=1e-9)
    for engine in (EKF(covariance="low_rank", rank=3), "dual_ekf"):
        np.testing.assert_allclose(of(engine), found, atol=1e-9)


def test_a_chain_of_one_count_by_hand() -> None:
    model = ssmlang.compile(CHAIN)
    residuals = model.residuals({"y": [4.0]}, {"m": [2.0, 9.0]}, seed=5)
    law = lambda k: 0.5 * stats.poisson.cdf(k, 2.0) + 0.5 * stats.poisson.cdf(k, 9.0)
    assert law(3) < stats.norm.cdf(float(residuals["standardized"][0, 0])) < law(4)


def test_gaussian_observations_of_a_bent_state_take_mean_and_covariance() -> None:
    model = ssmlang.compile(
        "param s ~ HalfNormal(1)\nstate x\nobs y[2]\ninit x ~ Normal(0.5, 0.3)\nx[t] ~ Normal(sin(x[t-1]), 0.2)\n"
        "y[t] ~ MvNormal([x[t], x[t]], [[0.2, 0.1], [0.1, 0.2]])\n"
    )
    y = np.random.default_rng(0).normal(size=(6, 2)) * 0.5
    found = model.residuals({"y": y}, {"s": 1.0}, engine="ekf")
    filtered = model.filter({"y": y}, {"s": 1.0}, engine="ekf")
    for t in range(6):
        L = np.linalg.cholesky(filtered["observed_cov"].values[t])
        want = np.linalg.solve(L, y[t] - filtered["observed_mean"].values[t])
        assert np.allclose(found["standardized"].values[t], want, atol=1e-12)
