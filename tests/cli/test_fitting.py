"""`ssmlang fit`, and the commands that go on from a stored fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ssmlang
from ssmlang.cli import main
from ssmlang.results import containers

Capture = pytest.CaptureFixture[str]

SHORT = ["--draws", "60", "--warmup", "60", "--chains", "2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ssmlang.data.load("nile").to_csv("nile.csv")
    return tmp_path


def test_a_fit_tells_checks_engine_and_estimates_and_writes_what_it_found(nile: str, capsys: Capture) -> None:
    assert main(["fit", nile, "--data", "nile.csv", *SHORT, "--steps", "5"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"linear and Gaussian +proved", out) and "engine: kalman" in out
    assert "sd_level" in out and "r_hat" in out
    assert "nile.nc" in out and "nile.png" in out
    assert Path("nile.png").read_bytes().startswith(b"\x89PNG")
    fit = ssmlang.load("nile.nc")
    assert dict(fit.posterior.sizes) == {"chain": 2, "draw": 60}


def test_a_stored_fit_is_smoothed_and_forecast_with_its_own_uncertainty(nile: str, capsys: Capture) -> None:
    assert main(["fit", nile, "--data", "nile", *SHORT, "--no-plot", "--out", "f.nc"]) == 0
    assert not Path("f.png").exists()
    assert main(["forecast", "f.nc", "--steps", "4", "--out", "ahead.csv", "--plot", "ahead.png"]) == 0
    fit = ssmlang.load("f.nc")
    expected = fit.forecast(4)
    table = pd.read_csv("ahead.csv", index_col="time")
    assert list(table.index) == [1971, 1972, 1973, 1974]
    np.testing.assert_allclose(table["flow"], expected["observed_mean"].sel(obs="flow"))
    assert Path("ahead.png").exists()
    assert main(["smooth", "f.nc", "--out", "smooth.csv"]) == 0
    np.testing.assert_allclose(pd.read_csv("smooth.csv")["level"], fit.smooth()["mean"].sel(state="level"))
    # Filtered moments are those of the posterior mean; the fit's parameters serve a model file too.
    assert main(["filter", "f.nc", "--out", "a.csv"]) == 0
    assert main(["filter", nile, "--data", "nile.csv", "--params", "f.nc", "--out", "b.csv"]) == 0
    np.testing.assert_allclose(pd.read_csv("a.csv"), pd.read_csv("b.csv"))


def test_maximum_likelihood_as_json_is_json_and_nothing_else(nile: str, capsys: Capture) -> None:
    assert main(["fit", nile, "--data", "nile", "--method", "mle", "--json", "--no-plot"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["method"] == "mle" and found["engine"] == "kalman"
    # With the level's first law Normal(1000, 500) the optimum is close to that of the diffuse start (38.3, 122.9).
    assert found["estimates"]["sd_level"]["estimate"] == pytest.approx(38.3, abs=1.0)
    assert found["estimates"]["sd_flow"]["estimate"] == pytest.approx(122.9, abs=1.0)
    assert captured.err == ""


def test_the_seed_decides(nile: str) -> None:
    means = []
    for number, seed in enumerate(["7", "7", "8"]):
        assert main(["fit", nile, "--data", "nile", *SHORT, "--seed", seed, "--no-plot", "--out", f"{number}.nc"]) == 0
        means.append(float(ssmlang.load(f"{number}.nc").posterior["sd_level"].mean()))
    assert means[0] == means[1] != means[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--data", "nile", "--method", "nust"], 1, "nuts"),
        (["--data", "nile", "--out", "fit.csv"], 2, ".nc"),
        (["--data", "nile", "--no-plot", "--plot", "a.png"], 2, "contradicts"),
        (["--data", "nile", "--plot", "a.docx"], 2, ".png"),
        (["--data", "airline"], 1, "flow"),
        (["--data", "nile", "--no-plot", "--out", "no/such/place.nc"], 1, "no folder no/such"),
        (["--data", "nile", "--plot", "no/such/place.png"], 1, "no folder no/such"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], code: int, said: str, nile: str, capsys: Capture) -> None:
    assert main(["fit", nile, *words]) == code
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err
    assert captured.out == "", "what is wrong is said before anything is worked out"


def test_a_forecast_without_its_inputs_is_refused_before_the_fit(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "m.ssm").write_text("param b ~ Normal(0, 1)\ninput x\nobs y\ny[t] ~ Normal(b * x[t], 1)\n")
    (tmp_path / "m.csv").write_text("x,y\n1,1\n2,2\n")
    assert main(["fit", str(tmp_path / "m.ssm"), "--data", str(tmp_path / "m.csv"), "--steps", "2"]) == 1
    captured = capsys.readouterr()
    assert "--future" in captured.err and captured.out == ""
    (tmp_path / "d.ssm").write_text("param b ~ Normal(0, 1)\ninput dt\nobs y\ny[t] ~ Normal(b * dt[t], 1)\n")
    (tmp_path / "d.csv").write_text("time,y\n1,1\n2.5,2\n8,1\n")
    assert main(["fit", str(tmp_path / "d.ssm"), "--data", str(tmp_path / "d.csv"), "--steps", "2"]) == 1
    captured = capsys.readouterr()
    assert "E409" in captured.err and captured.out == ""


def test_a_file_that_is_no_fit(capsys: Capture) -> None:
    Path("no.nc").write_text("not NetCDF")
    assert main(["forecast", "no.nc", "--steps", "2"]) == 1
    assert "E701" in capsys.readouterr().err


def test_series_like_the_data_are_stored_with_the_fit(nile: str, capsys: Capture) -> None:
    drawn = ["--posterior-predictive", "7", "--no-plot", "--engine", "batch"]
    assert main(["fit", nile, "--data", "nile", "--method", "mle", *drawn, "--out", "f.nc"]) == 0
    assert "f.nc: the fit by engine batch and 7 series like the data" in capsys.readouterr().out
    found = containers.group(containers.load("f.nc"), "posterior_predictive")["flow"]
    assert found.sizes == {"chain": 1, "draw": 7, "time": 100} and 600 < float(found.mean()) < 1300
