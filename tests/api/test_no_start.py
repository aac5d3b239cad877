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
