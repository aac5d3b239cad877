"""Models in continuous time through the public surface: closed forms, irregular rows, every verb, nonlinear drifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import ssmlang
from ssmlang import SsmError

OU = """
param mu ~ Normal(0, 5)
param rate, q, sd ~ HalfNormal(1)
input dt
state x
obs y
init x ~ Stationary()
d(x) = rate * (mu - x) * dt + q * dW
y[t] ~ Normal(x[t], sd)
"""
CAR2 = """
param a0, a1, q, sd ~ HalfNormal(1)
input dt
state x, v
obs y
init x, v ~ Stationary()
d(x) = v * dt
d(v) = (-a1*v - a0*x)*dt + q*dW
y[t] ~ Normal(x[t], sd)
"""
TRUTH = {"mu": 0.5, "rate": 0.7, "q": 1.3, "sd": 0.4}
T = 30
DT = np.concatenate([[np.nan], np.random.default_rng(1).exponential(1.0, T - 1)])
DT[9] = 0.0
"""Two rows of one time."""
TIMES = np.concatenate([[0.0], np.cumsum(DT[1:])])
LAGS = np.abs(TIMES[:, None] - TIMES)
Y = np.random.default_rng(2).normal(size=T)
Y[[3, 4, 20]] = np.nan


def density(mean: float, cov: np.ndarray) -> float:
    seen = ~np.isnan(Y)
    return float(multivariate_normal(np.full(seen.sum(), mean), cov[np.ix_(seen, seen)]).logpdf(Y[seen]))


@pytest.fixture(scope="module")
def ou() -> Any:
    return ssmlang.compile(OU)


def ou_cov() -> np.ndarray:
    return TRUTH["q"] ** 2 / (2 * TRUTH["rate"]) * np.exp(-TRUTH["rate"] * LAGS)


@pytest.mark.parametrize("engine", ["kalman", "square_root", "parallel", "batch"])
def test_ornstein_uhlenbeck(ou: Any, engine: str) -> None:
    found = float(ou.log_likelihood({"y": Y, "dt": DT}, TRUTH, engine=engine))
    assert found == pytest.approx(density(TRUTH["mu"], ou_cov() + TRUTH["sd"] ** 2 * np.eye(T)), abs=1e-10)


def test_smoothed_moments_and_forecasts(ou: Any) -> None:
    # By the joint Gaussian law of all rows and the coming ones; the times are those of the data, and no `dt` is given.
    ahead = TIMES[-1] + np.array([0.5, 2.0])
    times = np.concatenate([TIMES[:9], TIMES[10:], ahead])
    y = np.concatenate([Y[:9], Y[10:]])
    n, seen = len(y), np.flatnonzero(~np.isnan(y))
    rate, variance = TRUTH["rate"], TRUTH["q"] ** 2 / (2 * TRUTH["rate"])
    K = variance * np.exp(-rate * np.abs(times[:, None] - times))
    gain = K[:, seen] @ np.linalg.inv(K[np.ix_(seen, seen)] + TRUTH["sd"] ** 2 * np.eye(len(seen)))
    mean = TRUTH["mu"] + gain @ (y[seen] - TRUTH["mu"])
    cov = K - gain @ K[seen]
    data = {"y": y, "time": times[:n]}
    smoothed = ou.smooth(data, TRUTH)
    np.testing.assert_allclose(smoothed["mean"].sel(state="x"), mean[:n], atol=1e-9)
    np.testing.assert_allclose(smoothed["cov"][:, 0, 0], np.diag(cov)[:n], atol=1e-9)
    coming = ou.forecast(data, TRUTH, steps=2, future={"time": ahead})
    np.testing.assert_allclose(coming["mean"].sel(state="x"), mean[n:], atol=1e-9)
    np.testing.assert_allclose(coming["observed_cov"][:, 0, 0], np.diag(cov)[n:] + TRUTH["sd"] ** 2, atol=1e-9)


def test_streams_are_the_filter(ou: Any) -> None:
    filtered = ou.filter({"y": Y[:6], "dt": DT[:6]}, TRUTH)
    state = ou.initial_state(TRUTH)
    for y, dt in zip(Y[:6], DT[:6]):
        state = ou.step(state, {"y": y, "dt": dt})
    np.testing.assert_allclose(state.mean, filtered["mean"][-1], atol=1e-12)
    with pytest.raises(SsmError, match="E416"):
        ou.step(state, {"y": 0.1, "dt": -1.0})


def test_simulation_has_the_exact_law(ou: Any) -> None:
    draws = 4000
    x = ou.simulate(params=TRUTH, future={"dt": DT[:8]}, draws=draws, seed=3).x.values
    K = ou_cov()[:8, :8]
    error = np.sqrt((K**2 + np.outer(np.diag(K), np.diag(K))) / draws)
    assert np.abs((np.cov(x.T) - K) / error).max() < 5


def test_fit(ou: Any) -> None:
    y = ou.simulate(params=TRUTH, future={"dt": np.full(120, 0.8)}, seed=4).y.values
    fit = ou.fit({"y": y, "dt": np.full(120, 0.8)}, method="map", progress=False)
    assert abs(fit.params["rate"] - TRUTH["rate"]) < 0.5 and abs(fit.params["q"] - TRUTH["q"]) < 0.6


@pytest.mark.parametrize(("a0", "a1"), [(2.0, 0.6), (0.25, 1.0)], ids=["complex", "repeated"])
def test_car2(a0: float, a1: float) -> None:
    import jax

    model = ssmlang.compile(CAR2)
    at = {"a0": a0, "a1": a1, "q": 1.3, "sd": 0.4}
    damping = a1 / 2
    w = np.sqrt(max(a0 - damping**2, 0.0))
    wave = np.cos(w * LAGS) + (damping / w * np.sin(w * LAGS) if w else damping * LAGS)
    K = at["q"] ** 2 / (2 * a0 * a1) * np.exp(-damping * LAGS) * wave
    data = {"y": Y, "dt": DT}
    assert float(model.log_likelihood(data, at)) == pytest.approx(density(0.0, K + 0.16 * np.eye(T)), abs=1e-9)
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda p: model.log_likelihood(data, p)))(at)
    for name, step in {"a0": 1e-5, "a1": 1e-5, "q": 1e-5}.items():
        up, down = ({**at, name: at[name] + s} for s in (step, -step))
        difference = float(model.log_likelihood(data, up) - model.log_likelihood(data, down)) / (2 * step)
        assert float(slope[name]) == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_integrated_brownian_motion_with_an_input_and_a_constant_step() -> None:
    # Seen without noise at two rows, pushed by an input that is held from the row before.
    model = ssmlang.compile("""
const dt = 0.5
input push
state x, v
obs y
init x ~ Normal(0, 1)
init v ~ Normal(0, 2)
d(x) = v * dt
d(v) = push * dt + dW
y[t] ~ Normal(x[t], 1)
""")
    h, push = 0.5, np.array([3.0, -1.0, 7.0])
    F, Q = np.array([[1, h], [0, 1]]), np.array([[h**3 / 3, h**2 / 2], [h**2 / 2, h]])
    m, P, total = np.zeros(2), np.diag([1.0, 4.0]), 0.0
    y = np.array([0.3, 1.1, np.nan])
    filtered = model.filter({"y": y, "push": push}, {})
    for t in range(3):
        if t:
            m, P = F @ m + push[t - 1] * np.array([h**2 / 2, h]), F @ P @ F.T + Q
        if not np.isnan(y[t]):
            S = P[0, 0] + 1
            total += -0.5 * (np.log(2 * np.pi * S) + (y[t] - m[0]) ** 2 / S)
            m, P = m + P[:, 0] / S * (y[t] - m[0]), P - np.outer(P[:, 0], P[0]) / S
        np.testing.assert_allclose(filtered["mean"][t], m, atol=1e-12)
        np.testing.assert_allclose(filtered["cov"][t], P, atol=1e-12)
    assert float(filtered["log_likelihood"].sum()) == pytest.approx(total, abs=1e-12)


def test_a_panel_stays_apart() -> None:
    model = ssmlang.compile("""
axis site = 1..50
param rate[site] ~ HalfNormal(1)
input dt
state x[site]
obs y[site]
init x ~ Stationary()
d(x) = -rate * x * dt + 0.5 * dW
y[t] ~ Normal(x[t], 1)
""")
    from ssmlang.model.blocks import described

    assert described(model.form) == "50 independent blocks of 1 state"


def test_no_stationary_law_where_the_drift_is_not_stable() -> None:
    model = ssmlang.compile(OU.replace("param rate, q", "param rate ~ Normal(0, 1)\nparam q"))
    assert float(model.log_likelihood({"y": Y, "dt": DT}, {**TRUTH, "rate": -0.2})) == -np.inf


@pytest.mark.parametrize(("bad", "said"), [(-0.1, "is -0.1 at row 5"), (np.nan, "is missing at row 5")])
def test_steps_that_are_none(ou: Any, bad: float, said: str) -> None:
    dt = DT.copy()
    dt[5] = bad
    with pytest.raises(SsmError, match=said):
        ou.log_likelihood({"y": Y, "dt": dt}, TRUTH)


def test_stability_is_that_of_the_drift(ou: Any) -> None:
    assert "stable(x)" in str(ou.check()) and "rate > 0" in str(ou.check())


@pytest.mark.parametrize("axis", ["", "[2]"], ids=["one", "two side by side"])
def test_a_stationary_state_beside_one_that_wanders(axis: str) -> None:
    """A correlated random walk (Johnson et al. 2008): the blocks of two axes are drawn together, and ended in a
    traceback in `simulate` and in engines of general programs."""
    model = ssmlang.compile(
        "param beta, sigma, sd ~ HalfNormal(1)\ninput dt\n"
        f"state mu{axis}, v{axis}\nobs fix{axis}\ninit mu ~ Normal(0, 10)\ninit v ~ Stationary()\n"
        "d(mu) = v * dt\nd(v) = -beta * v * dt + sigma * dW\nfix[t] ~ Normal(mu[t], sd)\n"
    )
    params, dt = {"beta": 0.8, "sigma": 1.5, "sd": 0.3}, np.array([np.nan, 0.5, 2, 1])
    data = {"fix": np.arange(8.0).reshape(4, 2) if axis else np.arange(4.0), "dt": dt}
    exact = float(model.log_likelihood(data, params))
    assert float(model.log_likelihood(data, params, engine="ekf")) == pytest.approx(exact, abs=1e-9)
    drawn = model.simulate(params=params, future={"dt": dt}, draws=2000)
    assert float(drawn["v"].isel(time=0).std()) == pytest.approx(1.5 / np.sqrt(1.6), rel=0.08)


@pytest.mark.parametrize("more", ["d(z) = (u + 0.3*x - 0.5*z)*dt + 0.2*dW", "d(z) = -u*z*dt + 0.2*dW"])
def test_what_inputs_move_beside_it_is_no_bar_to_a_stationary_law(more: str) -> None:
    """An entry that reads the stationary ones, or none of them, has a law of its own."""
    text = CAR2.replace("input dt", "input dt, u").replace("state x, v", "state x, v, z").replace("obs y", "obs y, w")
    model = ssmlang.compile(text + f"init z ~ Normal(0, 1)\n{more}\nw[t] ~ Normal(z[t], 0.5)\n")
    params = {"a0": 2.0, "a1": 0.5, "q": 1.1, "sd": 0.3}
    u = np.random.default_rng(3).uniform(0.2, 1, T)
    alone = float(ssmlang.compile(CAR2).log_likelihood({"y": Y, "dt": DT}, params))
    data = {"y": Y, "w": np.full(T, np.nan), "dt": DT, "u": u}
    assert float(model.log_likelihood(data, params)) == pytest.approx(alone, abs=1e-10)
    with pytest.raises(SsmError, match="z has no stationary law"):
        ssmlang.compile(str(model.source_text).replace("init x, v ~ Stationary()\n", "init x, v, z ~ Stationary()\n")
                        .replace("init z ~ Normal(0, 1)\n", "")).log_likelihood(data, params)  # fmt: skip


GROWTH = """
const dt = 1
param s ~ HalfNormal(0.3)
state b, x, total
obs y
init b ~ Normal(0, 0.3)
init x = 0.05
init total = 0
d(b) = s * dW
d(x) = exp(b) * x * (1 - x) * dt
d(total) = x * dt
y[t] ~ Normal(total[t], 0.1)
"""


def test_a_chain_of_states_behind_one_noise_takes_few_steps() -> None:
    """What noise does to the last of a chain within a short step is next to nothing, and no measure of an error."""
    from ssmlang import engines
    from ssmlang.running.general import GeneralExecution

    model = ssmlang.compile(GROWTH)
    bounds = model.bind({"y": np.zeros(12)})
    found = {e.name: GeneralExecution(model.spec, e).setting(bounds).substeps
             for e in (engines.UKF(), engines.Particle())}  # fmt: skip
    assert found["ukf"] <= 4 and found["particle"] <= 8


def test_the_law_of_a_row_in_few_steps_is_that_of_the_moment_equations() -> None:
    from scipy.integrate import solve_ivp

    s, b, x = 0.3, 0.4, 0.3
    drift = lambda v: np.array([0.0, np.exp(v[0]) * v[1] * (1 - v[1]), v[1]])
    jacobian = lambda v: np.array([[0, 0, 0], [np.exp(v[0]) * v[1] * (1 - v[1]), np.exp(v[0]) * (1 - 2 * v[1]), 0],
                                   [0, 1, 0]])  # fmt: skip

    def rate(_: float, z: np.ndarray) -> np.ndarray:
        v, P = z[:3], z[3:].reshape(3, 3)
        e = np.exp(v[0])
        bend = np.array([[e * v[1] * (1 - v[1]), e * (1 - 2 * v[1])], [e * (1 - 2 * v[1]), -2 * e]])
        J = jacobian(v)
        own = drift(v) + np.array([0, 0.5 * np.sum(bend * P[:2, :2]), 0])
        return np.concatenate([own, (J @ P + P @ J.T + np.diag([s * s, 0, 0])).ravel()])

    exact = solve_ivp(rate, (0, 1), np.concatenate([[b, x, 0], np.zeros(9)]), rtol=1e-10, atol=1e-12).y[:, -1]
    flat = GROWTH.replace("Normal(0, 0.3)\ninit x = 0.05", f"Normal({b}, 1e-9)\ninit x = {x}")
    ahead = ssmlang.compile(flat).filter({"y": np.full(2, np.nan)}, {"s": s}, engine="ukf")
    assert ahead.attrs["substeps"] <= 4
    sds = np.sqrt(np.diag(ahead["cov"].values[1]))
    np.testing.assert_allclose(ahead["mean"].values[1], exact[:3], rtol=2e-3)
    np.testing.assert_allclose(sds, np.sqrt(np.diag(exact[3:].reshape(3, 3))), rtol=0.02)


WELL = """
param q, sd ~ HalfNormal(1)
const dt = 0.2
state x
obs y
init x ~ Normal(1, 0.2)
d(x) = (x - x^3) * dt + q * dW
y[t] ~ Normal(x[t], sd)
"""


def test_a_drift_that_is_not_linear() -> None:
    # Against the law on a grid: the kernel of 100 Euler-Maruyama steps a row.
    model = ssmlang.compile(WELL)
    q, sd, y = 0.3, 0.2, np.array([1.1, 0.8, np.nan, 0.9, 1.2])
    grid = np.linspace(-1.5, 3, 601)
    short = 0.2 / 100
    ahead = grid + (grid - grid**3) * short
    K = np.exp(-0.5 * ((grid - ahead[:, None]) / (q * np.sqrt(short))) ** 2)
    K = np.linalg.matrix_power(K / K.sum(axis=1, keepdims=True), 100)
    law, total = np.exp(-0.5 * ((grid - 1) / 0.2) ** 2), 0.0
    law = law / law.sum()
    for t, value in enumerate(y):
        law = law @ K if t else law
        if not np.isnan(value):
            weight = law * np.exp(-0.5 * ((value - grid) / sd) ** 2) / np.sqrt(2 * np.pi * sd**2)
            total, law = total + np.log(weight.sum()), weight / weight.sum()
    at = {"q": q, "sd": sd}
    for engine in ("ekf", "ukf"):
        found = model.filter({"y": y}, at, engine=engine)
        assert float(found["log_likelihood"].sum()) == pytest.approx(total, abs=0.03)
        assert float(found["mean"][-1, 0]) == pytest.approx(float(law @ grid), abs=0.01)
    from ssmlang.engines import Particle

    drawn = float(model.log_likelihood({"y": y}, at, engine=Particle(particles=4000), seed=0))
    assert drawn == pytest.approx(total, abs=0.1)


def test_one_diagnostic_where_the_drift_is_not_linear() -> None:
    with pytest.raises(SsmError, match="affine") as trouble:
        ssmlang.compile(WELL).log_likelihood({"y": [1.0]}, {"q": 1.0, "sd": 1.0}, engine="kalman")
    assert [d.code for d in trouble.value.diagnostics] == ["E304"]


GROWN = """
param mu ~ Normal(0, 0.5)
param sigma, more, sd ~ HalfNormal(0.5)
input dt
state s
obs y
init s ~ LogNormal(0, 0.5)
d(s) = s * (mu * dt + sigma * dW[a] - more * dW[b])
y[t] ~ Normal(log(s[t]), sd)
"""
LOGS = """
param mu ~ Normal(0, 0.5)
param sigma, more, sd ~ HalfNormal(0.5)
input dt
state x
obs y
init x ~ Normal(0, 0.5)
x[t] ~ Normal(x[t-1] + (mu - (sigma^2 + more^2) / 2) * dt[t], sqrt((sigma^2 + more^2) * dt[t]))
y[t] ~ Normal(x[t], sd)
"""
RATES = {"mu": 0.1, "sigma": 0.9, "more": 0.5, "sd": 0.3}


def test_what_grows_in_proportion_to_itself_is_stepped_exactly() -> None:
    """Its logarithm is a random walk with drift, which `kalman` filters; sigma points fell below zero here."""
    dt = np.array([1.0, 0.2, 2.0, 1.0, 0.0, 3.0, 1.0, 1.0, 0.5, 1.0])
    y = np.array([0.1, -0.4, np.nan, -2.3, -2.0, 1.5, 2.5, 0.3, -0.8, -3.0])
    grown, logs = ssmlang.compile(GROWN), ssmlang.compile(LOGS)
    data = {"y": y, "dt": dt}
    exact = float(logs.log_likelihood(data, RATES))
    assert logs.why().chosen == "kalman"
    assert float(grown.log_likelihood(data, RATES, engine="laplace")) == pytest.approx(exact, abs=1e-7)
    drawn = grown.log_likelihood(data, RATES, engine=ssmlang.engines.Particle(20_000))
    assert float(drawn) == pytest.approx(exact, abs=0.1)
    paths = grown.simulate(params=RATES, future={"dt": dt}, draws=4000, seed=2)["s"].values
    moved = np.log(paths[:, 5] / paths[:, 4]) / np.sqrt(3)
    assert moved.std() == pytest.approx(np.sqrt(0.81 + 0.25), rel=0.05)
    assert (paths > 0).all()


def test_many_of_them_seen_through_logarithms_have_an_engine() -> None:
    """Four, so that auto takes no particles."""
    each = GROWN.replace("state s", "state s[4]").replace("obs y", "obs y[4]").replace(" - more * dW[b]", "")
    each = each.replace("dW[a]", "dW")
    y = np.random.default_rng(0).normal(size=(6, 4))
    model = ssmlang.compile(each)
    assert model.why().chosen == "laplace"
    got = float(model.log_likelihood({"y": y, "dt": np.ones(6)}, RATES))
    logs = ssmlang.compile(LOGS)
    alone = [float(logs.log_likelihood({"y": y[:, i], "dt": np.ones(6)}, RATES | {"more": 0.0})) for i in range(4)]
    assert got == pytest.approx(sum(alone), abs=1e-7)


def test_an_increment_shared_with_another_is_stepped_with_it() -> None:
    text = GROWN.replace("state s", "state s, v").replace("d(s)", "init v ~ Normal(0, 1)\nd(v) = -v * dt + dW[a]\nd(s)")
    assert "not linear: s" in str(ssmlang.compile(text).why()) or "not linear: v, s" in str(ssmlang.compile(text).why())
    assert "moved in short steps" not in str(ssmlang.compile(GROWN).why())
