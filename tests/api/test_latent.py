"""States and parameters together, against the exact likelihood where there is one."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import numpyro
import pytest
import xarray as xr

import ssmlang
from ssmlang.inference.joint import thinning
from ssmlang.language.diagnostics import SsmError

AR = """
param phi in (-1, 1) ~ Normal(0.5, 0.4)
param q ~ LogNormal(-0.5, 0.4)
state x
obs   y
init x ~ Stationary()
x[t] ~ Normal(phi * x[t-1], q)
y[t] ~ Normal(x[t], 0.5)
let double[t] = 2 * x[t]
"""
TRUE = {"phi": 0.8, "q": 0.7}
BRIEF = {"draws": 400, "warmup": 300, "chains": 2, "progress": "off"}


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(AR)


@pytest.fixture(scope="module")
def data(model: ssmlang.Model) -> dict[str, np.ndarray]:
    y = model.simulate(40, TRUE, seed=3)["y"].values.reshape(-1).copy()
    y[[7, 8, 30]] = np.nan
    return {"y": y}


@pytest.fixture(scope="module")
def fit(model: ssmlang.Model, data: dict[str, np.ndarray]) -> ssmlang.running.fit.Fit:
    return model.fit(data, engine="latent", seed=1, **BRIEF)


@pytest.fixture(scope="module")
def exact(model: ssmlang.Model, data: dict[str, np.ndarray]) -> ssmlang.running.fit.Fit:
    return model.fit(data, draws=2000, warmup=500, chains=2, progress="off")


def agree(found: ssmlang.running.fit.Fit, exact: ssmlang.running.fit.Fit) -> None:
    """Posterior means and sds within Monte Carlo error of each other."""
    a, b = found.summary(), exact.summary()
    for name in b.index:
        error = np.hypot(*(t.loc[name, "sd"] / np.sqrt(t.loc[name, "ess_bulk"]) for t in (a, b)))
        assert error < 0.4 * b.loc[name, "sd"], name
        assert abs(a.loc[name, "mean"] - b.loc[name, "mean"]) < 4 * error, name
        np.testing.assert_allclose(a.loc[name, "sd"], b.loc[name, "sd"], rtol=0.3, err_msg=name)


def test_the_posterior_is_that_of_the_exact_likelihood(fit, exact) -> None:
    agree(fit, exact)
    assert fit.engine == "latent" and set(fit.posterior.data_vars) == {"phi", "q"}


def test_states_are_those_of_the_exact_smoother(fit, exact) -> None:
    found, wanted = fit.smooth(paths=5), exact.smooth()
    sd = np.sqrt(wanted["cov"].values[:, 0, 0])
    assert (np.abs(found["mean"].values - wanted["mean"].values)[:, 0] < 0.3 * sd).all()
    np.testing.assert_allclose(np.sqrt(found["cov"].values[:, 0, 0]), sd, rtol=0.25)
    np.testing.assert_allclose(found["double"], 2 * found["mean"][:, 0], rtol=1e-9)
    np.testing.assert_allclose(found["double_sd"], 2 * np.sqrt(found["cov"].values[:, 0, 0]), rtol=1e-9)
    assert found["paths"].shape == (5, 40, 1) and len(np.unique(found["paths"][:, 0])) == 5
    # The signal of a seen row is the state itself.
    np.testing.assert_allclose(found["observed_cov"].values, found["cov"].values, rtol=1e-9)


def test_forecasts_go_on_from_the_last_row(fit, exact) -> None:
    found, wanted = fit.forecast(3), exact.forecast(3)
    sd = np.sqrt(wanted["observed_cov"].values[:, 0, 0])
    assert found.sizes["time"] == 3
    assert (np.abs(found["observed_mean"] - wanted["observed_mean"]).values[:, 0] < 0.3 * sd).all()
    np.testing.assert_allclose(np.sqrt(found["observed_cov"].values[:, 0, 0]), sd, rtol=0.2)
    np.testing.assert_allclose(found["observed_quantile"].values[[0, -1], :, 0].T,
                               wanted["observed_quantile"].values[[0, -1], :, 0].T, atol=0.5)  # fmt: skip


def test_a_saved_fit_has_its_states(fit, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.nc")
    again = ssmlang.load(tmp_path / "fit.nc")
    xr.testing.assert_identical(again.forecast(2), fit.forecast(2))
    xr.testing.assert_identical(again.smooth(draws=20, paths=2), fit.smooth(draws=20, paths=2))
    assert "conditional" in fit.tree["log_likelihood"]["y"].attrs["factorisation"]
    assert fit.tree["log_likelihood"]["y"].shape == (2, 400, 37)


def test_the_numpyro_model_has_the_states_as_sites(model, data, fit) -> None:
    from numpyro.infer.util import log_density

    of = model.numpyro(data, engine="latent")
    kinds = {}

    @jax.jit
    def drawn() -> dict[str, jax.Array]:
        with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as sites:
            of()
        kinds.update({n: (site["type"], site.get("is_observed")) for n, site in sites.items()})
        return {n: sites[n]["value"] for n in ("phi", "q", "noise", "x")}

    values = drawn()
    assert kinds["x"][0] == "deterministic" and values.pop("x").shape == (40,)
    assert kinds["noise"] == ("sample", False)
    at = {"phi": 0.6, "q": 0.8}

    @jax.jit
    def density(phi: float) -> jax.Array:
        return log_density(of, (), {}, {**values, **at, "phi": phi})[0]

    # By its parts: priors, noises, and the emission at the path that the noises make.
    with jax.enable_x64(True):
        path = jax.jit(lambda: log_density(of, (), {}, {**values, **at})[1]["x"]["value"])()
    priors = float(model.priors.log_density(at))
    noise = np.asarray(values["noise"], float)
    seen = ~np.isnan(data["y"])
    emission = -0.5 * ((data["y"] - np.asarray(path)) / 0.5) ** 2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)
    total = priors + np.sum(-0.5 * noise**2 - 0.5 * np.log(2 * np.pi)) + emission[seen].sum()
    np.testing.assert_allclose(float(density(0.6)), total, rtol=1e-4)
    slope = float(jax.jit(jax.grad(density))(0.6))
    np.testing.assert_allclose(slope, (float(density(0.61)) - float(density(0.59))) / 0.02, rtol=0.05)


def test_several_series_and_vectors() -> None:
    text = "param s ~ HalfNormal(1)\nstate x[2]\nobs y[2]\ninit x ~ Normal(0, 1)\n"
    model = ssmlang.compile(text + "x[t] ~ MvNormal(0.5 * x[t-1], s^2 * eye(2))\ny[t] ~ Normal(x[t], 0.3)\n")
    data = [{"y": model.simulate(n, {"s": 0.6}, seed=n)["y"].values.reshape(n, 2)} for n in (12, 7, 12)]
    found = model.fit(data, engine="latent", **BRIEF)
    exact = model.fit(data, **BRIEF)
    agree(found, exact)
    smoothed = found.smooth(draws=300)
    assert [s.sizes["time"] for s in smoothed] == [12, 7, 12]
    for a, b in zip(smoothed, exact.smooth(draws=100)):
        assert float(np.abs(a["mean"] - b["mean"]).max()) < 0.25


@pytest.mark.parametrize("verb", ["log_likelihood", "filter", "smooth"])
def test_there_is_no_likelihood_of_parameters_alone(model, data, verb: str) -> None:
    with pytest.raises(SsmError) as caught:
        getattr(model, verb)(data, TRUE, engine="latent")
    (said,) = caught.value.diagnostics
    assert said.code == "E306" and "together" in said.message and 'engine="kalman"' in said.help[0]


@pytest.mark.parametrize("method", ["map", "mle", "laplace", "pmmh", "smc2", "pgibbs"])
def test_methods_that_do_not_take_states(model, data, method: str) -> None:
    with pytest.raises(SsmError) as caught:
        model.fit(data, method, engine="latent", **BRIEF)
    assert caught.value.diagnostics[0].code == "E306" and method in caught.value.diagnostics[0].message


def test_a_state_that_is_no_map_of_normal_numbers_is_refused() -> None:
    text = "param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
    model = ssmlang.compile(text + "x[t] ~ StudentT(4, x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n")
    with pytest.raises(SsmError) as caught:
        model.fit({"y": np.zeros(5)}, engine="latent", **BRIEF)
    (said,) = caught.value.diagnostics
    assert said.code == "E306" and "StudentT" in said.label


def test_how_many_draws_keep_their_states() -> None:
    assert thinning(1_000, 4_000) == 1
    assert thinning(100_000, 1_000) == 4
    assert thinning(10**9, 4_000) == 100
