"""`ssmlang check`, `info`, `report`, `expand`, `explain`."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ssmlang
from ssmlang.cli import main
from ssmlang.language.codes import REGISTRY
from ssmlang.language.diagnostics import SsmError

GOOD = "param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sd)\n"
BAD = "param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sdd)\n"
FLAT = "param sd\nobs y\ny[t] ~ Normal(0, sd)\n"

WALKS = """param sd_level, sd_drift, sd_obs ~ HalfNormal(1)
state level, drift
obs y
init level, drift ~ Diffuse()
level[t] ~ Normal(level[t-1], sd_level)
drift[t] ~ Normal(drift[t-1], sd_drift)
y[t] ~ Normal(level[t] + drift[t], sd_obs)
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    found = {}
    for name, text in (("good", GOOD), ("bad", BAD), ("flat", FLAT), ("walks", WALKS)):
        file = tmp_path / f"{name}.ssm"
        file.write_text(text)
        found[name] = str(file)
    return found


def test_clean_is_0_and_says_what_the_model_is(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["good"]]) == 0
    out = capsys.readouterr().out
    assert "1 observation: y" in out and re.search(r"linear and Gaussian +proved", out) and "engine: kalman" in out
    assert out.endswith("1 file: clean\n")
    assert main(["check", files["good"], files["good"]]) == 0
    assert "good.ssm: 1 observation, 1 parameter\n2 files: clean" in capsys.readouterr().out


def test_an_error_is_1_with_its_place(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["bad"], files["good"]]) == 1
    out = capsys.readouterr().out
    assert "error[E2" in out and "bad.ssm:3:18" in out and "did you mean `sd`?" in out
    assert "2 files: 1 error" in out


def test_a_warning_is_0_and_under_strict_1(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["flat"]]) == 0
    assert "warning[W" in capsys.readouterr().out
    assert main(["check", "--strict", files["flat"]]) == 1


def test_json_is_what_the_page_says_and_nothing_else(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", "--json", files["bad"], files["good"]]) == 1
    found = json.loads(capsys.readouterr().out)
    (finding,) = found["diagnostics"]
    assert finding["code"].startswith("E2")
    assert finding["location"] == {"row": 3, "column": 18}
    (model,) = found["models"]
    assert model["file"].endswith("good.ssm") and model["ok"] and model["schema"] == found["schema"] == 1
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    for key in {*found, *model, *model["checks"][0], *model["engines"][0]}:
        assert f"`{key}`" in page, key


UNREAD = ("jax", "numpyro", "scipy", "sympy", "pandas", "xarray", "arviz", "matplotlib")


def modules_of(command: list[str], cwd: Path) -> set[str]:
    """The packages that a command of the shell imports."""
    code = "import sys; from ssmlang.cli import main; main(sys.argv[1:]); print('modules', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=cwd, check=True)
    return {name.partition(".")[0] for name in run.stdout.rpartition("modules ")[2].split()}


def test_a_check_of_a_model_of_plain_numbers_imports_no_algebra(tmp_path: Path) -> None:
    """What is imported is most of what a check of a small model costs."""
    models = Path(ssmlang.__file__).parents[1] / "stdlib"
    for name in ("models/nile.ssm", "starters/structural.ssm"):
        assert not modules_of(["check", str(models / name)], tmp_path) & set(UNREAD), name
    assert "sympy" in (found := modules_of(["check", str(models / "models" / "ar.ssm")], tmp_path))
    assert not found & {"jax", "numpyro", "pandas", "xarray"}


def test_the_matrices_are_in_json_whatever_the_checks_needed(capsys: Capture) -> None:
    path = Path(ssmlang.__file__).parents[1] / "stdlib" / "models" / "nile.ssm"
    assert main(["check", "--json", str(path)]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["matrices"]["state"] == ["level[t]"] and "F" in model["matrices"]


def test_what_is_refuted_is_a_warning_with_a_witness(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["walks"]]) == 0
    out = capsys.readouterr().out
    assert "warning[W602]: two components cannot be told apart" in out
    assert "level[t] + drift[t] enter the data only through their sum" in out
    assert main(["witness", files["walks"], "--code", "E602", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert "level = 1.126, drift = -1.132" in out and "largest difference" in out


def test_what_is_asserted_and_refuted_is_an_error(files: dict[str, str], capsys: Capture) -> None:
    asserted = Path(files["walks"])
    asserted.write_text(asserted.read_text() + "assert observable(drift)\n")
    assert main(["check", str(asserted)]) == 1
    assert "error[E602]" in capsys.readouterr().out
    with pytest.raises(SsmError) as failed:
        ssmlang.compile(asserted)
    assert [d.code for d in failed.value.diagnostics if d.severity == "error"] == ["E602"]
    assert main(["witness", str(asserted), "--code", "W602", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert table["first"] != table["second"] and table["difference"] < 1e-12


FLOW = """param rate in (0, 2) ~ Uniform(0, 2)
const dt = 0.5
state x, v
obs y
init x, v ~ Normal(1, 1)
d(x) = v * dt
d(v) = -(rate * x) * dt
y[t] ~ Normal(x[t]^2, 0.1)
"""


def test_states_of_a_flow_are_run_on_too(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "flow.ssm"
    path.write_text(FLOW)
    assert main(["witness", str(path), "--steps", "3", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert "rows 0.5 apart" in table["what"] and table["first"] != table["second"] and table["difference"] < 1e-12
    (rate,), (x, v) = table["at"].values(), (table["first"][n] for n in ("x", "v"))
    exact = [x * math.cos(w) + v / math.sqrt(rate) * math.sin(w) for w in math.sqrt(rate) * np.array([0, 0.5, 1.0])]
    assert [row[0] for row in table["first_rows"]] == pytest.approx(np.square(exact), abs=1e-6)


def test_without_a_witness_the_exit_code_is_1(files: dict[str, str], capsys: Capture) -> None:
    assert main(["witness", files["good"], "--code", "E602"]) == 1
    assert "does not apply" in capsys.readouterr().err


def test_data_are_those_of_one_file(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["good"], files["good"], "--data", "nile"]) == 2
    assert "one model" in capsys.readouterr().err


def test_github_annotations(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", "--format", "github", files["bad"]]) == 1
    out = capsys.readouterr().out
    assert out.startswith("::error file=") and "line=3," in out and "col=18," in out
    assert len(out.strip().splitlines()) == 1


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    assert main(["check", "-"]) == 1
    assert "<stdin>:3:18" in capsys.readouterr().out


def test_constants_reach_the_model(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "m.ssm"
    file.write_text("const n = 2\nconst k\nparam sd[n] ~ HalfNormal(1)\nobs y[n]\ny[t] ~ Normal(k, sd)\n")
    assert main(["check", str(file), "--const", "n=3", "--const", "k=0.5"]) == 0
    assert "3 observations: y[3]" in capsys.readouterr().out
    assert main(["check", str(file)]) == 0, "a constant without a value is noted, not refused"
    assert "note[N2" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["n", "=3", "n=x", "n="])
def test_a_misspelt_constant_is_wrong_usage(text: str, files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["good"], "--const", text]) == 2
    assert "--const" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "godo.ssm")]) == 1
    captured = capsys.readouterr()
    assert "error[E701]" in captured.out and "good.ssm?" in captured.out


def test_a_file_that_is_not_text(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "m.ssm"
    file.write_bytes(b"param a\xff")
    assert main(["check", str(file)]) == 1
    assert "not UTF-8" in capsys.readouterr().out


def test_info(nile: str, capsys: Capture) -> None:
    assert main(["info", nile]) == 0
    assert "sd_level" in capsys.readouterr().out
    assert main(["info", nile, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert "sd_level" in json.dumps(described["parameters"])


def test_a_report_is_a_page_of_its_own(files: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "walks.html"
    assert main(["report", files["walks"], "--out", str(out)]) == 0
    page = out.read_text()
    for said in ("<!DOCTYPE html>", "sd_drift", "HalfNormal(1)", "W602", "kalman"):
        assert said in page
    assert "W602" in capsys.readouterr().err
    assert main(["report", files["bad"], "--out", str(tmp_path / "bad.html")]) == 1
    assert not (tmp_path / "bad.html").exists()


def test_info_of_a_broken_model(files: dict[str, str], capsys: Capture) -> None:
    assert main(["info", files["bad"]]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "bad.ssm:3:18" in captured.err


def test_expand_gives_a_program_that_checks(nile: str, tmp_path: Path, capsys: Capture) -> None:
    airline = str(Path(nile).with_name("airline.ssm"))
    flat = tmp_path / "flat.ssm"
    assert main(["expand", airline, "--out", str(flat)]) == 0
    text = flat.read_text()
    assert "trend.slope" in text and "component" not in text and "from " not in text
    capsys.readouterr()
    assert main(["expand", airline]) == 0
    assert capsys.readouterr().out == text


def test_explain(capsys: Capture) -> None:
    assert main(["explain", "e205"]) == 0
    assert REGISTRY["E205"].title in capsys.readouterr().out
    assert main(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(REGISTRY)
    assert main(["explain", "E2O5"]) == 2
    assert "no code E2O5" in capsys.readouterr().err
