"""A verb called again gives what it gave, of the numbers it is given now, and compiles nothing."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

import ssmlang

TEXT = """
axis place = {east, north}
param F[2, 2]
param s[place] ~ HalfNormal(1)
let twice = 2 * F
let total[t] = x[t, 0] + x[t, 1]
state x[2]
obs y[place]
init x ~ Normal(0, 1)
x[t] ~ Normal(F @ x[t-1], 0.4)
y[t] ~ Normal(x[t], s)
"""
PARAMS: dict[str, Any] = {"F": [[0.8, 0.1], [-0.2, 0.7]], "s": {"east": 0.5, "north": 0.6}}
OTHERS: dict[str, Any] = {"F": [[0.5, 0.0], [0.3, 0.1]], "s": {"east": 1.5, "north": 0.2}}
Y = np.random.default_rng(0).normal(size=(30, 2))
VERBS: dict[str, Any] = {
    "filter": lambda m, y, p, **how: m.filter({"y": y}, p, **how),
    "smooth": lambda m, y, p, **how: m.smooth({"y": y}, p, **how),
    "forecast": lambda m, y, p, **how: m.forecast({"y": y}, p, 4, **how),
}


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(TEXT)


@pytest.mark.parametrize("verb", VERBS)
def test_a_second_call_gives_what_a_new_model_gives(model: ssmlang.Model, verb: str) -> None:
    call, y = VERBS[verb], Y.copy()
    y[3, 1] = np.nan
    call(model, y, OTHERS)
    changed = y.copy()
    changed[7] = [9.0, np.nan]
    new = ssmlang.compile(TEXT)
    for data, params in ((y, PARAMS), (changed, PARAMS), (y, OTHERS)):
        found = call(model, data, params)
        xr.testing.assert_identical(found, call(new, data, params))
        assert all(v.attrs == {} for n, v in found.variables.items() if n != "time")
    y[7] = changed[7]
    xr.testing.assert_identical(call(model, y, PARAMS), call(new, changed, PARAMS))


def test_what_is_done_to_one_result_is_not_seen_in_the_next(model: ssmlang.Model) -> None:
    data = {"y": Y}
    first = model.smooth(data, PARAMS)
    kept = first.copy(deep=True)
    first.attrs["note"] = "mine"
    for name in first.variables:
        first[name].attrs["units"] = "m"
    first["extra"] = first["mean"] * 2
    first.coords["label"] = 3
    del first["total"]
    first["mean"] = first["mean"] * np.nan
    xr.testing.assert_identical(model.smooth(data, PARAMS), kept)


def test_the_last_row_and_all_rows_in_turn(model: ssmlang.Model) -> None:
    data = {"y": Y}
    every, last = model.filter(data, PARAMS), model.filter(data, PARAMS, keep="last")
    again = model.filter(data, PARAMS)
    xr.testing.assert_identical(every, again)
    assert last.sizes["time"] == 1 and last["time"].item() == 29
    xr.testing.assert_equal(every.isel(time=[-1]), last)
    assert last.attrs["log_likelihood"] == pytest.approx(float(model.log_likelihood(data, PARAMS)), rel=1e-12)


def test_precisions_in_turn(model: ssmlang.Model) -> None:
    y = 1e8 + Y  # single precision holds no more than steps of 8
    for dtype, size in (("float32", 4), ("float64", 8), ("float32", 4)):
        found = model.smooth({"y": y}, PARAMS, engine="kalman", dtype=dtype)
        assert found["mean"].dtype.itemsize == size
        value = model.log_likelihood({"y": y}, PARAMS, engine="kalman", dtype=dtype)
        assert value.dtype.itemsize == size
    whole = ssmlang.compile(TEXT).smooth({"y": y}, PARAMS)
    xr.testing.assert_identical(model.smooth({"y": y}, PARAMS), whole)


def test_a_fit_looks_at_its_data_in_double_precision(model: ssmlang.Model) -> None:
    proper = ssmlang.compile(TEXT.replace("param F[2, 2]", "param F[2, 2] ~ Normal(0, 1)"))
    data = {"y": 1e8 + Y}
    with jax.enable_x64(False):
        fit = proper.fit(data, method="map", progress="off")
        found = fit.smooth()
    np.testing.assert_allclose(found["mean"], proper.smooth(data, fit.params)["mean"], rtol=1e-13)


@pytest.mark.parametrize("verb", [*VERBS, "log_likelihood"])
def test_a_second_call_compiles_nothing(model: ssmlang.Model, verb: str, compilations: Any) -> None:
    call = VERBS.get(verb, lambda m, y, p, **how: m.log_likelihood({"y": y}, p, **how))
    call(model, Y, PARAMS)
    with compilations() as found:
        call(model, Y, OTHERS)  # other parameters
        call(model, Y + 1.0, PARAMS)  # other data
        call(model, Y[:29], PARAMS)  # a length of the same bucket
    assert found == []


def test_a_compilation_is_seen(compilations: Any) -> None:
    with compilations() as found:
        jax.jit(lambda x: x + 1)(1.0)
    assert len(found) == 1
