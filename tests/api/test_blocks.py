"""A panel through the verbs, against its sites as models of their own."""

import numpy as np
import pytest

import ssmlang
from ssmlang.results import moments

PANEL = """
model panel
const sites = 3
axis site = 1..sites
param sd[site], sd_obs ~ HalfNormal(1)
state level[site]
obs y[site]
init level ~ Diffuse()
level[t, i] ~ Normal(level[t-1, i], sd[i]) for i in site
y[t, i] ~ Normal(level[t, i], sd_obs) for i in site
"""
SD = np.array([0.4, 1.0, 0.2])


def data(sites: int = 3, steps: int = 7) -> np.ndarray:
    y = np.random.default_rng(3).normal(size=(steps, sites)).cumsum(axis=0)
    y[0, 1] = y[3, 0] = y[4] = np.nan
    return y


def test_a_panel_is_its_sites() -> None:
    panel, one = ssmlang.compile(PANEL), ssmlang.compile(PANEL, constants={"sites": 1})
    y, found = data(), {}
    params = {"sd": SD, "sd_obs": 0.5}
    total = 0.0
    each = []
    for i in range(3):
        own = {"sd": SD[i : i + 1], "sd_obs": 0.5}
        total += float(one.log_likelihood({"y": y[:, i : i + 1]}, own))
        each.append((one.smooth({"y": y[:, i : i + 1]}, own), one.forecast({"y": y[:, i : i + 1]}, own, steps=2)))
    assert float(panel.log_likelihood({"y": y}, params)) == pytest.approx(total, rel=1e-12)
    found["smooth"], found["forecast"] = panel.smooth({"y": y}, params), panel.forecast({"y": y}, params, steps=2)
    for k, verb in enumerate(("smooth", "forecast")):
        for name in ("mean", "observed_mean"):
            expected = np.concatenate([e[k][name].values for e in each], axis=1)
            np.testing.assert_allclose(found[verb][name].values, expected, 1e-10, 1e-12)
        for name in ("cov", "observed_cov"):
            cov = found[verb][name].values
            for i in range(3):
                np.testing.assert_allclose(cov[:, i, i], each[i][k][name].values[:, 0, 0], 1e-10, 1e-12)
            assert not cov[:, 0, 1].any()


def test_beyond_the_bound_there_are_standard_deviations(monkeypatch: pytest.MonkeyPatch) -> None:
    y, params = data(), {"sd": SD, "sd_obs": 0.5}
    whole = ssmlang.compile(PANEL).smooth({"y": y}, params)
    monkeypatch.setattr(moments, "COVARIANCE_LIMIT", 10)
    short = ssmlang.compile(PANEL + "let total[t] = sum(level[t, i] for i in site)\n").smooth({"y": y}, params)
    variances = np.diagonal(whole["cov"].values, axis1=1, axis2=2)
    np.testing.assert_allclose(short["sd"].values, np.sqrt(variances), 1e-10)
    np.testing.assert_allclose(short["total"].values, whole["mean"].values.sum(axis=1), 1e-10)
    np.testing.assert_allclose(short["total_sd"].values, np.sqrt(variances.sum(axis=1)), 1e-10)
    assert "cov" not in short
    assert "more than" in short.attrs["cov"]
