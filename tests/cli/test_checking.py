"""`ssmlang check`, `info`, `expand`, `explain`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from ssmlang.cli import main
from ssmlang.language.codes import REGISTRY

GOOD = "param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sd)\n"
BAD = "param sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(0, sdd)\n"
FLAT = "param sd\nobs y\ny[t] ~ Normal(0, sd)\n"

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    found = {}
    for name, text in (("good", GOOD), ("bad", BAD), ("flat", FLAT)):
        file = tmp_path / f"{name}.ssm"
        file.write_text(text)
        found[name] = str(file)
    return found


def test_clean_is_0_and_says_what_the_model_is(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", files["good"]]) == 0
    out = capsys.readouterr().out
    assert "1 observation: y" in out and "linear and Gaussian  proved" in out and "engine: kalman" in out
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


def test_json_is_a_list_of_findings_and_nothing_else(files: dict[str, str], capsys: Capture) -> None:
    assert main(["check", "--json", files["bad"]]) == 1
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding["code"].startswith("E2")
    assert finding["location"] == {"row": 3, "column": 18}
    assert main(["check", "--json", files["good"]]) == 0
    assert json.loads(capsys.readouterr().out) == []


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
