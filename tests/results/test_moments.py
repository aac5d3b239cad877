"""Engine arrays as labelled Datasets, and simulated paths as data again."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssmlang.data import TimeBase, bind
from ssmlang.frontend import check_text
from ssmlang.model.contents import KEPT_NUMBERS
from ssmlang.model.expr import Axis
from ssmlang.results import moments as moments_module
from ssmlang.results.labels import dimensions, entry_names
from ssmlang.results.moments import Series, holds_covariance, moments, standard_deviation
from ssmlang.results.provenance import of_parameters, plain, provenance, source_hash
from ssmlang.results.simulation import simulation

T, STATES, OBS = 4, ["pos[east]", "pos[north]", "level"], ["fix[east]", "fix[north]"]
DAYS = TimeBase(pd.date_range("2021-01-01", periods=T, freq="D", tz="Europe/Paris"), pd.DateOffset(days=1))


def covariances(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(T, size, size))
    return root @ root.swapaxes(-1, -2)


def engine_result(**more: object) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    fields = {
        "mean": rng.normal(size=(T, 3)),
        "cov": covariances(3, 1),
        "predicted_mean": rng.normal(size=(T, 3)),
        "predicted_cov": covariances(3, 2),
        "observed_mean": rng.normal(size=(T, 2)),
        "observed_cov": covariances(2, 3),
        "log_likelihood": rng.normal(size=T),
        "memory_mean": rng.normal(size=(T, 9)),
    }
    return SimpleNamespace(**{**fields, **more})


def test_everything_bears_its_name() -> None:
    result = engine_result()
    data = moments(result, states=STATES, observations=OBS, time=DAYS, attrs={"engine": "kalman", "ok": True})
    assert data["mean"].dims == ("time", "state") and data["cov"].dims == ("time", "state", "state_")
    assert data["observed_cov"].dims == ("time", "obs", "obs_") and data["log_likelihood"].dims == ("time",)
    assert "memory_mean" not in data
    np.testing.assert_array_equal(data["mean"].sel(state="pos[north]"), result.mean[:, 1])
    np.testing.assert_array_equal(data["cov"].sel(state="level", state_="pos[east]"), result.cov[:, 2, 0])
    assert data["time"].attrs["timezone"] == "Europe/Paris"
    assert data["time"].values[0] == np.datetime64("2020-12-31T23:00")
    assert data.attrs["ok"] == 1 and "cov" not in data.attrs
    sd = standard_deviation(data, "observed_")
    np.testing.assert_allclose(sd.sel(obs="fix[north]"), np.sqrt(result.observed_cov[:, 1, 1]))


def test_an_infinite_variance_stays() -> None:
    cov = covariances(3, 1)
    cov[0, 2, 2] = np.inf
    data = moments(engine_result(cov=cov), states=STATES, observations=OBS, time=DAYS)
    assert np.isposinf(standard_deviation(data).sel(state="level")[0])


def test_definitions_come_under_their_names() -> None:
    plane = Axis("plane", ("east", "north"))
    lets = {
        "effect": Series(np.arange(8.0).reshape(T, 2), (plane,), np.ones((T, 2))),
        "turn": Series(np.zeros((T, 2, 2)), (plane, plane)),
        "trend.out": Series(np.arange(4.0)),
        "bare": Series(np.zeros((T, 3)), (None,)),
    }
    data = moments(engine_result(), states=STATES, observations=OBS, time=DAYS, definitions=lets)
    assert list(data["effect"].sel(plane="north").values) == [1, 3, 5, 7] and (data["effect_sd"] == 1).all()
    assert data["turn"].dims == ("time", "plane", "plane_") and data["trend.out"].dims == ("time",)
    assert data["bare"].dims == ("time", "bare_dim_0") and "bare_sd" not in data


def test_last_row_alone() -> None:
    result = engine_result()
    lets = {"a": Series(np.arange(4.0))}
    data = moments(result, states=STATES, observations=OBS, time=DAYS, keep="last", definitions=lets)
    assert data.sizes["time"] == 1 and data["a"].values == [3]
    np.testing.assert_array_equal(data["cov"][0], result.cov[-1])
    assert data.attrs["log_likelihood"] == pytest.approx(result.log_likelihood.sum())


def test_large_covariances_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert holds_covariance(100, 1000) and not holds_covariance(101, 1000)
    monkeypatch.setattr(moments_module, "COVARIANCE_LIMIT", 20)
    result = engine_result()
    data = moments(result, states=STATES, observations=OBS, time=DAYS)
    assert "cov" not in data and "left out" in data.attrs["cov"] and "observed_cov" in data
    np.testing.assert_allclose(data["sd"], np.sqrt(np.diagonal(result.cov, axis1=1, axis2=2)))
    xr.testing.assert_identical(standard_deviation(data), data["sd"])


def test_an_engine_without_covariances() -> None:
    data = moments({"mean": np.zeros((T, 3)), "cov": None, "sd": np.ones((T, 3))}, states=STATES, observations=OBS,
                   time=DAYS)  # fmt: skip
    assert set(data.data_vars) == {"mean", "sd"} and "engine holds no full covariance" in data.attrs["cov"]
    assert "obs" not in data.coords


def test_rows_must_fit() -> None:
    with pytest.raises(ValueError, match="rows"):
        moments({"mean": np.zeros((3, 3))}, states=STATES, observations=OBS, time=DAYS)


def test_results_go_through_netcdf(tmp_path: object) -> None:
    data = moments(engine_result(), states=STATES, observations=OBS, time=DAYS, attrs=provenance(model="m", source="x"))
    data.to_netcdf(f"{tmp_path}/m.nc", engine="h5netcdf")
    with xr.open_dataset(f"{tmp_path}/m.nc", engine="h5netcdf") as again:
        xr.testing.assert_equal(again.load(), data)
        assert again.attrs["model_hash"] == source_hash("x")
        assert TimeBase.from_coordinate(again["time"]).future(1).index[0] == DAYS.future(1).index[0]


def test_attributes_are_plain() -> None:
    assert plain({"a": None, "b": True, "c": {"d": np.arange(2)}, "e": 1.5}) == {"b": 1, "c": '{"d": [0, 1]}', "e": 1.5}


def test_parameters_are_written_as_they_are() -> None:
    values = {"b": np.array([[1.0, -0.0], [1e-300, 0.1]]), "a": np.array(2.0)}
    for _ in range(2):
        assert of_parameters(values) == plain({"params": {n: v.tolist() for n, v in values.items()}})
    values["b"][0, 1] = 0.0
    assert json.loads(of_parameters(values)["params"])["b"] == values["b"].tolist()
    assert "-0.0" not in of_parameters(values)["params"]
    many = {"a": np.arange(2.0 * KEPT_NUMBERS)}
    assert json.loads(of_parameters(many)["params"])["a"] == many["a"].tolist()


def test_dimensions() -> None:
    sites = Axis("site", (1, 2, 3))
    dims, coords = dimensions("P", (3, 3, 2), (sites, sites, None))
    assert dims == ("site", "site_", "P_dim_2")
    assert list(coords["site"][1]) == [1, 2, 3] and list(coords["P_dim_2"][1]) == [0, 1]


PROGRAM = """
axis fate = {alive, dead}
axis bird = 1..2
param p in (0, 1) ~ Beta(1, 1)
state level[bird]
obs   seen in fate
obs   y[bird]
init level ~ Normal(0, 1)
level[t] ~ Normal(level[t-1], 1)
y[t] ~ Normal(level[t], 1)
seen[t] ~ Categorical([p, 1 - p])
"""


def test_simulated_paths_are_data_again() -> None:
    model = check_text(PROGRAM).require()
    rng = np.random.default_rng(0)
    paths = {"level": rng.normal(size=(3, T, 2)), "y": rng.normal(size=(3, T, 2)), "seen": rng.integers(0, 2, (3, T))}
    data = simulation(model, paths, time=DAYS, params={"p": np.array(0.5)})
    assert data["y"].dims == ("draw", "time", "bird") and list(data["bird"].values) == [1, 2]
    assert set(np.unique(data["seen"].values)) <= {"alive", "dead"} and data.attrs["params"] == '{"p": 0.5}'
    (bound,) = bind(model, data.isel(draw=1))
    np.testing.assert_array_equal(bound.observations["y"], paths["y"][1])
    np.testing.assert_array_equal(bound.observations["seen"], paths["seen"][1])
    assert bound.time.index.equals(pd.DatetimeIndex(DAYS.index, freq=None))
    single = simulation(model, {"y": paths["y"][:1]}, time=TimeBase.rows(T))
    assert single["y"].dims == ("time", "bird")
    assert entry_names(model.states) == ["level[1]", "level[2]"]
