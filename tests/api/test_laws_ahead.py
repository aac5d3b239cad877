"""Forecasts of labels and of counts where states are discrete: the law itself, not its mean and covariance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

import ssmlang
from ssmlang.engines import Particle
from ssmlang.running.drawn_quantiles import DrawnQuantiles
from ssmlang.running.execution import running
from ssmlang.running.moments import ready

LABELS = """model labels
axis regime = {a, b}
axis word = {low, middle, high}
state s in regime
obs y in word
obs k in 1..3
init s ~ Categorical([0.5, 0.5])
s[t] ~ Categorical(if s[t-1] == a then [0.9, 0.1] else [0.2, 0.8])
y[t] ~ Categorical(if s[t] == a then [0.7, 0.2, 0.1] else [0.1, 0.2, 0.7])
k[t] ~ Categorical(if s[t] == a then [0.6, 0.3, 0.1] else [0.2, 0.2, 0.6])
"""
P, LAW = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])


def test_labels_have_their_probabilities():
    model = ssmlang.compile(LABELS)
    data = {"y": ["low", "low", "middle", "high", "high"], "k": [1, 1, 2, 3, 3]}
    ahead = model.forecast(data, {}, 3)
    p = model.filter(data, {}).s_probability.values[-1]
    for t in range(3):
        p = p @ P
        np.testing.assert_allclose(ahead.y_probability[t], p @ LAW, atol=1e-12)
        assert ahead.y_mode.values[t] == ("low", "middle", "high")[int(np.argmax(p @ LAW))]
    assert list(ahead.y_probability.word.values) == ["low", "middle", "high"]
    assert list(ahead.k_value.values) == [1, 2, 3]
    assert set(ahead.k_mode.values) <= {1, 2, 3}
    assert ahead.k_mode.dtype.kind == "i"
    now = model.filter(data, {})
    np.testing.assert_allclose(now.y_probability, now.s_predicted_probability.values @ LAW, atol=1e-12)
    assert "y_probability" not in model.smooth(data, {})


def test_labels_of_a_real_state():
    model = ssmlang.compile("""axis word = {low, middle, high}
state x
obs y in word
init x ~ Normal(0.3, 1)
x[t] ~ Normal(x[t-1], 0.5)
y[t] ~ Categorical(logits=[0, x[t], 2 * x[t]])
""")
    found = model.filter({"y": ["low", "high"]}, {}, engine="laplace")
    x, w = np.polynomial.hermite_e.hermegauss(60)
    e = np.exp((0.3 + x) * np.arange(3)[:, None])
    np.testing.assert_allclose(found.y_probability[0], e / e.sum(0) @ w / w.sum(), atol=5e-4)
    assert np.isnan(found.observed_mean).all()  # a label has no number


def test_quantiles_under_regimes_are_those_of_the_mixture():
    model = ssmlang.compile("""axis regime = {a, b}
param rate[regime] ~ HalfNormal([1, 20])
state s in regime
obs y, z
init s ~ Categorical([0.5, 0.5])
s[t] ~ Categorical(if s[t-1] == a then [0.9, 0.1] else [0.2, 0.8])
y[t] ~ Poisson(rate[s[t]])
z[t] ~ Normal(3 * rate[s[t]], 1)
""")
    y = [0, 1, 0, 22, 19, 25, 0, 1, 1, 0, 18, 22]
    fit = model.fit({"y": y, "z": np.full(12, np.nan)}, "map")
    ahead = fit.forecast(3)
    rate, p = fit.params["rate"][:, None], ahead.s_probability.values
    for t in range(3):
        below = p[t] @ stats.poisson.cdf(np.arange(100), rate)
        smooth = lambda x, t=t: p[t] @ stats.norm.cdf(x, 3 * rate[:, 0], 1)
        for q, found in zip(ahead["quantile"].values, ahead.observed_quantile.values[:, t]):
            assert found[0] == np.searchsorted(below, q)
            assert found[1] == pytest.approx(brentq(lambda x, q=q, law=smooth: law(x) - q, -50, 300), abs=0.02)


def test_quantiles_of_counts_that_particles_follow():
    model = ssmlang.compile("state N in 0..inf\nobs y\ninit N ~ Poisson(3)\nN[t] ~ Poisson(0.8 * N[t-1] + 0.5)\n"
                            "y[t] ~ Binomial(N[t], 0.5)\n")  # fmt: skip
    bound = model.bind({"y": [1.0, 3.0, 2.0]})[0]
    with running():
        made = ready(model, model.execution(Particle(particles=4000)), "forecast", bound, "float64", None, steps=1)
        drawn, part = DrawnQuantiles(made, 1, 0), made.arrays({})
        drawn.add({}, part)
        sd = np.sqrt(part["observed_cov"][:, :, 0])
        found = drawn.into(np.zeros((3, 1, 1)), (0.05, 0.5, 0.95), part["observed_mean"], sd)
    size = np.arange(60)
    law, seen = stats.poisson.pmf(size, 3), lambda y: stats.binom.pmf(y, size, 0.5)
    for y in (1, 3, 2):
        law = law * seen(y)
        law = law / law.sum() @ stats.poisson.pmf(size, 0.8 * size[:, None] + 0.5)
    below = np.cumsum([law @ seen(y) for y in range(30)])
    assert found.ravel().tolist() == [np.searchsorted(below, q) for q in (0.05, 0.5, 0.95)]
