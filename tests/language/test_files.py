"""Reading a model file: each way that can fail is one diagnostic."""

from __future__ import annotations

from pathlib import Path

import pytest

import ssmlang
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.files import read_model_file


def refused(path: Path) -> Diagnostic:
    with pytest.raises(SsmError) as caught:
        ssmlang.compile(path)
    (found,) = caught.value.diagnostics
    assert found.code == "E701"
    return found


def test_a_missing_file_names_what_is_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "nile.ssm").help == ()
    for name in ("nile.ssm", "airline.ssm"):
        (tmp_path / name).write_text("state x\n")
    assert refused(tmp_path / "niel.ssm").help == (f"did you mean {tmp_path / 'nile.ssm'}?",)
    assert refused(tmp_path / "zzz.ssm").help == ("model files there: airline.ssm, nile.ssm",)
    assert "no such file" in refused(tmp_path / "nowhere" / "nile.ssm").message


def test_what_is_no_text_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.ssm").write_bytes(b"state x\n\xff\n")
    found = refused(tmp_path / "bad.ssm")
    assert "not UTF-8" in found.message and "offset 8" in found.why[0]
    assert "directory" in refused(tmp_path).message


def test_line_endings_stay_and_a_byte_order_mark_goes(tmp_path: Path) -> None:
    (tmp_path / "m.ssm").write_bytes(b"\xef\xbb\xbfstate x\r\nobs y\r\n")
    assert read_model_file(tmp_path / "m.ssm") == "state x\r\nobs y\r\n"
