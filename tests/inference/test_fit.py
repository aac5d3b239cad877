"""Fits: parameters, mixtures over them, groups, and reading a saved one again."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from local_level import NILE

import ssmlang
from ssmlang.language.diagnostics import SsmError
from ssmlang.results.mixture import mixture, normal_quantiles

TEXT = """
param sd_level ~ HalfNormal(50)
param sd_flow  ~ HalfNormal(150)
state level
obs   flow
init level ~ Diffuse()
level[t] ~ Normal(level[t-1], sd_level)
flow[t]  ~ Normal(level[t], sd_flow)
"""
DATA = {"flow": np.where(np.arange(100) % 17 == 3, np.nan, NILE)}


@pytest.fixture(scope="module")
def model() -> ssmlang.Model:
    return ssmlang.compile(TEXT)


def test_a_mixture_of_normal_laws() -> None:
    rng = np.random.default_rng(0)
    means, sds = rng.normal(3, 2, (5, 4, 1)), rng.uniform(0.5, 2, (5, 4, 1))
    parts = [{"mean": m, "cov": s[..., None] ** 2} for m, s in zip(means, sds)]
    found = mixture(parts)
    np.testing.assert_allclose(found["mean"], means.mean(0))
    np.testing.assert_allclose(found["cov"][..., 0], (sds**2).mean(0) + means.var(0))
    quantiles = normal_quantiles(means, sds, (0.1, 0.5))
    draws = (means[:, None] + sds[:, None] * rng.normal(size=(5, 40000, 4, 1))).reshape(-1, 4, 1)
    np.testing.assert_allclose(quantiles, np.quantile(draws, (0.1, 0.5), axis=0), atol=0.06)


def test_the_nile_by_maximum_likelihood(model: ssmlang.Model, tmp_path: Path) -> None:
    flat = ssmlang.compile(TEXT.replace("~ HalfNormal(50)", "in (0, inf)").replace("~ HalfNormal(150)", "in (0, inf)"))
    fit = flat.fit({"flow": NILE}, method="mle", progress="off")
    np.testing.assert_allclose([fit.params["sd_flow"] ** 2, fit.params["sd_level"] ** 2], [15098.5, 1469.1], rtol=1e-4)
    np.testing.assert_allclose(fit.summary().attrs["log_likelihood"], -632.5456, atol=1e-3)
    assert list(fit.summary().columns) == ["estimate", "se"]
    np.testing.assert_allclose(fit.filter()["log_likelihood"].sum(), -632.5456, atol=1e-3)
    with pytest.raises(SsmError) as caught:
        fit.loo()
    assert caught.value.diagnostics[0].code == "E746"
    fit.save(tmp_path / "mle.nc")
    again = ssmlang.load(tmp_path / "mle.nc")
    xr.testing.assert_identical(again.forecast(3)["mean"], fit.forecast(3)["mean"])
    assert again.summary().equals(fit.summary())
    assert pickle.loads(pickle.dumps(fit)).summary().equals(fit.summary())
    for name, words in (("fit.csv", "its ending says another kind"), ("no/such/fit.nc", "there is no folder")):
        with pytest.raises(SsmError, match=words):
            fit.save(tmp_path / name)
    with pytest.raises(SsmError, match=r"fit\.params"):
        flat.smooth({"flow": NILE}, fit)


def test_a_saved_fit_forecasts_as_the_original_does(model: ssmlang.Model, tmp_path: Path) -> None:
    fit = model.fit(DATA, draws=50, warmup=150, chains=2, seed=4, progress="off")
    fit.save(tmp_path / "fit.nc")
    again = ssmlang.load(tmp_path / "fit.nc")
    xr.testing.assert_identical(again.forecast(4, draws=20), fit.forecast(4, draws=20))
    xr.testing.assert_identical(again.smooth(draws=5), fit.smooth(draws=5))
    assert again.params == fit.params and again.method == "nuts" and again.seed == 4
    found = fit.forecast(4, draws=20)
    width = found["observed_quantile"].sel(quantile=0.95) - found["observed_quantile"].sel(quantile=0.05)
    assert (width.values > 2 * 1.6 * fit.params["sd_flow"]).all()
    loo = fit.tree["log_likelihood"]["flow"]
    assert loo.dims == ("chain", "draw", "time") and loo.sizes["time"] == np.isfinite(DATA["flow"]).sum() - 1
    one = {n: float(fit.posterior[n][1, 3]) for n in fit.params}
    np.testing.assert_allclose(loo[1, 3].sum(), model.log_likelihood(DATA, one), rtol=1e-9)
    assert np.isfinite(fit.loo().elpd_loo if hasattr(fit.loo(), "elpd_loo") else fit.loo().elpd)


def test_a_saved_fit_needs_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Components of the user's own file are written out in what is saved."""
    (tmp_path / "parts.ssm").write_text(
        "component walk(sd) {\n  state level\n  init level ~ Normal(1000, 500)\n"
        "  level[t] ~ Normal(level[t-1], sd)\n  out level[t]\n}\n"
    )
    (tmp_path / "whole.ssm").write_text(
        'from "./parts.ssm" import walk\nparam sd_level ~ HalfNormal(50)\nparam sd_flow ~ HalfNormal(150)\n'
        "part trend = walk(sd_level)\nobs flow\nflow[t] ~ Normal(trend[t], sd_flow)\n"
    )
    fit = ssmlang.compile(tmp_path / "whole.ssm").fit(DATA, method="map", progress="off")
    fit.save(tmp_path / "fit.nc")
    (tmp_path / "parts.ssm").unlink()
    again = ssmlang.load(tmp_path / "fit.nc")
    xr.testing.assert_identical(again.forecast(3)["trend"], fit.forecast(3)["trend"])
    assert again.model.name == fit.model.name == "whole"


@pytest.mark.parametrize("method", ["nuts", "map", "mle", "laplace"])
def test_a_second_fit_compiles_nothing(model: ssmlang.Model, method: str, compilations) -> None:
    how = {"method": method, "draws": 20, "warmup": 20, "chains": 2, "progress": "off"}

    def everything(data: dict[str, np.ndarray], seed: int) -> None:
        fit = model.fit(data, seed=seed, **how)
        fit.summary()
        fit.smooth(draws=3)
        fit.forecast(4, draws=3)
        assert "log_likelihood" in fit.tree.children and fit.posterior.sizes["chain"] >= 1

    everything(DATA, 0)
    with compilations() as found:
        everything({"flow": DATA["flow"][::-1] + 3.0}, 1)
    assert found == []


def test_definitions_of_the_parameters_are_in_the_summary_with_errors_by_the_delta_method() -> None:
    text = ("param a ~ Normal(0, 10)\nparam b ~ Normal(0, 10)\nobs y[2]\nlet ratio = exp(a) * b\nlet two = [a + b, 3]\n"
            "let fixed = 7\ny[t, 0] ~ Normal(a, 1)\ny[t, 1] ~ Normal(b, 2)\n")  # fmt: skip
    y = np.random.default_rng(0).normal([0.5, 2.0], [1.0, 2.0], (50, 2))
    fit = ssmlang.compile(text).fit({"y": y}, method="mle")
    table, (a, b) = fit.summary(), y.mean(0)
    assert list(table.index) == ["a", "b", "ratio", "two[0]"]
    assert table.attrs["derived"] == ["ratio", "two[0]"]
    np.testing.assert_allclose(table["estimate"], [a, b, np.exp(a) * b, a + b], rtol=1e-5)
    va, vb = 1 / 50, 4 / 50
    errors = np.sqrt([va, vb, np.exp(2 * a) * (b**2 * va + vb), va + vb])
    np.testing.assert_allclose(table["se"], errors, rtol=1e-4)
