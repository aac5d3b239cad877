"""Series drawn from the posterior: what ArviZ's plots of them read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import ssmlang
from ssmlang.results import containers

matplotlib.use("Agg")

COUNTS = """
param rate ~ LogNormal(1, 0.5)
input u
obs y
y[t] ~ Poisson(rate * u[t])
"""
LEVEL = """
param s ~ HalfNormal(2)
state level
obs y
init level ~ Diffuse()
level[t] ~ Normal(level[t-1], 0.1)
y[t] ~ Normal(level[t], s)
"""
RECALLS = """
param a in (-1, 1) ~ Uniform(-1, 1)
obs y
y[t] ~ Normal(50 + a * y[t-1], 0.5)
"""


def drawn(text: str, data: Any, **options: Any) -> tuple[Any, Any]:
    fit = ssmlang.compile(text).fit(data, method="laplace", draws=100, chains=2, progress=False)
    return fit, fit.posterior_predictive(**options)


def test_draws_have_the_law_that_the_posterior_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    u = np.tile([1.0, 10.0], 50)
    fit, found = drawn(COUNTS, {"y": rng.poisson(3 * u).astype(float), "u": u}, draws=200)
    assert found["y"].dims == ("chain", "draw", "time") and found["y"].shape == (1, 200, 100)
    rate = fit.params["rate"]
    mean = found["y"].mean(("chain", "draw")).values
    assert abs(mean[u == 1].mean() - rate) < 0.15 and abs(mean[u == 10].mean() - 10 * rate) < 0.6
    # Counts are integers beside data of integers: ArviZ bins them then, and smooths what is real.
    assert found["y"].dtype == fit.tree["observed_data"]["y"].dtype == np.int64
    high = fit.forecast(2, future={"u": [1.0, 10.0]})["observed_quantile"].sel(quantile=0.95).values[:, 0]
    assert 5 <= high[0] <= 7 and abs(high[1] - 10 * rate - 1.645 * np.sqrt(10 * rate)) < 3
    az = containers.arviz()
    az.plot_ppc(fit.idata) if containers.arviz_line() == 0 else az.plot_ppc_dist(fit.idata)
    fit.save(tmp_path / "fit.nc")
    again: Any = ssmlang.load(tmp_path / "fit.nc")
    np.testing.assert_array_equal(containers.group(again.idata, "posterior_predictive")["y"], found["y"])


def test_the_seed_decides() -> None:
    fit, one = drawn(COUNTS, {"y": np.full(10, 3.0), "u": np.ones(10)}, draws=5)
    two, three = fit.posterior_predictive(draws=5), fit.posterior_predictive(draws=5, seed=1)
    np.testing.assert_array_equal(one["y"], two["y"])
    fit.data["y"][2] = np.nan  # a copy, in which a value can be struck out
    assert (one["y"].values != three["y"].values).any()


def test_a_diffuse_level_begins_where_the_data_say_it_did() -> None:
    y = 1000 + np.random.default_rng(1).normal(0, 1, 40)
    _, found = drawn(LEVEL, {"y": y}, draws=60)
    first = found["y"].values[0, :, 0]
    assert abs(first.mean() - y[:5].mean()) < 1.5 and 0.5 < first.std() < 2.5


def test_an_observation_that_reads_its_past_begins_with_what_was_observed() -> None:
    y = np.full(30, 100.0) + np.random.default_rng(2).normal(0, 0.5, 30)
    _, found = drawn(RECALLS, {"y": y}, draws=20)
    np.testing.assert_array_equal(found["y"].values[0, :, 0], y[0])
    assert np.abs(found["y"].values - 100).max() < 15


def test_a_list_of_series_gives_a_list_and_a_group_each() -> None:
    data = [{"y": np.full(n, 3.0), "u": np.ones(n)} for n in (6, 9)]
    fit, found = drawn(COUNTS, data, draws=4)
    assert [f.sizes["time"] for f in found] == [6, 9]
    names = set(containers.to_tree(fit.idata).children)
    assert {"posterior_predictive", "posterior_predictive_1", "observed_data_1"} <= names


def test_a_point_is_enough() -> None:
    y = np.array([3.0] * 9 + [np.nan])
    fit = ssmlang.compile(COUNTS).fit({"y": y, "u": np.ones(10)}, method="mle", progress=False)
    found = fit.posterior_predictive(draws=7)["y"]
    assert found.sizes["draw"] == 7
    # No integer says that a value is missing, and draws are as the data are.
    assert found.dtype == fit.tree["observed_data"]["y"].dtype == float


def test_an_augmented_parameter_begins_where_it_was_learned_to_be() -> None:
    text = ("augment param theta ~ Normal(0, 100) walk 0.01\nparam s ~ HalfNormal(1)\nobs y\n"
            "y[t] ~ Normal(theta, s)\n")  # fmt: skip
    y = 40 + np.random.default_rng(3).normal(0, 0.5, 30)
    _, found = drawn(text, {"y": y}, draws=30)
    assert np.abs(found["y"].mean(("chain", "draw")).values - 40).max() < 1.5


@pytest.mark.parametrize("draws", [0, 1.5])
def test_draws_are_counted(draws: Any) -> None:
    with pytest.raises(ssmlang.SsmError, match="E450"):
        drawn(COUNTS, {"y": np.full(10, 3.0), "u": np.ones(10)}, draws=draws)
