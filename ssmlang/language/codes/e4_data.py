"""E401 to E412: data that do not fit the model."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_LEVEL = '''
import numpy, pandas, ssmlang
model = ssmlang.compile("""
param s ~ HalfNormal(1)
state level
obs   y
init level ~ Normal(0, 1)
level[t] ~ Normal(level[t-1], s)
y[t] ~ Normal(level[t], 1)
""")
'''
_LABELS = '''
import numpy, pandas, ssmlang
model = ssmlang.compile("""
param s ~ HalfNormal(1)
axis  plane = {east, north}
state pos[plane]
obs   fix[plane]
init pos ~ Normal(0, 1)
pos[t] ~ Normal(pos[t-1], s)
fix[t] ~ Normal(pos[t], 1)
""")
'''
_INPUT = '''
import numpy, ssmlang
model = ssmlang.compile("""
param b ~ Normal(0, 1)
input x
state level
obs   y
init level ~ Normal(0, 1)
level[t] ~ Normal(level[t-1], 1)
y[t] ~ Normal(level[t] + b * x[t], 1)
""")
'''
_DISCRETE = '''
import ssmlang
model = ssmlang.compile("""
param p in (0, 1) ~ Beta(1, 1)
axis fate = {alive, dead}
obs  seen in fate
seen[t] ~ Categorical([p, 1 - p])
""")
'''


def _python(prelude: str, line: str) -> Example:
    return Example(prelude.lstrip() + line + "\n", language="python")


def _level(line: str) -> Example:
    return _python(_LEVEL, line)


CODES: tuple[Code, ...] = (
    Code(
        "E401",
        "missing-column",
        "the data lack a column that the model reads",
        "Data are matched to the model by name. A scalar is the column of its name; an entry of a vector is the column "
        "`y[0]` or `fix[east]` (also `y_0`, `fix_east`, or the bare label where nothing else could be meant). Every "
        "observation and input must be there; a value that was not seen is NaN or an empty cell, not an absent column. "
        "Columns that the model does not read are ignored.",
        _level('model.filter({"x": [1.0, 2.0]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, 2.0]}, {"s": 1.0})'),
    ),
    Code(
        "E402",
        "no-data-set",
        "what was given is no data set, or its values have no names",
        "A data set is a dict of arrays, a pandas, polars or Arrow table, an xarray Dataset, or the path of a CSV, "
        "Parquet or NetCDF file; a list of these holds independent series. A bare array or list of numbers does not "
        "say which variable it is.",
        _level('model.filter(numpy.zeros(3), {"s": 1.0})'),
        _level('model.filter({"y": numpy.zeros(3)}, {"s": 1.0})'),
    ),
    Code(
        "E403",
        "data-shape",
        "an array has the wrong shape or number of rows",
        "An array has one row for each time, then the axes of the variable as the model declares them. All arrays of "
        "one data set have the same number of rows.",
        _level('model.filter({"y": [[1.0], [2.0]]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, 2.0]}, {"s": 1.0})'),
    ),
    Code(
        "E404",
        "not-a-number",
        "a column that should hold numbers holds something else",
        "Observations and inputs are numbers; a missing value is NaN, None or an empty cell, never a word such as "
        "`missing` or a code such as -999.",
        _level('model.filter({"y": [1.0, "none"]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, None]}, {"s": 1.0})'),
    ),
    Code(
        "E405",
        "infinite-value",
        "the data hold an infinite value",
        "No observation and no input may be infinite. A missing value is NaN; a logarithm of zero is a common "
        "source of infinities.",
        _level('model.filter({"y": [1.0, numpy.inf]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, numpy.nan]}, {"s": 1.0})'),
    ),
    Code(
        "E406",
        "unknown-value",
        "an observation has a value that it cannot take",
        "An observation declared `in` an axis takes its labels (or, where these are names, positions from 0 on);"
        " one declared in a range takes the integers of the range. One whose law is of counts takes the whole numbers"
        " from 0 on, that of a Bernoulli law 0 and 1; that of a positive law is not negative.",
        _python(_DISCRETE, 'model.bind({"seen": ["alive", "lost"]})'),
        _python(_DISCRETE, 'model.bind({"seen": ["alive", "dead"]})'),
    ),
    Code(
        "E407",
        "missing-input",
        "an input is missing in a row that needs it",
        "An input is known at every row that reads it, for it has no law from which it could be told. Fill it in, or "
        "declare it as an observation with a law of its own. An input may be missing where nothing needs it, as where "
        "the observation it explains is missing too.",
        _python(_INPUT, 'model.filter({"y": [1.0, 2.0], "x": [1.0, numpy.nan]}, {"b": 1.0})'),
        _python(_INPUT, 'model.filter({"y": [1.0, numpy.nan], "x": [1.0, numpy.nan]}, {"b": 1.0})'),
    ),
    Code(
        "E408",
        "times-repeat-or-turn-back",
        "times occur more than once, or are not sorted",
        "Each row of a series has a time of its own, later than that of the row above. Several series in one table are "
        "given as a list, one data set each.",
        _level('model.filter({"y": [1.0, 2.0], "time": [5, 5]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, 2.0], "time": [5, 6]}, {"s": 1.0})'),
    ),
    Code(
        "E409",
        "irregular-times",
        "the times are on no regular grid, and the model counts rows",
        "A model in discrete time takes one step a row, so its rows must be evenly spaced: in seconds, days, business "
        "days, weeks, months, quarters or years. A gap in a regular grid is no fault: its rows are put in as missing, "
        "and a note says how many. For times that follow no grid, write the model in continuous time with `input dt`, "
        "or bring the data to a regular step first. The same code is given where a forecast needs times that cannot be "
        "told from the data.",
        _level('model.filter({"y": [1.0, 2.0, 3.0, 4.0], "time": [0.0, 0.3, 2.0, 2.1]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, 2.0, 3.0, 4.0], "time": [0.0, 0.5, 1.0, 2.0]}, {"s": 1.0})'),
    ),
    Code(
        "E410",
        "ambiguous-column",
        "two columns could be the same entry of the model",
        "A table names each entry once. `y[0]` is taken before `y_0`; but two columns of the same name, or `y[0]` and "
        "`y[ 0 ]`, leave it open which is meant.",
        _python(_LABELS, 'model.filter({"fix_east": [1.0], "east": [1.0], "fix[north]": [1.0]}, {"s": 1.0})'),
        _python(_LABELS, 'model.filter({"fix[east]": [1.0], "east": [1.0], "fix[north]": [1.0]}, {"s": 1.0})'),
    ),
    Code(
        "E411",
        "unreadable-times",
        "the times of the data cannot be found or read",
        "Times are a table's index, the column `time` or `date`, or the column that `time=` (on the command line "
        "`--time`) names: dates as 2024-03-01 or 2024-03-01T12:30, periods as 2024Q1, 2024-03 or 2024-W09 (each stands "
        "at its first day), or numbers. A first column without a name, as pandas writes an index, is one too, where it "
        "holds times.",
        _level('model.filter({"y": [1.0, 2.0], "date": ["2024-01-01", "soon"]}, {"s": 1.0})'),
        _level('model.filter({"y": [1.0, 2.0], "date": ["2024-01-01", "2024-01-02"]}, {"s": 1.0})'),
    ),
    Code(
        "E412",
        "future-rows",
        "the coming rows lack inputs or times",
        "A forecast of a model with inputs needs them for every coming row: `future=` takes a data set with them, "
        "found by their times where it has times, else taken in order after the last row of the data.",
        _python(_INPUT, 'model.forecast({"y": [1.0], "x": [1.0]}, {"b": 1.0}, steps=2)'),
        _python(_INPUT, 'model.forecast({"y": [1.0], "x": [1.0]}, {"b": 1.0}, steps=2, future={"x": [0.0, 1.0]})'),
    ),
)
