"""Streams of nonlinear, discrete and switching programs: every row is that of the filter over all of them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError
from ssmlang.engines import EKF, DualEKF, Particle, RaoBlackwell

STEPS = 8
rng = np.random.default_rng(3)


def holes(values: np.ndarray) -> np.ndarray:
    out = np.array(values, float)
    out[[2, 5]] = np.nan
    return out


FEW = Particle(particles=50)
CASES: dict[str, tuple[str, dict, dict, tuple]] = {
    "a pendulum with a control and a definition": (
        "param s ~ HalfNormal(1)\nstate a, w\nobs y\ninput u\nlet up[t] = cos(a[t])\ninit a ~ Normal(1, 0.5)\n"
        "init w ~ Normal(0, 0.5)\na[t] ~ Normal(a[t-1] + 0.1*w[t-1], 0.05)\n"
        "w[t] ~ Normal(w[t-1] - 0.98*sin(a[t-1]) + u[t-1] + 0.01*t, 0.1)\ny[t] ~ Normal(sin(a[t]), s)\n",
        {"s": 0.2}, {"y": holes(rng.normal(size=STEPS) * 0.5), "u": rng.normal(size=STEPS) * 0.1},
        ("ukf", EKF(covariance="factor"), FEW),
    ),
    "counts read back": (
        "param r ~ HalfNormal(1)\nstate x\nobs n\ninit x ~ Normal(1, 0.5)\nx[t] ~ Normal(0.9*x[t-1] + 0.02*n[t-1], r)\n"
        "n[t] ~ Poisson(exp(x[t]))\n",
        {"r": 0.2}, {"n": rng.poisson(3, size=STEPS).astype(float)}, ("iekf",),
    ),
    "values read back, one of them missing": (
        "param r ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 0.5)\nx[t] ~ Normal(sin(x[t-1]) + 0.2*y[t-1], r)\n"
        "y[t] ~ Normal(x[t], 0.3)\n",
        {"r": 0.2}, {"y": np.where(np.arange(STEPS) == 3, np.nan, rng.normal(size=STEPS))}, ("ekf",),
    ),
    "an augmented parameter": (
        "augment param b ~ Normal(0.5, 0.3) walk 0.02\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(b*tanh(x[t-1]), 0.3)\ny[t] ~ Normal(x[t], 0.5)\n",
        {}, {"y": holes(rng.normal(size=STEPS))}, (DualEKF(corrected=True),),
    ),
    "linear given a part": (
        "param r ~ HalfNormal(1)\nstate x, h\nobs y\ninit x ~ Normal(0, 1)\ninit h ~ Normal(0, 0.5)\n"
        "h[t] ~ Normal(0.9*h[t-1], 0.3)\nx[t] ~ Normal(0.8*x[t-1], r)\ny[t] ~ Normal(x[t], exp(h[t]/2))\n",
        {"r": 0.5}, {"y": holes(rng.normal(size=STEPS))}, (RaoBlackwell(particles=20),),
    ),
    "a hidden chain that reads an input and its data": (
        "axis weather = {dry, wet}\nparam m[weather] ~ Normal(0, 2)\nstate s in weather\nobs y\ninput k\n"
        "let hot[t] = if s[t] == dry then 1.0 else 0.0\ninit s ~ Categorical([0.5, 0.5])\n"
        "s[t] ~ Categorical(if s[t-1] == dry then [0.9, 0.1] else [0.3 + 0.1*k[t-1], 0.7 - 0.1*k[t-1]])\n"
        "y[t] ~ Normal(m[s[t]] + 0.3*y[t-1], 1)\n",
        {"m": [1, -1]}, {"y": rng.normal(size=STEPS), "k": rng.uniform(size=STEPS)}, ("discrete",),
    ),
    "regimes of a state that reads its data": (
        "axis regime = {calm, wild}\nparam q ~ HalfNormal(1)\nstate s in regime\nstate x\nobs y\n"
        "init s ~ Categorical([0.6, 0.4])\ninit x ~ Normal(0, 1)\n"
        "s[t] ~ Categorical(if s[t-1] == calm then [0.9, 0.1] else [0.2, 0.8])\n"
        "x[t] ~ Normal(0.8*x[t-1] + 0.1*y[t-1], if s[t] == calm then 0.1 else q)\ny[t] ~ Normal(x[t], 0.5)\n",
        {"q": 1.2}, {"y": holes(rng.normal(size=STEPS))}, ("imm",),
    ),
    "continuous time, not linear": (
        "param r ~ HalfNormal(1)\nconst dt = 0.2\nstate x\nobs y\ninit x ~ Normal(1, 0.3)\n"
        "d(x) = x*(1 - x^2) * dt + r * dW\ny[t] ~ Normal(x[t], 0.3)\n",
        {"r": 0.4}, {"y": holes(rng.normal(size=STEPS))}, (FEW,),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "engine"), [pytest.param(c, e, id=f"{c}, {e if isinstance(e, str) else e.name}")
                         for c, (*_, engines) in CASES.items() for e in engines]
)  # fmt: skip
def test_every_row_is_that_of_the_filter(case: str, engine: object, tmp_path: Path) -> None:
    text, params, data, _ = CASES[case]
    model = ssmlang.compile(text)
    filtered = model.filter(data, params, engine=engine, seed=5)
    state = model.initial_state(params, engine=engine, seed=5)
    assert state.t == -1 and np.isnan(state.observed_mean).all()
    for t in range(STEPS):
        state = model.step(state, {name: values[t] for name, values in data.items()})
        assert set(state.row.data_vars) == set(filtered.data_vars)
        for name, got in state.row.data_vars.items():
            want = filtered[name].isel(time=t).values
            there = ~np.isnan(got.values)  # nothing is expected of a row that is conditioned on
            assert not np.isnan(want[there]).any()
            assert there.all() or np.isnan(want).any() or t == 0
            size = max(np.abs(want[there]).max(initial=0.0), 1.0)
            assert np.abs(got.values - want)[there].max(initial=0.0) < 1e-12 * size, (name, t)
        if t == 3:
            state.save(tmp_path / "state.nc")
            state = ssmlang.load(tmp_path / "state.nc")
            model = state.model
    assert abs(state.log_likelihood - float(filtered["log_likelihood"].sum())) < 1e-11
    assert "after row 7" in repr(state)


def test_auto_takes_an_engine_that_goes_row_by_row() -> None:
    text, params, *_ = CASES["counts read back"]
    model = ssmlang.compile(text)
    assert model.why().chosen == "laplace" and model.initial_state(params).engine == "particle"
    with pytest.raises(SsmError) as caught:
        model.initial_state(params, engine="laplace")
    assert [d.code for d in caught.value.diagnostics] == ["E312"]


def test_a_count_that_goes_missing_is_drawn_from_there_on() -> None:
    """Against the filter, which draws it from row 0 on: within five standard errors of a thousand particles."""
    text, params, data, _ = CASES["counts read back"]
    counts = data["n"].copy()
    counts[3] = np.nan
    model = ssmlang.compile(text)
    engine = Particle(particles=1000)
    filtered = model.filter({"n": counts}, params, engine=engine, seed=1)
    state = model.initial_state(params, engine=engine, seed=1)
    for value in counts:
        state = model.step(state, {"n": value})
    off = abs(float(state.mean[0]) - float(filtered["mean"][-1, 0]))
    assert 0 < off < 5 * float(state.sd[0]) * np.sqrt(2 / float(filtered["ess"][-1]))


def test_what_a_row_lacks_is_said() -> None:
    text, params, _, _ = CASES["a hidden chain that reads an input and its data"]
    model = ssmlang.compile(text)
    state = model.step(model.initial_state(params), {"y": 0.1})
    with pytest.raises(SsmError) as caught:
        model.step(state, {"y": 0.2, "k": 0.5})
    assert caught.value.diagnostics[0].code == "E407" and "`k` is missing at row 0" in str(caught.value)
    state = model.step(model.initial_state(params), {"k": 0.1})
    with pytest.raises(SsmError) as caught:
        model.step(state, {"y": 0.2, "k": 0.5})
    assert caught.value.diagnostics[0].code == "E413" and "`y` is missing at row 0" in str(caught.value)
    assert state.step({"k": 0.2}).t == 1


def test_labels_in_a_row() -> None:
    model = ssmlang.compile(
        "axis w = {dry, wet}\nstate s in w\nobs seen in w\ninit s ~ Categorical([0.5, 0.5])\n"
        "s[t] ~ Categorical(if s[t-1] == dry then [0.9, 0.1] else [0.3, 0.7])\n"
        "seen[t] ~ Categorical(if s[t] == dry then [0.8, 0.2] else [0.4, 0.6])\n"
    )
    start = model.initial_state({})
    named, placed = model.step(start, {"seen": "wet"}), model.step(start, {"seen": 1})
    found = [float(s.probability["s"].sel(w="wet")) for s in (named, placed)]
    assert found == pytest.approx([0.75, 0.75], abs=1e-12)
    assert np.isnan(named.mean).all() and "s = wet (0.75)" in repr(named)
    for wrong in ("windy", 7, ["wet"]):
        with pytest.raises(SsmError) as caught:
            model.step(start, {"seen": wrong})
        assert caught.value.diagnostics[0].code in ("E406", "E403")


def test_few_particles_are_said_row_by_row():
    """A stream warned of nothing, where the filter of the same rows did."""
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sin(x[t-1]), 1)\n"
                            "y[t] ~ Normal(x[t], if t > 0 then 0.001 else 1)\n")  # fmt: skip
    stream = model.initial_state({}, engine=Particle(particles=200, proposal="bootstrap"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream = model.step(stream, {"y": 0.1})
    with pytest.warns(ssmlang.SsmWarning, match="W724(.|\n)*at row 1 all weight rests on") as found:
        model.step(stream, {"y": 1.3})
    assert found[0].filename == __file__
