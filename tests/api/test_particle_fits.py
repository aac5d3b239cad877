"""Parameters by particles, against the exact likelihood and against states and parameters together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ssmlang
from ssmlang.engines.particle import Particle
from ssmlang.language.diagnostics import SsmError

AR = """
param phi in (-1, 1) ~ Normal(0.5, 0.3)
param q ~ LogNormal(-0.5, 0.4)
state x
obs   y
init x ~ Stationary()
x[t] ~ Normal(phi * x[t-1], q)
y[t] ~ Normal(x[t], 0.4)
"""
TRUE = {"phi": 0.7, "q": 0.7}


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(AR)


@pytest.fixture(scope="module")
def data(model: ssmlang.Model) -> dict[str, np.ndarray]:
    y = model.simulate(30, TRUE, seed=3)["y"].values.reshape(-1).copy()
    y[[7, 8]] = np.nan
    return {"y": y}


@pytest.fixture(scope="module")
def exact(model: ssmlang.Model, data: dict[str, np.ndarray]) -> ssmlang.running.fit.Fit:
    return model.fit(data, draws=1000, warmup=300, chains=2, progress="off")


def agree(found: ssmlang.running.fit.Fit, exact: ssmlang.running.fit.Fit) -> None:
    """Posterior means and sds within Monte Carlo error of each other."""
    a, b = found.summary(), exact.summary()
    for name in b.index:
        error = np.hypot(*(t.loc[name, "sd"] / np.sqrt(t.loc[name, "ess_bulk"]) for t in (a, b)))
        assert error < 0.3 * b.loc[name, "sd"], name
        assert abs(a.loc[name, "mean"] - b.loc[name, "mean"]) < 4 * error, name
        np.testing.assert_allclose(a.loc[name, "sd"], b.loc[name, "sd"], rtol=0.35, err_msg=name)


def test_pmmh(model, data, exact, tmp_path: Path) -> None:
    fit = model.fit(data, "pmmh", engine="particle", draws=800, warmup=300, chains=2, seed=1, progress="off")
    agree(fit, exact)
    said = fit.found.attrs
    assert said["particles"] == fit._runner.engine.particles and said["log_likelihood_variance"] < 3
    assert 0.1 < said["acceptance_rate"] < 0.5 and said["started_from"] == "kalman"
    assert fit.tree["sample_stats"]["acceptance_rate"].shape == (2, 800)
    fit.save(tmp_path / "fit.nc")
    again = ssmlang.load(tmp_path / "fit.nc")
    assert again._runner.engine == fit._runner.engine
    paths = fit.smooth(draws=2, paths=3)["paths"]
    assert paths.shape == (3, 30, 1) and len(np.unique(paths[:, 0])) == 3
    xr.testing.assert_identical(again.smooth(draws=3)["mean"], fit.smooth(draws=3)["mean"])


def test_particles_that_were_asked_for_stay_as_they_are(model, data) -> None:
    engine = Particle(particles=16, proposal="bootstrap")
    fit = model.fit(data, "pmmh", engine=engine, draws=20, warmup=20, chains=1, progress="off")
    assert fit._runner.engine == engine and fit.found.attrs["particles"] == 16
    assert "take more particles" in fit.found.attrs["warning"]


def test_pgibbs(model, data, exact, tmp_path: Path) -> None:
    fit = model.fit(data, "pgibbs", draws=600, warmup=200, chains=2, seed=1, progress="off")
    assert fit.engine == "particle"
    agree(fit, exact)
    found, wanted = fit.smooth(paths=4), exact.smooth()
    sd = np.sqrt(wanted["cov"].values[:, 0, 0])
    assert (np.abs(found["mean"] - wanted["mean"]).values[:, 0] < 0.3 * sd).all()
    np.testing.assert_allclose(np.sqrt(found["cov"].values[:, 0, 0]), sd, rtol=0.25)
    assert 0.5 < fit.found.attrs["states_renewed"] <= 1
    fit.save(tmp_path / "fit.nc")
    xr.testing.assert_identical(ssmlang.load(tmp_path / "fit.nc").smooth(draws=9), fit.smooth(draws=9))


def test_smc2_and_its_evidence(model, data, exact, tmp_path: Path) -> None:
    fit = model.fit(data, "smc2", engine="particle", draws=600, chains=2, seed=1, progress="off")
    agree(fit, exact)
    known = model.fit(data, "smc2", draws=1000, chains=2, progress="off")
    assert known.engine == "kalman"
    a, b = (f.found.attrs["log_evidence"] for f in (fit, known))
    assert abs(a - b) < 0.4
    fit.save(tmp_path / "fit.nc")
    assert ssmlang.load(tmp_path / "fit.nc").found.attrs["log_evidence"] == pytest.approx(a)


def test_svi_through_particles_says_what_it_is(model, data) -> None:
    fit = model.fit(data, "svi", engine=Particle(particles=50), draws=50, warmup=63, chains=1, progress="off")
    assert "resampling" in fit.found.attrs["warning"] and np.isfinite(fit.found.attrs["elbo"])
    exact = model.fit(data, "svi", draws=50, warmup=63, chains=1, progress="off")
    assert "warning" not in exact.found.attrs


@pytest.mark.parametrize("method", ["nuts", "map", "mle", "laplace"])
def test_methods_that_follow_gradients_take_no_particles(model, data, method: str) -> None:
    with pytest.raises(SsmError) as caught:
        model.fit(data, method, engine="particle", progress="off")
    (said,) = caught.value.diagnostics
    assert said.code == "E306" and "without gradients" in said.message and "kalman" in said.help[0]


@pytest.mark.parametrize(
    ("init", "step", "words"),
    [("init x = s", "x[t] ~ Normal(x[t-1], s)", "first row"),
     ("init x ~ Normal(0, 1)", "x[t] = 0.5 * x[t-1] + 0.1", "exact given the row before"),
     ("init x ~ Normal(0, 1)", "x[t] ~ Normal(x[t-1] - 0.5 * x[t-2], s)", "two rows or more")],
)  # fmt: skip
def test_particle_gibbs_needs_states_with_a_density(init: str, step: str, words: str) -> None:
    text = f"param s ~ HalfNormal(1)\nstate x\nobs y\n{init}\n{step}\ny[t] ~ Normal(x[t], s)\n"
    with pytest.raises(SsmError) as caught:
        ssmlang.compile(text).fit({"y": np.zeros(6)}, "pgibbs", progress="off")
    (said,) = caught.value.diagnostics
    assert said.code == "E306" and words in str(said.label) and "pmmh" in said.help[0]


@pytest.mark.slow
def test_stochastic_volatility_by_three_methods() -> None:
    model = ssmlang.compile(
        "param mu ~ Normal(-1, 1)\nparam phi in (-1, 1) ~ Normal(0.9, 0.1)\nparam sd ~ LogNormal(-1, 0.5)\n"
        "state h\nobs r\ninit h ~ Stationary()\nh[t] ~ Normal(mu + phi * (h[t-1] - mu), sd)\n"
        "r[t] ~ Normal(0, exp(h[t] / 2))\n"
    )
    data = {"r": model.simulate(200, {"mu": -1.0, "phi": 0.9, "sd": 0.4}, seed=2)["r"].values.reshape(-1)}
    latent = model.fit(data, engine="latent", draws=1500, warmup=700, chains=2, progress="off")
    agree(model.fit(data, "pmmh", engine="particle", draws=4000, warmup=1000, chains=2, progress="off"), latent)
    agree(model.fit(data, "pgibbs", draws=6000, warmup=1000, chains=2, progress="off"), latent)
