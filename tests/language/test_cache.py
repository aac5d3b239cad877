"""The grammar's tables are kept between processes, and nothing hangs on it that they can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PARSE = (
    "from ssmlang.language.parser import parse; from ssmlang.language.source import Source\n"
    "from ssmlang.language.diagnostics import Findings\n"
    "print(len(parse(Source('m', 'param a ~ Normal(0, 1)\\nobs y\\n'), Findings()).statements))"
)


def parse_in_a_new_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSMLANG_CACHE", str(cache))
    done = subprocess.run([sys.executable, "-c", PARSE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_tables_are_written_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse_in_a_new_process(tmp_path, monkeypatch)
    (file,) = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    parse_in_a_new_process(tmp_path, monkeypatch)
    assert file.stat().st_mtime_ns == stamp


def test_a_broken_file_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse_in_a_new_process(tmp_path, monkeypatch)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    parse_in_a_new_process(tmp_path, monkeypatch)
    made_anew = file.stat()
    assert made_anew.st_size > len(whole) // 2
    parse_in_a_new_process(tmp_path, monkeypatch)
    assert file.stat().st_mtime_ns == made_anew.st_mtime_ns


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    parse_in_a_new_process(in_the_way / "below", monkeypatch)
