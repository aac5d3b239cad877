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


PANEL = """
axis place = {east, middle, west}
param s ~ HalfNormal(1)
state level[place], hidden
obs y[place]
init level ~ Diffuse()
init hidden ~ Normal(3, 2)
level[t] ~ Normal(level[t-1], s)
hidden[t] ~ Normal(0.5 * hidden[t-1], 1)
y[t] ~ Normal(level[t], [0.5, 1, 2])
"""


def test_independent_blocks_have_paths_of_their_own() -> None:
    model, rng = ssmlang.compile(PANEL), np.random.default_rng(3)
    y = rng.normal(size=(9, 3))
    y[0, 0] = y[4] = y[7, 2] = np.nan
    found = model.smooth({"y": y}, {"s": 0.7}, paths=1500, seed=2)
    sd = np.sqrt(np.diagonal(found["cov"].values, axis1=1, axis2=2))
    assert (np.abs(found["paths"].mean("path") - found["mean"]) < 5 * sd / np.sqrt(1500)).all()
    assert np.allclose(found["paths"].std("path"), sd, rtol=0.12)
    draws = found["paths"].values
    between = np.corrcoef(draws[:, 5].T) - np.eye(4)
    assert np.abs(between).max() < 5 / np.sqrt(1500)
    over_time = np.corrcoef(draws[:, 4, 0], draws[:, 5, 0])[0, 1]
    assert over_time > 0.2


def test_noises_of_independent_blocks_are_those_of_each_alone() -> None:
    model, rng = ssmlang.compile(PANEL), np.random.default_rng(3)
    y = rng.normal(size=(9, 3))
    y[0, 0] = y[4] = y[7, 2] = np.nan
    found = model.residuals({"y": y}, {"s": 0.7})
    one = ssmlang.compile(
        "param s, r ~ HalfNormal(1)\nstate level\nobs y\ninit level ~ Diffuse()\n"
        "level[t] ~ Normal(level[t-1], s)\ny[t] ~ Normal(level[t], r)\n"
    )
    for i, (place, r) in enumerate({"east": 0.5, "middle": 1.0, "west": 2.0}.items()):
        alone = one.residuals({"y": y[:, i]}, {"s": 0.7, "r": r})
        both = found.sel(obs=f"y[{place}]", noise=[f"level[{place}]", f"y[{place}]"])
        for name in ("noise_mean", "noise_sd", "auxiliary"):
            assert np.allclose(both[name], alone[name], rtol=1e-8, atol=1e-10, equal_nan=True), (place, name)
        assert np.allclose(both["standardized"], alone["standardized"][:, 0], equal_nan=True)
    assert np.isnan(found["auxiliary"].sel(noise="hidden")).all()


COUNTS = """
param s ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(MOVE, s)
y[t] ~ Poisson(exp(x[t]))
"""


@pytest.mark.parametrize("move", ["0.9 * x[t-1]", "1.5 * sin(x[t-1])"], ids=["linear", "not linear"])
def test_paths_of_counts_have_the_law_at_the_mode(move) -> None:
    """Jointly over the rows: the differences from row to row have the sd of the dense inverse of the Hessian."""
    model = ssmlang.compile(COUNTS.replace("MOVE", move))
    y = np.array([2, np.nan, 0, 3, 1, 1.0])
    found = model.smooth({"y": y}, {"s": 0.3}, engine="laplace", paths=4000, seed=2)
    sd = np.sqrt(found["cov"].values[:, 0, 0])
    if move.startswith("0.9"):
        assert (np.abs(found["paths"].mean("path") - found["mean"]).values[:, 0] < 5 * sd / np.sqrt(4000)).all()
        x = found["mean"].values[:, 0]
        Q = np.diag([1.0, *[0.09] * 5])
        F = np.eye(6) - np.diag([0.9] * 5, -1)
        H = F.T @ np.linalg.solve(Q, F) + np.diag(np.where(np.isnan(y), 0, np.exp(x)))
        np.testing.assert_allclose(np.cov(found["paths"].values[:, :, 0].T), np.linalg.inv(H), atol=0.02)
    else:  # through the map itself, which the moments take as straight about the mode
        assert np.allclose(found["paths"].std("path").values[:, 0], sd, rtol=0.15)
