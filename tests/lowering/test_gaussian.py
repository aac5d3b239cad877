"""Programs of the language against the same model as a plain loop over Gaussian variables."""

from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest
from world import World, conditional, log_density

from ssmlang.engines import Kalman
from ssmlang.frontend import check_file, check_text
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model

MODELS = Path(__file__).parents[2] / "stdlib" / "models"
RNG = np.random.default_rng(11)
T = 6


def compiled(text: str) -> Model:
    return check_text(text).require() if "\n" in text else check_file(MODELS / f"{text}.ssm").require()


def lowered(model: Model, latent: tuple[str, ...] = (), definitions: bool = False) -> GaussianLowering:
    form = linear_form(model, latent, definitions)
    assert isinstance(form, LinearForm), form
    return GaussianLowering(model, form)


def log_likelihood(model: Model, params: dict, data: dict, inputs: dict | None = None, latent: tuple = ()) -> float:
    steps = len(next(iter(data.values())))
    low = lowered(model, latent)
    with jax.enable_x64(True):

        @jax.jit
        def value(params: dict, data: dict, inputs: dict) -> jax.Array:
            return Kalman().log_likelihood(*low.program(params, data, inputs, steps))

        return float(value(params, data, inputs or {}))


def holes(values: np.ndarray, *at: tuple) -> np.ndarray:
    values = np.array(values)
    for place in at:
        values[place] = np.nan
    return values


def test_local_level() -> None:
    w, y = World(), holes(RNG.normal(1000, 100, T), (2,))
    level = [w.normal(1000, 500)]
    for _ in range(1, T):
        level.append(w.normal(level[-1], 30.0))
    flow = [w.normal(x, 120.0) for x in level]
    found = log_likelihood(compiled("nile"), {"sd_level": 30.0, "sd_flow": 120.0}, {"flow": y})
    assert found == pytest.approx(log_density(flow, y), rel=1e-10)


def test_moving_average_with_a_stationary_start() -> None:
    w, y, phi, theta, sd = World(), holes(RNG.normal(size=T), (3,)), (0.4, 0.2), 0.6, 0.7
    x, before = [0.0 * w.normal()] * 2, w.normal(0, sd)
    for _ in range(120):  # the stationary law, to rounding
        now = w.normal(0, sd)
        x.append(phi[0] * x[-1] + phi[1] * x[-2] + now + theta * before)
        before = now
    expected = log_density(x[-T:], y)
    params = {"phi": np.array(phi), "theta": theta, "sd": sd}
    assert log_likelihood(compiled("arma"), params, {"y": y}) == pytest.approx(expected, rel=1e-9)


def test_one_push_moves_position_and_velocity() -> None:
    w, dt, sd_push, sd_fix = World(), 0.1, 2.0, 0.5
    y = holes(RNG.normal(size=(T, 2)) * 50, (1, 0), (4, slice(None)))
    rows = []
    pos, vel = [w.normal(0, 100) for _ in range(2)], [w.normal(0, 10) for _ in range(2)]
    for t in range(T):
        if t:
            push = [w.normal(0, sd_push) for _ in range(2)]
            pos = [p + dt * v + dt**2 / 2 * a for p, v, a in zip(pos, vel, push)]
            vel = [v + dt * a for v, a in zip(vel, push)]
        rows += [w.normal(p, sd_fix) for p in pos]
    found = log_likelihood(compiled("tracking"), {"sd_push": sd_push, "sd_fix": sd_fix}, {"fix": y})
    assert found == pytest.approx(log_density(rows, y.ravel()), rel=1e-10)


def test_nowcast_with_quarterly_data() -> None:
    w, steps = World(), 7
    params = {
        "loading": np.array([1.0, 0.5, -0.4]), "loading_gdp": 0.8, "phi": np.array([0.3, 0.2]),
        "rho": np.array([0.2, -0.3, 0.5]), "rho_gdp": 0.4, "sd": np.array([0.5, 1.0, 0.7]), "sd_gdp": 0.6,
    }  # fmt: skip
    gdp = np.full(steps, np.nan)
    gdp[[2, 5]] = 0.7, -0.2
    y = holes(RNG.normal(size=(steps, 3)), (6, 0), (6, 2))
    f, u, v = [0 * w.normal()] * 2, [0 * w.normal()] * 3, [0 * w.normal()]
    seen = []
    for t in range(-80, steps):
        f.append(params["phi"][0] * f[-1] + params["phi"][1] * f[-2] + w.normal())
        u = [w.normal(r * x, s) for r, x, s in zip(params["rho"], u, params["sd"])]
        v.append(w.normal(params["rho_gdp"] * v[-1], params["sd_gdp"]))
        if t >= 0:
            seen += [lo * f[-1] + x for lo, x in zip(params["loading"], u)]
            weights = [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]
            seen.append(sum((g * (0.8 * f[-1 - k] + v[-1 - k]) for k, g in enumerate(weights)), 0.0))
    expected = log_density(seen, np.column_stack([y, gdp]).ravel())
    assert log_likelihood(compiled("nowcast"), params, {"y": y, "gdp": gdp}) == pytest.approx(expected, rel=1e-9)


def test_vector_autoregression() -> None:
    w, y = World(), RNG.normal(size=(T, 3))
    A, scale = RNG.normal(0, 0.3, (2, 3, 3)), np.array([0.5, 1.0, 2.0])
    L = np.linalg.cholesky(np.array([[1, 0.5, 0.2], [0.5, 1, -0.3], [0.2, -0.3, 1]]))
    x = [[w.normal(0, 5) for _ in range(3)] for _ in range(2)]
    for _ in range(1, T):
        e = [w.normal() for _ in range(3)]
        x.append([
            sum((A[k, i, j] * x[-1 - k][j] for k in range(2) for j in range(3)), 0.0)
            + sum((scale[i] * L[i, j] * e[j] for j in range(i + 1)), 0.0) for i in range(3)
        ])  # fmt: skip
    expected = log_density([v for row in x[1:] for v in row], y.ravel())
    found = log_likelihood(compiled("var"), {"A": A, "scale": scale, "L": L}, {"y": y})
    assert found == pytest.approx(expected, rel=1e-9)


LAGGED = """
param a ~ Normal(0, 1)
param b ~ Normal(0, 1)
state x
obs y, z
init x ~ Normal(1, 2)
x[t] ~ Normal(0.5 * x[t-1] + b * y[t-1], 0.3)
y[t] ~ Normal(a * y[t-1] + x[t], 0.4)
z[t] ~ Normal(2 * y[t] - x[t-1], 0.7)
"""


@pytest.mark.parametrize("missing", [False, True])
def test_observations_that_are_read_back(missing: bool) -> None:
    # y[0] and z[0] reach before the data: y[0] is a known number, and z[0] is not scored.
    a, b = 0.6, -0.4
    y, z = RNG.normal(size=T), RNG.normal(size=T)
    if missing:
        y, z = holes(y, (2,), (3,)), holes(z, (4,))
    w = World()
    x, law_y, law_z = [w.normal(1, 2)], [float(y[0])], []
    for t in range(1, T):
        x.append(w.normal(0.5 * x[t - 1] + b * law_y[t - 1], 0.3))
        law_y.append(w.normal(a * law_y[t - 1] + x[t], 0.4))
        law_z.append(w.normal(2 * law_y[t] - x[t - 1], 0.7))
    expected = log_density([*law_y[1:], *law_z], np.concatenate([y[1:], z[1:]]))
    model = compiled(LAGGED)
    params, data = {"a": a, "b": b}, {"y": y, "z": np.concatenate([[np.nan], z[1:]])}
    low = lowered(model)
    assert low.form.read_back == ("y",)
    assert low.form.conditioned.tolist() == [[True, False]]
    assert low.form.unavailable.tolist() == [[False, True]]  # z[0] needs x[-1], which nothing gives
    assert log_likelihood(model, params, data, latent=("y",)) == pytest.approx(expected, rel=1e-9)
    if not missing:
        assert log_likelihood(model, params, data) == pytest.approx(expected, rel=1e-9)


def test_known_data_may_enter_in_any_way() -> None:
    model = compiled("""
param a ~ Normal(0, 1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.9 * x[t-1] + sin(y[t-1]), 0.5)
y[t] ~ Normal(x[t], sqrt(0.1 + a * y[t-1]^2))
""")
    y, a, w = RNG.normal(size=T), 0.3, World()
    x, law = [w.normal()], []
    for t in range(1, T):
        x.append(w.normal(0.9 * x[-1] + np.sin(y[t - 1]), 0.5))
        law.append(w.normal(x[-1], np.sqrt(0.1 + a * y[t - 1] ** 2)))
    assert set(lowered(model).form.data_reads) == {("y", 1)}
    assert log_likelihood(model, {"a": a}, {"y": y}) == pytest.approx(log_density(law, y[1:]), rel=1e-9)


def test_one_row_and_its_own_order() -> None:
    """States that read states of the same row, a shared noise at two rows, and a row 0 that equations give."""
    model = compiled("""
param c ~ Normal(0, 1)
param s ~ HalfNormal(1)
input X
noise e[2] ~ MvNormal([0.5, 0], [[1, 0.3], [0.3, 1]])
state late, first, sum_
obs y, z
sum_[t] = late[t] + 2 * first[t]
late[t] = c * first[t] + e[t, 0] - e[t-1, 1]
init first[-1] ~ Normal(3, 1)
first[t] ~ Normal(0.7 * first[t-1] + X[t], s * (1 + t))
y[t] = sum_[t] + s * e[t, 1]
z[t] ~ Normal(first[t-1] - y[t], 0.2)
""")
    c, s, w = 0.8, 0.5, World()
    X, y, z = RNG.normal(size=T), holes(RNG.normal(size=T), (3,)), holes(RNG.normal(size=T), (5,))

    def noise() -> tuple:
        p, q = w.normal(), w.normal()
        return 0.5 + p, 0.3 * p + np.sqrt(1 - 0.09) * q

    before, first, rows = noise(), [w.normal(3, 1)], []
    for t in range(T):
        e = noise()
        first.append(w.normal(0.7 * first[-1] + X[t], s * (1 + t)))
        late = c * first[-1] + e[0] - before[1]
        now = late + 2 * first[-1] + s * e[1]
        rows += [now, w.normal(first[-2] - now, 0.2)]
        before = e
    expected = log_density(rows, np.column_stack([y, z]).ravel())
    found = log_likelihood(model, {"c": c, "s": s}, {"y": y, "z": z}, {"X": X})
    assert found == pytest.approx(expected, rel=1e-9)


def test_an_initial_law_of_an_observation_scores_its_first_row() -> None:
    text = "param a ~ Normal(0, 1)\nobs y\ny[t] ~ Normal(a * y[t-1], 0.5)\n"
    y = RNG.normal(size=T)
    w = World()
    rows = [w.normal(y[0], 0)]
    for _ in range(1, T):
        rows.append(w.normal(0.6 * rows[-1], 0.5))
    assert log_likelihood(compiled(text), {"a": 0.6}, {"y": y}) == pytest.approx(log_density(rows[1:], y[1:]), rel=1e-9)
    for latent, data in (((), y), (("y",), y), (("y",), holes(y, (0,), (2,)))):
        w = World()
        rows = [w.normal(1, 2)]
        for _ in range(1, T):
            rows.append(w.normal(0.6 * rows[-1], 0.5))
        found = log_likelihood(compiled(text + "init y ~ Normal(1, 2)\n"), {"a": 0.6}, {"y": data}, latent=latent)
        assert found == pytest.approx(log_density(rows, data), rel=1e-9), latent


def test_a_sum_cut_off_at_the_start() -> None:
    model = compiled("""
param g ~ Normal(0, 1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(sum(g^k * x[t-k] for k in 1..min(3, t)), 0.5)
y[t] ~ Normal(x[t], 0.3)
""")
    w, y, g = World(), RNG.normal(size=T), 0.6
    x = [w.normal()]
    for t in range(1, T):
        x.append(w.normal(sum((g**k * x[t - k] for k in range(1, min(3, t) + 1)), 0.0), 0.5))
    rows = [w.normal(v, 0.3) for v in x]
    low = lowered(model)
    assert low.plans["F"].varies and not low.plans["G"].varies
    assert log_likelihood(model, {"g": g}, {"y": y}) == pytest.approx(log_density(rows, y), rel=1e-9)


def test_definitions_come_back_as_moments() -> None:
    model = compiled("""
param b ~ Normal(0, 1)
input X
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.9 * x[t-1], 0.5)
let signal[t] = x[t] + b * X[t]
let change[t] = x[t] - x[t-1]
let residual[t] = y[t] - signal[t]
let wild[t] = exp(x[t])
y[t] ~ Normal(signal[t], 0.3)
""")
    w, b = World(), 0.7
    X, y = RNG.normal(size=T), holes(RNG.normal(size=T), (2,))
    x = [w.normal()]
    for _ in range(1, T):
        x.append(w.normal(0.9 * x[-1], 0.5))
    signal = [v + b * u for v, u in zip(x, X)]
    rows = [w.normal(v, 0.3) for v in signal]
    low = lowered(model, definitions=True)
    assert low.form.definitions == {"signal": (1, 2), "change": (2, 3), "residual": (3, 4)}
    assert low.states == ["x", "signal", "change", "residual"]
    assert np.argwhere(low.form.absent).tolist() == [[0, 2]]  # change[0] needs x[-1]
    with jax.enable_x64(True):
        smooth = jax.jit(lambda y, X: Kalman().smooth(*low.program({"b": b}, {"y": y}, {"X": X}, T)))
        smoothed = jax.tree.map(np.asarray, smooth(y, X))
    change = [np.nan, *(q - p for p, q in pairwise(x))]
    for k, wanted in ((1, signal), (2, change), (3, [v - u for u, v in zip(signal, rows)])):
        for t in range(1 if k == 2 else 0, T):
            mean, sd = conditional([wanted[t]], rows, y)
            assert smoothed.mean[t, k] == pytest.approx(mean[0], abs=1e-9)
            assert np.sqrt(max(smoothed.cov[t, k, k], 0)) == pytest.approx(sd[0], abs=1e-7)


def test_missing_inputs_matter_only_where_they_are_needed() -> None:
    model = compiled("""
param b ~ Normal(0, 1)
input X, u
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(x[t-1] + u[t], 0.5)
y[t] ~ Normal(x[t] + b * X[t], 0.3)
""")
    low, y = lowered(model), holes(RNG.normal(size=T), (2,))
    X, u = holes(RNG.normal(size=T), (2,)), holes(RNG.normal(size=T), (0,))
    with jax.enable_x64(True):
        fine = low.undefined({"b": 1.0}, {"y": y}, {"X": X, "u": u}, T)
        assert not any(fine[k].any() for k in ("transition", "emission", "initial"))
        assert np.argwhere(fine["signal"]).tolist() == [[2, 0]]
        bad = low.undefined({"b": 1.0}, {"y": y}, {"X": holes(X, (4,)), "u": holes(u, (3,))}, T)
        assert np.argwhere(bad["emission"]).tolist() == [[4, 0]]
        assert np.argwhere(bad["transition"]).tolist() == [[3, 0]]

        def value(b: float) -> jax.Array:
            program, data = low.program({"b": b}, {"y": y}, {"X": X, "u": u}, T)
            return Kalman().log_likelihood(program, data)

        slope = float(jax.jit(jax.grad(value))(0.7))
        both = np.asarray(jax.jit(jax.vmap(value))(np.array([0.7 - 1e-5, 0.7 + 1e-5])))
    assert slope == pytest.approx((both[1] - both[0]) / 2e-5, rel=1e-6)
