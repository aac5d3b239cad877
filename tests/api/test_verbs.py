"""The verbs of a compiled model, from text to numbers."""

from __future__ import annotations

import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import ssmlang
from ssmlang import SsmError

MODELS = Path(__file__).parents[2] / "stdlib" / "models"
NILE = {"sd_level": 38.33, "sd_flow": 122.9}
FEEDBACK = """
param a in (-1, 1) ~ Normal(0, 0.5)
param b ~ Normal(0, 1)
param s ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(a * x[t-1] + b * y[t-1], s)
y[t] ~ Normal(x[t], 0.5)
"""


@pytest.fixture(scope="module")
def nile() -> ssmlang.Model:
    return ssmlang.compile(MODELS / "nile.ssm")


@pytest.fixture(scope="module")
def flow() -> object:
    return ssmlang.data.load("nile")


def dense_log_likelihood(y: np.ndarray, level: float, noise: float) -> float:
    """The Nile model as one Gaussian vector."""
    steps = len(y)
    cov = 500.0**2 + level**2 * np.minimum.outer(np.arange(steps), np.arange(steps)) + noise**2 * np.eye(steps)
    seen = ~np.isnan(y)
    r, c = (y - 1000)[seen], cov[np.ix_(seen, seen)]
    return float(-0.5 * (r @ np.linalg.solve(c, r) + np.linalg.slogdet(c)[1] + seen.sum() * np.log(2 * np.pi)))


def test_log_likelihood_is_the_density_of_what_was_seen(nile, flow) -> None:
    y = flow["flow"].to_numpy(float).copy()
    assert float(nile.log_likelihood(flow, NILE)) == pytest.approx(dense_log_likelihood(y, 38.33, 122.9), rel=1e-12)
    y[[3, 50, 99]] = np.nan
    assert float(nile.log_likelihood({"flow": y}, NILE)) == pytest.approx(
        dense_log_likelihood(y, 38.33, 122.9), rel=1e-12)  # fmt: skip


def test_log_likelihood_of_several_series_is_their_sum(nile, flow) -> None:
    parts = [flow.iloc[:30], flow.iloc[30:45], flow.iloc[45:]]
    each = [float(nile.log_likelihood(p, NILE)) for p in parts]
    assert float(nile.log_likelihood(parts, NILE)) == pytest.approx(sum(each), rel=1e-12)


def test_terms_of_the_filter_sum_to_the_log_likelihood(nile, flow) -> None:
    filtered = nile.filter(flow, NILE)
    assert float(filtered["log_likelihood"].sum()) == pytest.approx(float(nile.log_likelihood(flow, NILE)), rel=1e-12)
    last = nile.filter(flow, NILE, keep="last")
    assert last.sizes["time"] == 1 and last.attrs["log_likelihood"] == pytest.approx(
        float(filtered["log_likelihood"].sum()))  # fmt: skip


@pytest.mark.parametrize("double", [False, True])
def test_jit_grad_and_vmap_go_through(nile, flow, double: bool) -> None:
    """In the caller's own precision; the numbers inside are double either way."""
    step = 1e-3
    value = lambda level: float(nile.log_likelihood(flow, {**NILE, "sd_level": level}))
    slope = (value(30 + step) - value(30 - step)) / (2 * step)
    with jax.enable_x64(double):
        f = lambda level: nile.log_likelihood(flow, {"sd_level": level, "sd_flow": 122.9})
        found, gradient = jax.jit(jax.value_and_grad(f))(jnp.asarray(30.0))
        many = jax.jit(jax.vmap(jax.grad(f)))(jnp.asarray([30.0, 40.0]))
        assert found.dtype == (jnp.float64 if double else jnp.float32)
    tolerance = 1e-7 if double else 1e-5
    assert float(found) == pytest.approx(value(30), rel=tolerance)
    assert float(gradient) == pytest.approx(slope, rel=max(tolerance, 1e-6))
    assert float(many[0]) == pytest.approx(float(gradient), rel=tolerance)


def test_importing_and_running_change_no_setting_of_jax(nile, flow) -> None:
    nile.log_likelihood(flow, NILE)
    assert jnp.zeros(()).dtype == jnp.float32
    assert nile.log_likelihood(flow, NILE).dtype == jnp.float64
    assert nile.log_likelihood(flow, NILE, dtype="float32").dtype == jnp.float32


def test_what_is_worked_out_with_a_log_likelihood_stays_double(nile, flow) -> None:
    one, other = (nile.log_likelihood(flow, {**NILE, "sd_level": 38.33 + step}) for step in (0.0, 1e-6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 < abs(one - other) < 1e-6 and (one - other).dtype == np.float64
    with jax.enable_x64(True):
        assert isinstance(nile.log_likelihood(flow, NILE), jax.Array)


def test_forecast_continues_the_filter(nile, flow) -> None:
    filtered, ahead = nile.filter(flow, NILE), nile.forecast(flow, NILE, steps=4)
    assert list(ahead["time"].values) == [1971, 1972, 1973, 1974]
    assert np.allclose(ahead["mean"], filtered["mean"].values[-1])
    growth = filtered["cov"].values[-1, 0, 0] + 38.33**2 * np.arange(1, 5)
    assert np.allclose(ahead["cov"].values[:, 0, 0], growth)
    assert np.allclose(ahead["observed_cov"].values[:, 0, 0], growth + 122.9**2)


def test_moments_bear_the_names_of_the_file() -> None:
    model = ssmlang.compile(MODELS / "tracking.ssm")
    fix = np.cumsum(np.ones((12, 2)), axis=0)
    smoothed = model.smooth({"fix": fix}, {"sd_push": 1.0, "sd_fix": 1.0})
    assert list(smoothed["state"].values) == ["pos[east]", "pos[north]", "vel[east]", "vel[north]"]
    assert list(smoothed["obs"].values) == ["fix[east]", "fix[north]"]
    assert smoothed["cov"].dims == ("time", "state", "state_")


def test_definitions_come_with_their_own_moments() -> None:
    text = (
        "param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.9 * x[t-1], s)\n"
        "y[t] ~ Normal(x[t], 1)\nlet change[t] = x[t] - x[t-1]\nlet size[t] = exp(x[t])\n"
        "let pair[t] = x[t] * x[t-1]\n"
    )
    model, rng = ssmlang.compile(text), np.random.default_rng(0)
    y = rng.normal(size=20)
    for verb in (model.filter, model.smooth):
        found = verb({"y": y}, {"s": 0.5})
        mean, var = found["mean"].values[:, 0], found["cov"].values[:, 0, 0]
        # A lognormal law has these moments in closed form.
        assert np.allclose(found["size"], np.exp(mean + var / 2), rtol=1e-9)
        assert np.allclose(found["size_sd"], np.exp(mean + var / 2) * np.sqrt(np.expm1(var)), rtol=1e-7)
        assert np.isnan(found["change"].values[0]) or found["change"].sizes["time"] == 20
    smoothed = model.smooth({"y": y}, {"s": 0.5})
    assert np.allclose(smoothed["change"].values[1:], np.diff(smoothed["mean"].values[:, 0]))
    assert smoothed["pair"].sizes["time"] == 20


def test_an_observation_that_is_read_back_may_be_missing() -> None:
    """Against the joint Gaussian of everything, with the missing entry integrated out."""
    model, params = ssmlang.compile(FEEDBACK), {"a": 0.5, "b": 0.3, "s": 0.7}
    rng, steps = np.random.default_rng(1), 8
    noise = np.zeros((2 * steps, 2 * steps))
    # Rows x_0, y_0, x_1, y_1, ... as combinations of independent standard normals.
    for t in range(steps):
        x, y = 2 * t, 2 * t + 1
        if t:
            noise[x] = 0.5 * noise[x - 2] + 0.3 * noise[y - 2]
        noise[x, x] = 1.0 if t == 0 else 0.7
        noise[y] = noise[x]
        noise[y, y] += 0.5
    cov = (noise @ noise.T)[1::2, 1::2]
    y = rng.normal(size=steps)
    for missing in ([], [2], [0, 5], [7]):
        z = y.copy()
        z[missing] = np.nan
        seen = ~np.isnan(z)
        r, c = z[seen], cov[np.ix_(seen, seen)]
        wanted = -0.5 * (r @ np.linalg.solve(c, r) + np.linalg.slogdet(2 * np.pi * c)[1])
        assert float(model.log_likelihood({"y": z}, params)) == pytest.approx(wanted, rel=1e-10)
    ahead = model.forecast({"y": y[:5]}, params, steps=3)
    gain = np.linalg.solve(cov[:5, :5], cov[:5, 5:])
    assert np.allclose(ahead["observed_mean"].values[:, 0], gain.T @ y[:5])
    variance = np.diag(cov[5:, 5:] - gain.T @ cov[:5, 5:])
    assert np.allclose(ahead["observed_cov"].values[:, 0, 0], variance)


def test_constants_and_axes_from_outside() -> None:
    model = ssmlang.compile(MODELS / "ar.ssm", constants={"p": 3})
    assert model.spec.parameters["phi"].shape == (3,)
    y = np.random.default_rng(2).normal(size=30)
    params = {"mu": 0.0, "sd": 1.0, "phi": {1: 0.3, 2: 0.1, 3: -0.2}}
    assert float(model.log_likelihood({"y": y}, params)) == pytest.approx(
        float(model.log_likelihood({"y": y}, {**params, "phi": [0.3, 0.1, -0.2]})))  # fmt: skip


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"sd_level": 1.0}, "E441"),
        ({**NILE, "sd_flw": 1.0}, "E442"),
        ({"sd_level": [1.0, 2.0], "sd_flow": 1.0}, "E443"),
        ({"sd_level": -1.0, "sd_flow": 1.0}, "E444"),
        ({"sd_level": "big", "sd_flow": 1.0}, "E446"),
    ],
)
def test_parameters_are_checked(nile, flow, params, code) -> None:
    with pytest.raises(SsmError) as caught:
        nile.log_likelihood(flow, params)
    assert code in [d.code for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("options", "code"),
    [({"engine": "kalmann"}, "E301"), ({"engine": "amortized"}, "E302"), ({"dtype": "float16"}, "E712"),
     ({"device": "tpu"}, "E711")],
)  # fmt: skip
def test_options_are_checked(nile, flow, options, code) -> None:
    with pytest.raises(SsmError) as caught:
        nile.log_likelihood(flow, NILE, **options)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_what_cannot_run_says_why_at_the_line() -> None:
    model = ssmlang.compile(MODELS / "stochastic_volatility.ssm")
    with pytest.raises(SsmError) as caught:
        model.log_likelihood({"r": [0.1]}, {}, engine="kalman")
    shown = str(caught.value).replace(str(MODELS) + "/", "")
    assert shown.strip() == (
        "error[E304]: engine 'kalman' needs an emission that is affine in the state\n"
        "  --> stochastic_volatility.ssm:13:18\n"
        "13 | r[t] ~ Normal(0, exp(h[t] / 2))\n"
        "   |                  ^^^^^^^^^^^^^ the scale depends on h\n"
        '   = help: use engine="particle", or engine="auto"'
    )
    with pytest.raises(SsmError) as caught:
        model.fit({"r": [0.1]}, engine="kalman")
    assert [d.code for d in caught.value.diagnostics] == ["E304"]


def test_every_shipped_model_compiles_and_either_runs_or_says_why() -> None:
    runs = set()
    for path in sorted(MODELS.glob("*.ssm")):
        model = ssmlang.compile(path)
        try:
            model.execution()
            runs.add(path.stem)
        except SsmError as error:
            assert error.diagnostics[0].code == "E303"
            assert all(d.span is not None or d.code in ("E303", "E307") for d in error.diagnostics)
    assert {"nile", "ar", "arma", "var", "airline", "tracking", "trend_cycle", "nowcast", "panel",
            "dynamic_factor"} <= runs  # fmt: skip


def test_stationary_coefficients_belong_to_a_states_own_lags() -> None:
    with pytest.raises(SsmError) as caught:
        ssmlang.compile(
            "param A[2, 2] in stationary ~ Normal(0, 1)\nstate x[2]\nobs y\ninit x ~ Normal(0, 1)\n"
            "x[t] ~ Normal(A @ x[t-1], 1)\ny[t] ~ Normal(x[t, 0], 1)\n"
        )
    assert [d.code for d in caught.value.diagnostics] == ["E218"]


@pytest.mark.parametrize("mean", ["c", "mu[s[t]]"], ids=["constant", "Hamilton's"])
def test_stationary_coefficients_of_an_observations_own_lags(mean: str) -> None:
    text = (
        "axis lag = 1..2\naxis regime = {low, high}\nparam phi[lag] in stationary ~ Normal(0, 1)\n"
        "param c ~ Normal(0, 1)\nparam mu[regime] ~ Normal([-1, 1], 1)\nparam P[regime, regime] ~ Dirichlet([9, 1])\n"
        "state s in regime\nobs y\ninit s ~ Stationary()\ns[t] ~ Categorical(P[s[t-1]])\n"
        f"y[t] ~ Normal({mean} + sum(phi[k] * (y[t-k] - {mean.replace('[t]', '[t-k]')}) for k in lag), 1)\n"
    )
    model = ssmlang.compile(text)
    draws = np.asarray(model.priors.sample(jax.random.key(0), 200)["phi"])
    assert np.all((draws[:, 1] < 1 - np.abs(draws[:, 0])) & (draws[:, 1] > -1))
    with pytest.raises(SsmError) as caught:
        ssmlang.compile(text.replace("phi[k] * (y", "phi[k]^2 * (y"))
    assert [d.code for d in caught.value.diagnostics if d.code[0] == "E"] == ["E218"]


def test_reports() -> None:
    report = ssmlang.compile(MODELS / "ar.ssm").check()
    verdicts = {f.property: f.verdict for f in report.findings}
    claims = {"linear and Gaussian": "proved", "stable(x)": "proved", "observable(x)": "proved", "observable": "proved"}
    assert claims.items() <= verdicts.items()
    assert report.to_dict()["engine"] == "kalman" and "kalman" in str(report)
    assert ssmlang.compile(MODELS / "switching.ssm").why().chosen == "discrete"


def test_definitions_without_a_row_come_back_too() -> None:
    model = ssmlang.compile(
        "axis k = {a, b}\nparam p in (0, 1) ~ Normal(0.5, 0.2)\nlet w[k] = [p, 1 - p]\nstate x\nobs y\n"
        "init x ~ Normal(0, 1)\nx[t] ~ Normal(w[a] * x[t-1], 1)\ny[t] ~ Normal(x[t], w[b])\n"
    )
    data = {"y": np.random.default_rng(3).normal(size=15)}
    smoothed = model.smooth(data, {"p": 0.25})
    assert smoothed["w"].dims == ("k",) and np.allclose(smoothed["w"], [0.25, 0.75])
    fit = model.fit(data, method="map", progress="off")
    assert np.allclose(fit.posterior["w"].values[0, 0], [fit.params["p"], 1 - fit.params["p"]])
    table = fit.summary()
    assert list(table.index) == ["p", "w[a]", "w[b]"] and table.attrs["derived"] == ["w[a]", "w[b]"]


def test_a_model_without_states() -> None:
    model = ssmlang.compile("param mu ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(mu, sd)\n")
    data, params = {"y": [0.1, np.nan, 0.2]}, {"mu": 0.0, "sd": 1.0}
    assert float(model.log_likelihood(data, params)) == pytest.approx(-0.025 - np.log(2 * np.pi))
    assert model.smooth(data, params).sizes["state"] == 0
    assert np.allclose(model.forecast(data, params, 2)["observed_cov"].values, 1)


def test_a_holiday_is_a_gap_and_results_say_so() -> None:
    days = pd.bdate_range("2024-12-02", periods=25).drop(pd.DatetimeIndex(["2024-12-25", "2024-12-26"]))
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=len(days))}, index=days)
    model = ssmlang.compile("param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
                            "x[t] ~ Normal(x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n")  # fmt: skip
    found = model.filter(frame, {"s": 0.5})
    assert found.sizes["time"] == 25 and np.isnan(model.bind(frame)[0].observations["y"]).sum() == 2
    assert "2 rows are absent" in found.attrs["notes"] and "business day" in found.attrs["notes"]
    assert "2024-12-25" in found.attrs["notes"]
    assert "notes" not in model.filter(frame["2024-12-02":"2024-12-20"], {"s": 0.5}).attrs
    assert "2 rows are absent" in model.fit(frame, "map", progress=False).summary().attrs["notes"]
