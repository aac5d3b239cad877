"""Text files as spreadsheets, programs and people write them: read as they were meant, or refused in plain words."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ssmlang.data.binding import Bound, bind
from ssmlang.language.diagnostics import Diagnostic, SsmError
from tests.data.programs import LEVEL, model

PROGRAM = model(LEVEL)


def read(tmp_path: Path, text: str, name: str = "y.csv") -> Bound:
    path = tmp_path / name
    path.write_bytes(text.encode() if not name.endswith(".gz") else gzip.compress(text.encode()))
    (bound,) = bind(PROGRAM, path)
    return bound


def refused(tmp_path: Path, text: str) -> Diagnostic:
    with pytest.raises(SsmError) as caught:
        read(tmp_path, text)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("y.csv", "date,y\n2020-01-01,1.5,\n2020-01-02,2.5,\n"),  # a spreadsheet's empty last column
        ("y.csv", "date,y,,\r\n2020-01-01,1.5,,\r\n2020-01-02,2.5,,\r\n"),
        ("y.csv", "date;y\n2020-01-01;1.5\n2020-01-02;2.5\n"),
        ("y.csv", "date;y\n2020-01-01;1,5\n2020-01-02;2,5\n"),
        ("y.csv", "date\ty\n2020-01-01\t1.5\n2020-01-02\t2.5\n"),
        ("y.tsv", "date\ty, in m\ty\n2020-01-01\t0\t1.5\n2020-01-02\t0\t2.5\n"),
        ("y.csv", '\ufeff"date", "y"\n2020-01-01, 1.5\n2020-01-02, 2.5\n'),
        ("y.csv", '"date", "x, m", "y"\n2020-01-01, 3, 1.5\n2020-01-02, 4, 2.5\n'),
        ("y.csv", "\n\ndate,y\n2020-01-01,1.5\n2020-01-02,2.5\n"),
        ("y.csv", "date,y\n20200101,1.5\n20200102,2.5\n"),
        ("y.csv.gz", "date;y\n2020-01-01;1,5\n2020-01-02;2,5\n"),
        ("y.csv", "date,x,x,y\n2020-01-01,0,0,1.5\n2020-01-02,0,0,2.5\n"),
    ],
)
def test_read_as_meant(tmp_path: Path, name: str, text: str) -> None:
    bound = read(tmp_path, text, name)
    assert list(bound.observations["y"]) == [1.5, 2.5] and bound.time.label(1) == "row 1 (2020-01-02)"


def test_months_as_numbers_go_on_over_the_year(tmp_path: Path) -> None:
    bound = read(tmp_path, "date,y\n202011,1\n202012,2\n202101,3\n202103,4\n")
    assert bound.steps == 5 and bound.time.label(2) == "row 2 (2021-01-01)"
    assert bound.time.future(1).index[0].isoformat() == "2021-04-01T00:00:00"
    assert list(read(tmp_path, "time,y\n202001,1\n202002,2\n202003,3\n").time.index) == [202001, 202002, 202003]
    assert list(read(tmp_path, "time,y\n20201301,1\n20201302,2\n").time.index) == [20201301, 20201302]


def test_refused_in_plain_words(tmp_path: Path) -> None:
    assert "empty" in refused(tmp_path, "").why[0]
    longer = refused(tmp_path, "date,y\n2020-01-01,1,5\n2020-01-02,2,5\n")
    assert longer.code == "E701" and "more values than its first line has names" in longer.why[0]
    assert refused(tmp_path, "y,y\n1,5\n2,5\n").code == "E410"
    assert "names its columns" in refused(tmp_path, "1000\n900\n").help[0]
    word = refused(tmp_path, "date,y\n2020-01-01,1\n2020-01-02,abc\n")
    assert word.code == "E404" and word.why == ("row 1 (2020-01-02) holds `abc`",)
    for text in ('y\n"1,000"\n"1,500"\n', "date;y\n1;1,000\n2;1,500\n"):
        assert refused(tmp_path, text).code == "E404" and "marks of thousands" in refused(tmp_path, text).help[0]
    (tmp_path / "latin.csv").write_bytes("date,débit,y\n2020-01-01,1,2\n".encode("latin-1"))
    with pytest.raises(SsmError, match="save it as UTF-8"):
        bind(PROGRAM, tmp_path / "latin.csv")


def test_numbers_as_text_in_memory() -> None:
    with pytest.raises(SsmError, match="row 0 holds `1`, as text"):
        bind(PROGRAM, {"y": np.array(["1", "2"])})


def test_years_of_another_name_are_said(tmp_path: Path) -> None:
    (note,) = read(tmp_path, "Year,y\n1871,1\n1872,2\n").notes
    assert note.code == "N411" and 'time="Year"' in note.help[0]
    assert not read(tmp_path, "x,y\n1871,1\n1890,2\n").notes
