"""Stochastic volatility and counts through the verbs of a model, by the engines at the mode."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.language.diagnostics import SsmError

VOLATILITY = """
param mu ~ Normal(-1, 2)
param phi in (-1, 1) ~ Normal(0.95, 0.1)
param sd ~ HalfNormal(0.5)
state h
obs r
let volatility[t] = exp(h[t] / 2)
init h ~ Stationary()
h[t] ~ Normal(mu + phi * (h[t-1] - mu), sd)
r[t] ~ Normal(0, exp(h[t] / 2))
"""
PARAMS = {"mu": -1.0, "phi": 0.95, "sd": 0.3}


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(VOLATILITY)


@pytest.fixture(scope="module")
def data(model: ssmlang.Model) -> dict[str, np.ndarray]:
    r = model.simulate(steps=60, params=PARAMS, seed=2)["r"].values
    r[10] = np.nan
    return {"r": r}


@pytest.mark.parametrize("engine", ["laplace", "importance"])
def test_every_verb(engine: str, model: ssmlang.Model, data: dict[str, np.ndarray]) -> None:
    value = float(model.log_likelihood(data, PARAMS, engine=engine))
    filtered, smoothed = (getattr(model, verb)(data, PARAMS, engine=engine) for verb in ("filter", "smooth"))
    assert float(filtered.log_likelihood.sum()) == pytest.approx(value, abs=1e-8)
    h, P = smoothed["mean"].values[:, 0], smoothed["cov"].values[:, 0, 0]
    # E exp(h/2) of a Gaussian law, and of draws within their error: not exp(E h / 2).
    ratio = smoothed["volatility"].values / np.exp(h / 2 + P / 8)
    np.testing.assert_allclose(ratio, 1, atol=1e-8 if engine == "laplace" else 0.1)
    assert (smoothed["volatility_sd"].values > 0).all()
    ahead: Any = model.forecast(data, PARAMS, 3, engine=engine)
    m, v = ahead["mean"].values[:, 0], ahead["cov"].values[:, 0, 0]
    np.testing.assert_allclose(ahead["observed_cov"].values[:, 0, 0], np.exp(m + v / 2), rtol=1e-6)
    np.testing.assert_allclose(ahead["observed_mean"].values, 0, atol=1e-12)
    if engine == "importance":
        assert 1 < float(smoothed["ess"][-1]) <= 128


def test_auto_takes_laplace(model: ssmlang.Model) -> None:
    assert model.why().chosen == "laplace"


def test_the_methods_of_fit_agree(model: ssmlang.Model, data: dict[str, np.ndarray]) -> None:
    best = model.fit(data, "map", engine="laplace").params
    drawn = model.fit(data, "nuts", engine="laplace", draws=150, warmup=150, chains=2)
    sds = {name: float(drawn.posterior[name].std()) for name in best}
    for name, value in best.items():
        assert abs(float(value) - float(drawn.posterior[name].mean())) < 2 * sds[name]


def test_a_likelihood_that_is_differentiated_is_no_estimate_by_particles() -> None:
    """`auto` takes particles for its value, and for its gradient what `map` takes."""
    model = ssmlang.compile("param q ~ HalfNormal(1)\nstate x\nobs y\ninit x = 0\nx[t] ~ Normal(sin(x[t-1]), q)\n"
                            "y[t] ~ Poisson(exp(x[t]))\n")  # fmt: skip
    data = {"y": np.array([1.0, 2.0])}
    assert model.why().chosen == "particle"
    jax.make_jaxpr(jax.grad(lambda q: model.log_likelihood(data, {"q": q})))(0.5)
    assert [engine.name for engine in model._executions] == ["ipls"]


def test_what_has_no_density_is_refused() -> None:
    start = "state x\nobs y\ninit x ~ Normal(0, 1)\n"
    exact = ssmlang.compile(start + "x[t] ~ Normal(x[t-1]^2, 1)\ny[t] = exp(x[t])")
    for engine in ("laplace", "importance"):
        with pytest.raises(SsmError, match="density"):
            exact.log_likelihood({"y": [1.0, 2.0]}, {}, engine=engine)
    heavy = ssmlang.compile(start + "x[t] ~ StudentT(4, x[t-1], 1)\ny[t] ~ Poisson(exp(x[t]))")
    with pytest.raises(SsmError, match="normal numbers"):
        heavy.log_likelihood({"y": [1.0, 2.0]}, {}, engine="importance")
    assert np.isfinite(float(heavy.log_likelihood({"y": [1.0, 2.0]}, {}, engine="laplace")))


def test_maximum_likelihood_by_importance_sampling_with_one_set_of_draws() -> None:
    model = ssmlang.compile(
        "param mu ~ Normal(0, 2)\nparam sd ~ LogNormal(-1, 0.5)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(0.8*x[t-1], sd)\ny[t] ~ Poisson(exp(mu + x[t]))\n"
    )
    data = model.simulate(40, {"mu": 1.0, "sd": 0.4}, seed=3)
    found, near = (model.fit(data, "mle", engine, progress=False) for engine in ("importance", "laplace"))
    table = found.summary()
    assert table.attrs["converged"] and "same draws" in table.attrs["likelihood"]
    # The optimum is one of the function that is computed, not of its noise.
    at = {n: float(v) for n, v in found.params.items()}
    value = lambda p: float(model.log_likelihood(data, p, "importance"))
    for name in at:
        for step in (-1e-3, 1e-3):
            assert value({**at, name: at[name] + step}) < value(at)
    assert (abs(table["estimate"] - near.summary()["estimate"]) < 0.3 * near.summary()["se"]).all()
    # Quantiles of coming counts are those of draws, with states of these moments: whole numbers, and none is negative.
    ahead = near.forecast(6)
    rng = np.random.default_rng(0)
    x = ahead["mean"].values[-1, 0] + np.sqrt(ahead["cov"].values[-1, 0, 0]) * rng.normal(size=100_000)
    wanted = np.quantile(rng.poisson(np.exp(near.params["mu"] + x)), ahead["quantile"])
    counts = ahead["observed_quantile"].values[:, -1, 0]
    assert (counts == np.rint(counts)).all() and (np.abs(counts - wanted) <= 1 + 0.06 * wanted).all()
    assert ahead["observed_mean"].values[-1, 0] < 1.645 * np.sqrt(ahead["observed_cov"].values[-1, 0, 0])


def test_the_sampler_refuses_an_estimate_and_names_the_method_that_takes_it() -> None:
    model = ssmlang.compile(
        "param mu ~ Normal(0, 2)\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"
        "y[t] ~ Poisson(exp(mu + x[t]))\n"
    )
    with pytest.raises(ssmlang.SsmError, match="pmmh"):
        model.fit({"y": [1.0, 2.0]}, "nuts", "importance")


def test_laplace_noise_goes_to_weighted_paths_and_is_the_grids() -> None:
    """The law that paths are drawn from has its corner rounded off; their weights are those of the law itself."""
    model = ssmlang.compile("""
param a in (-1, 1) ~ Normal(0.8, 0.3)
param q, s ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(a * x[t-1], q)
y[t] ~ Laplace(x[t], s)
""")
    params = {"a": 0.9, "q": 0.3, "s": 1.0}
    y = np.array(model.simulate(60, params, seed=1)["y"], float)
    y[[7, 8]] = np.nan
    x = np.linspace(-6, 6, 801)
    normal = lambda u, sd: np.exp(-0.5 * (u / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    law, kernel, total, step = normal(x, 1.0), normal(x[None, :] - 0.9 * x[:, None], 0.3), 0.0, x[1] - x[0]
    for t, now in enumerate(y):
        law = law @ kernel * step if t else law
        law = law if np.isnan(now) else law * 0.5 * np.exp(-np.abs(now - x))
        total += np.log(mass := law.sum() * step)
        law = law / mass
    assert abs(float(model.log_likelihood({"y": y}, params, engine="importance")) - total) < 0.5
    assert "particle, then importance" in str(model.why())
    flat = ssmlang.compile(
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Uniform(x[t] - 1, x[t] + 1)"
    )
    assert str(flat.why()).startswith("engine: particle")


@pytest.mark.parametrize("engine", ["importance", "kalman"])
def test_a_likelihood_goes_through_a_callers_jit_in_single_precision(engine: str) -> None:
    """Draws and incomplete gamma functions were lowered as of single precision, and a vmap of a jit added both."""
    law = "Poisson(exp(x[t]))" if engine == "importance" else "Normal(x[t], 0.5)"
    text = "param a\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(a*x[t-1], 0.6)\n"
    model = ssmlang.compile(f"{text}y[t] ~ {law}\n")
    f = lambda a: model.log_likelihood({"y": np.array([1.0, 0.0, 2.0, 4.0])}, {"a": a}, engine)
    at, h = np.array([0.7, 0.4]), 1e-4
    plain = [float(f(a)) for a in at]
    np.testing.assert_allclose(jax.vmap(jax.jit(f))(at), plain, rtol=1e-6)
    slope = [(float(f(a + h)) - float(f(a - h))) / (2 * h) for a in at]
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(f)))(at), slope, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(jax.jit(lambda a: jax.lax.map(f, a))(at), plain, rtol=1e-6)
    if engine == "kalman":
        bend = (float(f(0.7 + 0.01)) - 2 * plain[0] + float(f(0.7 - 0.01))) / 0.01**2
        np.testing.assert_allclose(jax.jit(jax.hessian(f))(0.7), bend, rtol=1e-3)


def test_counts_beside_a_number_that_is_read_back_and_missing() -> None:
    """The density of the counts read what the law of the other observation reads, which the memory need not hold."""
    text = ("state x\nobs y, k\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.8*x[t-1], 0.5)\n"
            "y[t] ~ Normal(x[t] + 0.3*y[t-1], 0.6)\nk[t] ~ Poisson(exp(0.5*x[t]))\n")  # fmt: skip
    model = ssmlang.compile(text)
    data = {"y": np.array([0.2, 0.5, np.nan, 0.7, -0.1]), "k": np.array([1.0, 2.0, 0.0, np.nan, 3.0])}
    estimates = [float(model.log_likelihood(data, {}, "particle", seed=s)) for s in range(8)]
    for engine in ("ekf", "ukf", "ipls"):
        assert float(model.log_likelihood(data, {}, engine)) == pytest.approx(np.mean(estimates), abs=0.15)


WELLS = """
param q, sd ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1] + 0.3 * (x[t-1] - x[t-1]^3), q)
y[t] ~ Normal(x[t], sd)
"""


AWAY = {"q": 0.8, "sd": 0.5}


@pytest.fixture(scope="module")
def wells() -> Any:
    model = ssmlang.compile(WELLS)
    return model, {"y": model.simulate(10, AWAY, seed=1)["y"].values}


def test_paths_that_run_away_have_no_weight(wells: Any) -> None:
    """A cubic drift takes a path drawn far from the mode beyond all numbers in a few rows; it ended in E721."""
    model, data = wells
    x = np.linspace(-6, 6, 1201)
    normal = lambda z, sd: np.exp(-0.5 * (z / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    move, law = normal(x[:, None] - x - 0.3 * (x - x**3), 0.8) * (x[1] - x[0]), normal(x, 1.0)
    for t, y in enumerate(data["y"]):
        law = (move @ law if t else law) * normal(y - x, 0.5)
    truth = np.log(law.sum() * (x[1] - x[0]))
    engine = ssmlang.engines.Importance(samples=2048)
    found = float(model.log_likelihood(data, AWAY, engine=engine))
    assert found == pytest.approx(truth, abs=0.4)
    rows = model.filter(data, AWAY, engine=engine)["log_likelihood"]
    assert float(rows.sum()) == pytest.approx(found, abs=0.01)  # quadratics far out promise 1e18 on the way


def test_their_likelihood_has_a_gradient(wells: Any) -> None:
    model, data = wells
    engine = ssmlang.engines.Importance(samples=2048)
    value = lambda q: model.log_likelihood(data, AWAY | {"q": q}, engine=engine)
    with jax.enable_x64(True):
        slope = float(jax.grad(value)(0.8))
    assert slope == pytest.approx(float(value(0.8 + 1e-5) - value(0.8 - 1e-5)) / 2e-5, rel=1e-4)
