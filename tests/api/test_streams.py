"""Rows taken in one at a time give the numbers of the filter over all of them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ssmlang
from ssmlang import SsmError

MODELS = Path(__file__).parents[2] / "stdlib" / "models"
STEPS = 14
rng = np.random.default_rng(7)


def holes(values: np.ndarray, share: float = 0.25, seed: int = 0) -> np.ndarray:
    out = np.array(values, float)
    out[np.random.default_rng(seed).uniform(size=out.shape) < share] = np.nan
    return out


CASES: dict[str, tuple[str, dict, dict]] = {
    "flat start, order 2 and seasonal": (
        "param a, b, c ~ HalfNormal(1)\nstate level, slope, season\nobs y\ninit level, slope, season ~ Diffuse()\n"
        "level[t] ~ Normal(level[t-1] + slope[t-1], a)\nslope[t] ~ Normal(slope[t-1], b)\n"
        "season[t] ~ Normal(-season[t-1] - season[t-2] - season[t-3], c)\ny[t] ~ Normal(level[t] + season[t], 0.7)\n",
        {"a": 0.5, "b": 0.1, "c": 0.3},
        {"y": holes(np.cumsum(rng.normal(size=STEPS)))},
    ),
    "inputs, now and before, and the row number": (
        "param b[2] ~ Normal(0, 1)\naxis place = {east, west}\ninput u[2], k\nstate x[place]\nobs y[place]\n"
        "init x ~ Normal(k[0], 1)\nx[t] ~ Normal(cos(t) * x[t-1] + dot(b, u[t-1]) + u[t], 0.3 + 0.01 * t)\n"
        "y[t] ~ Normal(k[t] * x[t], 0.5)\n",
        {"b": [0.4, -0.3]},
        {"y": holes(rng.normal(size=(STEPS, 2))), "u": rng.normal(size=(STEPS, 2)), "k": rng.uniform(1, 2, size=STEPS)},
    ),
    "observations read back, where they are missing too": (
        "param a in (-1, 1) ~ Normal(0, 0.5)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(a * x[t-1] + 0.3 * y[t-1], 0.7)\ny[t] ~ Normal(x[t], 0.5)\n",
        {"a": 0.5},
        {"y": holes(rng.normal(size=STEPS))},
    ),
    "moving average, stationary": (
        "param theta in (-1, 1) ~ Normal(0, 0.5)\nnoise e ~ Normal(0, 0.8)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] = 0.5 * x[t-1] + 0.2 * x[t-2] + e[t] + theta * e[t-1]\ny[t] = x[t]\n",
        {"theta": 0.4},
        {"y": holes(rng.normal(size=STEPS))},
    ),
    "a conditioned row, and data read otherwise than linearly": (
        "param a ~ Normal(0, 1)\nstate x\nobs y, z\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(tanh(z[t-1]) * x[t-1], 1)\n"
        "y[t] ~ Normal(x[t] + a * y[t-2], 0.5)\nz[t] ~ Normal(x[t], 0.5)\n",
        {"a": 0.4},
        {"y": rng.normal(size=STEPS), "z": rng.normal(size=STEPS)},
    ),
    "several observations with correlated noise, some exact": (
        "param s ~ HalfNormal(1)\nstate x[2]\nobs y[3], sum\ninit x ~ Diffuse()\nx[t] ~ Normal(0.9 * x[t-1], s)\n"
        "y[t] ~ MvNormal([x[t, 0], x[t, 1], x[t, 0] - x[t, 1]], [[1, 0.3, 0], [0.3, 1, 0.2], [0, 0.2, 1]])\n"
        "sum[t] = x[t, 0] + x[t, 1]\n",
        {"s": 0.6},
        {"y": holes(rng.normal(size=(STEPS, 3))), "sum": holes(rng.normal(size=STEPS), 0.4)},
    ),
    "a state without a value in its first row": (
        "param s ~ HalfNormal(1)\nstate x, change\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.9 * x[t-1], s)\n"
        "change[t] = x[t] - x[t-1]\ny[t] ~ Normal(x[t], 1)\n",
        {"s": 0.6},
        {"y": holes(rng.normal(size=STEPS))},
    ),
}  # fmt: skip


def row_of(data: dict, t: int) -> dict:
    return {name: values[t] for name, values in data.items()}


def compare(state, filtered, t: int) -> None:
    for name in ("mean", "cov", "observed_mean", "observed_cov"):
        got, want = getattr(state, name).values, filtered[name].values[t]
        if name.startswith("observed") and np.isnan(got).any():  # nothing is expected of a row that is conditioned on
            assert t < 2 and "y[t-2]" in state.model.source_text
            want = np.where(np.isnan(got), np.nan, want)
        assert np.array_equal(np.isinf(got), np.isinf(want)), (name, t)
        size = max(np.abs(want[np.isfinite(want)]).max(initial=0.0), 1.0)
        # The mean of what is still diffuse is that of the finite part of the law, which depends on the form.
        known = np.isfinite(want) if name != "mean" else np.isfinite(np.diag(filtered["cov"].values[t]))
        assert np.abs(got[known] - want[known]).max(initial=0.0) < 1e-12 * size, (name, t)
        assert np.array_equal(np.isnan(got), np.isnan(want)), (name, t)


IN_FACTORS = ("flat start, order 2 and seasonal", "several observations with correlated noise, some exact")


@pytest.mark.parametrize(
    ("case", "engine"), [*((c, "kalman") for c in CASES), *((c, "square_root") for c in IN_FACTORS)]
)
def test_every_row_is_that_of_the_filter(case: str, engine: str, tmp_path: Path) -> None:
    text, params, data = CASES[case]
    model = ssmlang.compile(text)
    filtered = model.filter(data, params, engine=engine)
    total = np.cumsum(filtered["log_likelihood"].values)
    state = model.initial_state(params, engine=engine)
    assert state.t == -1 and state.log_likelihood == 0 and state.engine == engine
    for t in range(STEPS):
        state = model.step(state, row_of(data, t))
        assert state.t == t
        compare(state, filtered, t)
        assert abs(state.log_likelihood - total[t]) < 1e-12 * max(abs(total[t]), 1.0)
        if t == 1:  # while something is diffuse, where anything is
            state.save(tmp_path / "state.nc")
            state = ssmlang.load(tmp_path / "state.nc")
            model = state.model


def test_a_stream_goes_on_in_another_process(tmp_path: Path) -> None:
    text, params, data = CASES["inputs, now and before, and the row number"]
    model = ssmlang.compile(text)
    state = model.initial_state(params)
    for t in range(6):
        state = model.step(state, row_of(data, t))
    state.save(tmp_path / "state.nc")
    np.savez(tmp_path / "rows.npz", **data)
    code = (
        "import numpy as np, ssmlang\n"
        "state, data = ssmlang.load('state.nc'), np.load('rows.npz')\n"
        "for t in range(state.t + 1, 12):\n"
        "    state = state.model.step(state, {n: data[n][t] for n in data.files})\n"
        "print(repr([state.log_likelihood, *state.mean.values.tolist(), *state.cov.values.reshape(-1).tolist()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for t in range(6, 12):
        state = model.step(state, row_of(data, t))
    here = [state.log_likelihood, *state.mean.values.tolist(), *state.cov.values.reshape(-1).tolist()]
    assert done.stdout.strip() == repr(here)


def test_rows_compile_once_and_states_never_change() -> None:
    model = ssmlang.compile(MODELS / "nile.ssm")
    start = model.initial_state({"sd_level": 38.0, "sd_flow": 120.0})
    first = model.step(start, {"flow": 1100.0})
    other = model.step(start, {"flow": 900.0})
    assert start.t == -1 and first.t == other.t == 0
    assert float(first.mean.sel(state="level")) > float(other.mean.sel(state="level"))
    again = model.step(start, {"flow": 1100.0})
    assert np.array_equal(first.mean, again.mean) and first.log_likelihood == again.log_likelihood
    state = first
    for t in range(30):
        state = model.step(state, {"flow": 1000.0 + t} if t % 3 else {})
    fresh = model.step(model.initial_state({"sd_level": 20.0, "sd_flow": 100.0}), {"flow": 1.0})
    model.step(fresh, {"flow": 2.0})
    stepper = state._stepper
    assert stepper.first._cache_size() == 1 and stepper.next._cache_size() == 1
    with pytest.raises(ValueError):
        state.mean.values[0] = 1.0
    with pytest.raises(AttributeError):
        state.t = 3
    assert "after row 30" in repr(state) and "level" in repr(state)


def test_the_flat_part_goes_when_it_is_spent() -> None:
    text, params, data = CASES["flat start, order 2 and seasonal"]
    model = ssmlang.compile(text)
    state = model.initial_state(params)
    assert np.isinf(np.diag(state.cov)).all()
    for t in range(STEPS):
        state = state.step(row_of(data, t))
    assert state._at.carried[1] is None and np.isfinite(state.cov).all()
    assert state._stepper.next._cache_size() == 2


def test_before_any_row() -> None:
    model = ssmlang.compile(MODELS / "nile.ssm")
    state = model.initial_state({"sd_level": 38.0, "sd_flow": 120.0})
    assert float(state.mean[0]) == 1000 and float(state.sd.sel(state="level")) == 500
    assert np.isnan(state.observed_mean).all()
    waiting = ssmlang.compile(CASES["inputs, now and before, and the row number"][0]).initial_state({"b": [0, 0]})
    assert np.isnan(waiting.mean).all() and list(waiting.mean["state"].values) == ["x[east]", "x[west]"]


def test_single_precision_and_its_file(tmp_path: Path) -> None:
    text, params, data = CASES["flat start, order 2 and seasonal"]
    model = ssmlang.compile(text)
    state = model.initial_state(params, dtype="float32")
    for t in range(4):
        state = state.step(row_of(data, t))
    assert state.mean.dtype == np.float32
    state.save(tmp_path / "state.nc")
    loaded = ssmlang.load(tmp_path / "state.nc")
    ends = [s.step(row_of(data, 4)) for s in (state, loaded)]
    assert np.array_equal(*(s.mean for s in ends)) and ends[0].log_likelihood == ends[1].log_likelihood
    assert ends[1].dtype == "float32" and ends[1].engine == state.engine == "square_root"
    pickled = pickle.loads(pickle.dumps(state))
    assert np.array_equal(pickled.mean, state.mean) and pickled.t == state.t and pickled.dtype == "float32"


VECTOR = """
param s ~ HalfNormal(1)
axis place = {east, west}
state x[place]
obs fix[place], z
input k
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1], s)
fix[t] ~ Normal(k[t] * x[t], 1)
z[t] ~ Normal(x[t, east], 1)
"""


@pytest.fixture(scope="module")
def vector() -> tuple[ssmlang.Model, object]:
    model = ssmlang.compile(VECTOR)
    return model, model.initial_state({"s": 1.0})


def test_ways_to_give_a_row(vector) -> None:
    model, start = vector
    wanted = model.step(start, {"fix": [0.4, np.nan], "k": 2, "z": 0.1})
    for row in (
        {"fix": {"east": 0.4}, "k": 2.0, "z": 0.1},
        {"fix[east]": 0.4, "k": np.float32(2), "z": 0.1, "fix[west]": None},
        {"fix": np.array([0.4, None]), "k": 2, "z": np.array(0.1)},
    ):
        assert np.array_equal(model.step(start, row).mean, wanted.mean)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ([1.0], "E402"), ({"fxi": [1, 2], "k": 1}, "E415"), ({"fix[north]": 1.0, "k": 1}, "E415"),
        ({"fix": {"north": 1.0}, "k": 1}, "E415"), ({"fix": 1.0, "k": 1}, "E403"), ({"fix": [1.0], "k": 1}, "E403"),
        ({"z": [1.0, 2.0], "k": 1}, "E403"), ({"z": {"a": 1}, "k": 1}, "E403"), ({"z": "high", "k": 1}, "E404"),
        ({"z": True, "k": 1}, "E404"), ({"fix": ["a", "b"], "k": 1}, "E404"), ({"z": np.inf, "k": 1}, "E405"),
        ({"fix": [1.0, 2.0]}, "E407"), ({"time": 3, "k": 1}, "E415"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused(vector, row, code: str) -> None:
    model, start = vector
    with pytest.raises(SsmError) as caught:
        model.step(start, row)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_an_input_may_be_missing_where_nothing_needs_it(vector) -> None:
    model, start = vector
    assert model.step(start, {"z": 0.3}).t == 0


def test_what_a_row_lacks_is_said_by_name() -> None:
    text, params, _ = CASES["a conditioned row, and data read otherwise than linearly"]
    model = ssmlang.compile(text)
    state = model.initial_state(params)
    state = model.step(state, {"y": 0.3})
    with pytest.raises(SsmError) as caught:
        model.step(state, {"y": 0.3, "z": 0.1})
    assert caught.value.diagnostics[0].code == "E413" and "`z` is missing at row 0" in str(caught.value)
    with pytest.raises(SsmError) as caught:
        model.step(model.initial_state(params), {"z": 0.3})
    assert caught.value.diagnostics[0].code == "E413" and "`y` is missing at row 0" in str(caught.value)


def test_who_does_not_take_rows_one_at_a_time(vector) -> None:
    model, start = vector
    with pytest.raises(SsmError) as caught:
        model.initial_state({"s": 1.0}, engine="batch")
    assert [d.code for d in caught.value.diagnostics] == ["E312"]
    whole = ssmlang.compile(
        "param a ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(a * sum(x[t-k] / k^2 for k in 1..t), 1)\ny[t] ~ Normal(x[t], 1)\n"
    )
    for engine in ("auto", "kalman"):
        with pytest.raises(SsmError) as caught:
            whole.initial_state({"a": 0.1}, engine=engine)
        assert [d.code for d in caught.value.diagnostics] == ["E312"]
    nile = ssmlang.compile(MODELS / "nile.ssm")
    for wrong in (start, "state"):
        with pytest.raises(SsmError) as caught:
            nile.step(wrong, {"flow": 1.0})
        assert [d.code for d in caught.value.diagnostics] == ["E451"]
    with pytest.raises(SsmError) as caught:
        nile.initial_state({"sd_level": 1.0})
    assert [d.code for d in caught.value.diagnostics] == ["E441"]


def test_a_file_says_itself_what_it_holds(tmp_path: Path) -> None:
    nile = ssmlang.compile(MODELS / "nile.ssm")
    fit = nile.fit(ssmlang.data.load("nile"), method="mle", progress="off")
    fit.save(tmp_path / "a.nc")
    nile.initial_state(fit.params).save(tmp_path / "b.nc")
    assert type(ssmlang.load(tmp_path / "a.nc")).__name__ == "Fit"
    state = ssmlang.load(tmp_path / "b.nc")
    assert type(state).__name__ == "Stream" and nile.step(state, {"flow": 1000.0}).t == 0
    (tmp_path / "c.nc").write_text("nothing")
    with pytest.raises(SsmError) as caught:
        ssmlang.load(tmp_path / "c.nc")
    assert [d.code for d in caught.value.diagnostics] == ["E701"]
