"""`ssmlang fmt`."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ssmlang.cli import main

UGLY = "param   a~Normal(0,1)\nobs y\ny[t]~Normal(a,1)\n"
NEAT = "param a ~ Normal(0, 1)\nobs y\ny[t] ~ Normal(a, 1)\n"


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    file = tmp_path / "ugly.ssm"
    file.write_text(UGLY)
    return file


def test_rewrites_in_place_and_is_idempotent(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", str(ugly)]) == 0
    assert ugly.read_text() == NEAT
    assert "1 file formatted, 0 left" in capsys.readouterr().out
    stamp = ugly.stat().st_mtime_ns
    assert main(["fmt", str(ugly)]) == 0
    assert ugly.stat().st_mtime_ns == stamp, "a file that is neat already is not written again"
    assert "0 files formatted, 1 left" in capsys.readouterr().out


def test_check_changes_nothing(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--check", str(ugly)]) == 1
    assert ugly.read_text() == UGLY
    assert f"would format {ugly}" in capsys.readouterr().err
    ugly.write_text(NEAT)
    assert main(["fmt", "--check", str(ugly)]) == 0


def test_diff_shows_what_would_change(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", "--diff", str(ugly)]) == 1
    assert ugly.read_text() == UGLY
    out = capsys.readouterr().out
    assert "-param   a~Normal(0,1)" in out and "+param a ~ Normal(0, 1)" in out


def test_standard_input_is_filtered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == NEAT


def test_a_broken_file_is_left_alone_and_the_others_are_done(
    ugly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.ssm"
    broken.write_text("param a ~ Normal(0, 1\n")
    assert main(["fmt", str(broken), str(ugly)]) == 1
    assert broken.read_text() == "param a ~ Normal(0, 1\n"
    assert ugly.read_text() == NEAT
    said = capsys.readouterr()
    assert "error[E1" in said.err and "1 file formatted, 0 left" in said.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_cannot_be_written(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ugly.chmod(0o444)
    assert main(["fmt", str(ugly)]) == 1
    assert "E705" in capsys.readouterr().err
