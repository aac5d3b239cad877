"""Densities and moments of the laws of equations against SciPy, with entries missing and ranges cut."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ssmlang.lowering.densities import log_density, moments, number_moments, statistic, statistic_size
from ssmlang.lowering.draws import draw
from ssmlang.model.expr import const
from ssmlang.model.model import Dist, Values


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def law(name: str, shape: tuple[int, ...] = (3,), event: int = 0) -> Dist:
    return Dist(name, {"loc": const(0.0)}, shape, event)


SCALAR = [
    ("Normal", {"loc": 0.3, "scale": 2.0}, stats.norm(0.3, 2.0), [0.1, -4.0]),
    ("StudentT", {"df": 5.0, "loc": 1.0, "scale": 0.5}, stats.t(5, 1.0, 0.5), [0.1, 2.0]),
    ("Laplace", {"loc": 1.0, "scale": 0.5}, stats.laplace(1.0, 0.5), [0.1, 2.0]),
    ("LogNormal", {"loc": 0.2, "scale": 0.4}, stats.lognorm(0.4, scale=np.exp(0.2)), [0.5, 2.0]),
    ("Gamma", {"concentration": 2.0, "rate": 3.0}, stats.gamma(2.0, scale=1 / 3), [0.5, 2.0]),
    ("Beta", {"concentration1": 2.0, "concentration0": 3.0}, stats.beta(2, 3), [0.2, 0.9]),
    ("Uniform", {"low": 1.0, "high": 3.0}, stats.uniform(1, 2), [1.5, 2.5]),
    ("Poisson", {"rate": 3.5}, stats.poisson(3.5), [0.0, 4.0]),
    ("NegativeBinomial", {"mean": 4.0, "concentration": 2.5}, stats.nbinom(2.5, 2.5 / 6.5), [0.0, 7.0]),
    ("Bernoulli", {"probs": 0.3}, stats.bernoulli(0.3), [0.0, 1.0]),
    ("Binomial", {"total_count": 9, "probs": 0.3}, stats.binom(9, 0.3), [0.0, 7.0]),
]


@pytest.mark.parametrize(("name", "args", "truth", "points"), SCALAR)
def test_a_law_with_an_entry_missing(name: str, args: dict, truth: object, points: list[float]) -> None:
    given = {k: jnp.asarray(v) for k, v in args.items()}
    x = jnp.array([points[0], np.nan, points[1]])
    log = truth.logpmf if hasattr(truth.dist, "pmf") else truth.logpdf  # type: ignore[attr-defined]
    of = list(given)[-1]
    density = jax.value_and_grad(lambda a, given, x: log_density(law(name), given | {of: a}, x))
    asked = jax.jit(lambda given, x: (density(given[of], given, x), moments(law(name), given)))
    (value, slope), (mean, variance) = asked(given, x)
    np.testing.assert_allclose(value, log(points).sum(), rtol=1e-10)
    assert np.isfinite(slope)
    np.testing.assert_allclose(mean, np.full(3, truth.mean()), rtol=1e-10)  # type: ignore[attr-defined]
    np.testing.assert_allclose(variance, np.full(3, truth.var()), rtol=1e-10)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "args", "bad"),
    [("Poisson", {"rate": 3.5}, 0.0), ("NegativeBinomial", {"mean": 4.0, "concentration": 2.5}, 0.0),
     ("Gamma", {"concentration": 2.0, "rate": 3.0}, -1.0), ("Bernoulli", {"probs": 0.3}, 2.0)],
)  # fmt: skip
def test_what_a_law_would_be_where_nothing_was_seen_does_not_matter(name: str, args: dict, bad: float) -> None:
    first = next(iter(args))
    x = jnp.array([1.0, np.nan, 1.0])
    both = jax.jit(jax.value_and_grad(lambda a: log_density(law(name), args | {first: a}, x)))
    legal = jnp.full(3, args[first])
    illegal = legal.at[1].set(bad)
    (found, slope), (value, its_slope) = both(illegal), both(legal)
    np.testing.assert_allclose(found, value, rtol=1e-14)
    np.testing.assert_allclose(slope, its_slope.at[1].set(0.0), rtol=1e-12)


@pytest.mark.parametrize(("name", "args"), [(name, args) for name, args, *_ in SCALAR if "loc" in args])
def test_where_a_value_lies_at_its_location_derivatives_are_numbers(name: str, args: dict) -> None:
    """As for a return of zero: the slope of a Laplace approximation takes three of them."""
    x = jnp.full(3, 1.0 if name == "LogNormal" else 0.0)
    density = lambda given: log_density(law(name), {**args, **given}, x)
    third = jax.jit(jax.jacfwd(jax.hessian(density)))({"loc": 0.0, "scale": 0.7})
    assert all(np.isfinite(v) for v in jax.tree.leaves(third))


def test_a_joint_law_with_an_entry_missing_is_its_marginal() -> None:
    A = np.random.default_rng(0).normal(size=(3, 3))
    cov, loc = A @ A.T + np.eye(3), np.array([1.0, 2.0, 3.0])
    args = {"loc": jnp.asarray(loc), "cov": jnp.asarray(cov)}
    found = log_density(law("MvNormal", event=1), args, jnp.array([0.5, np.nan, 1.0]))
    keep = [0, 2]
    truth = stats.multivariate_normal(loc[keep], cov[np.ix_(keep, keep)]).logpdf([0.5, 1.0])
    np.testing.assert_allclose(found, truth, rtol=1e-12)


@pytest.mark.parametrize("name", ["Poisson", "Binomial"])
def test_a_law_on_a_range_is_normalised_there(name: str) -> None:
    values = Values(None, 1, 6)
    args = {"rate": jnp.array(2.0)} if name == "Poisson" else {"total_count": jnp.array(4), "probs": jnp.array(0.4)}
    truth = stats.poisson(2.0) if name == "Poisson" else stats.binom(4, 0.4)
    at = np.arange(1, 7)
    p = truth.pmf(at) / truth.pmf(at).sum()
    one = law(name, ())
    density = jax.jit(lambda k: log_density(one, args, k, values))
    found = [float(density(float(k))) for k in at]
    np.testing.assert_allclose(np.exp(found), p, atol=1e-12)
    assert density(0.0) == -np.inf
    mean, variance = jax.jit(lambda: moments(one, args, values))()
    np.testing.assert_allclose([mean[0], variance[0]], [p @ at, p @ at**2 - (p @ at) ** 2], rtol=1e-10)


def test_a_category_is_seen_by_its_indicators() -> None:
    p = np.array([0.2, 0.5, 0.3])
    one, args = law("Categorical", ()), {"probs": jnp.asarray(p)}
    assert statistic_size(one, 3, None) == 2
    np.testing.assert_array_equal(statistic(one, jnp.array(2.0), 3, None), [0, 1])
    assert np.isnan(statistic(one, jnp.array(np.nan), 3, None)).all()
    mean, cov = moments(one, args)
    np.testing.assert_allclose(mean, p[1:])
    np.testing.assert_allclose(cov, np.diag(p[1:]) - np.outer(p[1:], p[1:]))
    mean, cov = number_moments(one, args)
    np.testing.assert_allclose([mean[0], cov[0]], [p @ [0, 1, 2], p @ [0, 1, 4] - (p @ [0, 1, 2]) ** 2])
    np.testing.assert_allclose(log_density(one, args, jnp.array(1.0)), np.log(0.5))


def test_an_angle_is_seen_by_its_cosine_and_sine() -> None:
    args = {"loc": jnp.array(0.7), "concentration": jnp.array(3.0)}
    mean, cov = moments(law("VonMises", ()), args)
    draws = stats.vonmises(3.0, 0.7).rvs(400_000, random_state=0)
    seen = np.stack([np.cos(draws), np.sin(draws)])
    np.testing.assert_allclose(mean, seen.mean(1), atol=0.005)
    np.testing.assert_allclose(cov, np.cov(seen), atol=0.005)


def test_counts_of_categories() -> None:
    p, n = np.array([0.2, 0.5, 0.3]), 10
    one, args = law("Multinomial", (3,), 1), {"total_count": jnp.array(n), "probs": jnp.asarray(p)}
    found = log_density(one, args, jnp.array([2.0, 5.0, 3.0]))
    np.testing.assert_allclose(found, stats.multinomial(n, p).logpmf([2, 5, 3]), rtol=1e-10)
    assert log_density(one, args, jnp.array([2.0, np.nan, 3.0])) == 0
    mean, cov = moments(one, args)
    np.testing.assert_allclose(mean, n * p[:-1])
    np.testing.assert_allclose(cov, n * (np.diag(p) - np.outer(p, p))[:-1, :-1])


@pytest.mark.parametrize("rate", [0.3, 2.0, 30.0, 200.0])
def test_draws_of_a_law_on_a_range_follow_it_however_little_of_the_law_is_there(rate: float) -> None:
    values, at, draws = Values(None, 2, 6), np.arange(2, 7), 20_000
    one = law("Poisson", ())
    each = jax.jit(jax.vmap(lambda key: draw(key, one, {"rate": jnp.array(rate)}, values)))
    found = np.asarray(each(jax.random.split(jax.random.key(1), draws)))
    logs = stats.poisson(rate).logpmf(at)
    p = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    seen = np.array([(found == k).mean() for k in at])
    assert (np.abs(seen - p) < 4.5 * np.sqrt(p * (1 - p) / draws) + 1e-12).all()


def test_only_the_entries_of_a_draw_that_fall_outside_are_drawn_again() -> None:
    # The first entry's rate leaves nearly all of the law outside, the second's nothing.
    args, both = {"rate": jnp.array([100.0, 3.0])}, law("Poisson", (2,))
    keys = jax.random.split(jax.random.key(2), 20_000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: draw(key, both, args, Values(None, 0, 30))))(keys))
    assert found.max() == 30 and found.min() == 0
    np.testing.assert_allclose(found[:, 1].mean(), 3.0, atol=4.5 * (3 / 20_000) ** 0.5)
    np.testing.assert_allclose(found[:, 1].var(), 3.0, atol=0.2)


@pytest.mark.parametrize(("name", "more", "total"), [("Bernoulli", {}, 1), ("Binomial", {"total_count": 7.0}, 7)])
@pytest.mark.parametrize("logit", [0.0, 1.3, -800.0])
def test_slopes_in_log_odds(name: str, more: dict[str, float], total: int, logit: float) -> None:
    """y - n p, at log-odds of zero too: NumPyro's are 0 and 1 there."""
    one = Dist(name, {"logits": const(0.0)}, (), 0)
    p = special.expit(logit)
    for y in (0.0, 1.0):
        f = lambda x, y=y: log_density(one, {"logits": x, **{k: jnp.asarray(v) for k, v in more.items()}}, y)
        assert float(jax.grad(f)(jnp.asarray(logit))) == pytest.approx(y - total * p, abs=1e-12)
        if logit > -800:
            assert float(f(jnp.asarray(logit))) == pytest.approx(stats.binom.logpmf(y, total, p), abs=1e-12)
            assert float(jax.grad(jax.grad(f))(jnp.asarray(logit))) == pytest.approx(-total * p * (1 - p), abs=1e-12)
