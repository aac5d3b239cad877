"""The pair of filters against the joint one, least squares and the exact sensitivities of the Kalman filter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import stats

import ssmlang
from ssmlang.engines import DualEKF
from ssmlang.language.diagnostics import SsmError
from tests.engines.programs import jit

DUFFING = """
augment param a ~ Normal(0.3, 0.5)
augment param b[2] ~ Normal([-0.5, 0.2], 0.4)
state x[2]
obs y, z
init x ~ Normal([1, 0], 0.7)
x[t, 0] ~ Normal(x[t-1, 0] + 0.1 * x[t-1, 1], 0.05)
x[t, 1] ~ Normal(a * x[t-1, 1] + b[0] * x[t-1, 0] + b[1] * x[t-1, 0]^3, 0.1)
y[t] ~ Normal(x[t, 0], 0.2)
z[t] ~ Normal(sin(x[t, 1]) + b[0], 0.3)
"""


def data(rows: int = 25, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, z = rng.normal(size=rows), rng.normal(size=rows) - 0.4
    y[4], z[7], y[9], z[9] = np.nan, np.nan, np.nan, np.nan
    return {"y": y, "z": z}


@cache
def of_duffing(engine: Any = "dual_ekf") -> xr.Dataset:
    return filtered(ssmlang.compile(DUFFING), data(), engine)


def filtered(model: ssmlang.Model, data: dict[str, np.ndarray], engine: Any = "dual_ekf") -> xr.Dataset:
    found = model.filter(data, {}, engine=engine)
    assert isinstance(found, xr.Dataset)
    return found


def test_corrected_it_is_the_joint_filter() -> None:
    dual, joint = (of_duffing(e) for e in (DualEKF(corrected=True), "ekf"))
    assert dual.attrs["engine"] == "dual_ekf"
    for name in ("mean", "cov", "predicted_mean", "predicted_cov", "observed_mean", "observed_cov", "log_likelihood"):
        np.testing.assert_allclose(dual[name], joint[name], rtol=1e-8, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(dual["a"], joint["a"], atol=1e-10)


def test_uncorrected_the_states_keep_their_own_filter() -> None:
    found, joint = of_duffing(), of_duffing("ekf")
    assert not np.allclose(found["mean"], joint["mean"], atol=1e-4)
    np.testing.assert_array_equal(found["cov"][:, :2, 2:], 0)
    total = ssmlang.compile(DUFFING).log_likelihood(data(), {}, engine="dual_ekf")
    np.testing.assert_allclose(total, found["log_likelihood"].sum())


@pytest.mark.parametrize("options", [{"derivative": "static"}, {"noise": "process"}])
def test_the_published_variants_differ(options: dict[str, Any]) -> None:
    found, plain = of_duffing(DualEKF(**options)), of_duffing()
    assert np.isfinite(found["mean"]).all() and not np.allclose(found["mean"], plain["mean"], atol=1e-6)
    if options == {"noise": "process"}:  # the state estimate taken for the truth: parameters certain sooner
        sd = lambda f: np.sqrt(np.diagonal(f["cov"].values, axis1=1, axis2=2))[-1, 2:]
        assert (sd(found) < sd(plain)).all()


@pytest.mark.parametrize("options", [{"derivative": "both"}, {"noise": "paper"}])
def test_an_option_that_is_none(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one of"):
        DualEKF(**options)  # type: ignore[arg-type]


def test_a_coefficient_of_what_is_seen_exactly_is_recursive_least_squares() -> None:
    model = ssmlang.compile(
        """
        augment param a ~ Normal(0, 2)
        obs y
        y[t] ~ Normal(a * y[t-1], 0.5)
        """
    )
    y = data()["y"][10:]
    found = filtered(model, {"y": y})
    precision = 1 / 4 + np.cumsum(y[:-1] ** 2) / 0.25
    np.testing.assert_allclose(found["mean"][1:, 0], np.cumsum(y[:-1] * y[1:]) / 0.25 / precision, rtol=1e-10)
    np.testing.assert_allclose(found["cov"][1:, 0, 0], 1 / precision, rtol=1e-10)


def test_no_smoother_and_no_augmented_parameter_are_said() -> None:
    model = ssmlang.compile(DUFFING)
    with pytest.raises(SsmError, match="filters alone"):
        model.smooth(data(), {}, engine="dual_ekf")
    plain = ssmlang.compile(DUFFING.replace("augment param", "param"))
    with pytest.raises(SsmError, match="none is augmented"):
        plain.filter(data(), {"a": 0.1, "b": [0.1, 0.1]}, engine="dual_ekf")


CLASSES = """
const pixels = 9
const hidden = 4
const classes = 3
input x[pixels]
augment param W1[hidden, pixels] ~ Normal(0, 0.4) walk 0.001
augment param b1[hidden] ~ Normal(0, 0.1) walk 0.001
augment param W2[classes, hidden] ~ Normal(0, 0.5) walk 0.001
augment param b2[classes] ~ Normal(0, 0.1) walk 0.001
obs digit in 0..classes-1
digit[t] ~ Categorical(logits = W2 @ tanh(W1 @ x[t] + b1) + b2)
"""


def images(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Noisy copies of three patterns, and which one."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(3, 9))
    which = rng.integers(0, 3, rows)
    return patterns[which] + 0.3 * rng.normal(size=(rows, 9)), which.astype(float)


def test_a_classifier_learns_by_filtering_alone() -> None:
    model = ssmlang.compile(CLASSES)
    assert model.why().chosen == "dual_ekf"
    x, digit = images(150)
    found = filtered(model, {"x": x, "digit": digit})
    terms = found["log_likelihood"].values
    # At first a guess among three; towards the end nearly certain of the right one.
    assert terms[:5].mean() < -0.8 and -0.4 < terms[-50:].mean() < 0
    assert found["W1"].dims[0] == "time" and found["W1"].shape == (150, 4, 9)


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_the_recursive_derivative_is_that_of_the_filter_with_its_gains_held() -> None:
    """D and the innovations' slopes against differentiating a Kalman filter whose gains do not move."""
    from ssmlang.engines.dual_ekf import _Carried, _Split
    from ssmlang.inference.augmented import walks_of
    from ssmlang.lowering.nonlinear import NonlinearLowering

    text = (
        "augment param a ~ Normal(0.5, 0.3)\nstate x[2]\nobs y\ninit x ~ Normal([1, 2], 1)\n"
        "x[t] ~ Normal([[0.5, 0.1], [0.0, 0.8]] @ x[t-1] * a, 0.3)\ny[t] ~ Normal(x[t, 0] + 0.5 * x[t, 1], 0.4)\n"
    )
    spec = ssmlang.compile(text).spec
    y = data()["y"][10:20]
    lowering = NonlinearLowering(spec, walks_of(spec))
    program, rows = lowering.program({}, {"y": jnp.asarray(y)}, {}, len(y))
    split, engine = _Split.of(program), DualEKF()

    H = np.array([[1.0, 0.5]])

    @jit
    def updated(law: Any, Q: Any, t: Any) -> Any:
        law, _ = engine._updated(split, law, Q, t, rows[t])
        return _Carried(law.x, jnp.array([0.5]), law.Pi, law.P, law.D)  # the parameter held where it began

    moved = jit(lambda law, t: split.moved(law, t, static=False))
    law, Q = jit(split.start)(), np.zeros((2, 2))
    fixed: list[Any] = []
    for t in range(len(y)):
        if t:
            law, Q = moved(law, t)
        fixed.append(law.Pi @ H.T / (H @ law.Pi @ H.T + 0.16))
        law = updated(law, Q, t)

    # The state and its slope in a, by the product rule.
    F, x, slope = np.array([[0.5, 0.1], [0.0, 0.8]]), np.array([1.0, 2.0]), np.zeros(2)
    for t, K in enumerate(fixed):
        if t:
            x, slope = 0.5 * F @ x, F @ x + 0.5 * F @ slope
        x, slope = x + K[:, 0] * (y[t] - H[0] @ x), slope - K[:, 0] * (H[0] @ slope)
    np.testing.assert_allclose(law.x, x, rtol=1e-10)
    np.testing.assert_allclose(law.D[:, 0], slope, rtol=1e-10)


COUNTS = """
state x
obs y
augment param b ~ Normal(1, 0.7) walk 0
init x ~ Normal(0, 0.8)
x[t] ~ Normal(0.9 * x[t-1], 0.4)
y[t] ~ Poisson(exp(x[t] + b))
"""


def test_counts_have_the_likelihood_of_the_joint_filter() -> None:
    """Exactly so with the states corrected; else nearly, beside a sum over a grid of state and parameter."""
    model = ssmlang.compile(COUNTS)
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 0.8), np.empty(40)
    for t in range(len(y)):
        y[t], x = rng.poisson(np.exp(x + 0.7)), 0.9 * x + 0.4 * rng.normal()
    y[7] = np.nan
    value = lambda engine: float(model.log_likelihood({"y": y}, {}, engine=engine))
    joint = value("ekf")
    np.testing.assert_allclose(value(DualEKF(corrected=True)), joint, rtol=1e-10)

    xs, bs = np.linspace(-6, 6, 301), np.linspace(-3, 4, 71)
    cell, exact = (xs[1] - xs[0]) * (bs[1] - bs[0]), 0.0
    moved = stats.norm.pdf(xs[:, None], 0.9 * xs, 0.4) * (xs[1] - xs[0])
    law = stats.norm.pdf(xs, 0, 0.8)[:, None] * stats.norm.pdf(bs, 1, 0.7)
    for t, seen in enumerate(y):
        law = moved @ law if t else law
        if not np.isnan(seen):
            law = law * stats.poisson.pmf(seen, np.exp(xs[:, None] + bs))
        mass = law.sum() * cell
        law, exact = law / mass, exact + np.log(mass)
    assert abs(joint - exact) < 0.04 * abs(exact) and abs(value("dual_ekf") - exact) < 0.04 * abs(exact)
