"""Maximum likelihood, modes and Laplace draws."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from handmade import model, parameter
from local_level import NILE, diffuse_log_likelihood, flat_priors, log_likelihood, priors

from ssmlang.inference.nuts import Nuts
from ssmlang.inference.optimise import Optimiser
from ssmlang.inference.priors import Priors
from ssmlang.language.diagnostics import SsmError


def test_the_nile_by_maximum_likelihood() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Optimiser(flat_priors(), diffuse_log_likelihood).mle(NILE)
    # Durbin and Koopman (2012), section 2.10.3.
    np.testing.assert_allclose(found.params["sd_flow"] ** 2, 15098.5, rtol=1e-5)
    np.testing.assert_allclose(found.params["sd_level"] ** 2, 1469.1, rtol=1e-4)
    np.testing.assert_allclose(found.log_likelihood, -632.5456, atol=1e-3)
    assert found.converged and found.message == "converged" and not found.at_boundary
    assert found.agreeing >= 2
    # Standard errors of the variances by the delta method: R's dlm prints 3146.004 and 1280.170 (Petris 2010).
    ours = np.array([2 * found.params[n] * found.standard_errors[n] for n in ("sd_flow", "sd_level")])
    np.testing.assert_allclose(ours, [3146.0, 1280.2], rtol=1e-3)


def test_a_variance_that_goes_to_zero_is_said_to() -> None:
    rng = np.random.default_rng(1)
    y = 5.0 + rng.normal(0, 2.0, 60)
    y += np.resize([1.0, -1.0], 60)  # alternation: no level noise can help
    found = Optimiser(flat_priors(), diffuse_log_likelihood).mle(y)
    assert found.at_boundary == ["sd_level"]
    assert found.params["sd_level"] < 1e-6 and np.isnan(found.standard_errors["sd_level"])
    np.testing.assert_allclose(found.params["sd_flow"], y.std(ddof=1), rtol=1e-6)
    np.testing.assert_allclose(found.standard_errors["sd_flow"], y.std(ddof=1) / np.sqrt(2 * 59), rtol=1e-3)
    assert found.converged and "sd_level" in found.message


def test_the_mode_is_that_of_the_density_on_the_parameters_own_scale() -> None:
    # s ~ LogNormal(0, 1): the mode of its density is exp(-1), not the 1 of the density of log s.
    law = Priors(model(parameter("s", ("LogNormal", {"loc": 0.0, "scale": 1.0}))))
    optimiser = Optimiser(law, lambda p, data: 0.0 * p["s"])
    np.testing.assert_allclose(optimiser.map().params["s"], np.exp(-1), rtol=1e-6)
    optimum, draws, _ = optimiser.laplace(draws=4000)
    np.testing.assert_allclose(optimum.params["s"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.log(draws["s"]).std(), 1.0, rtol=0.05)


def test_map_is_the_top_of_the_grid() -> None:
    found = Optimiser(priors(), log_likelihood).map(NILE)

    def density(level: float, flow: float) -> float:
        with jax.enable_x64(True):
            p = {"sd_level": jnp.asarray(level), "sd_flow": jnp.asarray(flow)}
            return float(log_likelihood(p, jnp.asarray(NILE)) + priors().log_density(p))

    at = (float(found.params["sd_level"]), float(found.params["sd_flow"]))
    np.testing.assert_allclose(found.log_density, density(*at), rtol=1e-12)
    for h in (0.05, -0.05):
        assert density(at[0] + h, at[1]) < found.log_density > density(at[0], at[1] + h)


def test_far_scales_and_vectors() -> None:
    # A mean of 10^4 with a flat prior beside a small standard deviation, and a regression's coefficients.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = 1e4 + x @ np.array([1.0, -2.0, 0.5]) + rng.normal(0, 0.3, 80)
    law = Priors(model(parameter("mu"), parameter("beta", None, (3,)), parameter("sd", between=(0, np.inf))))

    def likelihood(p, data):
        z = (data[1] - p["mu"] - data[0] @ p["beta"]) / p["sd"]
        return -0.5 * jnp.sum(z**2) - data[1].size * jnp.log(p["sd"])

    found = Optimiser(law, likelihood).mle((x, y))
    design = np.column_stack([np.ones(80), x])
    beta, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
    np.testing.assert_allclose(np.r_[found.params["mu"], found.params["beta"]], beta, rtol=1e-6)
    sd = np.sqrt(rss[0] / 80)
    np.testing.assert_allclose(found.params["sd"], sd, rtol=1e-6)
    errors = sd * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    np.testing.assert_allclose(np.r_[found.standard_errors["mu"], found.standard_errors["beta"]], errors, rtol=1e-4)
    assert found.converged


def test_a_flat_direction_is_not_called_converged() -> None:
    law = Priors(model(parameter("a"), parameter("b")))
    found = Optimiser(law, lambda p, data: -0.5 * (p["a"] + p["b"] - 1.0) ** 2).mle()
    assert not found.converged and found.message.endswith("some direction is flat: a and b together")
    assert np.isnan(found.standard_errors["a"])


def test_what_the_prior_alone_decides_is_said() -> None:
    """The data see a + b and d, of which d well; of a - b and c there is the prior."""
    normal = lambda sd: ("Normal", {"loc": 0.0, "scale": sd})
    law = Priors(model(*(parameter(n, normal(s)) for n, s in {"a": 1.0, "b": 1.0, "c": 30.0, "d": 1.0}.items())))
    seen = lambda p, data: -200.0 * ((p["a"] + p["b"] - 1.0) ** 2 + (p["d"] - 0.5) ** 2)
    for found in (Optimiser(law, seen).map(), Optimiser(law, seen).laplace()[0]):
        assert found.converged
        said = found.message.removeprefix("the data say next to nothing of ").removesuffix(
            ": what is given there is the prior's"
        )
        assert set(said.split("; ")) == {"a and b together", "c"}
    well = Optimiser(law, lambda p, data: -200.0 * sum((p[n] - 1.0) ** 2 for n in "abcd")).map()
    assert well.message == "converged"


def test_nowhere_finite() -> None:
    with pytest.raises(SsmError) as caught:
        Optimiser(priors(), lambda p, data: jnp.nan * p["sd_flow"]).mle()
    assert caught.value.diagnostics[0].code == "E742"
    with pytest.raises(SsmError) as caught:
        Optimiser(flat_priors(), log_likelihood).map(NILE)
    assert caught.value.diagnostics[0].code == "E341"


def test_laplace_is_near_nuts() -> None:
    optimum, draws, stats = Optimiser(priors(), log_likelihood).laplace(NILE, draws=1000)
    exact = Nuts(priors(), log_likelihood, warmup=500).run(NILE, draws=500, seed=1).params
    for name in exact:
        assert draws[name].shape == (4, 1000)
        assert abs(draws[name].mean() - exact[name].mean()) < 0.4 * exact[name].std()
        np.testing.assert_allclose(draws[name].std(), exact[name].std(), rtol=0.3)
    again = Optimiser(priors(), log_likelihood).laplace(NILE, draws=1000)[1]
    np.testing.assert_array_equal(draws["sd_flow"], again["sd_flow"])
    weights = stats["lp"] - stats["log_q"]
    assert 0 < np.median(np.abs(weights - np.median(weights))) < 0.5
    assert optimum.converged
