"""`ssmlang simulate`, `filter`, `smooth`, `forecast` on a model file; their results are those of the API."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ssmlang
from ssmlang.cli import main

Capture = pytest.CaptureFixture[str]
PARAMS = {"sd_level": 38.0, "sd_flow": 122.0}
GIVEN = ["--param", "sd_level=38", "--param", "sd_flow=122"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ssmlang.data.load("nile").to_csv("nile.csv")
    return tmp_path


@pytest.mark.parametrize("verb", ["filter", "smooth"])
def test_moments_are_those_of_the_api(verb: str, nile: str) -> None:
    assert main([verb, nile, "--data", "nile.csv", *GIVEN, "--out", "out.csv"]) == 0
    assert main([verb, nile, "--data", "nile", *GIVEN, "--out", "out.nc"]) == 0
    expected = getattr(ssmlang.compile(nile), verb)(ssmlang.data.load("nile"), PARAMS)
    table = pd.read_csv("out.csv", index_col="time")
    assert list(table.index) == list(range(1871, 1971))
    np.testing.assert_allclose(table["level"], expected["mean"].sel(state="level"))
    np.testing.assert_allclose(table["level_sd"] ** 2, expected["cov"].sel(state="level", state_="level"))
    np.testing.assert_allclose(table["flow"], expected["observed_mean"].sel(obs="flow"))
    with xr.open_dataset("out.nc") as stored:
        for name in expected.data_vars:
            np.testing.assert_allclose(stored[name], expected[name])


def test_a_forecast_goes_on_where_the_data_end(nile: str, capsys: Capture) -> None:
    words = ["forecast", nile, "--data", "nile.csv", *GIVEN, "--steps", "3"]
    assert main([*words, "--out", "ahead.json", "--plot", "ahead.png"]) == 0
    rows = json.loads(Path("ahead.json").read_text())
    assert [row["time"] for row in rows] == [1971, 1972, 1973]
    expected = ssmlang.compile(nile).forecast(ssmlang.data.load("nile"), PARAMS, 3)
    assert [row["flow"] for row in rows] == pytest.approx(expected["observed_mean"].values[:, 0].tolist())
    assert Path("ahead.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(words) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) == 2 + 3, "without --out, a table with its heading"


def test_what_is_simulated_can_be_read_again(nile: str) -> None:
    assert main(["simulate", nile, "--steps", "30", *GIVEN, "--seed", "3", "--out", "sim.csv"]) == 0
    assert main(["simulate", nile, "--steps", "30", *GIVEN, "--seed", "3", "--out", "again.csv"]) == 0
    assert Path("sim.csv").read_text() == Path("again.csv").read_text()
    assert main(["filter", nile, "--data", "sim.csv", *GIVEN, "--out", "filtered.csv"]) == 0
    assert len(pd.read_csv("filtered.csv")) == 30
    assert main(["simulate", nile, "--steps", "30", *GIVEN, "--seed", "4", "--out", "other.csv"]) == 0
    assert Path("other.csv").read_text() != Path("sim.csv").read_text()


def test_several_draws_from_the_prior(nile: str) -> None:
    assert main(["simulate", nile, "--steps", "5", "--draws", "3", "--out", "sim.csv"]) == 0
    table = pd.read_csv("sim.csv")
    assert list(table["draw"]) == np.repeat([0, 1, 2], 5).tolist() and {"level", "flow"} <= set(table)


def test_counts_are_written_as_counts(capsys: Capture) -> None:
    laws = "y[t] ~ Poisson(50 + N[t])\nk[t] ~ Categorical([0.5, 0.5])\n"
    states = "axis m = {low, high}\nstate N in 0..9\nobs y\nobs k in m\ninit N = 2\nN[t] = N[t-1]\n"
    Path("counts.ssm").write_text(states + laws)
    assert main(["simulate", "counts.ssm", "--steps", "3"]) == 0
    first = capsys.readouterr().out.splitlines()[2].split()
    assert first[1].isdigit() and first[2].isdigit() and first[3] in ("low", "high")


def test_inputs_stand_beside_what_was_simulated_with_them() -> None:
    Path("driven.ssm").write_text(
        "param b ~ Normal(0, 1)\ninput u, w[2]\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(0.5 * x[t-1] + b * u[t], 1)\ny[t] ~ Normal(x[t] + w[t, 1], 1)\n"
    )
    pd.DataFrame({"u": np.arange(6.0), "w[0]": 1.0, "w[1]": np.arange(6.0) ** 2}).to_csv("inputs.csv", index=False)
    words = ["simulate", "driven.ssm", "--future", "inputs.csv", "--param", "b=1"]
    assert main([*words, "--out", "sim.csv"]) == 0
    assert main(["filter", "driven.ssm", "--data", "sim.csv", "--param", "b=1", "--out", "filtered.csv"]) == 0
    assert main([*words, "--draws", "2", "--out", "two.csv"]) == 0
    table = pd.read_csv("two.csv")
    assert table["u"].tolist() == [0, 1, 2, 3, 4, 5] * 2 and table["w[1]"].tolist() == [0, 1, 4, 9, 16, 25] * 2


def test_entries_are_columns_by_label(nile: str) -> None:
    tracking = str(Path(nile).with_name("tracking.ssm"))
    words = [tracking, "--param", "sd_push=1", "--param", "sd_fix=5"]
    assert main(["simulate", *words, "--steps", "20", "--out", "sim.csv"]) == 0
    assert {"fix[east]", "fix[north]", "pos[east]"} <= set(pd.read_csv("sim.csv"))
    assert main(["smooth", *words, "--data", "sim.csv", "--out", "smooth.csv"]) == 0
    smooth, sim = pd.read_csv("smooth.csv"), pd.read_csv("sim.csv")
    assert np.abs(smooth["pos[east]"] - sim["pos[east]"]).mean() < np.abs(sim["fix[east]"] - sim["pos[east]"]).mean()


def test_parameters_from_a_file_and_from_the_line(nile: str) -> None:
    Path("p.json").write_text(json.dumps({"sd_level": 1.0, "sd_flow": 122.0}))
    words = ["filter", nile, "--data", "nile"]
    assert main([*words, *GIVEN, "--out", "a.csv"]) == 0
    assert main([*words, "--params", "p.json", "--param", "sd_level=38", "--out", "b.csv"]) == 0
    assert Path("a.csv").read_text() == Path("b.csv").read_text()


def test_constants_change_the_model(nile: str) -> None:
    ar = str(Path(nile).with_name("ar.ssm"))
    params = ["--param", "mu=1", "--param", "sd=1", "--param", "phi=0.5,-0.3,0.1"]
    assert main(["simulate", ar, "--const", "p=3", *params, "--steps", "4", "--out", "a.csv"]) == 0
    assert main(["simulate", ar, *params, "--steps", "4", "--out", "b.csv"]) == 1, "three coefficients for two lags"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["filter", "NILE", "--data", "nile.csv", "--param", "sd_level=38"], 1, "--param sd_flow=..."),
        (["filter", "NILE", "--data", "nile.csv", *GIVEN, "--param", "sd=1"], 1, "sd"),
        (["filter", "NILE", "--data", "niel", *GIVEN], 1, "did you mean `nile`?"),
        (["filter", "NILE", "--data", "gone.csv", *GIVEN], 1, "gone.csv"),
        (["filter", "NILE", *GIVEN], 2, "--data is needed"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--param", "sd_flow=1"], 2, "given twice"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--engine", "kalmann"], 1, "kalman"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--engine", "kalman:speed=2"], 2, "no option speed"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--engine", "particle:particles=many"], 2,
         "particles is a whole number, not many"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--engine", "particle:resampling=fair"], 2, "one of systematic"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--engine", "kalman:diffuse=3"], 2, "set from Python alone"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--out", "x.xls"], 2, ".parquet"),
        (["filter", "NILE", "--data", "nile", *GIVEN, "--out", "no/such/folder/x.csv"], 1, "E705"),
        (["forecast", "NILE", "--data", "nile", *GIVEN, "--steps", "2", "--plot", "x.txt"], 2, ".png"),
        (["filter", "gone.nc"], 1, "gone.nc"),
        (["filter", "nile.csv", "--data", "NILE", *GIVEN], 1, "nile.csv is no model file but a table"),
        (["filter", "NILE", "--data", "nile", "--params", "p.json"], 1, "p.json cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], code: int, said: str, nile: str, capsys: Capture) -> None:
    assert main([nile if word == "NILE" else word for word in words]) == code
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err


def test_a_model_that_an_engine_cannot_run_is_refused_with_its_line(nile: str, capsys: Capture) -> None:
    volatility = str(Path(nile).with_name("stochastic_volatility.ssm"))
    Path("r.csv").write_text("r\n0.1\n-0.2\n")
    assert main(["filter", volatility, "--data", "r.csv", "--param", "mu=0", "--engine", "kalman"]) == 1
    assert "E304" in capsys.readouterr().err
