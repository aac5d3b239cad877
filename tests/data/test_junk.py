"""Whatever is given as data, the answer is bound data or diagnostics: never another exception, never a warning."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssmlang.data import Bound, bind
from ssmlang.language.diagnostics import SsmError
from tests.data.programs import DISCRETE, DRIFT, LEVEL, NUMBERED, PLANE, model

Y = [1.0, 2.0, 3.0]


def frame(index: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": Y}, index=index)


def junk() -> list[Any]:
    polars = pytest.importorskip("polars")
    values: list[Any] = [
        None, 3.0, "abc", [[1, 2], [3]], [{}, {}], object(), [], np.zeros((0, 2)), [Decimal("1.5"), 2, None],
        ["1", "2", "3"], [datetime.date(2020, 1, 1)] * 3, pd.Series(Y, index=list("aab")), pd.DataFrame({"a": Y}),
        np.ma.masked_all(3), np.array([1, 2, 3], "M8[D]"), np.array([1, 2, 3], ">f4"), memoryview(b"abc"),
        (x for x in Y), range(3), {"a": 1}, set(Y), pd.Categorical(["1", "2", "3"]), pd.to_timedelta([1, 2, 3]),
    ]  # fmt: skip
    times: list[Any] = [
        None, 5, ["a", "b"], [1, 2], [True, False, True], [None] * 3, [[1, 2], [3, 4], [5, 6]], [10**30, 2, 3],
        [1.5, np.nan, 2], [datetime.time(1)] * 3, [1j, 2, 3], [1e300, 2e300, 3e300], ["2020", 3, "2021"],
        [np.inf, 1, 2],
    ]  # fmt: skip
    indices: list[Any] = [
        [None, 1, 2], [1.5, np.nan, 2], pd.to_timedelta([1, 2, 3], unit="D"), pd.CategoricalIndex(list("abc")),
        pd.IntervalIndex.from_breaks([1, 2, 3, 4]), 
        pd.DatetimeIndex(np.array(["1600-01-01", "2020-01-01", "3000-01-01"], "M8[s]")),
        [10**30, 2, 3], pd.RangeIndex(6, 0, -2), pd.RangeIndex(0, 6, 2),
    ]  # fmt: skip
    return [
        *({"y": v} for v in values),
        *({"y": Y, "time": t} for t in times),
        *(frame(i) for i in indices),
        {}, {None: 1}, {1: 2}, pd.DataFrame(),
        pd.DataFrame(index=range(3)), polars.DataFrame({"y": [[1, 2], [3], [4]]}),
        polars.DataFrame({"y": ["a", None, "b"]}), polars.Series("y", Y),
        polars.DataFrame({"time": [datetime.time(h) for h in (1, 2, 3)], "y": Y}), xr.Dataset(), xr.Dataset({"y": 3.0}),
        xr.Dataset({"y": (("a", "b"), np.zeros((3, 2)))}), xr.Dataset({"y": ("time", Y)}, {"time": list("abc")}),
        xr.DataTree(), b"abc", range(3), iter(Y), (), [None], [[1, 2], [3, 4]], {1, 2}, print, np.float64(3), "",
        "x" * 5000, "\0", "/", ".", np.rec.array([(1.0, 2.0)], dtype=[("y", float), ("z", float)]),
    ]  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("program", [LEVEL, PLANE, NUMBERED, DISCRETE, DRIFT])
@pytest.mark.parametrize("how", [{}, {"time": "time"}, {"observations": False, "future": True}])
def test_bound_or_refused(program: str, how: dict[str, Any]) -> None:
    answers: set[bool] = set()
    for data in junk():
        try:
            bound = bind(model(program), data, **how)
        except SsmError as error:
            answers.add(False)
            assert str(error)
        else:
            answers.add(True)
            for b in bound:
                assert isinstance(b, Bound) and b.steps > 0
                for values in (*b.observations.values(), *b.inputs.values()):
                    assert values.dtype == np.float64 and values.shape[0] == b.steps
                    assert not np.isinf(values).any()
    assert False in answers
