"""Extended dynamic mode decomposition: the operator, the bias of noisy data, predictions beside the EKF."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import ssmlang
from tests.api.test_lifts import BLIND, KOOPMAN, koopman, pendulum

AUTOREGRESSION = """state x
obs y
init x ~ Normal(0, 2)
x[t] ~ Normal(0.9 * x[t-1], 0.4)
y[t] ~ Normal(x[t], 0.1)
lift z[t] = [x[t]] fitted
"""


@cache
def blind() -> Any:
    return koopman(mean=0).edmd(params=BLIND)


def test_simulations_give_the_operator_back() -> None:
    a, b = BLIND["a"], BLIND["b"]
    found = blind()
    assert list(found.operator.coordinate.values) == ["x[0]", "x[1]", "z[2]"]
    np.testing.assert_allclose(found.operator, [[a, 0, 0], [0, b, b - a**2], [0, 0, a**2]], atol=1e-4)
    np.testing.assert_allclose(np.sort(found.eigenvalues.real), sorted([a, b, a**2]), atol=1e-4)
    assert (found.projection_error < 1e-4).all() and found.source == "simulated"


def test_predictions_beside_the_extended_kalman_filter_and_the_truth() -> None:
    rms = blind().prediction.rms.sel(obs="y")
    assert float(rms.sel(engine="lift (kalman)")) < 0.5 * float(rms.sel(engine="ekf"))
    assert float(rms.sel(engine="knowing the state")) < 1e-12
    assert "lift (kalman)" in str(blind()) and "modes of K" in str(blind())
    assert blind().to_dict()["prediction"]["ekf"]["log_likelihood"] < 10


def test_an_operator_that_is_an_approximation_has_errors() -> None:
    found = pendulum().edmd(seed=2)
    error = found.projection_error
    assert float(error.sel(coordinate="angle")) < 1e-6 < 0.01 < float(error.sel(coordinate="z[3]")) < 1
    assert found.prediction is None and "drawn from the prior" in found.source


def test_noise_in_the_data_draws_the_operator_to_zero_and_how_far_is_told() -> None:
    """Least squares on x + noise finds 0.9 v / (v + s^2), v the variance of x."""
    model = ssmlang.compile(AUTOREGRESSION)
    series = [model.simulate(400, {}, seed=s).x.values for s in range(12)]
    variance = np.mean([np.var(x) for x in series])
    sd = 0.4
    random = np.random.default_rng(0)
    noisy = [{"x": x + sd * random.standard_normal(x.shape)} for x in series]
    clean, seen = model.edmd([{"x": x} for x in series]), model.edmd(noisy, noise={"x": sd})
    K = float(clean.operator[0, 0])
    assert abs(float(seen.operator[0, 0]) - K * variance / (variance + sd**2)) < 0.02
    assert float(seen.operator[0, 0]) < K - 0.08
    assert abs(float((seen.operator - seen.noise_bias)[0, 0]) - K) < 0.03
    assert "draw K towards zero" in str(model.edmd(noisy)) and "by up to" in str(seen)


def test_gaps_cost_the_pairs_that_they_touch_and_no_others() -> None:
    """Noises that go together and a second lag, beside plain least squares."""
    model = ssmlang.compile(
        "state x, v\nobs y\ninit (x[0], x[-1]) ~ MvNormal([1, 0.5], [[0.2, 0.1], [0.1, 0.3]])\n"
        "init v ~ Normal(0, 0.3)\n"
        "(x[t], v[t]) ~ MvNormal([0.8*x[t-1] - 0.2*x[t-2] + 0.1*sin(v[t-1]), 0.5*v[t-1] + 0.3*tanh(x[t-1])],\n"
        "  [[0.09, 0.05], [0.05, 0.04]])\ny[t] ~ Normal(v[t], 0.1)\n"
        "lift z[t] = [x[t], x[t-1], v[t], tanh(x[t]), sin(v[t])] fitted\n"
    )
    data = [{n: model.simulate(40, {}, seed=s)[n].values.copy() for n in "xv"} for s in range(4)]
    data[0]["x"][3] = data[1]["v"][20] = data[3]["x"][-1] = np.nan
    found = model.edmd(data, ridge=1e-12)
    here, there = [], []
    for i in (0, 1, 3):  # the third is held out
        x, v = data[i]["x"], data[i]["v"]
        z = np.stack([x[1:], x[:-1], v[1:], np.tanh(x[1:]), np.sin(v[1:])], axis=1)
        good = np.isfinite(z[:-1]).all(axis=1) & np.isfinite(z[1:]).all(axis=1)
        here.append(np.column_stack([z[:-1], np.ones(len(z) - 1)])[good])
        there.append(z[1:][good])
    assert found.pairs == sum(map(len, here)) == 3 * 38 - 3 - 2 - 1
    K = np.linalg.lstsq(np.concatenate(here), np.concatenate(there), rcond=None)[0].T
    np.testing.assert_allclose(found.operator, K[:, :-1], atol=1e-6)
    np.testing.assert_allclose(found.offset, K[:, -1], atol=1e-6)


def test_what_data_must_hold() -> None:
    with pytest.raises(ssmlang.SsmError, match="lack the state `rate`"):
        pendulum().edmd({"angle": np.zeros(50)})
    with pytest.raises(ssmlang.SsmError, match="too few rows"):
        pendulum().edmd({"angle": np.zeros(5), "rate": np.zeros(5)})
    with pytest.raises(ssmlang.SsmError, match="no state"):
        pendulum().edmd({"angle": np.ones(50), "rate": np.ones(50)}, noise={"speed": 1.0})
    with pytest.raises(ssmlang.SsmError, match="has no lift"):
        ssmlang.compile(KOOPMAN.format(mean=1).split("lift")[0]).edmd()
