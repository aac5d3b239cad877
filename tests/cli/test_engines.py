"""`--engine` with a name or with options, and what `check` says of engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssmlang.cli import main

Capture = pytest.CaptureFixture[str]
GIVEN = ["--param", "sd_level=38", "--param", "sd_flow=122"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("engine", ["square_root", "dual:tolerance=1e-11,solver=cg"])
def test_an_engine_is_asked_for_by_name_or_with_options(nile: str, engine: str, capsys: Capture) -> None:
    Path("flow.csv").write_text("flow\n1120\n1160\nNaN\n1210\n")
    answers = []
    for wanted in ("kalman", engine):
        assert main(["filter", nile, "--data", "flow.csv", *GIVEN, "--engine", wanted, "--out", "out.csv"]) == 0
        answers.append([[round(float(v), 6) if v else None for v in row.split(",")[1:]]
                        for row in Path("out.csv").read_text().splitlines()[1:]])  # fmt: skip
    assert answers[0] == answers[1] and len(answers[0]) == 4
    capsys.readouterr()


@pytest.mark.parametrize(
    ("engine", "status", "said"),
    [
        ("dual:speed=2", 2, "no option speed; its options are solver, tolerance"),
        ("dual:tolerance", 2, "write the options as dual:key=value"),
        ("dual:tolerance=7", 2, "a number between 0 and 1"),
        ("amortized:width=10", 1, "E302"),
        ("dua:tolerance=7", 1, "did you mean 'dual'?"),
    ],
)
def test_options_are_checked(nile: str, engine: str, status: int, said: str, capsys: Capture) -> None:
    Path("flow.csv").write_text("flow\n1120\n1160\n")
    assert main(["filter", nile, "--data", "flow.csv", *GIVEN, "--engine", engine]) == status
    assert said in capsys.readouterr().err


def test_check_says_how_the_engine_is_chosen(nile: str, capsys: Capture) -> None:
    assert main(["check", nile]) == 0
    out = capsys.readouterr().out
    assert "auto takes kalman; square_root where dtype='float32'" in out
    usable = {line.split()[0] for line in out.splitlines() if line.split()[1:2] == ["yes"]}
    assert {"kalman", "parallel", "dual", "banded"} <= usable and "amortized" not in out
