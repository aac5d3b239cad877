"""The data sets that ship: their sizes, spans, sums, and a second copy where one is installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import ssmlang.data
from ssmlang.data.datasets import _FOLDER
from ssmlang.language.diagnostics import SsmError

# rows, first and last index, sum of a column
FACTS = {
    "nile": (100, 1871, 1970, "flow", 91935),
    "airline": (144, "1949-01-01", "1960-12-01", "passengers", 40363),
    "co2": (2284, "1958-03-29", "2001-12-29", "co2", None),
    "uk_drivers": (192, "1969-01-01", "1984-12-01", "drivers", 320699),
    "influenza": (14, "1978-01-22", "1978-02-04", "in_bed", 1559),
    "hare_lynx": (21, 1900, 1920, "hare", None),
    "lynx": (114, 1821, 1934, "trapped", 175334),
    "sunspots": (309, 1700, 2008, "sunspots", None),
    "us_macro": (203, "1959-01-01", "2009-07-01", "real_gdp", None),
    "elnino": (732, "1950-01-01", "2010-12-01", "temperature", None),
    "gnp": (135, "1951-04-01", "1984-10-01", "growth", None),
    "pound_dollar": (946, "1981-10-01", "1985-06-28", "dollars", None),
}


def test_all_are_listed_and_described() -> None:
    assert set(ssmlang.data.names()) == set(FACTS)
    for name in ssmlang.data.names():
        text = ssmlang.data.describe(name)
        assert "source: " in text and "licence: " in text
        for column in ssmlang.data.load(name).columns:
            assert f"  {column}: " in text
    assert sum(f.stat().st_size for f in _FOLDER.iterdir()) < 250_000  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FACTS)
def test_facts(name: str) -> None:
    rows, first, last, column, total = FACTS[name]
    frame = ssmlang.data.load(name)
    assert len(frame) == rows and column in frame
    is_date = isinstance(first, str)
    assert isinstance(frame.index, pd.DatetimeIndex) is is_date
    assert frame.index[0] == (pd.Timestamp(first) if is_date else first)
    assert frame.index[-1] == (pd.Timestamp(last) if is_date else last)
    if total is not None:
        assert frame[column].sum() == total
    assert ssmlang.data.read_text(name).count("\n") == rows + 1


def test_co2_has_its_gaps() -> None:
    assert ssmlang.data.load("co2")["co2"].isna().sum() == 59


def test_returns_are_those_of_the_rates() -> None:
    frame = ssmlang.data.load("pound_dollar")
    assert frame["r"].isna().tolist() == [True] + [False] * 945
    np.testing.assert_allclose(100 * np.diff(np.log(frame["dollars"])), frame["r"].to_numpy()[1:], rtol=0, atol=6e-5)
    assert {day.weekday() for day in frame.index} == set(range(5))


def test_second_copies() -> None:
    datasets = pytest.importorskip("statsmodels.datasets")
    np.testing.assert_array_equal(datasets.nile.load_pandas().data["volume"], ssmlang.data.load("nile")["flow"])
    np.testing.assert_array_equal(datasets.co2.load_pandas().data["co2"], ssmlang.data.load("co2")["co2"])
    np.testing.assert_array_equal(
        datasets.sunspots.load_pandas().data["SUNACTIVITY"], ssmlang.data.load("sunspots")["sunspots"]
    )
    macro = datasets.macrodata.load_pandas().data
    np.testing.assert_array_equal(macro["realgdp"], ssmlang.data.load("us_macro")["real_gdp"])
    np.testing.assert_array_equal(macro["unemp"], ssmlang.data.load("us_macro")["unemployment"])
    elnino = datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()
    np.testing.assert_array_equal(elnino, ssmlang.data.load("elnino")["temperature"])


def test_unknown_name() -> None:
    with pytest.raises(SsmError) as caught:
        ssmlang.data.load("niel")
    assert caught.value.diagnostics[0].code == "E704" and "did you mean `nile`?" in str(caught.value)


def test_names_do_not_import_pandas() -> None:
    code = "import ssmlang.data, sys; ssmlang.data.names(); sys.exit('pandas' in sys.modules or 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
