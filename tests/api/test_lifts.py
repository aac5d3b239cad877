"""Models with lifts through the verbs: the lifted filter beside the EKF, names, definitions, what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

import ssmlang
from ssmlang.running.lifted import LiftedExecution

KOOPMAN = """model koopman
param a in (-1, 1) ~ Normal(0.9, 0.1)
param b in (-1, 1) ~ Normal(0.5, 0.2)
param sd_obs ~ HalfNormal(0.5)
state x[2]
obs y
init x ~ Normal([{mean}, -1], 0.5)
x[t] = [a * x[t-1, 0], b * x[t-1, 1] + (b - a^2) * x[t-1, 0]^2]
y[t] ~ Normal(x[t, 1], sd_obs)
let slow[t] = x[t, 1] - x[t, 0]^2
let risen[t] = exp(x[t, 1])
let unit = 2 * a
lift z[t] = [x[t, 0], x[t, 1], x[t, 0]^2] exact
assert stable(z)
"""
NOISY = KOOPMAN.format(mean=1).replace("x[t] = [a", "x[t] ~ Normal([a").replace(
    "x[t-1, 0]^2]", "x[t-1, 0]^2], [0.3, 0.1])")  # fmt: skip
PENDULUM = """model pendulum
const dt = 0.05
param sd_push ~ HalfNormal(0.5)
param sd_obs  ~ HalfNormal(0.5)
state angle, rate
obs   y
init angle ~ Normal({amplitude}, 0.1)
init rate  ~ Normal(0, 0.1)
angle[t] = angle[t-1] + dt * rate[t-1]
rate[t]  ~ Normal(rate[t-1] - dt * 9.81 * sin(angle[t-1]), sd_push)
y[t]     ~ Normal(sin(angle[t]), sd_obs)
lift z[t] = [angle[t], rate[t], sin(angle[t]), cos(angle[t]), rate[t] * cos(angle[t])] fitted
"""
BLIND = {"a": 0.95, "b": 0.5, "sd_obs": 0.05}
SEEN = {"a": 0.9, "b": 0.5, "sd_obs": 0.1}
PUSHED = {"sd_push": 0.1, "sd_obs": 0.2}


@cache
def koopman(mean: float = 1) -> Any:
    return ssmlang.compile(KOOPMAN.format(mean=mean))


@cache
def pendulum() -> Any:
    return ssmlang.compile(PENDULUM.format(amplitude=1.5))


@cache
def data(steps: int = 40, seed: int = 3) -> dict[str, np.ndarray]:
    return {"y": koopman().simulate(steps, SEEN, seed=seed).y.values}


def extended_kalman(y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """One-step-ahead means of y of `koopman` at BLIND, by an EKF of a few lines."""
    a, b, s = BLIND["a"], BLIND["b"], BLIND["sd_obs"]
    m, P, found = mean, 0.25 * np.eye(2), []
    for t, seen in enumerate(y):
        if t:
            F = np.array([[a, 0.0], [2 * (b - a**2) * m[0], b]])
            m, P = np.array([a * m[0], b * m[1] + (b - a**2) * m[0] ** 2]), F @ P @ F.T
        found.append(m[1])
        gain = P[:, 1] / (P[1, 1] + s**2)
        m, P = m + gain * (seen - m[1]), P - np.outer(gain, P[1])
    return np.array(found)


def test_the_lift_sees_where_the_extended_kalman_filter_is_blind() -> None:
    """Around x[0] = 0 the derivative of x[0]^2 is zero: the EKF never learns x[0]^2, which drives what is seen."""
    model = koopman(mean=0)
    truth, lifted, blind, scores = [], [], [], []
    for seed in range(12):
        drawn = model.simulate(40, BLIND, seed=seed)
        y = {"y": drawn.y.values}
        truth.append(drawn.x.values[1:, 1])
        found = model.filter(y, BLIND)
        lifted.append(found.observed_mean.values[1:, 0])
        blind.append(extended_kalman(y["y"], np.array([0.0, -1.0]))[1:])
        ekf = model.filter(y, BLIND, engine="ekf")
        np.testing.assert_allclose(ekf.observed_mean.values[1:, 0], blind[-1], atol=1e-8)
        scores.append(float(found.log_likelihood.sum() - ekf.log_likelihood.sum()))
    error = lambda means: np.sqrt(np.mean((np.array(means) - np.array(truth)) ** 2))
    assert error(lifted) < 0.4 * error(blind)
    assert np.mean(scores) > 10


def test_auto_takes_kalman_in_an_exact_lift_and_says_what_is_not_exact() -> None:
    advice = koopman().why()
    assert advice.chosen == "kalman"
    said = "\n".join(advice.notes)
    assert "lift z (line 13)" in said and "x[0], x[1], z[2]" in said and "best linear" in said
    assert isinstance(koopman().execution(), LiftedExecution)
    found = koopman().filter(data(), SEEN)
    assert found.attrs["lift"] == "z" and "not Gaussian" in found.attrs["approximation"]
    known = ssmlang.compile(KOOPMAN.format(mean=1).replace("init x ~ Normal([1, -1], 0.5)", "init x = [1, -1]"))
    assert "the exact filter of the model" in known.why().notes[0]
    assert known.filter(data(), SEEN).attrs["approximation"] == "none: the filter is exact"


def test_results_bear_the_states_names_and_definitions_by_the_lifted_moments() -> None:
    found = koopman().smooth(data(), SEEN, paths=5)
    assert list(found.state.values) == ["x[0]", "x[1]", "z[2]"]
    assert found.paths.dims == ("path", "time", "state") and found.sizes["path"] == 5
    mean, cov = found["mean"].values, found["cov"].values
    # x[1] - x[0]^2 is a combination of coordinates, exp(x[1]) an integral over the law of one of them.
    np.testing.assert_allclose(found.slow.values, mean[:, 1] - mean[:, 2], atol=1e-10)
    variance = cov[:, 1, 1] + cov[:, 2, 2] - 2 * cov[:, 1, 2]
    np.testing.assert_allclose(found.slow_sd.values, np.sqrt(variance), atol=1e-8)
    np.testing.assert_allclose(found.risen.values, np.exp(mean[:, 1] + cov[:, 1, 1] / 2), rtol=1e-6)
    assert float(found.unit) == 2 * SEEN["a"]


def test_every_exact_engine_gives_the_same_in_a_lift() -> None:
    model = koopman()
    reference = model.log_likelihood(data(), SEEN)
    for engine in ("square_root", "parallel", "dual", "batch"):
        np.testing.assert_allclose(model.log_likelihood(data(), SEEN, engine=engine), reference, atol=1e-8)


def test_forecasts_streams_and_residuals() -> None:
    model, y = koopman(), data()
    ahead = model.forecast(y, SEEN, 3)
    last = model.filter(y, SEEN)["mean"].values[-1]
    a, b = SEEN["a"], SEEN["b"]
    K = np.array([[a, 0, 0], [0, b, b - a**2], [0, 0, a**2]])
    np.testing.assert_allclose(ahead["mean"].values, [K @ last, K @ K @ last, K @ K @ K @ last], atol=1e-10)
    stream = model.initial_state(SEEN)
    for value in y["y"][:5]:
        stream = model.step(stream, {"y": value})
    np.testing.assert_allclose(stream.mean.values, model.filter(y, SEEN)["mean"].values[4], atol=1e-10)
    residuals = model.residuals(y, SEEN)
    np.testing.assert_allclose(residuals.innovation.values[:, 0],
                               y["y"] - model.filter(y, SEEN).observed_mean.values[:, 0], atol=1e-10)  # fmt: skip


def test_streams_follow_noise_through_the_state() -> None:
    """Its covariance changes from row to row; a stream works it out from the row's number alone."""
    model, y = ssmlang.compile(NOISY), data(12)
    found = model.filter(y, SEEN)
    stream = model.initial_state(SEEN)
    for t, value in enumerate(y["y"]):
        stream = model.step(stream, {"y": value})
        np.testing.assert_allclose(stream.mean.values, found["mean"].values[t], atol=1e-10)
        np.testing.assert_allclose(stream.cov.values, found["cov"].values[t], atol=1e-10)


@pytest.mark.parametrize("text", [KOOPMAN.format(mean=1), NOISY, PENDULUM.format(amplitude=1.5)],
    ids=["start", "noise", "fitted"])  # fmt: skip
def test_gradients_agree_with_differences(text: str) -> None:
    model = ssmlang.compile(text)
    at = PUSHED if "push" in text else SEEN
    y = data(20)
    value = jax.jit(lambda p: model.log_likelihood(y, p, engine="kalman"))
    with jax.enable_x64(True):
        params = {k: jax.numpy.asarray(v) for k, v in at.items()}
        slope = jax.jit(jax.grad(lambda p: model.log_likelihood(y, p, engine="kalman")))(params)
        for name in params:
            h = 1e-6
            up, down = ({**params, name: params[name] + s * h} for s in (1, -1))
            np.testing.assert_allclose(float(slope[name]), float((value(up) - value(down)) / (2 * h)), rtol=1e-5)


def test_a_fit_finds_the_parameters() -> None:
    truth = {"a": 0.9, "b": 0.4, "sd_obs": 0.05}
    series = [{"y": koopman().simulate(40, truth, seed=s).y.values} for s in range(8)]
    fit = koopman().fit(series, "map")
    assert abs(fit.params["a"] - 0.9) < 0.05 and abs(fit.params["b"] - 0.4) < 0.05
    assert list(fit.smooth()[0].state.values) == ["x[0]", "x[1]", "z[2]"]


def test_a_fitted_lift_runs_where_it_is_asked_for() -> None:
    model = pendulum()
    advice = model.why()
    assert advice.chosen != "kalman" and "fitted at states drawn from the prior" in "\n".join(advice.notes)
    drawn = model.simulate(100, PUSHED, seed=1)
    y = {"y": drawn.y.values}
    y["y"][30:35] = np.nan
    found = model.smooth(y, PUSHED, engine="kalman")
    assert list(found.state.values) == ["angle", "rate", "z[2]", "z[3]", "z[4]"]
    seen = found["mean"].sel(state="z[2]").values - np.sin(drawn.angle.values)
    assert np.sqrt(np.mean(seen**2)) < 0.6 * PUSHED["sd_obs"]
    assert np.isfinite(model.forecast(y, PUSHED, 5, engine="kalman")["mean"].values).all()


def refused(text: str, code: str, *, engine: str = "kalman") -> Any:
    with pytest.raises(ssmlang.SsmError) as raised:
        ssmlang.compile(text).log_likelihood(data(), SEEN, engine=engine)
    (found,) = [d for d in raised.value.diagnostics if d.code == code]
    return found


def test_what_is_refused() -> None:
    text = KOOPMAN.format(mean=1)
    found = refused(text.replace("Normal(x[t, 1], sd_obs)", "Normal(x[t, 0] * x[t, 1], sd_obs)"), "E503")
    assert found.span.text == "x[t, 0] * x[t, 1]" and "`x[t, 0] * x[t, 1]`" in found.help[0]
    assert "not Gaussian" in refused(text.replace("Normal(x[t, 1], sd_obs)", "StudentT(4, x[t, 1], sd_obs)"),
                                     "E503").label  # fmt: skip
    assert "Exponential" in refused(text.replace("Normal([1, -1], 0.5)", "Exponential(1)"), "E502").label
    heavy = NOISY.replace("~ Normal([a", "~ StudentT(5, [a")
    assert "StudentT" in refused(heavy, "E502").label
    closed = text.replace(", x[t, 0]^2] exact", "] exact").replace("assert stable(z)\n", "")
    assert "is not closed" in refused(closed, "E501").message


def test_a_model_that_is_linear_itself_is_not_lifted() -> None:
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"
                            "y[t] ~ Normal(x[t], 1)\nlift z[t] = [x[t], x[t]^2, 1] exact\n")  # fmt: skip
    assert list(model.filter(data(), {}).state.values) == ["x"]
