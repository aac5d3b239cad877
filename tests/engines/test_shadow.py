"""The search of a mode where that of the path without noise is another: against sums over a grid."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import ssmlang
from tests.engines.nonlinear_programs import grid_filter

PROGRAM = "state x\nobs y\ninit x ~ Normal({start}, {spread})\nx[t] ~ Normal({moved}, {q})\ny[t] ~ {seen}\n"


def _simulated(text: str, steps: int, seed: int) -> tuple[ssmlang.compiled.Model, np.ndarray]:
    model = ssmlang.compile(text)
    y = model.simulate(steps=steps, params={}, seed=seed)["y"].values.reshape(-1)
    y[9] = np.nan
    return model, y


def test_chaos_seen_through_noise() -> None:
    """Before, the search ended 1,800 too low, and said nothing. One pass of smoothing is not enough here."""
    text = PROGRAM.format(start=1, spread=0.5, moved="x[t-1] + 3.2 - exp(x[t-1])", q=0.05, seen="Normal(x[t], 0.3)")
    model, y = _simulated(text, 40, 4)
    density = lambda now, x: scipy.stats.norm.logpdf(now, x, 0.3)
    exact = grid_filter(lambda x: x + 3.2 - np.exp(np.minimum(x, 5)), 0.05, density, (1.0, 0.5), y)[0]
    assert float(model.log_likelihood({"y": y}, {}, engine="laplace")) == pytest.approx(exact, abs=0.8)


def test_an_angle_that_goes_round() -> None:
    """Before, laps were missed, 200 in the log-likelihood: the state moves linearly, but what is seen of it does not
    grow with it."""
    text = PROGRAM.format(start=-15, spread=0.5, moved="x[t-1] + 0.7", q=0.4, seen="VonMises(x[t], 20)")
    model, y = _simulated(text, 40, 5)
    density = lambda now, x: scipy.stats.vonmises.logpdf(now, 20, x)
    exact = grid_filter(lambda x: x + 0.7, 0.4, density, (-15.0, 0.5), y)[0]
    assert float(model.log_likelihood({"y": y}, {}, engine="laplace")) == pytest.approx(exact, abs=0.5)
