"""Paths of the states drawn given data, by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError

MODELS = Path(__file__).parents[2] / "stdlib" / "models"
NILE = {"sd_level": 38.33, "sd_flow": 122.9}
TREND = """
param s, r ~ HalfNormal(1)
state level, slope
obs y
init level ~ Diffuse()
init slope ~ Normal(0, 1)
level[t] ~ Normal(level[t-1] + slope[t-1], s)
slope[t] = slope[t-1]
y[t] ~ Normal(level[t], r)
let twice[t] = 2 * level[t]
"""


@pytest.fixture(scope="module")
def trend() -> ssmlang.Model:
    return ssmlang.compile(TREND)


@pytest.fixture(scope="module")
def series() -> dict[str, np.ndarray]:
    y = np.cumsum(0.2 + np.random.default_rng(0).normal(size=12))
    y[[3, 11]] = np.nan
    return {"y": y}


def test_paths_stand_beside_the_moments_they_have(trend, series) -> None:
    params = {"s": 0.5, "r": 0.8}
    found = trend.smooth(series, params, paths=2000, seed=4)
    assert found["paths"].dims == ("path", "time", "state") and found["paths"].shape == (2000, 12, 2)
    assert list(found["state"].values) == ["level", "slope"]
    sd = np.sqrt(np.diagonal(found["cov"].values, axis1=1, axis2=2))
    assert (np.abs(found["paths"].mean("path") - found["mean"]) < 5 * sd / np.sqrt(2000)).all()
    assert np.allclose(found["paths"].std("path"), sd, rtol=0.1)
    assert float(np.abs(found["paths"].sel(state="slope").diff("time")).max()) < 1e-9
    assert "paths" not in trend.smooth(series, params)


def test_a_seed_gives_the_same_paths_and_other_series_others(trend, series) -> None:
    params = {"s": 0.5, "r": 0.8}
    draw = lambda seed, **how: trend.smooth(series, params, paths=3, seed=seed, **how)["paths"].values
    assert np.array_equal(draw(1), draw(1)) and not np.allclose(draw(1), draw(2))
    assert np.array_equal(draw(1, keep="last"), draw(1)[:, -1:])
    one, other = trend.smooth([series, series], params, paths=3, seed=1)
    assert np.allclose(one["paths"], draw(1)) and np.abs(one["paths"].values - other["paths"].values).min() > 0


def test_paths_of_a_fit_are_those_of_its_draws() -> None:
    model, flow = ssmlang.compile(MODELS / "nile.ssm"), ssmlang.data.load("nile")
    fit = model.fit(flow, method="laplace", draws=40, chains=1, progress="off")
    smoothed = fit.smooth(draws=20, paths=45)
    assert smoothed["paths"].shape == (45, 100, 1) and smoothed.attrs["mixed_over"] == 20
    mean, sd = smoothed["mean"].values, np.sqrt(smoothed["cov"].values[:, :, 0])
    assert np.abs((smoothed["paths"].mean("path") - mean) / (sd / np.sqrt(45))).max() < 6
    point = model.fit(flow, method="mle", progress="off")
    assert np.allclose(
        point.smooth(paths=4)["paths"], model.smooth(flow, point.params, paths=4, seed=0)["paths"], rtol=1e-9
    )


@pytest.mark.parametrize(("paths", "code"), [(-1, "E450"), (2.5, "E450"), (True, "E450")])
def test_the_number_of_paths_is_checked(trend, series, paths, code) -> None:
    with pytest.raises(SsmError) as caught:
        trend.smooth(series, {"s": 0.5, "r": 0.8}, paths=paths)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_what_the_data_do_not_settle_has_no_paths(trend) -> None:
    with pytest.raises(SsmError) as caught:
        trend.smooth({"y": [np.nan, np.nan]}, {"s": 0.5, "r": 0.8}, paths=1)
    assert "`level` at row 0" in str(caught.value)
