"""A coefficient that cannot be computed is an error that names the row, in every engine."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

import ssmlang
from ssmlang.engines import Laplace, Particle
from ssmlang.language.diagnostics import SsmError

ENGINES = ["kalman", "square_root", "parallel", "batch", "wiener_hopf", "growing", "banded", "dual", "ekf", "iekf",
           "ukf", "cubature", "gauss_hermite", "ipls", "laplace", "importance", Particle(particles=64)]  # fmt: skip


def program(coefficient: str) -> ssmlang.CompiledModel:
    return ssmlang.compile(
        f"model m\nparam a ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal({coefficient}, 1)\n"
        "y[t] ~ Normal(x[t], 1)\n"
    )


ALWAYS, LATER = "sqrt(a) * x[t-1]", "(if t > 2 then sqrt(a) else 1) * x[t-1]"


@pytest.mark.parametrize(("coefficient", "engine"), [*((ALWAYS, e) for e in ENGINES), (LATER, "batch"), (LATER, "ekf")])
def test_a_root_of_a_negative_number(coefficient, engine):
    model = program(coefficient)
    assert np.isfinite(model.log_likelihood({"y": np.arange(5.0)}, {"a": 1.0}, engine=engine))
    with pytest.raises(SsmError) as caught:
        model.log_likelihood({"y": np.arange(5.0)}, {"a": -1.0}, engine=engine)
    assert caught.value.diagnostics[0].code == "E721"


@pytest.mark.parametrize("engine", ["ekf", "iekf"])
def test_a_derivative_that_does_not_exist(engine):
    """At the prior's mean 0 the map is 0 / 0; before, the likelihood was that of row 0 alone."""
    model = program("sin(x[t-1]) / x[t-1] * a")
    with pytest.raises(SsmError) as caught:
        model.log_likelihood({"y": np.arange(5.0)}, {"a": 1.0}, engine=engine)
    assert caught.value.diagnostics[0].code == "E721"


@pytest.mark.parametrize("engine", ["ukf", "ekf"])
def test_the_law_of_a_row_that_is_not_seen_need_not_exist(engine):
    """An increment before the first row is nought, of which there is no negative binomial."""
    text = (
        "model m\nparam phi ~ Gamma(10, 1)\nstate x, c\nobs y\ninit x ~ Normal(3, 0.1)\ninit c = 0\n"
        "x[t] ~ Normal(x[t-1], 0.1)\nc[t] = c[t-1] + exp(x[t])\ny[t] ~ NegativeBinomial(LOC, phi)\n"
    )
    increments, plain = (ssmlang.compile(text.replace("LOC", loc)) for loc in ("c[t] - c[t-1]", "exp(x[t])"))
    data, at = {"y": np.array([np.nan, 19, 22, 18, 30])}, {"phi": 10.0}
    found = increments.log_likelihood(data, at, engine=engine)
    assert abs(found - plain.log_likelihood(data, at, engine=engine)) < 0.1


@pytest.mark.parametrize("verb", ["log_likelihood", "smooth"])
def test_a_mode_that_is_not_reached_says_what_to_do(verb):
    model = ssmlang.compile("param a ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
                            "x[t] ~ Normal(a * x[t-1], 1)\ny[t] ~ StudentT(3, exp(x[t]), 0.01)\n")  # fmt: skip
    with pytest.raises(SsmError) as caught:
        getattr(model, verb)({"y": np.full(20, 9.0)}, {"a": 0.5}, engine=Laplace(iterations=3))
    (found,) = caught.value.diagnostics
    assert found.code == "E721" and "no most probable path in 3 steps" in found.message
    assert any("laplace:iterations=30" in text for text in found.help)


@pytest.mark.parametrize("engine", ["ekf", "iekf", "ukf", "ipls", "laplace"])
def test_what_a_row_not_scored_reads_before_the_start_leaves_no_trace(engine):
    """The return of row 0 would read the variance of row -1: of a zero there the root has no derivative."""
    import jax

    text = ("model m\nparam rho in (-1, 1) ~ Normal(0, 0.5)\nstate V\nnoise e ~ Normal(0, 1)\nobs r\n"
            "init V ~ Normal(1, 0.05)\nV[t] = V[t-1] + 0.05 * e[t]\n"
            "r[t] ~ Normal(sqrt(V[t-1]) * rho * e[t], 1)\n")  # fmt: skip
    model, given = ssmlang.compile(text), {"rho": 0.4}
    early = ssmlang.compile(text.replace("init V ~", "init V[-1] ~"))
    y = np.array([np.nan, 0.3, -0.2, 0.9, -1.1, 0.2])
    found = model.log_likelihood({"r": y}, given, engine=engine)
    # V has gone on for a row more, which the return of a row knows little of.
    assert abs(found - early.log_likelihood({"r": y}, given, engine=engine)) < 0.01
    with jax.enable_x64(True):
        slope = jax.grad(lambda rho: model.log_likelihood({"r": y}, {"rho": rho}, engine=engine))(0.4)
    assert np.isfinite(slope)


@pytest.mark.parametrize("verb", ["log_likelihood", "smooth"])
def test_a_precision_that_does_not_exist_is_said_so(verb):
    """The numbers are sound, and banded needs noise in every row."""
    model = program("a * x[t-1]").source_text.replace("x[t-1], 1)", "x[t-1], abs(a))")
    ask = getattr(ssmlang.compile(model), verb)
    with pytest.raises(SsmError, match="'banded' needs noise in every state"):
        ask({"y": np.arange(5.0)}, {"a": 0.0}, engine="banded")
    timed = model.replace("x[t] ~ Normal(a * x[t-1], abs(a))", "input dt\nd(x) = -x*dt + a*dW")
    data = {"y": np.arange(4.0), "dt": np.array([1, 0.5, 0, 2])}
    with pytest.raises(SsmError, match=r"(?s)'banded' needs noise in the states.*dt is 0 at row 2"):
        getattr(ssmlang.compile(timed), verb)(data, {"a": 1.0}, engine="banded")


def test_augmented_parameters_are_no_weighted_paths():
    text = "augment param a ~ Normal(0, 1) walk 0.1\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
    text += "x[t] ~ Normal(a * x[t-1], 1)\ny[t] ~ Poisson(exp(x[t]))\n"
    with pytest.raises(SsmError, match=r"(?s)weighs paths.*a is augmented.*a Gaussian law with the mean"):
        ssmlang.compile(text).log_likelihood({"y": [1.0]}, {}, engine="importance")


APART = ("state x[3]\nobs y\nnoise w ~ Normal(0, 0.3)\ninit x ~ Normal(0, 10000)\n"
         "x[t] = [0.7 * x[t-1, 0] + w[t], x[t-1, 0] + 0.3 * w[t], 0.999 * x[t-1, 2] + w[t]]\n"
         "y[t] ~ Normal(x[t, 0] + x[t, 1] - 0.5 * x[t, 2], 0.001)\n")  # fmt: skip
SEEN = {"y": np.array([0.1, 0.0, 0.2, 0.1, -0.1, 0.3])}


@pytest.mark.parametrize(("engine", "mend"), [("kalman", "square_root"), ("ekf", "scales that are nearer")])
def test_a_variance_lost_to_rounding_is_no_result(engine, mend):
    model = ssmlang.compile(APART)
    with pytest.raises(SsmError) as caught:
        model.smooth(SEEN, {}, engine=engine)
    (found,) = caught.value.diagnostics
    assert found.code == "E726" and "variance of `x[" in found.message and "at row 0" in found.message
    assert any(mend in text for text in found.help)
    sound = model.smooth(SEEN, {}, engine="square_root")["cov"].values
    assert (np.einsum("tii->ti", sound) > 0).all()


def test_a_variance_of_zero_is_zero_in_spite_of_rounding():
    """Three lags that are seen without noise: of what is known exactly the difference of covariances is +-1e-16."""
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(0, 3)\n"
                            "x[t] ~ Normal(1.2 * x[t-1] - 0.4 * x[t-2] + 0.1 * x[t-3], 0.3)\ny[t] = x[t]\n")
    y = np.random.default_rng(0).normal(size=40)
    y[[7, 8, 20]] = np.nan
    variance = model.smooth({"y": y}, {})["cov"].values[:, 0, 0]
    assert (variance[np.isnan(y)] > 0.01).all() and np.isfinite(np.sqrt(variance)).all()
    assert (variance[~np.isnan(y)] < 1e-12).all()


@pytest.mark.parametrize("engine", ["kalman", "wiener_hopf", "dual", "ekf"])
def test_so_it_is_where_no_row_has_any_variance(engine):
    """Two rows of two observations, one of them exact: the variance of its signal is rounding in both."""
    model = ssmlang.compile("""
        state x[2]
        obs y[2]
        init x ~ Normal(0.5, 1)
        x[t, 0] ~ Normal(-0.97 * x[t-1, 0] - 0.29 * x[t-2, 0] - 0.28 * x[t-1, 1], 0.47)
        x[t, 1] = 0.11 - 0.16 * x[t-2, 1]
        y[t, 0] ~ Normal(0.14 * x[t, 1], 1.38)
        y[t, 1] = 0.22 * x[t-1, 0] + 0.08 * x[t, 1] - 0.62 * x[t-1, 1]
        """)
    for y in np.random.default_rng(3).normal(size=(12, 2, 2)):
        found = model.smooth({"y": y}, {}, engine=engine)
        assert (np.diagonal(found.observed_cov, axis1=1, axis2=2)[:, 1] < 1e-14).all()


def test_single_precision_that_does_not_hold_names_the_engine_that_does():
    text = ("state level, slope\nobs y\ninit level, slope ~ Normal(0, 10000)\nslope[t] ~ Normal(slope[t-1], 0.00001)\n"
            "level[t] = level[t-1] + slope[t-1]\ny[t] ~ Normal(level[t], 0.1)\n")  # fmt: skip
    model, data = ssmlang.compile(text), {"y": np.sin(np.arange(60) / 500)}
    for verb in ("log_likelihood", "filter"):
        with pytest.raises(SsmError, match=r"(?s)E721.*engine=\"square_root\""):
            getattr(model, verb)(data, {}, engine="kalman", dtype="float32")
    exact = float(model.log_likelihood(data, {}))
    assert float(model.log_likelihood(data, {}, dtype="float32")) == pytest.approx(exact, rel=1e-3)


DENSE = """
state x[2]
obs y[2]
param Q[2, 2]
param r
noise w[2] ~ MvNormal([0, 0], [[1, r], [r, 1]])
init x ~ Normal(0, 1)
x[t] ~ MvNormal(MAP, Q)
y[t] = x[t] + w[t]
"""
SOUND = {"Q": np.eye(2), "r": 0.5}


@pytest.mark.parametrize("verb", ["log_likelihood", "filter", "smooth", "forecast", "step", "residuals"])
@pytest.mark.parametrize(
    ("MAP", "engine"), [("0.5 * x[t-1]", "kalman"), ("0.5 * x[t-1]", "square_root"), ("sin(x[t-1])", "ekf")]
)
@pytest.mark.parametrize(
    ("at", "line"), [({"Q": np.array([[1.0, 3.0], [3.0, 1.0]])}, "MvNormal(MAP, Q)"), ({"r": 2.0}, "[[1, r], [r, 1]]")]
)
def test_a_matrix_that_is_no_covariance_is_named(verb, MAP, engine, at, line):
    model = ssmlang.compile(DENSE.replace("MAP", MAP))
    data = {"y": np.random.default_rng(0).normal(size=(6, 2))}
    rows = [{"y": y} for y in data["y"]]
    ask = {
        "forecast": lambda p: model.forecast(data, p, steps=2, engine=engine),
        "step": lambda p: reduce(model.step, rows, model.initial_state(p, engine=engine)),
        "residuals": lambda p: model.residuals(data, p, engine=engine),
    }.get(verb, lambda p: getattr(model, verb)(data, p, engine=engine))
    ask(SOUND)
    with pytest.raises(SsmError) as caught:
        ask({**SOUND, **at})
    (found,) = caught.value.diagnostics
    assert found.code == "E721" and "no covariance" in found.message
    assert found.span is not None and found.span.text in line.replace("MAP", MAP)
    assert "least eigenvalue is -" in found.label
