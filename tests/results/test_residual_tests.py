"""Tests of residuals against statsmodels, against simulation, and on series made to fail each."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.stats.stattools import jarque_bera as reference_jarque_bera

from ssmlang.data.time import TimeBase
from ssmlang.language.diagnostics import SsmError
from ssmlang.results import residual_tests as tests
from ssmlang.results.diagnosis import Diagnosis, diagnosis
from ssmlang.results.residuals import Innovations, residuals


def draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


@pytest.fixture(scope="module")
def nile():
    """The local level model at its maximum: statsmodels' results, and the residuals that it tests."""
    y = sm.datasets.nile.load_pandas().data["volume"].to_numpy(float)
    result = sm.tsa.UnobservedComponents(y, "llevel", use_exact_diffuse=True).smooth([15098.5, 1469.1])
    e = result.filter_results.standardized_forecasts_error[0].copy()
    e[0] = np.nan
    return result, e


def test_each_test_is_that_of_statsmodels(nile) -> None:
    result, e = nile
    wanted = result.test_serial_correlation("ljungbox")[0][:, -1]
    assert np.allclose(tests.ljung_box(e), wanted)
    for lags in (1, 7):
        reference = acorr_ljungbox(e[1:], lags=lags).iloc[-1]
        assert np.allclose(tests.ljung_box(e, lags), [reference["lb_stat"], reference["lb_pvalue"]])
    normality, skew, kurtosis = tests.jarque_bera(e)
    assert np.allclose([*normality, skew, kurtosis], result.test_normality("jarquebera")[0])
    assert np.allclose(tests.heteroskedasticity(e), result.test_heteroskedasticity("breakvar")[0])


def test_gaps_count_as_they_do_in_statsmodels(nile) -> None:
    _, e = nile
    gappy = e.copy()
    gappy[[5, 6, 40, 98]] = np.nan
    normality, *_ = tests.jarque_bera(gappy)
    assert np.allclose(normality, reference_jarque_bera(gappy[~np.isnan(gappy)])[:2])
    d = gappy - np.nanmean(gappy)
    pairs = d[3:] * d[:-3]
    r, counts = tests.autocorrelations(gappy, 3)
    assert counts[2] == (~np.isnan(pairs)).sum()
    assert r[2] == pytest.approx(np.nansum(pairs) / np.nansum(d**2))


def test_cumulative_sums_are_those_of_recursive_least_squares() -> None:
    y = draws(60)
    y[30:] += 1.0
    result = sm.RecursiveLS(y, np.ones(60)).fit()
    e = np.concatenate([[np.nan], result.resid_recursive[1:]])
    sums, squares = tests.cusum(e), tests.cusum_of_squares(e)
    assert np.allclose(sums.path, result.cusum) and np.allclose(squares.path, result.cusum_squares)
    lower, upper = result._cusum_significance_bounds(0.05, ddof=0, points=np.arange(2, 61))
    assert np.allclose(sums.lower, lower) and np.allclose(sums.upper, upper)
    lower, upper = result._cusum_squares_significance_bounds(0.05, points=np.arange(2, 61))
    assert np.allclose(squares.lower, lower) and np.allclose(squares.upper, upper)
    assert np.array_equal(sums.rows, np.arange(1, 60))


def test_p_values_are_uniform_where_the_model_is_right() -> None:
    """1,000 series: at 5 % about 50 are refused, at 20 % about 200. The laws are asymptotic, that of the sums (whose
    continuous path crosses more often) the most."""
    p = {"ljung": [], "normal": [], "H": [], "cusum": [], "squares": []}
    for seed in range(1000):
        e = draws(100, seed)
        p["ljung"].append(tests.ljung_box(e).p)
        p["normal"].append(tests.jarque_bera(e)[0].p)
        p["H"].append(tests.heteroskedasticity(e).p)
        p["cusum"].append(tests.cusum(e).test.p)
        p["squares"].append(tests.cusum_of_squares(e).test.p)
    at = {name: (np.mean(np.array(v) < 0.05), np.mean(np.array(v) < 0.2)) for name, v in p.items()}
    assert 0.03 < at["ljung"][0] < 0.07 and 0.17 < at["ljung"][1] < 0.23
    assert 0.02 < at["normal"][0] < 0.06
    assert 0.035 < at["H"][0] < 0.065 and 0.17 < at["H"][1] < 0.23
    assert 0.015 < at["cusum"][0] < 0.06 and 0.08 < at["cusum"][1] < 0.22
    assert 0.03 < at["squares"][0] < 0.07 and 0.15 < at["squares"][1] < 0.24


def test_p_values_and_bounds_say_the_same() -> None:
    for n in (40, 400):
        bound = tests.cusum_of_squares(draws(n))
        width = float((bound.upper - bound.lower)[0] / 2)
        assert tests._kolmogorov(width, n / 2 - 1) == pytest.approx(0.05, abs=2e-4)
    a = 0.948
    p = 2 * (stats.norm.sf(3 * a) + np.exp(-4 * a**2) * stats.norm.cdf(a))
    assert p == pytest.approx(0.05, abs=1e-3)


def made(e: np.ndarray) -> Diagnosis:
    e = e[:, None] if e.ndim == 1 else e
    nothing = Innovations(np.zeros((len(e), 0)), np.zeros((len(e), 0)), np.zeros((len(e), 0)))

    class NoNoises:
        mean = sd = auxiliary = nothing.innovation

    names = ["flow", "level"][: e.shape[1]]
    found = residuals(Innovations(e, np.ones_like(e), e), NoNoises, observations=names, noises=[],
                      time=TimeBase.rows(len(e)), attrs={"model": "river"})  # fmt: skip
    return Diagnosis(found)


def autoregressive(n: int) -> np.ndarray:
    e, x = draws(n), np.zeros(n)
    for t in range(1, n):
        x[t] = 0.5 * x[t - 1] + e[t]
    return x


WRONG = {
    "Ljung-Box": (autoregressive(120), "autocorrelated up to lag 10"),
    "Jarque-Bera": (np.random.default_rng(1).standard_t(2, size=150), "heavy tails"),
    "H": (np.concatenate([draws(60), 4 * draws(60, 1)]), "the variance grows"),
    "CUSUM": (draws(120) + np.linspace(-0.2, 1.5, 120), "the mean moves: outside its bounds from row"),
    "CUSUM of squares": (np.concatenate([draws(60), 4 * draws(60, 1)]), "the variance changes: outside its bounds"),
}


@pytest.mark.parametrize("test", WRONG)
def test_each_test_sees_what_it_is_for(test: str) -> None:
    e, words = WRONG[test]
    found = next(f for f in made(e).findings if f.test == test)
    assert found.passed is False and words in found.verdict


def test_good_residuals_pass_and_few_say_nothing() -> None:
    good = made(draws(150, 3))
    assert good.ok and all(f.passed for f in good.findings)
    assert "nothing speaks against the model" in str(good)
    few = made(draws(5))
    assert few.ok and all(f.passed is None and "too few" in f.verdict for f in few.findings)
    assert few.to_dict()["tests"][0]["p"] is None
    none = made(np.full(5, np.nan))
    assert none.ok and len(none.findings) == 5


def test_how_a_diagnosis_shows_itself(tmp_path) -> None:
    both = made(np.column_stack([WRONG["H"][0], draws(120, 3)]))
    assert len(both.findings) == 10 and not both.ok
    assert [f.observation for f in both.findings] == ["flow"] * 5 + ["level"] * 5
    frame = both.to_frame()
    assert list(frame.columns) == ["observation", "test", "statistic", "p", "verdict"] and len(frame) == 10
    said = both.to_dict()
    assert said["model"] == "river" and said["ok"] is False and said["tests"][2]["test"] == "H"
    assert "river" in both._repr_html_() and 'class="bad"' in both._repr_html_()
    page = both.page()
    assert page.count("data:image/png;base64,") == 2 and "http" not in page.replace("http-equiv", "")
    figure = both.plot("level")
    assert len(figure.axes) == 6 and "level" in figure._suptitle.get_text()
    sums = next(a for a in figure.axes if a.get_title(loc="left").startswith("CUSUM with"))
    drawn = [line.get_ydata() for line in sums.lines]
    assert any(np.allclose(line, both.cusum("level").path) for line in drawn if len(line) == 120)
    with pytest.raises(SsmError) as caught:
        both.plot("flw")
    assert "did you mean 'flow'" in str(caught.value)
    figure.savefig(tmp_path / "figure.png")
    made(draws(5)).plot().savefig(tmp_path / "few.png")


@pytest.mark.parametrize("lags", [0, 1.5, True, "ten"])
def test_lags_are_a_number_of_rows(lags) -> None:
    with pytest.raises(SsmError) as caught:
        diagnosis(made(draws(20)).residuals, lags)
    assert [d.code for d in caught.value.diagnostics] == ["E451"]
