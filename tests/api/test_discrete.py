"""Models of discrete states by every verb."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import ssmlang
from ssmlang.engines import Discrete
from tests.lowering import gnp

SWITCHING = """model switching
axis regime = {expansion, recession}
param growth[regime] ~ Normal([1, -1], 1)
param sd ~ HalfNormal(1)
param stay[regime] ~ Beta(9, 1)
let P = [[stay[expansion], 1 - stay[expansion]], [1 - stay[recession], stay[recession]]]
let drift[t] = growth[s[t]]
let turned[t] = if s[t] == s[t-1] then 0 else 1
state s in regime
obs   y
init s ~ Stationary()
s[t] ~ Categorical(P[s[t-1]])
y[t] ~ Normal(growth[s[t]], sd)
"""
PARAMS = {"growth": np.array([1.0, -1.0]), "sd": 0.7, "stay": np.array([0.9, 0.8])}


@pytest.fixture(scope="module")
def model():
    return ssmlang.compile(SWITCHING)


@pytest.fixture(scope="module")
def simulated(model):
    found = model.simulate(60, PARAMS, seed=1)
    found.y[5] = np.nan
    return found


@pytest.fixture(scope="module")
def data(simulated):
    return {"y": simulated.y.values}


@pytest.fixture(scope="module")
def filtered(model, data):
    return model.filter(data, PARAMS)


@pytest.fixture(scope="module")
def smoothed(model, data):
    return model.smooth(data, PARAMS, paths=200, seed=3)


def hamilton(y):
    """Filtered and smoothed probabilities of the two regimes, written out."""
    P, mu = np.array([[0.9, 0.1], [0.2, 0.8]]), PARAMS["growth"]
    law = np.array([2, 1]) / 3
    ahead, now, terms = [], [], []
    for t, value in enumerate(y):
        law = law if t == 0 else law @ P
        ahead.append(law)
        density = np.ones(2) if np.isnan(value) else stats.norm.pdf(value, mu, 0.7)
        terms.append(np.log(law @ density))
        law = law * density / (law @ density)
        now.append(law)
    back = [now[-1]]
    for t in range(len(y) - 2, -1, -1):
        back.append(now[t] * (P @ (back[-1] / ahead[t + 1])))
    return np.array(ahead), np.array(now), np.array(back[::-1]), np.array(terms)


def test_auto_takes_discrete(model):
    assert model.why().chosen == "discrete"


def test_the_filter_gives_probabilities_and_the_law_of_the_next_row(model, data, filtered):
    ahead, now, _, terms = hamilton(data["y"])
    np.testing.assert_allclose(filtered.s_probability, now, atol=1e-12)
    np.testing.assert_allclose(filtered.s_predicted_probability, ahead, atol=1e-12)
    np.testing.assert_allclose(filtered.log_likelihood, terms, atol=1e-12)
    np.testing.assert_allclose(filtered.log_likelihood.sum(), model.log_likelihood(data, PARAMS), atol=1e-10)
    mean = ahead @ PARAMS["growth"]
    np.testing.assert_allclose(filtered.observed_mean[:, 0], mean, atol=1e-12)
    np.testing.assert_allclose(filtered.observed_cov[:, 0, 0], 1 - mean**2 + 0.49, atol=1e-12)
    assert list(filtered.regime.values) == ["expansion", "recession"]
    assert "mean" not in filtered  # a label is no number


def test_the_smoother_gives_probabilities_paths_and_functions_of_states(data, simulated, smoothed):
    _, _, back, _ = hamilton(data["y"])
    np.testing.assert_allclose(smoothed.s_probability, back, atol=1e-12)
    drift = back @ PARAMS["growth"]
    np.testing.assert_allclose(smoothed.drift, drift, atol=1e-12)
    np.testing.assert_allclose(smoothed.drift_sd, np.sqrt(np.maximum(1 - drift**2, 0)), atol=1e-7)
    np.testing.assert_allclose(smoothed.observed_mean[:, 0], drift, atol=1e-12)  # the signal
    np.testing.assert_allclose(smoothed.observed_cov[:, 0, 0], 1 - drift**2, atol=1e-12)
    assert smoothed.s_path.dtype == object
    assert (smoothed.s_path.values == simulated.s.values).mean() > 0.85
    drawn = smoothed.paths.values[:, :, 0]
    assert np.abs(drawn.mean(axis=0) - back[:, 1]).max() < 5 * 0.5 / np.sqrt(200)
    # A turn reads two rows: its mean is that of the pairs drawn, within their error.
    turns = (drawn[:, 1:] != drawn[:, :-1]).mean(axis=0)
    assert np.abs(turns - smoothed.turned.values[1:]).max() < 5 * 0.5 / np.sqrt(200)


def test_the_most_probable_path_is_that_of_all_paths(model):
    y = np.array([0.4, -0.2, np.nan, 0.1, -0.5])
    found = model.smooth({"y": y}, PARAMS)
    P, names, best = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array(["expansion", "recession"]), (-1.0, ())
    for number in range(32):
        path = [(number >> k) & 1 for k in range(5)]
        w = [2 / 3, 1 / 3][path[0]] * np.prod([P[a, b] for a, b in itertools.pairwise(path)])
        w *= np.prod([stats.norm.pdf(v, PARAMS["growth"][s], 0.7) for v, s in zip(y, path) if v == v])
        best = max(best, (w, path), key=lambda p: p[0])
    assert list(found.s_path.values) == list(names[best[1]])  # the series is padded to eight rows: no matter


def test_a_forecast_goes_on_from_the_last_row(model, data):
    found = model.forecast(data, PARAMS, 3)
    _, now, _, _ = hamilton(data["y"])
    P = np.array([[0.9, 0.1], [0.2, 0.8]])
    for k in range(3):
        p = now[-1] @ np.linalg.matrix_power(P, k + 1)
        np.testing.assert_allclose(found.s_probability[k], p, atol=1e-12)
        mean = p @ PARAMS["growth"]
        np.testing.assert_allclose(found.observed_mean[k, 0], mean, atol=1e-12)
        np.testing.assert_allclose(found.observed_cov[k, 0, 0], 1 - mean**2 + 0.49, atol=1e-12)


def test_several_series_gradients_and_single_precision(model, data):
    import jax

    whole = model.log_likelihood(data, PARAMS)
    np.testing.assert_allclose(model.log_likelihood([data, {"y": data["y"][:20]}], PARAMS),
                               whole + model.log_likelihood({"y": data["y"][:20]}, PARAMS), rtol=1e-12)  # fmt: skip
    np.testing.assert_allclose(model.log_likelihood(data, PARAMS, dtype="float32"), whole, rtol=1e-4)
    np.testing.assert_allclose(model.log_likelihood(data, PARAMS, engine=Discrete(parallel=True)), whole, rtol=1e-12)
    params = {k: np.asarray(v, float) for k, v in PARAMS.items()}
    f = lambda sd: model.log_likelihood(data, {**params, "sd": sd})
    slope = jax.jit(jax.grad(f))(0.7)
    h = 1e-5
    near = lambda sd: float(model.log_likelihood(data, {**params, "sd": sd}))
    np.testing.assert_allclose(slope, (near(0.7 + h) - near(0.7 - h)) / (2 * h), rtol=1e-4)


def test_a_number_picked_by_a_label_has_a_derivative_under_jit_in_single_precision():
    import jax

    text = SWITCHING.replace("y[t] ~ Normal(growth[s[t]], sd)", "y[t] ~ Normal(growth[s[t]] + 0.5 * y[t-1], sd)")
    model, y = ssmlang.compile(text), np.array([0.3, -0.8, 1.1, 0.4, -1.2])
    f = lambda growth: model.log_likelihood({"y": y}, {**PARAMS, "growth": growth})
    at, h = np.array([1.0, -1.0]), 1e-5 * np.eye(2)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(at), [(f(at + d) - f(at - d)) / 2e-5 for d in h], rtol=1e-4)


def test_fits_sum_the_states_out(model, data, tmp_path):
    fit = model.fit(data, "map")
    assert fit.engine == "discrete"
    assert fit.params["growth"][0] == pytest.approx(1.0, abs=0.4)
    smoothed = fit.smooth()
    assert list(smoothed.s_path.values[:1]) in (["expansion"], ["recession"])
    fit.save(tmp_path / "fit.nc")
    again = ssmlang.load(tmp_path / "fit.nc").forecast(2)
    xr.testing.assert_allclose(again.s_probability, fit.forecast(2).s_probability)
    drawn = model.fit(data, "laplace", draws=50)
    mixed = drawn.smooth(draws=20)
    np.testing.assert_allclose(mixed.s_probability.sum("regime"), 1.0, atol=1e-9)
    assert "s_path" not in mixed  # of several laws there is no one path


CAPTURE = """const n = 4
axis  bird = 1..n
axis  fate = {alive, dead}
const first[bird] = [0, 0, 1, 2]
param survival  in (0, 1) ~ Beta(1, 1)
param detection in (0, 1) ~ Beta(1, 1)
let P[fate, fate] = [[survival, 1 - survival], [0, 1]]
let alive_now[t] = sum(if z[t, i] == alive then 1 else 0 for i in bird)
state z[bird] in fate
obs   seen[bird]
init z ~ Categorical([1, 0])
z[t, i] ~ Categorical(if t <= first[i] then [1, 0] else P[z[t-1, i]]) for i in bird
seen[t, i] ~ Bernoulli(if z[t, i] == alive then detection else 0)     for i in bird
"""


def test_one_small_chain_per_bird():
    model = ssmlang.compile(CAPTURE)
    first = np.array([0, 0, 1, 2])
    seen = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, np.nan]], float)
    for i, f in enumerate(first):
        seen[:f, i] = np.nan
    params = {"survival": 0.8, "detection": 0.6}
    total, alive = 0.0, []
    for i, f in enumerate(first):
        last = [t for t in range(5) if seen[t, i] == 1][-1]
        value = 1.0
        for t in range(f, last + 1):
            value *= (0.8 if t > f else 1.0) * {1: 0.6, 0: 0.4}[seen[t, i]]
        never = [1.0] * 6  # chance of being seen no more after row t, alive there
        for t in range(3, last - 1, -1):
            miss = 1.0 if np.isnan(seen[t + 1, i]) else 0.4
            never[t] = 0.2 + 0.8 * miss * never[t + 1]
        total += np.log(value * never[last])
        reach = 1.0
        for t in range(last + 1, 5):
            reach *= 0.8 * (1.0 if np.isnan(seen[t, i]) else 0.4)
        alive.append(reach / never[last])
    assert float(model.log_likelihood({"seen": seen}, params)) == pytest.approx(total, abs=1e-12)
    found = model.smooth({"seen": seen}, params)
    np.testing.assert_allclose(found.z_probability.sel(fate="alive")[-1], alive, atol=1e-12)
    assert found.z_probability.dims == ("time", "bird", "fate")
    p = np.array(alive)
    np.testing.assert_allclose(found.alive_now[-1], p.sum(), atol=1e-12)
    np.testing.assert_allclose(found.alive_now_sd[-1], np.sqrt((p * (1 - p)).sum()), atol=1e-12)
    cov = found.observed_cov.values[-1]
    np.testing.assert_allclose(cov - np.diag(np.diag(cov)), 0.0, atol=1e-15)
    mortal = ssmlang.compile(CAPTURE.replace("[survival, 1 - survival]", "[0, 1]"))
    assert float(mortal.log_likelihood({"seen": seen}, params)) == -np.inf
    with pytest.raises(ssmlang.SsmError, match="E721"):  # a bird that is seen after its death cannot be
        mortal.smooth({"seen": seen}, params)


def test_numbers_have_a_mean_and_values_as_coordinates():
    text = """const top = 5
state N in 0..top
obs y
init N ~ Poisson(2)
N[t] ~ Poisson(0.8 * N[t-1] + 0.5)
y[t] ~ Binomial(N[t], 0.5)
"""
    model = ssmlang.compile(text)
    found = model.filter({"y": [1.0, np.nan, 2.0]}, {})
    p = found.N_probability.values
    at = found.N_value.values
    assert list(at) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["mean"][:, 0], p @ at, atol=1e-12)
    np.testing.assert_allclose(found["cov"][:, 0, 0], p @ at**2 - (p @ at) ** 2, atol=1e-12)
    assert model.smooth({"y": [1.0, np.nan, 2.0]}, {}).N_path.dtype.kind == "i"


def test_what_the_data_lack_is_said():
    model = ssmlang.compile(gnp.MODEL)
    y = gnp.GROWTH[:20].copy()
    y[10] = np.nan
    with pytest.raises(ssmlang.SsmError, match=r'E413(.|\n)*engine="imm" takes it'):
        model.log_likelihood({"y": y}, gnp.PUBLISHED, engine="discrete")
    stream = model.initial_state(gnp.PUBLISHED, engine="discrete")
    with pytest.raises(ssmlang.SsmError, match=r'E413(.|\n)*engine="imm" takes it'):
        for value in y:
            stream = model.step(stream, {"y": value})
    found = [float(model.log_likelihood({"y": y}, gnp.PUBLISHED, engine=e)) for e in ("auto", "imm")]
    assert found[0] == found[1]
    bent = gnp.MODEL.replace("(y[t-k] -", "(exp(y[t-k]) -")
    with pytest.raises(ssmlang.SsmError, match="still to come"):
        ssmlang.compile(bent).forecast({"y": gnp.GROWTH[:20]}, gnp.PUBLISHED, 2)
    text = ("input X\nstate s in 0..1\nobs y\ninit s ~ Bernoulli(0.5)\n"
            "s[t] ~ Bernoulli(sigmoid(X[t] + s[t-1]))\ny[t] ~ Normal(s[t], 1)\n")  # fmt: skip
    gaps = ssmlang.compile(text)
    gaps.log_likelihood({"X": [np.nan, 1.0, 2.0], "y": [0.1, 0.2, 0.3]}, {})  # row 0 reads none
    with pytest.raises(ssmlang.SsmError, match="E407"):
        gaps.log_likelihood({"X": [0.0, np.nan, 2.0], "y": [0.1, 0.2, 0.3]}, {})


def test_what_reads_its_own_row():
    text = ("param p in (0, 1) ~ Beta(1, 1)\nstate s in 0..1\nobs cases, deaths\ninit s ~ Bernoulli(0.5)\n"
            "s[t] ~ Bernoulli(0.2 + 0.6 * s[t-1])\ncases[t] ~ Poisson(3 + 5 * s[t])\n"
            "deaths[t] ~ Binomial(cases[t], p)\n")  # fmt: skip
    model, params = ssmlang.compile(text), {"p": 0.3}
    seen = {"cases": [3.0, 8.0, np.nan], "deaths": [1.0, 2.0, np.nan]}
    alone = model.log_likelihood({**seen, "deaths": [np.nan] * 3}, params)
    of_deaths = stats.binom.logpmf([1, 2], [3, 8], 0.3).sum()
    assert float(model.log_likelihood(seen, params)) == pytest.approx(float(alone) + of_deaths, abs=1e-12)
    with pytest.raises(ssmlang.SsmError, match="`cases` is missing at row 2"):
        model.log_likelihood({**seen, "deaths": [1.0, 2.0, 0.0]}, params)


def test_the_command_line_prints_probabilities(tmp_path, capsys):
    from ssmlang.cli.main import main

    (tmp_path / "m.ssm").write_text(SWITCHING)
    (tmp_path / "y.csv").write_text("time,y\n" + "\n".join(f"{t},{v}" for t, v in enumerate([1.2, 0.7, -1.1, -0.4])))
    (tmp_path / "p.json").write_text(json.dumps({"growth": [1, -1], "sd": 0.7, "stay": [0.9, 0.8]}))
    files = ["--data", str(tmp_path / "y.csv"), "--params", str(tmp_path / "p.json")]
    assert main(["smooth", str(tmp_path / "m.ssm"), *files]) == 0
    out = capsys.readouterr().out
    assert "s_probability" in out
    assert "recession" in out
