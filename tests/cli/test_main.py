"""The command line as a whole: help, usage, failures, starting points, the doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ssmlang.cli import arguments, main
from ssmlang.cli.starting import models, starter
from ssmlang.frontend import check_text
from ssmlang.language.format import format_text

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", sorted(arguments.HOMES))
def test_every_command_has_help_with_an_example(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "example:" in out and f"ssmlang {command}" in out.split("example:")[1]


@pytest.mark.parametrize("command", sorted(arguments.HOMES))
def test_every_command_is_there(command: str) -> None:
    from importlib import import_module

    assert callable(getattr(import_module(f"ssmlang.cli.{arguments.HOMES[command]}"), command))


@pytest.mark.parametrize(
    "words", [["chekc", "a.ssm"], ["check"], ["check", "a.ssm", "--stict"], ["forecast", "a.ssm", "--steps", "0"]]
)
def test_wrong_usage_is_2(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: ssmlang" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc", "a.ssm"], "ssmlang: error: there is no command `chekc`; did you mean `check`?"),
        (["zzz"], "there is no command `zzz`; ssmlang --help lists them"),
        (["check", "a.ssm", "--stict"], "ssmlang check: error: there is no option `--stict`; did you mean `--strict`?"),
        (["expand", "a.ssm", "--ouz=3"], "there is no option `--ouz`; did you mean `--out`?"),
        (["expand", "a.ssm", "b.ssm"], "ssmlang expand: error: `b.ssm` is one argument too many"),
        (["--vresion"], "did you mean `--version`?"),
        (["fit", "a.ssm", "--data", "b", "--param", "a=1"], "there is no option `--param`\n"),
    ],
)
def test_what_is_misspelt_is_answered_with_what_was_meant(words: list[str], said: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(capsys: Capture) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_a_fault_of_our_own_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Capture, nile: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the moon is not full")

    monkeypatch.setattr("ssmlang.cli.checking.read_program", fail)
    monkeypatch.delenv("SSMLANG_TRACEBACK", raising=False)
    assert main(["check", nile]) == 2
    captured = capsys.readouterr()
    assert "RuntimeError: the moon is not full" in captured.err and "Traceback" not in captured.err
    monkeypatch.setenv("SSMLANG_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        main(["check", nile])


def test_a_reader_that_goes_away_is_no_failure(nile: str) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m ssmlang explain | head -1', shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_new_writes_a_model_under_the_name_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "sales"]) == 0
    assert "sales.csv has the column flow; times, if any, as time or date" in capsys.readouterr().out
    text = Path("sales.ssm").read_text()
    assert "model sales\n" in text and "#" in text
    assert main(["check", "sales.ssm"]) == 0
    assert main(["new", "sales"]) == 2, "an existing file is not written over"
    assert main(["new", "sales", "--like", "ar", "--force"]) == 0
    assert "const p" in Path("sales.ssm").read_text()
    capsys.readouterr()
    assert main(["new", "other", "--like", "airlien"]) == 2
    assert "did you mean `airline`?" in capsys.readouterr().err
    assert main(["new", "param"]) == 2 and main(["new", "9lives"]) == 2
    assert not Path("param.ssm").exists()


@pytest.mark.parametrize("like", models())
def test_every_starting_point_checks_and_is_formatted(like: str) -> None:
    text = starter(like, "mine")
    checked = check_text(text, name="mine.ssm")
    assert not [d for d in checked.findings if d.severity == "error"]
    assert checked.flat is not None and "model mine" in text
    assert format_text(format_text(text)) == format_text(text)


def test_doctor_tells_versions_and_devices(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["numpyro"] and report["devices"] and report["double_precision"] is True
    assert main(["doctor"]) == 0
    assert "All is well." in capsys.readouterr().out


def test_colour_is_for_terminals_only(nile: str, tmp_path: Path) -> None:
    broken = tmp_path / "m.ssm"
    broken.write_text("param a ~ Nromal(0, 1)\n")
    done = subprocess.run([sys.executable, "-m", "ssmlang", "check", str(broken)], capture_output=True, text=True)
    assert done.returncode == 1 and "\x1b[" not in done.stdout
