"""Observations that later rows read, where some are missing: against the exact filter, of a linear model."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError
from ssmlang.engines import Particle

LINEAR = (
    "param phi in (-1, 1) ~ Normal(0, 0.5)\nstate x\nobs y[2]\ninit x ~ Normal(0, 1)\n"
    "x[t] ~ Normal(phi*x[t-1] + 0.3*y[t-1, 0], 0.5)\n"
    "y[t] ~ MvNormal([x[t] - 0.4*y[t-1, 1], x[t]], [[0.4, 0.25], [0.25, 0.3]])\n"
)
PARAMS = {"phi": 0.7}


def data() -> np.ndarray:
    y = np.random.default_rng(0).normal(size=(16, 2))
    y[[5, 6]] = np.nan
    y[9, 0], y[12, 1] = np.nan, np.nan
    return y


@pytest.mark.parametrize("engine", ["ekf", "laplace"])
def test_gaussian_engines_are_exact(engine: str) -> None:
    model, y = ssmlang.compile(LINEAR), data()
    wanted = model.filter({"y": y}, PARAMS, engine="kalman")
    found = model.filter({"y": y}, PARAMS, engine=engine)
    assert abs(float(found["log_likelihood"].sum() - wanted["log_likelihood"].sum())) < 1e-9
    assert np.abs(found["mean"] - wanted["mean"]).max() < 1e-9
    assert np.abs(found["cov"] - wanted["cov"]).max() < 1e-9


def test_particles_draw_what_is_missing() -> None:
    """The likelihood of 40 runs of 400 particles: its mean within four standard errors, its size as it should be."""
    model, y = ssmlang.compile(LINEAR), data()
    exact = float(model.log_likelihood({"y": y}, PARAMS, engine="kalman"))
    engine = Particle(particles=400, proposal="bootstrap")
    runs = [float(model.log_likelihood({"y": y}, PARAMS, engine=engine, seed=seed)) for seed in range(40)]
    weights = np.exp(np.array(runs) - exact)
    assert abs(weights.mean() - 1.0) < 4 * weights.std(ddof=1) / np.sqrt(len(runs))
    assert weights.std() < 1.0
    wanted = model.filter({"y": y}, PARAMS, engine="kalman")
    found = model.filter({"y": y}, PARAMS, engine=Particle(particles=4000, proposal="bootstrap"), seed=1)
    error = np.abs(found["mean"] - wanted["mean"]).values[:, 0]
    assert (error < 5 * np.sqrt(wanted["cov"].values[:, 0, 0] / found["ess"].values)).all()


def test_what_nothing_gives_a_law_is_said() -> None:
    model, y = ssmlang.compile(LINEAR), data()
    y[0] = np.nan
    for engine in ("ekf", "particle", "kalman"):
        with pytest.raises(SsmError) as caught:
            model.log_likelihood({"y": y}, PARAMS, engine=engine)
        assert [d.code for d in caught.value.diagnostics] == ["E413"] and "at row 0" in str(caught.value)


def test_who_cannot_draw_it() -> None:
    model = ssmlang.compile(
        "param r ~ HalfNormal(1)\nstate x\nobs n\ninit x ~ Normal(1, 0.5)\n"
        "x[t] ~ Normal(0.9*x[t-1] + 0.02*n[t-1], r)\nn[t] ~ Poisson(exp(x[t]))\n"
    )
    gap = {"n": [2.0, np.nan, 4.0, 1.0]}
    assert "particle" in model.filter(gap, {"r": 0.2}).attrs["engine"]
    with pytest.raises(SsmError) as caught:
        model.filter(gap, {"r": 0.2}, engine="laplace")
    assert caught.value.diagnostics[0].code == "E306"
    ahead = model.forecast({"n": [2.0, 3.0]}, {"r": 0.2}, 3, engine="particle")
    assert float(ahead["observed_mean"][-1, 0]) > 0


def test_regimes_that_read_a_missing_value_go_to_imm() -> None:
    model = ssmlang.compile(
        "axis r = {up, down}\nparam m[r] ~ Normal(0, 2)\nstate s in r\nobs y\ninit s ~ Categorical([0.5, 0.5])\n"
        "s[t] ~ Categorical(if s[t-1] == up then [0.9, 0.1] else [0.2, 0.8])\n"
        "y[t] ~ Normal(m[s[t]] + 0.4*y[t-1], 0.5)\n"
    )
    params = {"m": [1.0, -1.0]}
    assert model.filter({"y": [0.2, 0.4, 1.0]}, params).attrs["engine"] == "discrete"
    assert model.filter({"y": [0.2, 0.4, np.nan, np.nan]}, params).attrs["engine"] == "discrete"
    assert model.filter({"y": [0.2, np.nan, 1.0]}, params).attrs["engine"] == "imm"


PARTLY = """param q ~ HalfNormal(1)
state x
obs y[2], k[2]
obs z
init x ~ Normal(0, 1)
x[t] ~ Normal(tanh(x[t-1]) + 0.1 * k[t-1, 0], q)
k[t] ~ Poisson(exp(x[t]))
y[t] ~ Normal([x[t], 2 * x[t]], 0.5)
z[t] ~ Normal(x[t] + 0.5 * y[t, 0], 0.3)
"""


@pytest.mark.parametrize("engine", ["laplace", "ukf", "particle"])
def test_an_entry_that_nothing_reads_may_be_missing(engine: str) -> None:
    """The entries that are read are there: as inputs, in place of what was seen, they give the same."""
    rng = np.random.default_rng(1)
    y, k, z = rng.normal(size=(8, 2)), rng.poisson(2, (8, 2)).astype(float), rng.normal(size=8)
    y[3, 1], k[5, 1] = np.nan, np.nan
    given = PARTLY.replace("0.1 * k[t-1, 0]", "0.1 * kk[t-1]").replace("0.5 * y[t, 0]", "0.5 * yy[t]")
    given = "input kk, yy\n" + given
    data = {"y": y, "k": k, "z": z}
    found = ssmlang.compile(PARTLY).filter(data, {"q": 0.4}, engine=engine)
    wanted = ssmlang.compile(given).filter(data | {"kk": k[:, 0], "yy": y[:, 0]}, {"q": 0.4}, engine=engine)
    np.testing.assert_allclose(found["mean"], wanted["mean"], atol=1e-9)
    np.testing.assert_allclose(found["log_likelihood"], wanted["log_likelihood"], atol=1e-9)


def test_an_entry_that_is_read_is_named() -> None:
    y, k = np.zeros((4, 2)), np.zeros((4, 2))
    y[2, 0] = np.nan
    with pytest.raises(SsmError, match=r"`y\[0\]` is missing at row 2"):
        ssmlang.compile(PARTLY).filter({"y": y, "k": k, "z": np.zeros(4)}, {"q": 0.4}, engine="ukf")
