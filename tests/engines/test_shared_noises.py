"""A noise that an observation and the states of its own row share, against sums over a grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import ssmlang
from ssmlang.engines import EKF, Laplace, Particle
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.model.shared_noises import shared_noises
from tests.engines.programs import jit

STEPS = 40
SV = {"mu": -1.0, "phi": 0.95, "sd": 0.3, "rho": -0.7}
CIR = {"mu": 0.05, "kappa": 3.0, "theta": 0.04, "xi": 0.4, "rho": -0.7}
HEAD = """
param mu ~ Normal(-1, 2)
param phi in (-1, 1) ~ Normal(0.95, 0.05)
param sd ~ HalfNormal(0.3)
param rho in (-1, 1) ~ Normal(-0.4, 0.3)
state h
obs r
init h ~ Normal(mu, sd / sqrt(1 - phi^2))
"""
PAIR = "noise w[2] ~ MvNormal([0, 0], [[1, rho], [rho, 1]])"
NOW = HEAD + PAIR + """
h[t] = mu + phi * (h[t-1] - mu) + sd * w[t, 1]
r[t] = exp(h[t] / 2) * w[t, 0]
"""  # fmt: skip
BEFORE = NOW.replace("exp(h[t] / 2)", "exp(h[t-1] / 2)")
BY_HAND = (
    HEAD
    + """
noise a ~ Normal(0, 1)
noise b ~ Normal(0, 1)
h[t] = mu + phi * (h[t-1] - mu) + sd * (rho * a[t] + sqrt(1 - rho^2) * b[t])
r[t] = exp(h[t] / 2) * a[t]
"""
)
HESTON = f"""
const dt = 0.01
param mu ~ Normal(0, 1)
param kappa ~ HalfNormal(5)
param theta ~ HalfNormal(0.2)
param xi ~ HalfNormal(1)
param rho in (-1, 1) ~ Normal(-0.5, 0.3)
{PAIR}
state v
obs r
init v ~ Normal(theta, theta / 6)
v[t] = max(v[t-1] + kappa * (theta - v[t-1]) * dt + xi * sqrt(v[t-1] * dt) * w[t, 1], 0.0001)
r[t] = (mu - v[t-1] / 2) * dt + sqrt(v[t-1] * dt) * w[t, 0]
"""
BENT = f"""
param q, s ~ HalfNormal(1)
param rho in (-1, 1) ~ Normal(0, 0.5)
{PAIR}
state x
obs y
init x ~ Normal(0, 1)
x[t] = 2 * sin(x[t-1]) + q * w[t, 0]
y[t] = x[t] + x[t]^2 / 10 + s * w[t, 1]
"""
LINEAR = """
param a ~ Normal(0, 1)
noise w[3] ~ MvNormal([0, 0.1, 0], [[1, 0.5, 0.2], [0.5, 2, 0.3], [0.2, 0.3, 1.5]])
noise v ~ Normal(0.3, 0.4)
state x, z
obs y, u
init x ~ Normal(0, 1)
init z ~ Normal(0.5, 2)
x[t] = a * x[t-1] + 0.2 * z[t-1] + 0.7 * w[t, 2] - 0.3 * w[t, 0] + v[t]
z[t] ~ Normal(0.7 * z[t-1] + x[t], 0.3)
y[t] = x[t] + z[t] + 2 * w[t, 0] + v[t]
u[t] ~ Normal(z[t] - w[t, 1], 0.5)
"""


def on_grid(y: np.ndarray, x: np.ndarray, first: np.ndarray, move: Any, see: Any) -> tuple[float, np.ndarray]:
    """log p(y) and filtered means: `move` gives mean and sd of x_t given x_{t-1}, `see` the mean and sd of y_t that are
    its own and what one standard deviation of x's noise adds to it."""
    step, law, total, means = x[1] - x[0], first, 0.0, []
    for t, now in enumerate(y):
        if t:
            mean, sd = move(x)
            noise = (x[None, :] - mean[:, None]) / np.broadcast_to(sd, x.shape)[:, None]
            kernel = norm.pdf(noise) / np.broadcast_to(sd, x.shape)[:, None]
            if not np.isnan(now):
                centre, own, slope = see(x[None, :], x[:, None])
                kernel = kernel * norm.pdf(now, centre + slope * noise, own)
            law = law @ kernel * step
        elif not np.isnan(now):  # nothing is known of the noise of the first row
            centre, own, slope = see(x, x)
            law = law * norm.pdf(now, centre, np.hypot(own, slope))
        mass = law.sum() * step
        law, total = law / mass, total + np.log(mass)
        means.append((law * x).sum() * step)
    return total, np.array(means)


def volatility(y: np.ndarray, lag: int) -> tuple[float, np.ndarray]:
    mu, phi, sd, rho = SV.values()
    spread = sd / np.sqrt(1 - phi**2)
    x = np.linspace(mu - 6 * spread, mu + 6 * spread, 301)

    def see(now: np.ndarray, before: np.ndarray) -> tuple[Any, Any, Any]:
        scale = np.exp((before if lag else now) / 2)
        return 0.0, scale * np.sqrt(1 - rho**2), scale * rho

    return on_grid(y, x, norm.pdf(x, mu, spread), lambda h: (mu + phi * (h - mu), sd), see)


def heston(y: np.ndarray) -> tuple[float, np.ndarray]:
    mu, kappa, theta, xi, rho = CIR.values()
    x, dt = np.linspace(0.002, 0.2, 401), 0.01

    def see(now: np.ndarray, before: np.ndarray) -> tuple[Any, Any, Any]:
        scale = np.sqrt(before * dt)
        return (mu - before / 2) * dt, scale * np.sqrt(1 - rho**2), scale * rho

    move = lambda v: (v + kappa * (theta - v) * dt, xi * np.sqrt(v * dt))
    return on_grid(y, x, norm.pdf(x, theta, theta / 6), move, see)


def bent(y: np.ndarray) -> tuple[float, np.ndarray]:
    x = np.linspace(-5, 5, 401)
    see = lambda now, before: (now + now**2 / 10, 0.5 * np.sqrt(1 - 0.7**2), 0.5 * 0.7)
    return on_grid(y, x, norm.pdf(x), lambda x: (2 * np.sin(x), 0.5), see)


def program(source: str, params: dict[str, float], data: dict[str, np.ndarray], **options: bool) -> Any:
    lowering = NonlinearLowering(ssmlang.compile(source).spec, {}, **options)
    given = {k: jnp.asarray(v, float) for k, v in params.items()}
    return lowering.program(given, {k: jnp.asarray(v) for k, v in data.items()}, {}, len(next(iter(data.values()))))


def drawn(source: str, params: dict[str, float]) -> np.ndarray:
    model = ssmlang.compile(source)
    found = np.array(model.simulate(STEPS, params, seed=3)[next(iter(model.spec.observations))], float)
    found[[20, 21]] = np.nan
    return found


@pytest.mark.parametrize(("source", "params", "exact"), [
    (NOW, SV, lambda y: volatility(y, 0)), (BEFORE, SV, lambda y: volatility(y, 1)),
    (BY_HAND, SV, lambda y: volatility(y, 0)), (HESTON, CIR, heston), (BENT, {"q": 0.5, "s": 0.5, "rho": 0.7}, bent),
], ids=["now", "before", "by hand", "Heston", "bent"])  # fmt: skip
def test_draws_are_the_grids(source: str, params: dict[str, float], exact: Any) -> None:
    y = drawn(source, params)
    value, means = exact(y)
    name = "y" if source is BENT else "r"
    own, data = program(source, params, {name: y})
    swarm = jit(lambda: Particle(particles=5_000).filter(own, data, jax.random.key(0)))()
    assert abs(float(swarm.log_likelihood.sum()) - value) < 0.3
    sd = np.sqrt(np.asarray(swarm.cov)[:, 0, 0])
    assert np.sqrt(np.mean(((swarm.mean[:, 0] - means) / sd) ** 2)) < 0.08


@pytest.mark.parametrize("source", [NOW, BEFORE], ids=["now", "before"])
def test_the_mode_sees_the_leverage(source: str) -> None:
    y = drawn(source, SV)
    value, _ = volatility(y, int(source is BEFORE))
    own, data = program(source, SV, {"r": y})
    assert abs(float(jit(lambda: Laplace().log_likelihood(own, data))()) - value) < 0.1


def test_a_linear_program_has_the_numbers_of_kalman() -> None:
    model = ssmlang.compile(LINEAR)
    simulated = model.simulate(steps=12, params={"a": 0.5}, seed=2)
    data = {n: np.array(simulated[n], float) for n in ("y", "u")}
    data["y"][[3, 4]] = data["u"][[4, 5]] = np.nan
    exact, smooth = (getattr(model, verb)(data, {"a": 0.5}, engine="kalman") for verb in ("filter", "smooth"))
    own, y = program(LINEAR, {"a": 0.5}, data)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    found, back = jit(lambda: (EKF().filter(own, y), EKF().smooth(own, y)))()
    close(found.log_likelihood, exact["log_likelihood"])
    for name in ("mean", "cov", "predicted_mean", "predicted_cov", "observed_mean", "observed_cov"):
        close(getattr(found, name), exact[name])
    close(back.mean, smooth["mean"])
    close(back.cov, smooth["cov"])


def test_a_row_seen_alone_is_skewed() -> None:
    """p(r_1) where the row before is missing: a mixture of scales, that noise and state share."""
    own, y = program(NOW, SV, {"r": np.array([np.nan, -1.5])})
    found = jit(lambda: Particle(particles=20_000).log_likelihood(own, y, jax.random.key(1)))()
    spread = 0.95 * 0.3 / np.sqrt(1 - 0.95**2)
    e, w = np.polynomial.hermite_e.hermegauss(61)
    h0, u = -1 + spread * e[:, None], e[None, :]
    scale = np.exp((h0 + 0.3 * u) / 2)
    density = norm.pdf(-1.5, scale * -0.7 * u, scale * np.sqrt(1 - 0.49))
    assert abs(float(found) - np.log((density * w[:, None] * w).sum() / w.sum() ** 2)) < 0.03


def test_auto_takes_an_engine_that_sees_them() -> None:
    for source, name in ((NOW, "laplace"), (BEFORE, "laplace"), (BY_HAND, "laplace"), (HESTON, "particle")):
        said = str(ssmlang.compile(source).why())
        assert said.startswith(f"engine: {name}"), said
        assert "share" in said


@pytest.mark.parametrize("changed", [
    ("r[t] = exp(h[t] / 2) * w[t, 0]", "r[t] = exp(h[t] / 2) * exp(w[t, 0])"),
    ("r[t] = exp(h[t] / 2) * w[t, 0]", "r[t] = exp(h[t] / 2) * w[t, 1]"),
    ("r[t] = exp(h[t] / 2) * w[t, 0]", "r[t] = exp(h[t] / 2) * (w[t, 0] + w[t-1, 0])"),
])  # fmt: skip
def test_others_stay_as_they_are(changed: tuple[str, str]) -> None:
    """Not affine, nothing left, read late."""
    assert changed[0] in NOW
    assert shared_noises(ssmlang.compile(NOW.replace(*changed)).spec) is None


def test_an_observation_that_is_missing_and_read_later_shares_with_another() -> None:
    """What is left of the noise given the states is that of both; the linear filter is exact."""
    model = ssmlang.compile("""
        noise e ~ Normal(0, 0.7)
        state a, b
        obs y[2]
        init a, b ~ Normal(0, 1)
        a[t] ~ Normal(0.4 * y[t-1, 1], 1)
        b[t] ~ Normal(0.4 * b[t-1] + 0.5 * e[t], 1.4)
        y[t, 0] ~ Normal(a[t] + 0.9 * e[t], 1.4)
        y[t, 1] ~ Normal(-0.5 * e[t], 0.9)
        """)
    y = np.random.default_rng(0).normal(size=(6, 2))
    y[2, 1] = np.nan
    exact, found = (model.filter({"y": y}, {}, engine) for engine in ("kalman", "ekf"))
    for name in ("mean", "cov", "log_likelihood"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-12, err_msg=name)
