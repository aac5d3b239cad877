"""The same numbers give the same bound data, and other numbers never do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssmlang.data import recent
from ssmlang.data.recent import KEPT, Recent
from ssmlang.language.diagnostics import SsmError
from tests.data.programs import LEVEL, model

Y = np.array([1.0, np.nan, 3.0, 4.0, 5.5])
DAYS = pd.date_range("2021-03-01", periods=5, freq="D")
FORMS: dict[str, Any] = {
    "dict": lambda: {"y": Y.copy()},
    "whole numbers": lambda: {"y": np.arange(5)},
    "strided": lambda: {"y": np.repeat(Y, 2)[::2]},
    "frame": lambda: pd.DataFrame({"y": Y.copy(), "z": np.arange(5)}),
    "dated": lambda: pd.DataFrame({"y": Y.copy()}, index=DAYS),
    "dated in a column": lambda: {"y": Y.copy(), "date": DAYS.to_numpy().copy()},
}


@pytest.fixture
def seen() -> Recent:
    return Recent(model(LEVEL))


@pytest.mark.parametrize("form", FORMS)
def test_equal_contents_are_bound_once(seen: Recent, form: str) -> None:
    (first,), (second,) = seen.bind(FORMS[form]()), seen.bind(FORMS[form]())
    assert second is first


def test_an_array_changed_in_place_is_bound_anew(seen: Recent) -> None:
    data = {"y": Y.copy()}
    (first,) = seen.bind(data)
    data["y"][0] = 7.0
    (second,) = seen.bind(data)
    assert first.observations["y"][0] == 1.0 and second.observations["y"][0] == 7.0


def test_a_frame_changed_in_place_is_bound_anew(seen: Recent) -> None:
    data = pd.DataFrame({"y": Y})
    (first,) = seen.bind(data)
    data.loc[0, "y"] = 7.0
    (second,) = seen.bind(data)
    assert first.observations["y"][0] == 1.0 and second.observations["y"][0] == 7.0


def test_what_differs_in_anything_that_is_read_is_bound_anew(seen: Recent) -> None:
    plain = pd.DataFrame({"y": Y})
    others = [
        pd.DataFrame({"y": Y}, index=DAYS),
        pd.DataFrame({"y": Y}, index=DAYS.tz_localize("UTC")),
        pd.DataFrame({"y": Y}, index=DAYS + pd.Timedelta(1, "D")),
        pd.DataFrame({"y": Y}, index=pd.Index(range(5, 10), name="year")),
        pd.DataFrame({"y": Y.astype("float32")}),
        pd.DataFrame({"y": Y, "time": np.arange(5.0)}),
        {"y": Y},
        {"y": Y[:4]},
        {"y": Y, "time": np.arange(5)},
    ]
    found = [seen.bind(d)[0] for d in (plain, *others)]
    assert len({id(b) for b in found}) == len(found)
    (by_row,), (by_z,) = (seen.bind({"y": Y, "z": np.arange(3.0, 8.0)}, time=t) for t in (None, "z"))
    assert by_row.time.index[0] == 0 and by_z.time.index[0] == 3


def test_what_is_kept_cannot_be_changed_and_what_was_given_can(seen: Recent) -> None:
    data = {"y": Y.copy()}
    (bound,) = seen.bind(data)
    with pytest.raises(ValueError, match="read-only"):
        bound.observations["y"][0] = 2.0
    data["y"][0] = 2.0


@pytest.mark.parametrize("data", [
    {"y": list(Y)}, {"y": Y.astype(object)}, {"y": pd.Series(Y)}, pd.DataFrame({"y": Y, "word": list("abcde")}),
    pd.DataFrame({"y": pd.array([1, None, 3, 4, 5], dtype="Int64")}), [{"y": Y}, {"y": Y[:3]}],
])  # fmt: skip
def test_what_is_not_plainly_numbers_is_bound_each_time(seen: Recent, data: Any) -> None:
    first, second = seen.bind(data), seen.bind(data)
    assert all(a is not b for a, b in zip(first, second, strict=True))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.observations["y"], b.observations["y"])


def test_few_and_small_data_sets_are_kept(seen: Recent, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [seen.bind({"y": np.full(3, float(i))})[0] for i in range(KEPT + 1)]
    again = [seen.bind({"y": np.full(3, float(i))})[0] for i in range(KEPT, 0, -1)]
    assert again == first[:0:-1]
    assert seen.bind({"y": np.zeros(3)})[0] is not first[0]
    monkeypatch.setattr(recent, "LARGEST", 4)
    assert seen.bind({"y": Y})[0] is not seen.bind({"y": Y})[0]
    assert seen.bind(pd.DataFrame({"y": Y}))[0] is not seen.bind(pd.DataFrame({"y": Y}))[0]


def test_a_fault_is_told_each_time(seen: Recent) -> None:
    for _ in range(2):
        with pytest.raises(SsmError):
            seen.bind({"z": Y})
