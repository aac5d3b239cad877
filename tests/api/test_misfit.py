"""Filters that carry one Gaussian say where the law of the states is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ssmlang

SEEN = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], {})\ny[t] ~ Normal({}, 0.2)\n"


def _filtered(step: float, seen: str, engine: str = "ukf") -> list[str]:
    """Codes of what was warned of."""
    model = ssmlang.compile(SEEN.format(step, seen))
    y = model.simulate(steps=30, params={}, seed=1)["y"].values.reshape(-1)
    y[4] = np.nan
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.filter({"y": y}, {}, engine=engine)
    return [w.message.diagnostic.code for w in said if isinstance(w.message, ssmlang.SsmWarning)]


@pytest.mark.parametrize(
    ("step", "seen", "codes"),
    [(1.0, "sin(x[t])", ["W725"]), (0.05, "sin(x[t])", []), (0.6, "x[t]^2", ["W725"]), (0.6, "x[t]", [])],
)
def test_what_repeats_itself_is_said(step: float, seen: str, codes: list[str]) -> None:
    """A phase that wanders far is not told by its sine, one that stays near is."""
    assert _filtered(step, seen) == codes


def test_draws_say_nothing() -> None:
    assert _filtered(1.0, "sin(x[t])", "auto") == []
