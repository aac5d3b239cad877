"""A choice on the row guards a lag: what is read in later rows alone need not exist in the first."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang

HEAD = "param q ~ HalfNormal(1)\nconst b = [0.4, 0.2]\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
SEEN = "y[t] ~ Normal(x[t], 0.5)\n"
Y = np.array([0.3, -0.2, 1.1, 0.4, -0.6, 0.2])


def _value(text: str, engine: str) -> float:
    return float(ssmlang.compile(HEAD + text).log_likelihood({"y": Y}, {"q": 0.4}, engine=engine))


@pytest.mark.parametrize("test", ["t > 1", "t >= 2", "not (t < 2)", "t > 0 and t != 1"])
def test_states_and_observations_at_a_lag(test: str) -> None:
    """As a sum over what there is, with another weight in row 1 alone."""
    for name in "xy":
        guarded = f"x[t] ~ Normal(if {test} then b[0]*{name}[t-1] + b[1]*{name}[t-2] else b[0]*{name}[t-1], q)\n" + SEEN
        known = f"x[t] ~ Normal(sum(b[k-1] * {name}[t-k] for k in 1..min(2, t)), q)\n" + SEEN
        assert _value(guarded, "kalman") == pytest.approx(_value(known, "kalman"), abs=1e-9)
        assert _value(guarded, "ekf") == pytest.approx(_value(known, "kalman"), abs=1e-9)


@pytest.mark.parametrize("engine", ["ekf", "laplace"])
def test_observations_that_read_a_state_before_the_first_row(engine: str) -> None:
    text = "x[t] ~ Normal(0.5 * x[t-1], q)\ny[t] ~ Normal(if t > 0 then x[t] - x[t-1] else x[t], 0.5)\n"
    assert _value(text, engine) == pytest.approx(_value(text, "kalman"), abs=1e-9)


@pytest.mark.parametrize("test", ["t >= 0", "t < 3", "t != 1", "x[t] > 0"])
def test_a_guard_that_lets_a_row_through_is_none(test: str) -> None:
    text = f"x[t] ~ Normal(0.5 * x[t-1], q)\ny[t] ~ Normal(if {test} then x[t] - x[t-1] else x[t], 0.5)\n"
    with pytest.raises(ssmlang.SsmError, match="E205"):
        _value(text, "ekf")
