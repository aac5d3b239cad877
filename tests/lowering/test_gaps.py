"""Missing numbers that matter are refused, and results that do not exist are NaN: through the public verbs."""

import numpy as np
import pytest

import ssmlang
from ssmlang.language.codes import REGISTRY

Y = np.array([0.3, -0.2, np.nan, 0.5, 0.1])


def test_definitions_where_they_exist() -> None:
    model = ssmlang.compile("""
param s ~ HalfNormal(1)
input X
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1], s)
let change[t] = x[t] - x[t-1]
let growth[t] = y[t] - y[t-1]
let residual[t] = y[t] - x[t] - X[t]
let doubled[t] = 2 * X[t] + x[t]
y[t] ~ Normal(x[t] + X[t], 0.3)
""")
    X = np.array([1.0, 0.5, np.nan, 2.0, 1.0])  # missing where y is missing: not needed
    found = model.smooth({"y": Y, "X": X}, {"s": 0.4})
    assert np.isnan(found["change"].values).tolist() == [True, False, False, False, False]
    # growth reads a missing y at rows 2 and 3, whose law needs the missing X
    assert np.isnan(found["growth"].values).tolist() == [True, False, True, True, False]
    assert found["growth"].values[1] == pytest.approx(Y[1] - Y[0])
    x = found["mean"].values[:, 0]
    np.testing.assert_allclose(found["residual"].values[[0, 1, 3, 4]], (Y - x - X)[[0, 1, 3, 4]], atol=1e-10)
    assert np.isnan(found["doubled"].values).tolist() == [False, False, True, False, False]
    assert not np.isnan(x).any()
    assert np.isnan(found["observed_mean"].values[:, 0]).tolist() == [False, False, True, False, False]


def test_a_missing_number_that_nothing_replaces() -> None:
    text = "param a ~ Normal(0, 1)\nobs y\ny[t] ~ Normal(a * y[t-1], 0.5)\n"
    first = np.array([np.nan, 0.2, 0.3])
    with pytest.raises(ssmlang.SsmError, match="E413"):
        ssmlang.compile(text).log_likelihood({"y": first}, {"a": 0.5})
    value = float(ssmlang.compile(text + "init y ~ Normal(0, 1)\n").log_likelihood({"y": first}, {"a": 0.5}))
    sd = np.sqrt(0.25 + 0.25)
    steps = [(0.2, 0.0, sd), (0.3, 0.1, 0.5)]
    assert value == pytest.approx(sum(-0.5 * ((v - m) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi)) for v, m, s in steps))


def test_the_example_of_the_code() -> None:
    with pytest.raises(ssmlang.SsmError, match="E413"):
        exec(REGISTRY["E413"].wrong.text, {})
    exec(REGISTRY["E413"].mended.text, {})


def test_an_autoregression_of_order_two_with_a_gap() -> None:
    """The first two rows are known numbers; the row that is missing is integrated out of the rest's joint law."""
    model = ssmlang.compile("obs y\ny[t] ~ Normal(0.5 * y[t-1] + 0.2 * y[t-2], 1)\n")
    y = np.array([0.3, -0.2, 0.9, np.nan, 0.1, 1.3])
    # (I - B) y = b + e for rows 2..5, given rows 0 and 1
    B = 0.5 * np.eye(4, k=-1) + 0.2 * np.eye(4, k=-2)
    b = np.array([0.5 * y[1] + 0.2 * y[0], 0.2 * y[1], 0.0, 0.0])
    spread = np.linalg.inv(np.eye(4) - B)
    seen = [0, 2, 3]
    S = (spread @ spread.T)[np.ix_(seen, seen)]
    rest = (y[2:] - spread @ b)[seen]
    exact = -0.5 * (rest @ np.linalg.solve(S, rest) + np.linalg.slogdet(2 * np.pi * S)[1])
    assert float(model.log_likelihood({"y": y}, {})) == pytest.approx(exact, abs=1e-12)


def test_what_is_missing_is_looked_at_by_one_program() -> None:
    """The first `dt` is always missing, and each operation of the exact step was compiled for itself: 174 programs."""
    from jax import monitoring

    compiled: list[str] = []
    heard = lambda name, seconds, **said: compiled.append(name) if "backend_compile" in name else None
    monitoring.register_event_duration_secs_listener(heard)
    model = ssmlang.compile("""
param rate, q, sd ~ HalfNormal(1)
input dt
state x, v
obs y
init x, v ~ Normal(0, 1)
d(x) = v * dt
d(v) = -rate * v * dt + q * dW
y[t] ~ Normal(x[t], sd)
""")
    found = model.smooth({"y": np.zeros(20), "dt": np.r_[np.nan, np.ones(19)]}, {"rate": 1.0, "q": 1.0, "sd": 0.3})
    assert np.isfinite(found["mean"].values).all() and 0 < len(compiled) < 40
