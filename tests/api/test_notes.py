"""What was noted as data were read stands in everything that is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ssmlang
from ssmlang.cli import main
from ssmlang.results import containers

LEVEL = ("param s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
         "x[t] ~ Normal(x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n")  # fmt: skip
CURVED = LEVEL.replace("Normal(x[t], 1)", "Normal(sin(x[t]), 1)")
PUSHED = LEVEL.replace("obs y", "obs y\ninput u").replace("Normal(x[t], 1)", "Normal(x[t] + u[t], 1)")
SAID = "2 rows are absent from a regular series"


def holidays() -> pd.DataFrame:
    """Business days without two of them."""
    days = pd.bdate_range("2024-12-02", periods=25).drop(pd.DatetimeIndex(["2024-12-25", "2024-12-26"]))
    return pd.DataFrame({"y": np.random.default_rng(0).normal(size=len(days))}, index=days)


@pytest.mark.parametrize("text", [LEVEL, CURVED], ids=["linear", "curved"])
def test_every_verb_has_the_notes_of_its_data(text: str) -> None:
    model: Any = ssmlang.compile(text)
    data, params = holidays(), {"s": 0.5}
    assert SAID in model.filter(data, params).attrs["notes"]
    assert SAID in model.residuals(data, params).attrs["notes"]
    assert SAID in model.diagnose(data, params).residuals.attrs["notes"]
    if text == LEVEL:
        assert SAID in model.weights(data, params).data.attrs["notes"]
    whole = data["2024-12-02":"2024-12-20"]
    assert "notes" not in model.residuals(whole, params).attrs


def test_a_simulation_has_the_notes_of_its_inputs_and_hands_them_on(tmp_path: Path) -> None:
    model: Any = ssmlang.compile(PUSHED)
    quarters = pd.period_range("1990Q1", periods=8, freq="Q")
    pd.DataFrame({"u": np.zeros(8)}, index=quarters).to_csv(tmp_path / "inputs.csv")
    drawn = model.simulate(future=tmp_path / "inputs.csv", params={"s": 0.5})
    said = "read as time: 1990-01-01 to 1991-10-01"
    assert said in drawn.attrs["notes"] and drawn["time"].values[1] == np.datetime64("1990-04-01")
    assert said in model.filter(drawn, {"s": 0.5}).attrs["notes"]
    # Notes of somebody else's are not what was noted here.
    foreign = drawn[["y", "u"]].drop_attrs().assign_attrs(notes="mine")
    assert "notes" not in model.filter(foreign, {"s": 0.5}).attrs


def test_a_fit_that_was_stored_says_what_was_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model: Any = ssmlang.compile(LEVEL)
    fit = model.fit([holidays(), holidays()["2024-12-02":"2024-12-20"]], "map", progress=False)
    fit.posterior_predictive(draws=3)
    fit.save(tmp_path / "fit.nc")
    again: Any = ssmlang.load(tmp_path / "fit.nc")
    for one in (fit, again):
        assert SAID in one.summary().attrs["notes"] and SAID in one.tree.attrs["notes"]
        for found in (one.smooth(), one.forecast(2), one.residuals(), one.data):
            assert SAID in found[0].attrs["notes"] and "notes" not in found[1].attrs
        group = containers.group(one.tree, "posterior_predictive")
        assert SAID in group.attrs["notes"]
    capsys.readouterr()
    model.fit(holidays(), "map", progress=False).save(tmp_path / "one.nc")
    for command in (["smooth"], ["filter"], ["forecast", "--steps", "2"], ["diagnose"]):
        assert main([command[0], str(tmp_path / "one.nc"), *command[1:]]) == 0
        assert capsys.readouterr().err.count(SAID) == 1
