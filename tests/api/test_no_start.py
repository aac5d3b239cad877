"""Where a state is to start in its stationary law and the parameters allow none: no moments, a likelihood of zero."""

from __future__ import annotations

import numpy as np
import pytest

import ssmlang
from ssmlang.language.diagnostics import SsmError

AR = ssmlang.compile(
    "param phi ~ Normal(0.5, 0.5)\nstate x, z\nobs y\ninit z ~ Stationary()\ninit x ~ Stationary()\n"
    "x[t] ~ Normal(phi * x[t-1], 1)\nz[t] ~ Normal(0.5 * z[t-1], 1)\ny[t] ~ Normal(x[t] + z[t], 1)\n"
)
DATA, NONE, ONE = {"y": np.array([0.3, -0.2, 0.8])}, {"phi": 1.25}, {"phi": 0.75}


def refused(ask) -> str:
    with pytest.raises(SsmError) as caught:
        ask()
    assert [d.code for d in caught.value.diagnostics] == ["E452"]
    return str(caught.value)


@pytest.mark.parametrize("engine", ["kalman", "ekf"])
def test_no_moments_of_a_state_without_a_start(engine):
    assert np.isneginf(AR.log_likelihood(DATA, NONE, engine=engine))
    said = refused(lambda: AR.filter(DATA, NONE, engine=engine))
    assert "x has no stationary law" in said and "modulus 1.25" in said and "phi = 1.25" in said
    assert np.isfinite(AR.filter(DATA, ONE, engine=engine).log_likelihood).all()


def test_nor_a_draw_or_a_stream():
    refused(lambda: AR.simulate(3, NONE))
    assert AR.simulate(3, NONE, init={"x": 0.0, "z": 0.0}).x[0] == 0
    refused(lambda: AR.initial_state(NONE).mean)
    refused(lambda: AR.initial_state(NONE).step({"y": 1.0}))
    assert AR.initial_state(ONE).step({"y": 1.0}).log_likelihood < 0


REACHES = {
    "kalman": "state x\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5*x[t-1], 0.5)\n",
    "ekf": "state x\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5*sin(x[t-1]), 0.5)\n",
    "particle": "state x in 0..1\ninit x ~ Categorical([0.3, 0.7])\n"
    "x[t] ~ Categorical([0.2 + 0.5*x[t-1], 0.8 - 0.5*x[t-1]])\n",
}


@pytest.mark.parametrize("engine", REACHES)
def test_what_is_seen_before_the_states_begin_is_refused_by_every_engine(engine):
    """Engines of general programs read the row before the first as if it were the first, and the simulator read a
    label that is not there as its first value."""
    seen = "obs y, z\ny[t] ~ Normal(x[t] + x[t-1], 0.4)\nz[t] ~ Normal(0.5*z[t-1], 1)\n"
    model = ssmlang.compile(REACHES[engine] + seen)
    y, z = np.array([0.3, 1.0, 2.0]), np.array([0.1, 0.2, 0.3])
    with pytest.raises(ssmlang.SsmError, match="`y` at row 0 reads a state that has no value so far back"):
        model.log_likelihood({"y": y, "z": z}, {}, engine)
    begun = model.initial_state({}, engine)
    with pytest.raises(ssmlang.SsmError, match="`y` at row 0 reads a state"):
        model.step(begun, {"y": 0.3, "z": 0.1})
    y[0] = np.nan
    found = model.filter({"y": y, "z": z}, {}, engine)
    assert np.isnan(found["observed_mean"][0]).all() and not np.isnan(found["observed_mean"][1:]).any()
    np.testing.assert_array_equal(model.step(begun, {"z": 0.1}).observed_mean, found["observed_mean"][0])
    drawn = model.simulate(3, {}, init={"z": 0.0})["y"].values
    assert np.isnan(drawn[0]) and not np.isnan(drawn[1:]).any()


def test_the_stationary_law_of_a_chain_reaches_as_far_back_as_anything_reads():
    model = ssmlang.compile(
        "state s in 0..1\nobs y\ninit s ~ Stationary()\n"
        "s[t] ~ Categorical(if s[t-1] == 0 then [0.2, 0.8] else [0.4, 0.6])\ny[t] ~ Normal(s[t] + 4*s[t-1], 0.1)\n"
    )
    first = np.round(model.simulate(1, {}, draws=2000)["y"].values.ravel())
    chances = np.array([1 / 3 * 0.2, 1 / 3 * 0.8, 2 / 3 * 0.4, 2 / 3 * 0.6])
    found = np.array([np.mean(first == k) for k in (0, 1, 4, 5)])
    assert (np.abs(found - chances) < 4 * np.sqrt(chances / 2000)).all()
    density = np.exp(-0.5 * ((3.9 - np.array([0, 1, 4, 5])) / 0.1) ** 2) / 0.1 / np.sqrt(2 * np.pi)
    exact = np.log(chances @ density)
    assert float(model.log_likelihood({"y": [3.9]}, {})) == pytest.approx(exact, abs=1e-9)
