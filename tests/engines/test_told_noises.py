"""A noise that an observation and the states of the next row share: no part of the memory, and nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import ssmlang
from ssmlang.engines import EKF, UKF, Laplace, Particle
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.model.told_noises import told_noises
from tests.engines.programs import jit

LEVERAGE = Path(__file__).resolve().parents[2] / "stdlib" / "models" / "leverage.ssm"
PARAMS = {"mu": -0.5, "phi": 0.9, "sd": 0.35, "rho": -0.6}
STEPS = 60

LINEAR = """
param a ~ Normal(0, 1)
noise w[3] ~ MvNormal([0, 0.1, 0], [[1, 0.5, 0.2], [0.5, 2, 0.3], [0.2, 0.3, 1.5]])
noise v ~ Normal(0, 0.4)
state x, z
obs y, u
init x ~ Normal(0, 1)
init z ~ Normal(0.5, 2)
x[t] = a * x[t-1] + 0.2 * z[t-1] + 0.7 * w[t-1, 2] - 0.3 * w[t-1, 0]
z[t] ~ Normal(0.7 * z[t-1] + w[t-1, 1], 0.3)
y[t] = x[t] + z[t] + 2 * w[t, 0] + v[t]
u[t] ~ Normal(z[t] - w[t, 1], 0.5)
"""


def returns() -> np.ndarray:
    r = np.array(ssmlang.compile(LEVERAGE).simulate(steps=STEPS, params=PARAMS, seed=4)["r"], float)
    r[[20, 21, STEPS - 1]] = np.nan
    return r


def on_grid(r: np.ndarray, points: int = 401) -> tuple[float, np.ndarray]:
    """log p(r) and filtered means of h: given h and r the law of the next h is that of a correlated pair."""
    mu, phi, sd, rho = PARAMS.values()
    spread = sd / np.sqrt(1 - phi**2)
    h = np.linspace(mu - 7 * spread, mu + 7 * spread, points)
    step, law, total, means = h[1] - h[0], norm.pdf(h, mu, spread), 0.0, []
    for t, now in enumerate(r):
        if t:
            seen = not np.isnan(before := r[t - 1])
            centre = mu + phi * (h - mu) + (sd * rho * before * np.exp(-h / 2) if seen else 0.0)
            law = norm.pdf(h[:, None], centre, sd * np.sqrt(1 - rho**2) if seen else sd) @ law * step
        law = law if np.isnan(now) else law * norm.pdf(now, 0.0, np.exp(h / 2))
        mass = law.sum() * step
        law, total = law / mass, total + np.log(mass)
        means.append((law * h).sum() * step)
    return total, np.array(means)


def general(source: Any, params: dict[str, float], data: dict[str, np.ndarray], **options: bool) -> Any:
    lowering = NonlinearLowering(ssmlang.compile(source).spec, {}, **options)
    given = {k: jnp.asarray(v, float) for k, v in params.items()}
    return lowering.program(given, {k: jnp.asarray(v) for k, v in data.items()}, {}, len(next(iter(data.values()))))


def test_volatility_with_leverage_is_the_grids() -> None:
    r = returns()
    program, y = general(LEVERAGE, PARAMS, {"r": r})
    assert program.facts.N == 1 and program.facts.gaussian_emission and not program.facts.linear
    value, means = on_grid(r)
    found, filtered = jit(lambda: (Laplace().log_likelihood(program, y), Laplace().filter(program, y)))()
    assert abs(float(found) - value) < 0.05
    assert np.sqrt(np.mean((filtered.mean[:, 0] - means) ** 2)) < 0.1
    swarm = jit(lambda: Particle(particles=10_000).filter(program, y, jax.random.key(0)))()
    assert abs(float(swarm.log_likelihood.sum()) - value) < 0.3
    assert np.abs(swarm.mean[:, 0] - means).max() < 0.05


def test_auto_takes_an_engine_that_sees_the_volatility() -> None:
    model = ssmlang.compile(LEVERAGE)
    said = str(model.why())
    assert said.startswith("engine: laplace") and "observations tell of w" in said


def test_a_linear_program_has_the_numbers_that_it_has_with_the_noise_remembered() -> None:
    model = ssmlang.compile(LINEAR)
    assert told_noises(model.spec) == ("w",)
    drawn = model.simulate(steps=12, params={"a": 0.5}, seed=2)
    data = {n: np.array(drawn[n], float) for n in ("y", "u")}
    data["y"][[3, 4]] = data["u"][[4, 5]] = np.nan
    exact, smooth = (getattr(model, verb)(data, {"a": 0.5}, engine="kalman") for verb in ("filter", "smooth"))
    program, y = general(LINEAR, {"a": 0.5}, data)
    whole, _ = general(LINEAR, {"a": 0.5}, data, told=False)
    assert (program.facts.N, whole.facts.N) == (2, 5)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    for engine in (EKF(), UKF()):
        found, back = jit(lambda engine=engine: (engine.filter(program, y), engine.smooth(program, y)))()
        close(found.log_likelihood, exact["log_likelihood"])
        for name in ("mean", "cov", "predicted_mean", "predicted_cov", "observed_mean", "observed_cov"):
            close(getattr(found, name), exact[name])
        close(back.mean, smooth["mean"])
        close(back.cov, smooth["cov"])


@pytest.mark.filterwarnings("ignore:(?s).*W725:ssmlang.language.diagnostics.SsmWarning")
def test_rows_one_at_a_time_are_those_of_the_filter() -> None:
    model, r = ssmlang.compile(LEVERAGE), returns()[16:26]
    whole = model.filter({"r": r}, PARAMS, engine="ekf")
    state = model.initial_state(PARAMS, engine="ekf")
    for row in r:
        state = model.step(state, {"r": row})
    np.testing.assert_allclose(state.mean, whole["mean"].values[-1], rtol=1e-9)
    np.testing.assert_allclose(state.log_likelihood, float(whole["log_likelihood"].sum()), rtol=1e-9)


@pytest.mark.parametrize("changed", [
    ("x[t] = a * x[t-1]", "x[t] = a * x[t-1] + 0.1 * w[t, 0]"),
    ("x[t] = a * x[t-1]", "x[t] = a * x[t-1] + 0.1 * y[t-1]"),
    ("z[t] - w[t, 1]", "z[t] - exp(w[t, 1])"),
    ("+ 2 * w[t, 0]", "+ 2 * w[t, 0] + w[t-1, 0]"),
])  # fmt: skip
def test_others_stay_as_they_are(changed: tuple[str, str]) -> None:
    """Read in its own row, an observation that is fed back, not affine, read late by an observation."""
    assert changed[0] in LINEAR
    assert told_noises(ssmlang.compile(LINEAR.replace(*changed)).spec) == ()
