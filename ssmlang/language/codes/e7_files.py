"""E701 to E704: files and packages that are not there."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example


def _python(line: str) -> Example:
    return Example(f"import ssmlang\n{line}\n", language="python")


_MODEL = """import pathlib, tempfile
model = ssmlang.compile("state x\\nobs y\\ninit x ~ Normal(0, 1)\\nx[t] = x[t-1]\\ny[t] ~ Normal(x[t], 1)\\n")
"""
_FILE = """path = pathlib.Path(tempfile.mkdtemp()) / "data.NAME"
path.write_text("y\\n1\\n2\\n")
"""

CODES: tuple[Code, ...] = (
    Code(
        "E701",
        "unreadable-file",
        "a file is not there, or cannot be read",
        "The path names no file, or the file is not what its ending says.",
        _python(_MODEL + 'model.filter("no_such_file.csv", {})'),
        _python(_MODEL + 'model.filter({"y": [1.0, 2.0]}, {})'),
    ),
    Code(
        "E702",
        "unknown-ending",
        "the ending of a file does not say what it holds",
        "Tables are read from .csv, .csv.gz, .tsv, .parquet, .pq, .nc and .nc4.",
        _python(_MODEL + _FILE.replace("NAME", "xyz") + "model.filter(path, {})"),
        _python(_MODEL + _FILE.replace("NAME", "csv") + "model.filter(path, {})"),
    ),
    Code(
        "E703",
        "missing-package",
        "a package that this needs is not installed",
        "Some formats and features need a package that ssmlang does not bring: the message names it.",
        _python(
            _MODEL
            + _FILE.replace("NAME", "parquet")
            + "import sys, unittest.mock\n"
            + 'with unittest.mock.patch.dict(sys.modules, {"pyarrow": None, "fastparquet": None, "polars": None}):\n'
            + "    model.filter(path, {})"
        ),
        _python(_MODEL + 'model.filter({"y": [1.0, 2.0]}, {})'),
    ),
    Code(
        "E704",
        "unknown-data-set",
        "no data set of that name ships with ssmlang",
        "`ssmlang.data.names()` lists them.",
        _python('ssmlang.data.load("niel")'),
        _python('ssmlang.data.load("nile")'),
    ),
    Code(
        "E705",
        "unwritable-file",
        "a result cannot be written",
        "The folder is not there, or the file may not be written.",
        _python(
            "import xarray\nfrom ssmlang.results.containers import save\n"
            'save(xarray.DataTree(), "/no/such/folder/fit.nc")'
        ),
        _python(
            "import pathlib, tempfile, xarray\nfrom ssmlang.results.containers import save\n"
            'save(xarray.DataTree(), pathlib.Path(tempfile.mkdtemp()) / "fit.nc")'
        ),
    ),
)
