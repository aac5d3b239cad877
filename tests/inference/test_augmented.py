"""Priors of augmented parameters on the unconstrained scale: moments against closed forms and draws."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, polygamma

import ssmlang
from ssmlang.inference.augmented import walks_of
from ssmlang.language.diagnostics import SsmError


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def walk(declared: str, shape: str = ""):  # type: ignore[no-untyped-def]
    text = f"augment param a{shape} {declared} walk 0.1\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
    spec = ssmlang.compile(text + "x[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n").spec
    return walks_of(spec)["a"]


trigamma = lambda a: polygamma(1, a)


@pytest.mark.parametrize(
    ("declared", "mean", "variance"),
    [
        ("~ Normal(25, 5)", 25, 25),
        ("~ LogNormal(0.5, 0.5)", 0.5, 0.25),
        ("~ Gamma(3, 2)", digamma(3) - np.log(2), trigamma(3)),
        ("~ InverseGamma(3, 2)", np.log(2) - digamma(3), trigamma(3)),
        ("~ Exponential(2)", digamma(1) - np.log(2), trigamma(1)),
        ("~ HalfNormal(0.01)", np.log(0.01 * np.sqrt(2)) + digamma(0.5) / 2, trigamma(0.5) / 4),
        ("~ HalfCauchy(2)", np.log(2), np.pi**2 / 4),
        ("~ Beta(2, 5)", digamma(2) - digamma(5), trigamma(2) + trigamma(5)),
        ("~ Beta(2000, 5000)", digamma(2000) - digamma(5000), trigamma(2000) + trigamma(5000)),
        ("~ Beta(0.8, 0.8)", 0, 2 * trigamma(0.8)),
        ("~ Uniform(-1, 3)", 0, np.pi**2 / 3),
    ],
)
def test_laws_of_one_number(declared: str, mean: float, variance: float) -> None:
    found = walk(declared).first({})
    np.testing.assert_allclose(found[0], [mean], rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(found[1], [variance], rtol=1e-7)


def test_a_declared_interval() -> None:
    a = walk("in (0, 1) ~ Normal(0.4, 0.3)")
    mean, cov = a.first({})
    z = np.asarray(jax.vmap(lambda k: a.sample(k, {}))(jax.random.split(jax.random.key(0), 20_000)))
    np.testing.assert_allclose(mean, z.mean(0), atol=0.03)
    np.testing.assert_allclose(cov, z.var(0), rtol=0.05)
    np.testing.assert_allclose(a.transform(mean, {}), 1 / (1 + np.exp(-np.asarray(mean[0]))))


def test_a_simplex_has_independent_numbers() -> None:
    a = walk("~ Dirichlet([2, 3, 4])", "[3]")
    assert a.size == 2
    mean, cov = a.first({})
    z = np.asarray(jax.vmap(lambda k: a.sample(k, {}))(jax.random.split(jax.random.key(0), 20_000)))
    np.testing.assert_allclose(mean, z.mean(0), atol=0.03)
    np.testing.assert_allclose(np.diag(cov), np.cov(z.T), atol=0.05)
    np.testing.assert_allclose(a.transform(mean, {}).sum(), 1)


def test_a_prior_that_reads_a_parameter_has_a_derivative() -> None:
    text = (
        "param m ~ HalfNormal(1)\naugment param a ~ Gamma(m, 2)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(a * x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n"
    )
    a = walks_of(ssmlang.compile(text).spec)["a"]
    slope = jax.grad(lambda m: a.first({"m": m})[0][0])(jnp.asarray(3.0))
    np.testing.assert_allclose(slope, trigamma(3), rtol=1e-6)
    assert a.step is None  # no `walk`: it stays where it is


def test_a_prior_without_a_variance_is_refused() -> None:
    with pytest.raises(SsmError, match="no variance"):
        walk("~ Cauchy(0, 1)")
