"""Priors: truncation, stationarity, dependence, the unconstrained scale, draws."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from handmade import model, parameter, ref
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.interval_mass import log_mass
from ssmlang.inference.priors import Priors
from ssmlang.inference.restricted import Truncated
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.laws import make
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS

INF = np.inf
SCALAR = {
    "Normal": {"loc": 0.3, "scale": 1.2}, "HalfNormal": {"scale": 0.7}, "HalfCauchy": {"scale": 0.7},
    "StudentT": {"df": 3.5, "loc": 0.2, "scale": 0.8}, "Cauchy": {"loc": -0.2, "scale": 0.5},
    "Laplace": {"loc": 0.1, "scale": 0.6}, "LogNormal": {"loc": -0.3, "scale": 0.8}, "Exponential": {"rate": 1.3},
    "Gamma": {"concentration": 2.2, "rate": 1.5}, "InverseGamma": {"concentration": 2.5, "rate": 1.5},
    "Beta": {"concentration1": 2.0, "concentration0": 3.0}, "Uniform": {"low": -1.0, "high": 2.0},
}  # fmt: skip
REFERENCE = {
    "Normal": scipy.stats.norm(0.3, 1.2), "HalfNormal": scipy.stats.halfnorm(0, 0.7),
    "HalfCauchy": scipy.stats.halfcauchy(0, 0.7), "StudentT": scipy.stats.t(3.5, 0.2, 0.8),
    "Cauchy": scipy.stats.cauchy(-0.2, 0.5), "Laplace": scipy.stats.laplace(0.1, 0.6),
    "LogNormal": scipy.stats.lognorm(0.8, 0, np.exp(-0.3)), "Exponential": scipy.stats.expon(0, 1 / 1.3),
    "Gamma": scipy.stats.gamma(2.2, 0, 1 / 1.5), "InverseGamma": scipy.stats.invgamma(2.5, 0, 1.5),
    "Beta": scipy.stats.beta(2, 3), "Uniform": scipy.stats.uniform(-1, 3),
}  # fmt: skip


def test_every_law_with_a_distribution_function_has_its_interval_mass() -> None:
    assert {n for n, s in DISTRIBUTIONS.items() if s.has_cdf} == set(SCALAR)


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("ends", [(0.1, 0.6), (-0.5, INF), (-INF, 0.4), (0.7, INF)])
def test_interval_mass_is_that_of_scipy(name: str, ends: tuple[float, float]) -> None:
    with jax.enable_x64(True):
        ours = float(log_mass(name, SCALAR[name], *ends))
    law = REFERENCE[name]
    np.testing.assert_allclose(np.exp(ours), law.cdf(ends[1]) - law.cdf(ends[0]), rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "ends", "expected"),
    [
        ("Normal", (12.0, INF), scipy.stats.norm(0.3, 1.2).logsf(12.0)),
        ("LogNormal", (np.exp(9.0), INF), scipy.stats.norm(-0.3, 0.8).logsf(9.0)),
        ("Cauchy", (1e9, INF), np.log(0.5 / (np.pi * 1e9))),
        ("Exponential", (100.0, INF), -130.0),
        ("Gamma", (60.0, INF), scipy.stats.gamma(2.2, 0, 1 / 1.5).logsf(60.0)),
        ("Laplace", (50.0, INF), scipy.stats.laplace(0.1, 0.6).logsf(50.0)),
        ("StudentT", (1e5, INF), scipy.stats.t(3.5, 0.2, 0.8).logsf(1e5)),
    ],
)
def test_interval_mass_keeps_its_digits_in_the_tails(name: str, ends: tuple[float, float], expected: float) -> None:
    with jax.enable_x64(True):
        np.testing.assert_allclose(float(log_mass(name, SCALAR[name], *ends)), expected, rtol=1e-6)


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("ends", [(0.1, 0.6), (0.05, INF), (-INF, 0.8)])
def test_a_truncated_density_integrates_to_one_and_is_drawn_from(name: str, ends: tuple[float, float]) -> None:
    low, high = max(ends[0], REFERENCE[name].support()[0]), min(ends[1], REFERENCE[name].support()[1])
    # Incomplete beta and gamma functions take longer to run than to compile well.
    effort = 1 if name in ("Beta", "StudentT", "Gamma", "InverseGamma") else 0

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": effort})
    def asked(*ends: jax.Array) -> tuple[jax.Array, jax.Array]:
        law = Truncated(name, SCALAR[name], *ends, (), low_infinite=endless[0], high_infinite=endless[1])
        # On the scale of x = low + exp(z), or of a logit where both ends are finite: smooth and cheap for all of them.
        z = jnp.linspace(-60, 60, 40001)
        x = biject_to(law.support)(z)
        slope = jnp.exp(biject_to(law.support).log_abs_det_jacobian(z, x))
        inside = (x > law.low) & (x < law.high)
        total = jnp.trapezoid(jnp.where(inside, jnp.exp(law.log_prob(x)) * slope, 0), z)
        return total, law.sample(jax.random.key(0), (4000,))

    endless = (ends[0] == -INF, ends[1] == INF)
    with jax.enable_x64(True):
        total, draws = map(np.asarray, asked(*ends))
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)
    base = REFERENCE[name]
    below, above = base.cdf(low), base.cdf(high)
    assert scipy.stats.kstest((base.cdf(draws) - below) / (above - below), "uniform").pvalue > 1e-4
    assert ((draws > low) & (draws < high)).all()


@pytest.mark.parametrize("name", [n for n in SCALAR if n not in ("Uniform",)])
def test_the_normalising_constant_has_gradients(name: str) -> None:
    signature = DISTRIBUTIONS[name]
    free = {a: v for a, v in SCALAR[name].items() if a not in signature.cdf_constants}
    both = jax.jit(jax.value_and_grad(lambda moved, *ends: log_mass(name, {**SCALAR[name], **moved}, *ends)))
    h = 1e-5
    for ends in [(0.1, INF), (0.1, 0.6), (-INF, 0.6)]:
        with jax.enable_x64(True):
            slope = both(free, *ends)[1]
            for argument, at in free.items():
                numeric = float(both({**free, argument: at + h}, *ends)[0] - both({**free, argument: at - h}, *ends)[0])
                np.testing.assert_allclose(slope[argument], numeric / (2 * h), rtol=1e-4, atol=1e-7)


def test_dependent_supports() -> None:
    a, b = ref("a"), ref("b")
    upper = expr.sub(expr.const(1.0), a)
    m = model(
        parameter("b", ("Normal", {"loc": 0.8, "scale": 0.2}), between=(0, upper)),
        parameter("a", ("Normal", {"loc": 0.1, "scale": 0.1}), between=(0, 1)),
        parameter("sd", ("LogNormal", {"loc": b, "scale": a}), (3,)),
    )
    priors = Priors(m)
    assert list(priors.sites) == ["a", "b", "sd"]
    with jax.enable_x64(True):
        draws = jax.jit(lambda k: priors.sample(k, 2000))(jax.random.key(1))
        assert list(priors.sample(jax.random.key(1))) == ["b", "a", "sd"]
        assert ((draws["b"] > 0) & (draws["b"] < 1 - draws["a"])).all()
        one = {k: v[3] for k, v in draws.items()}
        z = priors.unconstrain(one)
        back, log_det, density = priors.evaluate(z)
        for name in one:
            np.testing.assert_allclose(back[name], one[name], rtol=1e-9)
        np.testing.assert_allclose(density, priors.log_density(one), rtol=1e-9)
        vector = priors.ravel(z)
        assert priors.size == vector.size == 5
        flat = lambda v: priors.ravel(priors.constrain(priors.unravel(v))[0])
        np.testing.assert_allclose(log_det, jnp.linalg.slogdet(jax.jacobian(flat)(vector))[1], rtol=1e-9)
    # E[b] against quadrature: P(b | a) is a normal truncated to (0, 1 - a), and a one to (0, 1).
    law_a = scipy.stats.truncnorm(-1, 9, 0.1, 0.1)
    mean_b = law_a.expect(lambda v: scipy.stats.truncnorm.mean(-4, (1 - v - 0.8) / 0.2, 0.8, 0.2))
    drawn = np.asarray(draws["b"])
    assert abs(drawn.mean() - mean_b) < 4 * drawn.std() / 2000**0.5


@pytest.mark.parametrize("p", [2, 3])
def test_the_stationary_prior_is_the_prior_restricted(p: int) -> None:
    priors = Priors(model(parameter("phi", ("Normal", {"loc": 0.3, "scale": 0.6}), (p,), stationary=True)))
    rng = np.random.default_rng(0)
    proposals = rng.normal(0.3, 0.6, (40000, p))
    kept = proposals[[np.abs(np.roots(np.r_[1, -row])).max() < 1 for row in proposals]]
    with jax.enable_x64(True):
        ours = np.asarray(jax.jit(lambda k: priors.sample(k, 6000))(jax.random.key(0))["phi"])
        # The density: importance weights of uniform draws of the unconstrained box must give the same moments.
        z = jnp.asarray(rng.normal(0, 1.5, (60000, p)))
        params, log_det, density = jax.vmap(lambda z: priors.evaluate({"phi": z}))(z)
        weights = np.exp(np.asarray(log_det + density) - scipy.stats.norm(0, 1.5).logpdf(z).sum(-1))
    assert all(np.abs(np.roots(np.r_[1, -row])).max() < 1 for row in ours)
    weights /= weights.sum()
    for moment in (lambda x: x, lambda x: x[:, :1] * x, lambda x: np.abs(x) ** 3):
        expected, error = moment(kept).mean(0), moment(kept).std(0) / len(kept) ** 0.5
        error = np.hypot(error, moment(kept).std(0) / len(ours) ** 0.5)
        assert (np.abs(moment(ours).mean(0) - expected) < 4.5 * error).all()
        weighted = (weights[:, None] * moment(np.asarray(params["phi"]))).sum(0)
        noise = moment(kept).std(0) * np.hypot((weights**2).sum() ** 0.5, len(kept) ** -0.5)
        assert (np.abs(weighted - expected) < 4.5 * noise).all()


def test_a_stationary_prior_far_from_its_region_is_still_drawn_from() -> None:
    # Rejection from the prior alone would accept about once in 10^7.
    priors = Priors(model(parameter("phi", ("Normal", {"loc": 0.0, "scale": 30.0}), (4,), stationary=True)))
    with jax.enable_x64(True):
        draws = np.asarray(jax.jit(lambda k: priors.sample(k, 200))(jax.random.key(0))["phi"])
    assert all(np.abs(np.roots(np.r_[1, -row])).max() < 1 for row in draws)


def test_a_vector_of_autoregressions_takes_the_last_axis() -> None:
    priors = Priors(model(parameter("phi", ("Normal", {"loc": 0.0, "scale": 0.5}), (5, 2), stationary=True)))
    with jax.enable_x64(True):
        draw = priors.sample(jax.random.key(0))["phi"]
        assert draw.shape == (5, 2)
        assert all(np.abs(np.roots(np.r_[1, -row])).max() < 1 for row in np.asarray(draw))
        np.testing.assert_allclose(priors.constrain(priors.unconstrain({"phi": draw}))[0]["phi"], draw, rtol=1e-8)


MULTIVARIATE = [
    ("Dirichlet", {"concentration": [9.0, 1.0, 2.0]}, (4, 3)),
    ("LKJCholesky", {"concentration": 2.0}, (3, 3)),
    ("MvNormal", {"loc": [0.0, 1.0], "cov": [[1.0, 0.5], [0.5, 2.0]]}, (2,)),
    ("VonMises", {"loc": 0.5, "concentration": 2.0}, (2,)),
]


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([(n, a, ()) for n, a in SCALAR.items()] + MULTIVARIATE), st.integers(0, 2**31))
def test_draws_lie_in_the_support_and_go_to_the_unconstrained_scale_and_back(case, seed: int) -> None:
    name, args, shape = case
    priors = Priors(model(parameter("theta", (name, args), shape)))
    with jax.enable_x64(True):
        draws = priors.sample(jax.random.key(seed), 20)["theta"]
        assert draws.shape == (20, *shape)
        law = make(name, {k: jnp.asarray(v) for k, v in args.items()}, shape)
        assert np.asarray(law.support(draws)).all()
        for draw in draws[:3]:
            z = priors.unconstrain({"theta": draw})
            assert priors.ravel(z).size == priors.size
            back, log_det, density = priors.evaluate(z)
            np.testing.assert_allclose(back["theta"], draw, rtol=1e-6, atol=1e-9)
            assert np.isfinite(log_det) and np.isfinite(density)


def test_discrete_and_augmented_parameters_are_left_out() -> None:
    m = model(parameter("a", ("Normal", {"loc": 0.0, "scale": 1.0})),
              parameter("rho", ("Normal", {"loc": 0.0, "scale": 1.0}), augment=True))  # fmt: skip
    assert list(Priors(m).sites) == ["a"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda: parameter("k", ("VonMises", {"loc": 0.0, "concentration": 1.0}), between=(0, 1)), "E343"),
        (lambda: parameter("k", ("StudentT", {"df": ref("a"), "loc": 0, "scale": 1}), between=(0, 0.5)), "E344"),
        (lambda: parameter("k", ("Normal", {"loc": ref("a"), "scale": 1.0}), (2,), stationary=True), "E344"),
    ],
)
def test_what_cannot_be_honoured_is_refused(bad, code: str) -> None:
    with pytest.raises(SsmError) as caught:
        Priors(model(parameter("a", ("HalfNormal", {"scale": 1.0})), bad()))
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_flat_prior_cannot_be_drawn_from() -> None:
    priors = Priors(model(parameter("a"), parameter("s", between=(0, INF))))
    with pytest.raises(SsmError) as caught:
        priors.sample(jax.random.key(0))
    assert [d.code for d in caught.value.diagnostics] == ["E341", "E341"]
    with jax.enable_x64(True):
        params, log_det, density = priors.evaluate({"a": jnp.array(1.0), "s": jnp.array(0.5)})
    np.testing.assert_allclose([params["a"], params["s"], log_det, density], [1.0, np.exp(0.5), 0.5, 0.0])
