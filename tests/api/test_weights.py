"""`model.weights`: estimates as weighted sums of the observations."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError

MODEL = """
model fractional
const alpha = 0.3
param sd_state ~ HalfNormal(0.5)
param sd_obs ~ HalfNormal(0.5)
def weight(k) = alpha * exp(lgamma(k - alpha) - lgamma(1 - alpha) - lgamma(k + 1))
state x
obs y
init x ~ Normal(1, 1)
x[t] ~ Normal(sum(weight(k) * x[t-k] for k in 1..t), sd_state)
y[t] ~ Normal(cos(0.2 * t) * x[t], sd_obs)
"""
PARAMS = {"sd_state": 0.4, "sd_obs": 0.3}


@pytest.fixture(scope="module")
def model():
    return ssmlang.compile(MODEL)


@pytest.fixture(scope="module")
def data():
    y = np.random.default_rng(0).normal(1.0, 0.7, size=24)
    y[5] = np.nan
    return {"y": y}


def test_the_estimate_is_the_engines_and_the_weighted_sum(model, data):
    filtered = model.filter(data, PARAMS, engine="batch")
    blank = {"y": np.where(np.arange(24) > 30, 0.0, np.nan)}
    prior = model.filter(blank, PARAMS, engine="batch")
    found = model.weights(data, PARAMS, row=17)
    want = float(filtered["predicted_mean"].sel(state="x")[17])
    assert found.estimate == pytest.approx(want, rel=1e-8)
    assert found.variance == pytest.approx(float(filtered["predicted_cov"].sel(state="x", state_="x")[17]), rel=1e-8)
    weight = found.data["weight"].sel(obs="y").values
    away = np.nan_to_num(data["y"] - prior["observed_mean"].sel(obs="y").values)
    assert float(prior["mean"].sel(state="x")[17]) + weight @ away == pytest.approx(want, rel=1e-8)
    assert not weight[17:].any() and weight[5] == 0.0
    assert found.data.attrs["excess"] <= 1e-20 and "x at row 17" in repr(found)


def test_the_picture_holds_the_weights(model, data):
    found = model.weights(data, PARAMS, given="present")
    figure = found.plot(last=10)
    stems = figure.axes[0].lines[1]
    np.testing.assert_allclose(stems.get_ydata(), found.data["weight"].values[-10:, 0])


def test_what_does_not_exist_is_named(model, data):
    for options, code in (({"row": 24}, "E450"), ({"of": "z"}, "E451"), ({"given": "future"}, "E451")):
        with pytest.raises(SsmError) as caught:
            model.weights(data, PARAMS, **options)
        assert caught.value.diagnostics[0].code == code
    with pytest.raises(SsmError):
        model.weights([data, data], PARAMS)
