"""Engines that carry one Gaussian, or work from one mode, say where the law of the states is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ssmlang

SEEN = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], {})\ny[t] ~ Normal({}, 0.2)\n"


def _said(call: Callable[[], Any]) -> list[str]:
    """Codes of what was warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [w.message.diagnostic.code for w in said if isinstance(w.message, ssmlang.SsmWarning)]


def _with_data(text: str, **params: float) -> tuple[ssmlang.Model, dict[str, Any]]:
    model = ssmlang.compile(text)
    y = model.simulate(steps=30, params=params, seed=1)["y"].values.reshape(-1)
    y[4] = np.nan
    return model, {"y": y}


def _filtered(step: float, seen: str, engine: str = "ukf") -> list[str]:
    model, data = _with_data(SEEN.format(step, seen))
    return _said(lambda: model.filter(data, {}, engine=engine))


@pytest.mark.parametrize(
    ("step", "seen", "codes"),
    [(1.0, "sin(x[t])", ["W725"]), (0.05, "sin(x[t])", []), (0.6, "x[t]^2", ["W725"]), (0.6, "x[t]", [])],
)
def test_what_repeats_itself_is_said(step: float, seen: str, codes: list[str]) -> None:
    """A phase that wanders far is not told by its sine, one that stays near is."""
    assert _filtered(step, seen) == codes


def test_draws_say_nothing() -> None:
    assert _filtered(1.0, "sin(x[t])", "auto") == []


@pytest.mark.parametrize("engine", ["ukf", "ipls"])
def test_smoothed_and_forecast_too(engine: str) -> None:
    model, data = _with_data(SEEN.format(1.0, "sin(x[t])"))
    assert _said(lambda: model.smooth(data, {}, engine=engine)) == ["W725"]
    assert _said(lambda: model.forecast(data, {}, 2, engine=engine)) == ["W725"]
    assert _said(lambda: model.log_likelihood(data, {}, engine=engine)) == []


def test_a_fit_says_it_once_and_forecasts_from_it_say_nothing_more() -> None:
    """Laws are mixed over draws of the parameters, each of which would say the same."""
    text = "param m ~ Normal(0, 1)\n" + SEEN.format(1.0, "sin(x[t]) + m")
    model, data = _with_data(text, m=0.0)
    fits = []
    assert _said(lambda: fits.append(model.fit(data, "laplace", "ukf", draws=20, chains=1))) == ["W725"]
    assert _said(lambda: fits[0].forecast(2)) == []


@pytest.mark.parametrize(("step", "seen", "codes"), [(1.0, "sin(x[t])", ["W725"]), (0.05, "sin(x[t])", [])])
def test_a_mode_that_is_not_the_law(step: float, seen: str, codes: list[str]) -> None:
    """By a grid of 1,500 points the mode's likelihood is far too low where a phase wanders, and right where it does
    not: particles say the one and not the other."""
    model, data = _with_data(SEEN.format(step, seen))
    truth = _by_grid(data["y"], step)
    found: list[Any] = []
    assert _said(lambda: found.append(model.filter(data, {}, engine="laplace"))) == codes
    off = truth - float(found[0]["log_likelihood"].sum())
    assert off > 3.5 if codes else abs(off) < 0.2
    if codes:
        assert _said(lambda: model.smooth(data, {}, engine="laplace")) == codes


def _by_grid(y: np.ndarray, step: float) -> float:
    x = np.linspace(-25, 25, 1501) * (1 if step > 0.5 else 0.2)
    normal = lambda z, sd: np.exp(-0.5 * (z / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    move, p, total = normal(x[:, None] - x, step), normal(x, 1.0), 0.0
    for t, seen in enumerate(y):
        p = move @ p * (x[1] - x[0]) if t else p
        p = p * (1.0 if np.isnan(seen) else normal(seen - np.sin(x), 0.2))
        mass = p.sum() * (x[1] - x[0])
        total, p = total + np.log(mass), p / mass
    return float(total)
