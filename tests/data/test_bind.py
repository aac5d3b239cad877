"""Data sets of every form bound to a model: the same numbers, in the order of the model, the data untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssmlang.data.binding import Bound, bind, check_inputs
from ssmlang.data.row import RowReader
from ssmlang.language.codes import REGISTRY
from ssmlang.language.diagnostics import SsmError
from tests.data.programs import CLASH, DISCRETE, DRIFT, LEVEL, NUMBERED, PLANE, model

Y = np.array([1.0, np.nan, 3.0, 4.0, 5.5])
DAYS = pd.date_range("2021-03-01", periods=5, freq="D")


def one(text: str, data: Any, **how: Any) -> Bound:
    (bound,) = bind(model(text), data, **how)
    return bound


def refused(text: str, data: Any, **how: Any) -> SsmError:
    with pytest.raises(SsmError) as caught:
        bind(model(text), data, **how)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code in REGISTRY
    return caught.value


def forms(tmp_path: Path) -> dict[str, Any]:
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"y": Y, "note": list("abcde")}, index=pd.Index(DAYS, name="date"))
    frame.to_csv(tmp_path / "y.csv")
    frame.to_csv(tmp_path / "y.csv.gz")
    frame.to_csv(tmp_path / "y.tsv", sep="\t")
    frame.to_parquet(tmp_path / "y.parquet")
    data = xr.Dataset({"y": ("time", Y)}, {"time": DAYS})
    data.to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    nulls = [None if np.isnan(v) else v for v in Y]
    return {
        "dict": {"y": Y, "time": DAYS},
        "lists": {"y": nulls, "date": [str(d.date()) for d in DAYS]},
        "masked": {"y": np.ma.masked_invalid(Y), "time": DAYS},
        "series": pd.Series(Y, index=DAYS, name="y"),
        "dict of series": {"y": pd.Series(Y, index=DAYS)},
        "frame": frame,
        "date column": frame.reset_index(),
        "text index": frame.set_index(frame.index.astype(str)),
        "nullable": frame.astype({"y": "Float64"}),
        "arrow frame": frame.astype({"y": "float64[pyarrow]"}),
        "objects": frame.assign(y=pd.array([None if np.isnan(v) else v for v in Y], dtype=object)),
        "periods": frame.set_index(pd.period_range("2021-03-01", periods=5, freq="D")),
        "polars": polars.DataFrame({"date": DAYS.to_pydatetime().tolist(), "y": nulls}),
        "polars dates": polars.DataFrame({"date": [d.date() for d in DAYS], "y": nulls}),
        "polars lazy": polars.DataFrame({"date": DAYS.to_pydatetime().tolist(), "y": nulls}).lazy(),
        "arrow": pyarrow.table({"date": DAYS.to_numpy(), "y": nulls}),
        "xarray": data,
        "xarray array": data["y"],
        "csv": tmp_path / "y.csv",
        "csv as text": str(tmp_path / "y.csv"),
        "csv.gz": tmp_path / "y.csv.gz",
        "tsv": tmp_path / "y.tsv",
        "parquet": tmp_path / "y.parquet",
        "netcdf": tmp_path / "y.nc",
    }


@pytest.mark.filterwarnings("error")
def test_every_form_is_the_same_data(tmp_path: Path) -> None:
    for name, data in forms(tmp_path).items():
        bound = one(LEVEL, data)
        np.testing.assert_array_equal(bound.observations["y"], Y, err_msg=name)
        assert bound.observations["y"].dtype == np.float64, name
        assert (
            bound.time.coordinate().values.astype("datetime64[ns]").tolist()
            == DAYS.astype("datetime64[ns]").asi8.tolist()
        )
        assert str(bound.time.future(2).index[-1].date()) == "2021-03-07", name
        assert bound.notes == ()


def test_csv_written_from_a_frame_without_index_name(tmp_path: Path) -> None:
    pd.DataFrame({"y": Y}, index=DAYS).to_csv(tmp_path / "y.csv")
    assert one(LEVEL, tmp_path / "y.csv").time.index.equals(pd.DatetimeIndex(DAYS, freq=None))


def test_time_named_by_the_caller(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": DAYS, "y": Y})
    frame.to_csv(tmp_path / "y.csv", index=False)
    for data in (frame, tmp_path / "y.csv", frame.set_index("when")):
        assert one(LEVEL, data, time="when").time.is_dates
    assert one(LEVEL, frame).time.label(1) == "row 1"
    assert one(LEVEL, {"y": Y}, time=DAYS).time.is_dates
    assert "did you mean `when`?" in str(refused(LEVEL, frame, time="whem"))
    assert refused(LEVEL, {"y": Y}, time=DAYS[:3]).diagnostics[0].code == "E403"


def test_the_callers_data_are_left_alone() -> None:
    frame = pd.DataFrame({"y": Y, "other": range(5)}, index=DAYS.delete(2).insert(4, pd.Timestamp("2021-03-06")))
    array, masked = Y.copy(), np.ma.masked_invalid(Y)
    before = pd.util.hash_pandas_object(frame).to_list(), frame.index.freq, list(frame.columns), frame.dtypes.to_list()
    bound = one(LEVEL, frame)
    assert len(bound.notes) == 1
    bound.observations["y"][:] = 0  # the arrays are copies
    taken = one(LEVEL, {"y": array}), one(LEVEL, {"y": masked})
    for t in taken:
        t.observations["y"][:] = 7
    after = pd.util.hash_pandas_object(frame).to_list(), frame.index.freq, list(frame.columns), frame.dtypes.to_list()
    assert before == after
    np.testing.assert_array_equal(array, Y)
    np.testing.assert_array_equal(masked.filled(np.nan), Y)


def test_names_of_entries() -> None:
    values = np.arange(10.0).reshape(5, 2)
    names = [
        ["fix[east]", "fix[north]"],
        ["fix [ east ]", "fix[ north]"],
        ["fix_east", "fix_north"],
        ["east", "north"],
        ["fix[east]", "north"],
    ]
    for columns in names:
        np.testing.assert_array_equal(one(PLANE, pd.DataFrame(values, columns=columns)).observations["fix"], values)
        swapped = pd.DataFrame(values[:, ::-1], columns=columns[::-1])
        np.testing.assert_array_equal(one(PLANE, swapped).observations["fix"], values)
    nested = pd.DataFrame(values, columns=pd.MultiIndex.from_product([["fix"], ["east", "north"]]))
    np.testing.assert_array_equal(one(PLANE, nested).observations["fix"], values)
    np.testing.assert_array_equal(one(PLANE, {"fix": values}).observations["fix"], values)
    np.testing.assert_array_equal(
        one(PLANE, {"fix[east]": values[:, 0], "north": values[:, 1]}).observations["fix"], values
    )
    labelled = xr.Dataset({"fix": (("plane", "time"), values.T[::-1])}, {"plane": ["north", "east"]})
    np.testing.assert_array_equal(one(PLANE, labelled).observations["fix"], values)
    by_label = {"fix": pd.DataFrame(values[:, ::-1], columns=["north", "east"])}
    np.testing.assert_array_equal(one(PLANE, by_label).observations["fix"], values)


def test_numbered_labels_are_labels() -> None:
    values = np.arange(15.0).reshape(5, 3)
    H = np.arange(30.0).reshape(5, 3, 2)
    rest: dict[str, Any] = {f"H[{i + 1},{j}]": H[:, i, j] for i in range(3) for j in range(2)} | {"x": np.ones(5)}
    bound = one(NUMBERED, pd.DataFrame({f"y[{i + 1}]": values[:, i] for i in range(3)} | rest))
    np.testing.assert_array_equal(bound.observations["y"], values)
    np.testing.assert_array_equal(bound.inputs["H"], H)
    rest = {f"H_{i + 1}_{j}": H[:, i, j] for i in range(3) for j in range(2)} | {"x": np.ones(5)}
    np.testing.assert_array_equal(
        one(NUMBERED, pd.DataFrame({i + 1: values[:, i] for i in range(3)} | rest)).observations["y"], values
    )
    counted_from_0 = refused(NUMBERED, pd.DataFrame({f"y[{i}]": values[:, i] for i in range(3)} | rest))
    assert "no column `y[3]`" in str(counted_from_0)


def test_a_name_that_could_mean_another_thing_is_not_taken() -> None:
    # `rate` is a state as well as a label; `y_a_rate`... belongs to y_a[rate] alone.
    error = refused(CLASH, pd.DataFrame({"rate": Y, "y_a[rate]": Y}))
    assert error.diagnostics[0].code == "E401" and "`rate` is not taken" in str(error)
    bound = one(CLASH, pd.DataFrame({"y_rate": Y, "y_a_rate": 2 * Y}))
    np.testing.assert_array_equal(bound.observations["y_a"][:, 0], 2 * Y)


def test_two_columns_for_one_entry() -> None:
    assert refused(LEVEL, pd.DataFrame(np.zeros((3, 2)), columns=["y", "y"])).diagnostics[0].code == "E410"
    loose = pd.DataFrame(np.zeros((3, 3)), columns=["fix_east", "east", "north"])
    assert refused(PLANE, loose).diagnostics[0].code == "E410"
    assert refused(PLANE, {"fix[east]": Y, "fix[ east]": Y, "north": Y}).diagnostics[0].code == "E410"


def test_missing_columns_are_listed() -> None:
    error = refused(PLANE, pd.DataFrame({"fix[est]": Y, "north": Y}))
    text = str(error)
    assert error.diagnostics[0].code == "E401"
    assert (
        "no column `fix[east]`" in text and "`fix[north]`" in text and "is `fix[est]` meant to be `fix[east]`?" in text
    )
    assert "no array `H`" in str(refused(NUMBERED, {"y": np.zeros((5, 3)), "x": Y}))
    table = pd.DataFrame(np.zeros((5, 4)), columns=[1, 2, 3, "x"])
    assert "no columns `H[1,0]`, `H[1,1]`" in str(refused(NUMBERED, table))
    assert "is `Y` meant to be `y`?" in str(refused(LEVEL, {"Y": Y}))


def test_wrong_shapes() -> None:
    for data, words in (
        ({"fix": np.zeros((2, 5))}, "transpose"),
        ({"fix": np.zeros((5, 3))}, "(rows, 2)"),
        ({"fix": [[1, 2], [3]]}, "differ in length"),
        ({"fix": np.zeros((5, 2)), "time": [1, 2, 3]}, "has 5 rows"),
    ):
        error = refused(PLANE, data)
        assert error.diagnostics[0].code == "E403" and words in str(error)
    assert "take its last axis off" in str(refused(LEVEL, {"y": Y[:, None]}))
    assert "no rows" in str(refused(LEVEL, {"y": []}))
    assert (
        refused(NUMBERED, {"y": np.zeros((5, 3)), "x": np.ones(4), "H": np.ones((5, 3, 2))}).diagnostics[0].code
        == "E403"
    )


def test_values_that_are_no_numbers() -> None:
    error = refused(LEVEL, pd.DataFrame({"y": [1.0, "n/a", 2.0]}, index=DAYS[:3]))
    assert error.diagnostics[0].code == "E404" and "row 1 (2021-03-02) holds `n/a`" in str(error)
    assert refused(LEVEL, {"y": DAYS}).diagnostics[0].code == "E404"
    assert refused(LEVEL, {"y": np.ones(3) * 1j}).diagnostics[0].code == "E404"
    error = refused(PLANE, {"fix[east]": Y, "fix[north]": [1, 2, np.inf, 4, -np.inf]})
    assert error.diagnostics[0].code == "E405" and "`fix[north]` is infinite at row 2" in str(error)
    error = refused(LEVEL, {"y": [1, -(10**400), None]})  # a whole number has no bound in Python
    assert error.diagnostics[0].code == "E405" and "`y` is infinite at row 1" in str(error)


def test_all_problems_at_once() -> None:
    error = refused(NUMBERED, {"y": np.full((5, 3), np.inf), "x": ["a"] * 5, "H": np.zeros((5, 2, 2))})
    assert {d.code for d in error.diagnostics} == {"E403", "E404", "E405"}


def test_discrete_observations() -> None:
    data = {"seen": ["alive", "dead", None, "alive"], "mark": [1, 3, np.nan, 2], "digit": [0, 9, 4, None]}
    for form in (data, pd.DataFrame(data), pd.DataFrame(data).astype({"seen": "category", "mark": "Int64"})):
        bound = one(DISCRETE, form)
        np.testing.assert_array_equal(bound.observations["seen"], [0, 1, np.nan, 0])
        np.testing.assert_array_equal(bound.observations["mark"], [0, 2, np.nan, 1])
        np.testing.assert_array_equal(bound.observations["digit"], [0, 9, 4, np.nan])
    positions = one(DISCRETE, data | {"seen": [0, 1, 1, 0]})
    np.testing.assert_array_equal(positions.observations["seen"], [0, 1, 1, 0])
    for wrong, words in (
        ({"seen": ["alive", "ded", None, "alive"]}, "did you mean `dead`?"),
        ({"seen": [0, 2, 1, 1]}, "cannot be `2`"),
        ({"mark": [0, 1, 2, 3]}, "1, 2, 3"),
        ({"digit": [0.5, 1, 2, 3]}, "the integers 0 to 9"),
        ({"digit": [1, 2, 3, 10]}, "row 3"),
    ):
        error = refused(DISCRETE, data | wrong)
        assert error.diagnostics[0].code == "E406" and words in str(error)


LAWS = """
param r ~ HalfNormal(1)
state x
obs bugs[2], wet, share, gap, size, free
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1], r)
bugs[t] ~ NegativeBinomial(exp(x[t]), 2)
wet[t] ~ Bernoulli(logits = x[t])
share[t] ~ Beta(exp(x[t]), 1)
gap[t] ~ Exponential(exp(x[t]))
size[t] ~ LogNormal(x[t], 1)
free[t] ~ Normal(x[t], 1)
"""


def test_values_that_a_law_cannot_give() -> None:
    nan = np.nan
    data = {"bugs": [[0.0, 3.0], [nan, 1.0], [2.0, nan]], "wet": [1, 0, nan], "share": [0, 0.3, 1], "gap": [0, 3, nan],
            "size": [0.1, 1, nan], "free": [-1, 0, 0.5]}  # fmt: skip
    assert one(LAWS, data).steps == 3
    for name, values, words in (
        ("bugs", [[0, 3], [nan, -1], [2, nan]], "`bugs` is -1 at row 1, which NegativeBinomial cannot give"),
        ("bugs", [[0, 3], [nan, 1], [2.5, nan]], "gives the counts 0, 1, 2, ..."),
        ("wet", [1, 2, 0], "gives 0 and 1"),
        ("share", [0, 1.2, -3], "2 values of it are like that"),
        ("gap", [0, -0.1, 1], "gives no negative number"),
        ("size", [1, 1, 0], "gives positive numbers"),
    ):
        error = refused(LAWS, data | {name: values})
        assert [d.code for d in error.diagnostics] == ["E406"] and words in str(error)
        assert error.diagnostics[0].span is not None
    with pytest.raises(SsmError, match="is 3 at this row, which Bernoulli cannot give"):
        RowReader(model(LAWS)).read({"wet": 3})


def test_no_data_set() -> None:
    for data in (Y, [1.0, 2.0], [], 3, None, pd.Series(Y), xr.DataArray(Y)):
        assert refused(LEVEL, data).diagnostics[0].code == "E402"


def test_independent_series() -> None:
    bounds = bind(model(LEVEL), [{"y": Y}, pd.DataFrame({"y": Y[:3]}, index=DAYS[:3])])
    assert [b.steps for b in bounds] == [5, 3] and bounds[1].time.is_dates
    error = refused(LEVEL, ({"y": Y}, {"z": Y}, {"y": [np.inf]}))
    assert [d.code for d in error.diagnostics] == ["E401", "E405"]
    assert "data set 1 of the list" in str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "y.csv").write_text("y\n1\n")
    (tmp_path / "y.xyz").write_text("y\n1\n")
    (tmp_path / "y.xlsx").write_text("no sheet")
    (tmp_path / "y.parquet").write_text("no parquet")
    (tmp_path / "y.nc").write_text("no netcdf")
    assert "tables there: y.csv, y.nc, y.parquet" in str(refused(LEVEL, tmp_path / "nothing_alike.csv"))
    assert "save the sheet as CSV" in str(refused(LEVEL, tmp_path / "y.xlsx"))
    (tmp_path / "measured.csv").write_text("y\n1\n")
    assert "did you mean `measured.csv`?" in str(refused(LEVEL, tmp_path / "mesured.csv"))
    assert refused(LEVEL, tmp_path / "y.xyz").diagnostics[0].code == "E702"
    assert refused(LEVEL, tmp_path / "y.parquet").diagnostics[0].code == "E701"
    assert refused(LEVEL, tmp_path / "y.nc").diagnostics[0].code == "E701"
    assert refused(LEVEL, tmp_path / "none" / "y.csv").diagnostics[0].code == "E701"


def test_parquet_without_a_reader_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "y.parquet").write_bytes(b"PAR1")
    for package in ("pyarrow", "fastparquet", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
    error = refused(LEVEL, tmp_path / "y.parquet")
    assert error.diagnostics[0].code == "E703" and "pip install pyarrow" in str(error)


def test_missing_inputs_only_where_needed() -> None:
    x = np.array([1.0, np.nan, 3.0, np.nan, 5.0])
    H = np.zeros((5, 3, 2))
    H[4, 2, 1] = np.nan
    bound = one(NUMBERED, {"y": np.zeros((5, 3)), "x": x, "H": H, "time": DAYS})
    declared = model(NUMBERED).inputs
    check_inputs(bound, {"x": ~np.isnan(x), "H": np.arange(5) < 4})
    with pytest.raises(SsmError) as caught:
        check_inputs(bound, {"x": np.arange(5) != 1, "H": np.ones(5, bool)}, declared)
    text = str(caught.value)
    assert [d.code for d in caught.value.diagnostics] == ["E407", "E407"]
    assert "`x` is missing at row 3 (2021-03-04)" in text and "`H[3,1]` is missing at row 4 (2021-03-05)" in text


def test_observations_may_be_absent_from_the_future() -> None:
    bound = one(NUMBERED, {"x": Y, "H": np.zeros((5, 3, 2))}, observations=False)
    assert bound.steps == 5 and np.isnan(bound.observations["y"]).all()
    assert refused(NUMBERED, {"x": Y}, observations=False).diagnostics[0].code == "E401"


def test_dt_is_the_difference_of_the_times() -> None:
    times = pd.to_datetime(
        ["2021-01-01 00:00", "2021-01-02 12:00", "2021-01-05 00:00", "2021-02-05 00:00"]
    ).tz_localize("Europe/Berlin")
    bound = one(DRIFT, pd.DataFrame({"y": Y[:4]}, index=times))
    np.testing.assert_allclose(bound.inputs["dt"], [0, 1.5, 2.5, 31])
    assert bound.derived_dt and bound.notes == () and bound.steps == 4
    np.testing.assert_allclose(one(DRIFT, {"y": Y[:3], "time": [0.5, 0.6, 2.0]}).inputs["dt"], [0, 0.1, 1.4])
    given = one(DRIFT, {"y": Y[:3], "dt": [np.nan, 2.0, 3.0]})
    np.testing.assert_array_equal(given.inputs["dt"], [np.nan, 2, 3])
    assert "differences" in str(refused(DRIFT, {"y": Y}))


def test_rows_of_a_stream_as_frames_give_them() -> None:
    frame = pd.DataFrame({"fix[east]": [1.0], "fix[north]": [np.nan]}, index=DAYS[:1])
    reader = RowReader(model(PLANE))
    for row in (next(frame.iterrows())[1], {"fix": [1.0, None]}, {"fix": {"east": 1}}):
        np.testing.assert_array_equal(reader.read(row)["fix"], [1, np.nan])
    np.testing.assert_array_equal(reader.read({"fix": None})["fix"], [np.nan, np.nan])
    (tuple_,) = pd.DataFrame({"y": [2.5]}).itertuples()
    assert RowReader(model(LEVEL)).read(tuple_)["y"] == 2.5
    for text, mend in ((DRIFT, "`dt` is the time since"), (LEVEL, "rows are counted")):
        with pytest.raises(SsmError, match=mend):
            RowReader(model(text)).read({"time": 3.0})
