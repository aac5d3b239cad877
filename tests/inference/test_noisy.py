"""Metropolis chains and tempered populations on a likelihood that is known but for noise put in by the test."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from handmade import model, parameter, ref
from scipy import stats

from ssmlang.inference.noisy import Target
from ssmlang.inference.pmmh import ACCEPTANCE, Pmmh
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.smc2 import Smc2, next_temperature
from ssmlang.language.diagnostics import SsmError

Y = np.array([1.2, 0.4, 2.1, 1.7, 0.9])
NOISE = 1.0


def priors() -> Priors:
    normal = lambda loc: ("Normal", {"loc": loc, "scale": 2.0})
    return Priors(model(parameter("a", normal(0.0)), parameter("b", normal(ref("a")))))


def exact() -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of (a, b) given Y, and the log-density of Y: y ~ Normal(b, 1)."""
    prior = np.array([[4.0, 4.0], [4.0, 8.0]])
    H = np.tile([0.0, 1.0], (len(Y), 1))
    S = H @ prior @ H.T + np.eye(len(Y))
    K = prior @ H.T @ np.linalg.inv(S)
    return K @ Y, prior - K @ H @ prior, stats.multivariate_normal(np.zeros(len(Y)), S).logpdf(Y)


def noisy(params: dict, y: jax.Array, key: jax.Array) -> jax.Array:
    """exp of it has the likelihood as its mean."""
    exact = jnp.sum(jax.scipy.stats.norm.logpdf(y, params["b"], 1.0))
    return exact + NOISE * jax.random.normal(key) - 0.5 * NOISE**2


def effective(draws: np.ndarray) -> float:
    """The effective size of draws (chain, draw), by means of batches."""
    batches = draws.reshape(draws.shape[0], 20, -1).mean(-1).ravel()
    return float(draws.var() / (batches.var(ddof=1) / len(batches)))


def test_a_chain_on_an_unbiased_estimate_has_the_posterior_as_its_law() -> None:
    sampler = Pmmh(priors(), noisy)
    with jax.enable_x64(True), Progress("test", 1, "off") as bar:
        y = jnp.asarray(Y)
        keys = jax.random.split(jax.random.key(1), 3)
        walkers = [sampler.begin(np.zeros(2), np.eye(2), key, 1000, y) for key in keys]
        walkers = sampler.warmed(walkers, y, 1000, bar)
        found, after = sampler.run(walkers, y, 8000, bar, "sampling")
    mean, cov, _ = exact()
    for i, name in enumerate(("a", "b")):
        draws = found.params[name]
        error = np.sqrt(cov[i, i] / effective(draws))
        assert error < 0.1 and abs(draws.mean() - mean[i]) < 4 * error, name
        np.testing.assert_allclose(draws.std(), np.sqrt(cov[i, i]), rtol=0.12)
    assert abs(found.stats["acceptance_rate"].mean() - ACCEPTANCE) < 0.08
    # What the proposal has learnt stands still after the warm-up.
    for before, now in zip(walkers, after):
        np.testing.assert_array_equal(before.cov, now.cov)
        np.testing.assert_array_equal(before.log_scale, now.log_scale)
    shape = np.corrcoef(np.concatenate([d.ravel()[None] for d in (found.params["a"], found.params["b"])]))[0, 1]
    learnt = np.mean([np.asarray(w.cov)[0, 1] / np.sqrt(np.prod(np.diag(w.cov))) for w in after])
    assert abs(learnt - shape) < 0.2


def test_the_same_seed_gives_the_same_chain() -> None:
    sampler = Pmmh(priors(), noisy)
    with jax.enable_x64(True), Progress("test", 1, "off") as bar:
        y, key = jnp.asarray(Y), jax.random.key(5)
        runs = [sampler.run([sampler.begin(np.zeros(2), np.eye(2), key, 50, y)], y, 50, bar, "")[0] for _ in range(2)]
    np.testing.assert_array_equal(runs[0].params["b"], runs[1].params["b"])


def test_a_population_gives_the_posterior_and_the_evidence() -> None:
    sampler = Smc2(priors(), noisy, 1500)
    found, populations = sampler.run(Y, chains=4, seed=2, progress="off")
    mean, cov, evidence = exact()
    each = np.array([p.log_evidence for p in populations])
    assert each.std(ddof=1) < 0.3 and abs(each.mean() - evidence) < 4 * each.std(ddof=1) / 2 + 0.02
    for i, name in enumerate(("a", "b")):
        means = found.params[name].mean(1)
        error = means.std(ddof=1) / 2
        assert error < 0.15 and abs(means.mean() - mean[i]) < 5 * error, name
        np.testing.assert_allclose(found.params[name].std(), np.sqrt(cov[i, i]), rtol=0.15)
    assert found.params["a"].shape == (4, 1500)
    assert all(p.temperatures[0] == 0 and p.temperatures[-1] == 1 for p in populations)
    assert all(np.diff(p.temperatures).min() > 0 for p in populations)


def test_a_temperature_halves_the_effective_number() -> None:
    values = np.random.default_rng(0).normal(-100, 30, 400)
    at = next_temperature(values, 0.1)
    weights = np.exp((at - 0.1) * (values - values.max()))
    np.testing.assert_allclose(weights.sum() ** 2 / (weights**2).sum(), 200, rtol=1e-3)
    assert next_temperature(np.full(10, -3.0), 0.0) == 1.0
    # Most points impossible: the temperature is that of the others.
    mostly = np.where(np.arange(400) < 300, -np.inf, values)
    assert 0.1 < next_temperature(mostly, 0.1) < 1.0


def test_a_likelihood_that_is_nowhere_finite_is_said() -> None:
    with pytest.raises(SsmError) as caught:
        Smc2(priors(), lambda params, y, key: -jnp.inf + 0 * params["a"], 100).run(Y, chains=1, progress="off")
    assert caught.value.diagnostics[0].code == "E742"


def test_what_is_no_number_is_impossible() -> None:
    with jax.enable_x64(True):
        target = Target(priors(), lambda params, y, key: jnp.nan * params["a"])
        assert float(target.likelihood(jnp.zeros(2), Y, jax.random.key(0))) == -np.inf
