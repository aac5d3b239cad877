"""Every model of the library through the verbs, by the engine that `auto` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import ssmlang

MODELS = Path(__file__).resolve().parent.parent.parent / "stdlib" / "models"
TAKEN = {
    "stochastic_volatility": "laplace", "lorenz63": "ukf", "lorenz96": "ukf", "sir": "particle", "koopman": "kalman",
    "pendulum": "particle", "switching": "discrete", "elman": "ukf", "ou": "kalman", "digits": "dual_ekf",
    "radar": "laplace", "feedback": "laplace", "capture": "discrete", "garch": "recursion", "leverage": "laplace",
    "ets_multiplicative": "recursion", "score_driven": "recursion",
}  # fmt: skip
"""What `auto` takes for a smoother where it is not `kalman`."""
SMALLER: dict[str, dict[str, Any]] = {
    "digits": {"pixels": 9, "hidden": 4, "classes": 3}, "capture": {"n": 3, "first": [0, 2, 5]},
}  # fmt: skip
ROWS, AHEAD = 29, 3


def inputs(model: ssmlang.Model) -> dict[str, np.ndarray] | None:
    rng = np.random.default_rng(0)
    return {n: rng.uniform(0.2, 1, (ROWS, *v.shape)) for n, v in model.spec.inputs.items()} or None


@pytest.mark.parametrize("name", sorted(p.stem for p in MODELS.glob("*.ssm")))
def test_every_verb(name: str) -> None:
    model = ssmlang.compile(MODELS / f"{name}.ssm", constants=SMALLER.get(name))
    given = inputs(model)
    drawn = model.simulate(None if given else ROWS, future=given, seed=3, init=_first(model))
    params = {k: v for k, v in json.loads(drawn.attrs["params"]).items() if not model.spec.parameters[k].augment}
    data = {n: drawn[n].values for n in model.spec.observations} | (given or {})
    coming = None if given is None else {n: v[:AHEAD] for n, v in given.items()}

    filtered = model.filter(data, params)
    assert isinstance(filtered, xr.Dataset)
    assert np.isfinite(filtered["log_likelihood"]).all()
    total = model.log_likelihood(data, params)
    np.testing.assert_allclose(total, filtered["log_likelihood"].sum(), rtol=1e-6, atol=1e-6)
    ahead = model.forecast(data, params, AHEAD, future=coming)
    assert isinstance(ahead, xr.Dataset) and ahead.sizes["time"] == AHEAD
    if TAKEN.get(name) == "dual_ekf":  # it filters alone, and is no engine of a smoother
        assert filtered.attrs["engine"] == "dual_ekf"
        return
    smoothed = model.smooth(data, params)
    assert isinstance(smoothed, xr.Dataset) and smoothed.attrs["engine"] == TAKEN.get(name, "kalman")
    for state in model.spec.states.values():
        if state.values is None or state.values.axis is None:
            continue
        each = smoothed[f"{state.name}_probability"].sum(state.values.axis.name)
        np.testing.assert_allclose(each, 1, rtol=1e-9)
    if "mean" in smoothed:
        assert np.isfinite(smoothed["mean"]).all()


def _first(model: ssmlang.Model) -> dict[str, Any] | None:
    """First values of what has no law to be drawn from."""
    diffuse = {t.name for i in model.spec.initials if i.special == "diffuse" for t in i.targets}
    return {n: np.zeros(model.spec.states[n].shape) for n in diffuse} or None
