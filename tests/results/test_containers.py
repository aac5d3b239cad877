"""The seam to ArviZ, on whichever of its lines is installed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssmlang.language.diagnostics import SsmError
from ssmlang.results import containers

RNG = np.random.default_rng(3)
POSTERIOR = xr.Dataset(
    {
        "sd": (("chain", "draw"), RNG.normal(size=(4, 250))),
        "phi": (("chain", "draw", "lag"), RNG.normal(size=(4, 250, 2))),
        "P": (("chain", "draw", "s", "s_"), RNG.normal(size=(4, 250, 2, 2))),
    },
    {"lag": [1, 2], "s": np.array(["up", "down"], object), "s_": np.array(["up", "down"], object), "chain": range(4),
     "draw": range(250)},
)  # fmt: skip
DAYS = pd.date_range("2020-01-31", periods=3, freq="ME")
GROUPS = {
    "posterior": POSTERIOR,
    "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.zeros((4, 250), bool))}),
    "log_likelihood": xr.Dataset({"y": (("chain", "draw", "time"), RNG.normal(size=(4, 250, 3)))}, {"time": DAYS}),
    "observed_data": xr.Dataset(
        {"y": ("time", [1.0, np.nan, 3.0]), "s": ("time", np.array(["a", "", "bc"]))}, {"time": DAYS}
    ),
    "smoothed": xr.Dataset({"mean": (("time", "state"), np.zeros((3, 2)))}, {"time": DAYS, "state": ["a", "b"]}),
}
ATTRS = {"model": "nile", "constants": {"p": 3}, "seed": 0, "ok": True, "nothing": None}


def test_the_installed_arviz_takes_it() -> None:
    results = containers.native(containers.make_tree(GROUPS, ATTRS))
    az = containers.arviz()
    assert (containers.arviz_line() >= 1) is isinstance(results, xr.DataTree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(az.summary(results)) == 7
        az.loo(results)
    assert set(containers.to_tree(results).children) == set(GROUPS)
    xr.testing.assert_equal(containers.group(results, "smoothed"), GROUPS["smoothed"])
    assert results.attrs["constants"] == '{"p": 3}' and "nothing" not in results.attrs
    with pytest.raises(KeyError):
        containers.group(results, "prior")


def test_saved_and_loaded(tmp_path: Path) -> None:
    results = containers.native(containers.make_tree(GROUPS, ATTRS))
    containers.save(results, tmp_path / "fit.nc")
    tree = containers.load(tmp_path / "fit.nc")
    for name, data in GROUPS.items():
        xr.testing.assert_equal(containers.group(tree, name), data)
        xr.testing.assert_equal(containers.group(containers.native(tree), name), data)
    assert tree.attrs["model"] == "nile" and tree.attrs["ok"] == 1
    containers.save(tree, tmp_path / "again.nc")
    again = containers.load(tmp_path / "again.nc")
    assert all(containers.group(again, n).identical(containers.group(tree, n)) for n in GROUPS)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("no file of results")
    for path in (tmp_path / "text.nc", tmp_path / "absent.nc"):
        with pytest.raises(SsmError) as caught:
            containers.load(path)
        assert caught.value.diagnostics[0].code == "E701"
    with pytest.raises(SsmError) as caught:
        containers.save(xr.DataTree(), tmp_path / "no" / "folder.nc")
    assert caught.value.diagnostics[0].code == "E705"


def test_summary_in_the_names_of_the_file() -> None:
    table = containers.summary(containers.native(containers.make_tree(GROUPS)))
    assert list(table.columns) == ["mean", "sd", "5%", "95%", "ess_bulk", "ess_tail", "r_hat"]
    assert list(table.index) == ["sd", "phi[1]", "phi[2]", "P[up,up]", "P[up,down]", "P[down,up]", "P[down,down]"]
    flat = POSTERIOR["phi"].sel(lag=2).values.ravel()
    np.testing.assert_allclose(table.loc["phi[2]", ["mean", "sd", "5%", "95%"]],
                               [flat.mean(), flat.std(ddof=1), *np.quantile(flat, [0.05, 0.95])])  # fmt: skip
    assert table["r_hat"].between(0.99, 1.05).all() and table["ess_bulk"].between(500, 1600).all()
    xr.testing.assert_equal(GROUPS["posterior"], POSTERIOR)
    half = containers.summary(POSTERIOR, prob=0.5)
    assert "25%" in half and "75%" in half


def test_summary_of_few_draws() -> None:
    table = containers.summary(POSTERIOR.isel(chain=[0], draw=slice(3)))
    assert list(table.columns) == ["mean", "sd", "5%", "95%"]


def test_interval() -> None:
    found = containers.interval(POSTERIOR["phi"])
    assert found.dims == ("lag", "bound") and list(found["bound"].values) == ["lower", "upper"]
    np.testing.assert_allclose(found.sel(lag=1), np.quantile(POSTERIOR["phi"].sel(lag=1), [0.05, 0.95]))


def test_arviz_is_imported_late_and_in_silence() -> None:
    code = "import sys, ssmlang.results.containers as c\nassert 'arviz' not in sys.modules\nc.arviz()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
