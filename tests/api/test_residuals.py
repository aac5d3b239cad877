"""Innovations and smoothed noises, against statsmodels and against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

import ssmlang

TREND = """
param s_level, s_slope, s_season, s_obs ~ HalfNormal(1)
state level, slope, season
obs y
init level, slope, season ~ Diffuse()
level[t] ~ Normal(level[t-1] + slope[t-1], s_level)
slope[t] ~ Normal(slope[t-1], s_slope)
season[t] ~ Normal(-season[t-1] - season[t-2] - season[t-3], s_season)
y[t] ~ Normal(level[t] + season[t], s_obs)
"""
SDS = {"s_level": 20.0, "s_slope": 3.0, "s_season": 15.0, "s_obs": 90.0}


def test_a_structural_model_as_statsmodels_has_it() -> None:
    y = sm.datasets.nile.load_pandas().data["volume"].to_numpy(float)[:40].copy()
    y[[7, 20, 21]] = np.nan
    found = ssmlang.compile(TREND).residuals({"y": y}, SDS)
    reference = sm.tsa.UnobservedComponents(y, "lltrend", seasonal=4, use_exact_diffuse=True)
    result = reference.smooth(np.array([90.0, 20.0, 3.0, 15.0]) ** 2)
    states = ["level", "slope", "season"]
    assert list(found["noise"].values) == [*states, "y"]
    # A row of ours is given its noise; statsmodels counts it in the row before.
    mean = found["noise_mean"].sel(noise=states).values
    assert np.isnan(mean[0]).all()
    assert np.allclose(mean[1:], result.smoothed_state_disturbance[:, :-1].T, rtol=1e-8, atol=1e-8)
    variance = found["noise_sd"].sel(noise=states).values[1:] ** 2
    wanted = np.diagonal(result.smoothed_state_disturbance_cov, axis1=0, axis2=1)[:-1]
    assert np.allclose(variance, wanted, rtol=1e-8)
    prior = np.array([20.0, 3.0, 15.0]) ** 2
    told = prior - wanted > 1e-6 * prior
    auxiliary = result.smoothed_state_disturbance[:, :-1].T / np.sqrt(np.where(told, prior - wanted, 1))
    assert np.allclose(found["auxiliary"].sel(noise=states).values[1:][told], auxiliary[told], rtol=1e-5)
    seen = ~np.isnan(y)
    own = found.sel(noise="y")
    assert np.allclose(own["noise_mean"][seen], result.smoothed_measurement_disturbance[0, seen], rtol=1e-8)
    assert np.allclose(own["noise_sd"][seen] ** 2, result.smoothed_measurement_disturbance_cov[0, 0, seen], rtol=1e-8)
    assert np.allclose(own["noise_mean"][~seen], 0) and np.allclose(own["noise_sd"][~seen], 90)
    assert np.isnan(own["auxiliary"][~seen]).all() and np.isfinite(own["auxiliary"][seen]).all()
    # Five rows are spent on the flat start.
    known = seen & (np.arange(40) >= 5)
    innovations = found["standardized"].values[:, 0]
    assert np.allclose(innovations[known], result.standardized_forecasts_error[0][known], rtol=1e-7)
    assert np.isnan(innovations[~known]).all() and np.isinf(found["innovation_sd"].values[:5]).all()
    assert np.allclose(found["innovation"].values[known, 0], result.forecasts_error[0][known], rtol=1e-7)


CORRELATED = """
param rho in (-1, 1) ~ Normal(0, 0.5)
axis place = {east, west}
input k
noise w[2] ~ MvNormal([0.3, 0], [[1, rho], [rho, 1]])
state x[place]
obs y[place], z
init x ~ Normal(0, 2)
x[t, east] = 0.7 * x[t-1, east] + w[t, 0]
x[t, west] ~ Normal(0.5 * x[t-1, east], k[t])
y[t] ~ MvNormal(x[t], [[1, 0.4], [0.4, 0.5]])
z[t] = x[t, east] + 2 * w[t, 1]
"""


def test_correlated_noises_against_dense_linear_algebra() -> None:
    """Everything as combinations of independent standard normals, in the rows that the model says."""
    steps, rho = 6, -0.6
    rng = np.random.default_rng(2)
    k = rng.uniform(0.5, 1.5, size=steps)
    data = {"y": rng.normal(size=(steps, 2)), "z": rng.normal(size=steps), "k": k}
    data["y"][2, 0] = data["z"][4] = np.nan
    data["y"][3] = np.nan
    width = 2 + 5 * steps
    start = np.diag([2.0, 2.0])
    names = ["w[0]", "w[1]", "x[west]", "y[east]", "y[west]"]
    rows: dict[str, list[np.ndarray]] = {n: [] for n in [*names, "obs"]}
    constants: dict[str, list[float]] = {"obs": []}
    root_w, root_y = np.linalg.cholesky([[1, rho], [rho, 1]]), np.linalg.cholesky([[1, 0.4], [0.4, 0.5]])
    x, c = np.concatenate([start, np.zeros((2, width - 2))], axis=1), np.zeros(2)
    for t in range(steps):
        e = np.zeros((5, width))
        e[:, 2 + 5 * t : 7 + 5 * t] = np.eye(5)
        w, own, noise = root_w @ e[:2], k[t] * e[2], root_y @ e[3:]
        if t:
            x, c = np.stack([0.7 * x[0] + w[0], 0.5 * x[0] + own]), np.array([0.7 * c[0] + 0.3, 0.5 * c[0]])
        for name, value in zip(names, [*w, own, *noise], strict=True):
            rows[name].append(value)
        rows["obs"] += [*(x + noise), x[0] + 2 * w[1]]
        constants["obs"] += [*c, c[0]]
    L, values = np.stack(rows["obs"]), np.column_stack([data["y"], data["z"]]).reshape(-1)
    seen = ~np.isnan(values)
    v, S = (values - constants["obs"])[seen], (L @ L.T)[np.ix_(seen, seen)]
    found = ssmlang.compile(CORRELATED).residuals(data, {"rho": rho})
    assert list(found["noise"].values) == names and "east" in str(found["noise"].values)
    for name in names:
        loadings = np.stack(rows[name])
        gain = np.linalg.solve(S, L[seen] @ loadings.T).T
        mean = gain @ v + (0.3 if name == "w[0]" else 0.0)
        told = np.einsum("ij,ij->i", gain, loadings @ L[seen].T)
        prior = (loadings**2).sum(axis=1)
        first = 1 if name == "x[west]" else 0
        got = found.sel(noise=name)
        assert np.allclose(got["noise_mean"][first:], mean[first:], atol=1e-10), name
        assert np.allclose(got["noise_sd"][first:] ** 2, (prior - told)[first:], atol=1e-10), name
        known = told > 1e-6
        known[:first] = False
        wanted = (mean - (0.3 if name == "w[0]" else 0.0)) / np.sqrt(np.maximum(told, 1e-12))
        assert np.allclose(got["auxiliary"][known], wanted[known], rtol=1e-7), name
        assert np.isnan(got["auxiliary"][told < 1e-12]).all() and np.isnan(got["noise_mean"][:first]).all()
    # Standardized innovations are what the Cholesky factor of all that was seen makes of it.
    wanted = np.full(values.shape, np.nan)
    wanted[seen] = np.linalg.solve(np.linalg.cholesky(S), v)
    assert np.allclose(found["standardized"].values.reshape(-1), wanted, rtol=1e-8, equal_nan=True)


def test_what_was_certain_beforehand_has_no_residual() -> None:
    text = """
    param s ~ HalfNormal(1)
    state x
    obs y, twice
    init x ~ Normal(0, 1)
    x[t] ~ Normal(x[t-1], s)
    y[t] = x[t]
    twice[t] = 2 * x[t]
    """
    y = np.array([0.3, 0.5, np.nan, 0.1])
    found = ssmlang.compile(text).residuals({"y": y, "twice": 2 * np.array([0.3, 0.5, 0.2, 0.1])}, {"s": 0.5})
    standardized = found["standardized"].values
    assert np.isnan(standardized[[0, 1, 3], 1]).all() and np.isfinite(standardized[2, 1])
    assert np.allclose(standardized[:2, 0], [0.3, 0.2 / 0.5])
    # The noise of x is known exactly once x is.
    assert np.allclose(found["noise_sd"].sel(noise="x")[[1, 3]], 0, atol=1e-7)
    assert np.allclose(found["noise_mean"].sel(noise="x")[1], 0.2)


def test_rows_that_are_conditioned_on_have_no_residual() -> None:
    text = "param s ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0.5 * y[t-1] + 0.2 * y[t-2], s)\n"
    y = np.random.default_rng(0).normal(size=8)
    found = ssmlang.compile(text).residuals({"y": y}, {"s": 0.5})
    e = y[2:] - 0.5 * y[1:-1] - 0.2 * y[:-2]
    assert np.allclose(found["innovation"][2:, 0], e) and np.allclose(found["standardized"][2:, 0], 2 * e)
    assert np.isnan(found["standardized"][:2]).all()
    assert np.allclose(found["noise_mean"][2:, 0], e) and np.allclose(found["auxiliary"][2:, 0], 2 * e)
    assert np.isnan(found["auxiliary"][:2]).all()


def test_several_series_and_single_precision() -> None:
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n")
    y = np.random.default_rng(0).normal(size=9)
    both = model.residuals([{"y": y}, {"y": y[:4]}], {})
    assert [r.sizes["time"] for r in both] == [9, 4]
    single = model.residuals({"y": y}, {}, dtype="float32")
    assert np.allclose(single["auxiliary"], both[0]["auxiliary"], rtol=1e-4, atol=1e-4, equal_nan=True)
    with pytest.raises(ssmlang.SsmError):
        model.residuals({"y": y}, {}, engine="nothing")
