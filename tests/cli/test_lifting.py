"""`ssmlang lift`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssmlang.cli.main import main

HEAD = "param a in (-1, 1) ~ Normal(0.5, 0.1)\nparam b ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\n"
CLOSES = HEAD + (
    "state u, v\nobs y\ninit u, v ~ Normal(0, 1)\nu[t] = a * u[t-1]\nv[t] = b * v[t-1] + u[t-1]^3\n"
    "y[t] ~ Normal(v[t]^2, s)\n"
)
LOGISTIC = HEAD + "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] = b * x[t-1] * (1 - x[t-1])\ny[t] ~ Normal(x[t], s)\n"


def written(folder: Path, text: str) -> str:
    path = folder / "model.ssm"
    path.write_text(text)
    return str(path)


def test_what_it_prints_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, CLOSES)
    assert main(["lift", path, "--degree", "6"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "lift z[t] = [u[t], v[t], v[t]^2, u[t]^3, u[t]^3 * v[t], u[t]^6] exact"
    assert all(line.startswith("#") for line in printed.splitlines()[:-1])
    written(tmp_path, CLOSES + printed + "assert stable(z)\n")
    main(["check", path])
    report = capsys.readouterr().out
    assert "z[t] = K z[t-1] without noise, by algebra" in report
    assert "stable only where |b| < 1" in report


def test_a_degree_that_is_too_low(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, CLOSES)
    # The square that is observed needs degree 6; the states alone close with degree 3.
    assert main(["lift", path, "--degree", "3"]) == 0
    printed = capsys.readouterr().out
    assert "nothing up to degree 3 closes it" in printed
    assert printed.splitlines()[-1] == "lift z[t] = [u[t], v[t], u[t]^3] exact"
    assert main(["lift", path, "--degree", "2"]) == 1
    assert "lift z[t]" not in capsys.readouterr().out


def test_no_lift_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", written(tmp_path, LOGISTIC), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["statement"] is None
    assert any("no finite set of functions that holds x[t] closes" in note for note in found["notes"])


def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, LOGISTIC)
    assert main(["lift", path, "--degree", "40"]) == 2
    assert main(["lift", path, "--seconds", "0"]) == 2
    assert main(["lift", str(tmp_path / "none.ssm")]) == 1
    assert "--degree is between 1 and 12" in capsys.readouterr().err


def test_a_search_keeps_to_its_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", written(tmp_path, LOGISTIC), "--seconds", "1e-9"]) == 1
    assert "allow more --seconds" in capsys.readouterr().out
