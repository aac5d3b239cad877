"""A verb asked again: what it keeps is never stale, and no two results have anything in common that can be changed."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import ssmlang
from ssmlang import SsmError
from ssmlang.results import moments as moments_module

TEXT = """
axis plane = {east, north}
param a[plane] in (-1, 1)
param s ~ HalfNormal(1)
state x[plane]
obs y[plane]
init x ~ Normal(0, 1)
x[t, i] ~ Normal(a[i] * x[t-1, i], s) for i in plane
y[t, i] ~ Normal(x[t, i], 0.5) for i in plane
let far[t, i] = 2 * x[t, i] for i in plane
let tight = s / 2
"""
VERBS = ("smooth", "filter", "forecast")


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(TEXT)


def asked(model: ssmlang.Model, verb: str, data: dict, params: dict) -> xr.Dataset:
    return getattr(model, verb)(data, params, **({"steps": 3} if verb == "forecast" else {}))


@pytest.mark.parametrize("verb", VERBS)
def test_changes_in_place_are_seen(model: ssmlang.Model, verb: str) -> None:
    y, a = np.random.default_rng(0).normal(size=(9, 2)), np.array([0.5, -0.3])
    data, params = {"y": y}, {"a": a, "s": 0.7}
    first = [asked(model, verb, data, params) for _ in range(2)][-1]
    y[4, 1], a[0] = 3.0, 0.8
    second = asked(model, verb, data, params)
    assert second.identical(asked(ssmlang.compile(TEXT), verb, {"y": y.copy()}, {"a": [0.8, -0.3], "s": 0.7}))
    assert not np.isclose(first["mean"], second["mean"]).all()
    assert json.loads(second.attrs["params"]) == {"a": [0.8, -0.3], "s": 0.7}
    a[1] = -1.5
    with pytest.raises(SsmError, match="a\\[north\\]"):
        asked(model, verb, data, params)
    y[2, 0] = np.inf
    with pytest.raises(SsmError, match="E4"):
        asked(model, verb, data, {**params, "a": [0.1, 0.1]})


@pytest.mark.parametrize("verb", VERBS)
def test_results_share_nothing_that_can_be_changed(model: ssmlang.Model, verb: str) -> None:
    data, params = {"y": np.random.default_rng(1).normal(size=(9, 2))}, {"a": [0.5, -0.3], "s": 0.7}
    first = asked(model, verb, data, params)
    wanted = first.copy(deep=True)
    spoilt = asked(model, verb, data, params)
    spoilt.attrs["params"] = spoilt["mean"].attrs["units"] = spoilt["time"].attrs["units"] = "spoilt"
    spoilt["time"].encoding["units"] = "spoilt"
    spoilt["time"] = np.arange(spoilt.sizes["time"]) + 100
    spoilt["cov"] = 0.0 * spoilt["cov"]
    assert not any(np.shares_memory(first[n].values, spoilt[n].values) for n in first.data_vars)
    for found in (first, asked(model, verb, data, params)):
        assert found.identical(wanted)
        assert "units" not in found["time"].encoding


@pytest.mark.parametrize("verb", VERBS)
def test_labels_are_those_of_xarrays_own_copy(model: ssmlang.Model, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, params = {"y": np.random.default_rng(2).normal(size=(9, 2))}, {"a": [0.5, -0.3], "s": 0.7}
    found = [asked(model, verb, data, params) for _ in range(2)][-1]
    monkeypatch.setattr(moments_module, "_put_together", lambda empty: None)
    copied = [asked(ssmlang.compile(TEXT), verb, data, params) for _ in range(2)][-1]
    assert found.identical(copied) and repr(found) == repr(copied)
    assert found.sel(state="x[north]", time=found["time"][1]).identical(
        copied.sel(state="x[north]", time=copied["time"][1])
    )
    assert list(found.xindexes) == list(copied.xindexes) and found.sizes == copied.sizes
    assert pickle.loads(pickle.dumps(found)).identical(copied)
    for use in (lambda d: d.copy(deep=True), lambda d: d.isel(time=slice(1, None)).mean("time"), lambda d: d + d):
        assert use(found).identical(use(copied))


def test_a_template_that_xarray_makes_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made = xr.Dataset({"mean": (("time", "state"), np.zeros((2, 1)))}, {"time": [0, 1], "state": ["x"]})
    assert moments_module._put_together(made) is not None
    real = moments_module._state
    without_indexes = lambda thing: [(k, {} if k == "_indexes" else v) for k, v in real(thing)]
    without_attributes = lambda thing: [(k, v) for k, v in real(thing) if k != "_attrs"]
    for other in (without_indexes, without_attributes, lambda thing: real(SimpleNamespace())):
        monkeypatch.setattr(moments_module, "_state", other)
        template = moments_module.Template(made)
        assert template._direct is None
        found = template.dataset({"mean": np.ones((2, 1))}, {"verb": "smooth"})
        assert found.identical((made + 1).assign_attrs(verb="smooth"))
