"""`ssmlang diagnose`, and paths from the command line."""

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
GIVEN = ["--data", "nile", "--param", "sd_level=38", "--param", "sd_flow=122"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def diagnosis() -> object:
    path = Path(__file__).parents[2] / "stdlib" / "models" / "nile.ssm"
    return ssmlang.compile(path).diagnose(ssmlang.data.load("nile"), PARAMS)


def test_the_verdicts_are_those_of_the_api(nile: str, diagnosis, capsys: Capture) -> None:
    assert main(["diagnose", nile, *GIVEN]) == 0
    assert capsys.readouterr().out.strip() == str(diagnosis)
    assert main(["diagnose", nile, *GIVEN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == diagnosis.to_dict()
    assert main(["diagnose", nile, *GIVEN, "--lags", "3"]) == 0
    assert "up to lag 3" in capsys.readouterr().out


def test_what_is_written(nile: str, diagnosis, capsys: Capture) -> None:
    for name in ("r.png", "r.html", "r.csv"):
        assert main(["diagnose", nile, *GIVEN, "--out", name]) == 0
    assert Path("r.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png" in Path("r.html").read_text() and "outside its bounds" in Path("r.html").read_text()
    assert np.allclose(pd.read_csv("r.csv")["p"], diagnosis.to_frame()["p"])
    capsys.readouterr()
    assert main(["diagnose", nile, *GIVEN, "--out", "s.svg", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "nile" and Path("s.svg").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "r.xyz"], ".png"), (["--of", "flow"], "--out"), (["--of", "flow", "--out", "r.csv"], "--out"),
        (["--lags", "0"], "at least 1"),
    ],
)  # fmt: skip
def test_wrong_usage(nile: str, options: list[str], said: str, capsys: Capture) -> None:
    try:
        code = main(["diagnose", nile, *GIVEN, *options])
    except SystemExit as stopped:
        code = stopped.code  # type: ignore[assignment]
    assert code == 2 and said in capsys.readouterr().err


def test_an_observation_that_is_none(nile: str, capsys: Capture) -> None:
    assert main(["diagnose", nile, *GIVEN, "--out", "r.png", "--of", "flw"]) == 1
    assert "did you mean 'flow'" in capsys.readouterr().err


def test_fits_are_diagnosed_and_give_paths(nile: str, capsys: Capture) -> None:
    model, data = ssmlang.compile(nile), ssmlang.data.load("nile")
    fit = model.fit(data, method="mle", progress="off")
    fit.save("fit.nc")
    assert main(["diagnose", "fit.nc"]) == 0
    assert capsys.readouterr().out.strip() == str(fit.diagnose())
    assert main(["smooth", "fit.nc", "--paths", "3", "--out", "paths.nc"]) == 0
    with xr.open_dataset("paths.nc") as stored:
        np.testing.assert_allclose(stored["paths"], fit.smooth(paths=3)["paths"])
    model.initial_state(fit.params).save("stream.nc")
    capsys.readouterr()
    assert main(["diagnose", "stream.nc"]) == 1
    assert "holds a stream" in capsys.readouterr().err


def test_paths_are_those_of_the_api(nile: str, capsys: Capture) -> None:
    assert main(["smooth", nile, *GIVEN, "--paths", "2", "--seed", "5", "--out", "paths.csv"]) == 0
    expected = ssmlang.compile(nile).smooth(ssmlang.data.load("nile"), PARAMS, paths=2, seed=5)["paths"]
    table = pd.read_csv("paths.csv", index_col="time")
    np.testing.assert_allclose(table[["paths[0,level]", "paths[1,level]"]].T, expected[:, :, 0])
    capsys.readouterr()
    assert main(["smooth", nile, *GIVEN, "--paths", "2"]) == 2
    assert "--out" in capsys.readouterr().err
