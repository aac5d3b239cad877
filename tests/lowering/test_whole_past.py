"""Sums over the whole past against the same model as a plain loop over Gaussian variables."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
from world import V, World, conditional, log_density

from ssmlang.engines import Kalman
from ssmlang.engines.program import Pattern
from ssmlang.frontend import check_text
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form

T = 7
RNG = np.random.default_rng(5)
FRACTIONAL = """
const alpha = 0.3
param sd_state ~ HalfNormal(0.5)
param sd_obs   ~ HalfNormal(0.5)
def weight(k) = alpha * exp(lgamma(k - alpha) - lgamma(1 - alpha) - lgamma(k + 1))
state x
obs y
init x ~ Normal(1, 1)
x[t] ~ Normal(sum(weight(k) * x[t-k] for k in 1..t), sd_state)
y[t] ~ Normal(cos(0.2 * t) * x[t], sd_obs)
"""
PARAMS = {"sd_state": 0.4, "sd_obs": 0.6}


def weight(k: int) -> float:
    return 0.3 * math.exp(math.lgamma(k - 0.3) - math.lgamma(0.7) - math.lgamma(k + 1))


def lowered(text: str, latent: tuple[str, ...] = (), definitions: bool = False) -> GaussianLowering:
    model = check_text(text).require()
    form = linear_form(model, latent, definitions)
    assert isinstance(form, LinearForm), form
    return GaussianLowering(model, form)


def run(low: GaussianLowering, method: str, params: dict, data: dict, inputs: dict | None = None):
    steps = len(next(iter(data.values())))
    with jax.enable_x64(True):
        ask = jax.jit(lambda p, d, i: getattr(Kalman(), method)(*low.program(p, d, i, steps)))
        return jax.tree.map(np.asarray, ask(params, data, inputs or {}))


def checked(text: str, wanted: list[V], y: np.ndarray, params: dict, *, states: list[V] | None = None,
            latent: tuple[str, ...] = (), inputs: dict | None = None) -> None:  # fmt: skip
    """The likelihood, and the smoothed first state where its variables are given."""
    low = lowered(text, latent)
    found = float(run(low, "log_likelihood", params, {"y": y}, inputs))
    assert found == pytest.approx(log_density(wanted, y), rel=1e-10)
    if states is not None:
        smoothed = run(low, "smooth", params, {"y": y}, inputs)
        mean, sd = conditional(states, wanted, y)
        np.testing.assert_allclose(smoothed.mean[:, 0], mean, atol=1e-10)
        np.testing.assert_allclose(np.sqrt(smoothed.cov[:, 0, 0]), sd, atol=1e-9)


def observed(w: World, x: list[V], scale: float) -> list[V]:
    return [w.normal(math.cos(0.2 * t) * v, scale) for t, v in enumerate(x)]


def test_weights_of_the_lag_alone_are_one_matrix_for_each_lag() -> None:
    w = World()
    x = [w.normal(1.0, 1.0)]
    for t in range(1, T):
        x.append(w.normal(sum(weight(k) * x[t - k] for k in range(1, t + 1)), 0.4))
    y = RNG.normal(size=T)
    y[3] = np.nan
    checked(FRACTIONAL, observed(w, x, 0.6), y, PARAMS, states=x)
    with jax.enable_x64(True):
        program, _ = lowered(FRACTIONAL).program(PARAMS, {"y": y}, {}, T)
    assert program.F.shape == (T - 1, 1, 1)
    np.testing.assert_allclose(program.F[:, 0, 0], [weight(k) for k in range(1, T)], rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_series(steps: int) -> None:
    w = World()
    x = [w.normal(1.0, 1.0)]
    if steps == 2:
        x.append(w.normal(weight(1) * x[0], 0.4))
    checked(FRACTIONAL, observed(w, x, 0.6), RNG.normal(size=steps), PARAMS, states=x)


def test_weights_that_depend_on_the_row() -> None:
    text = """
    param a ~ Normal(0, 1)
    state x
    obs y
    init x ~ Normal(1, 1)
    x[t] ~ Normal(a * x[t-1] + sum((t + 1 - k)^a * x[t-k] / t for k in 1..t), 0.5)
    y[t] ~ Normal(x[t], 0.3)
    """
    w = World()
    x = [w.normal(1.0, 1.0)]
    for t in range(1, T):
        mean = 0.4 * x[-1] + sum(((t + 1 - k) ** 0.4 / t) * x[t - k] for k in range(1, t + 1))
        x.append(w.normal(mean, 0.5))
    y = RNG.normal(size=T)
    checked(text, [w.normal(v, 0.3) for v in x], y, {"a": 0.4}, states=x)
    # A power of a negative number stands outside of the sum; it must not spoil the derivative.
    low = lowered(text)
    with jax.enable_x64(True):
        value = jax.jit(lambda a: Kalman().log_likelihood(*low.program({"a": a}, {"y": y}, {}, T)))
        slope = float(jax.grad(value)(0.4))
        assert slope == pytest.approx(float(value(0.4 + 1e-5) - value(0.4 - 1e-5)) / 2e-5, rel=1e-6)


def test_matrices_beside_states_of_order_one() -> None:
    text = """
    state x[2], v
    obs y
    let A = [[0.3, 0.1], [0, -0.2]]
    init x ~ Normal(0, 1)
    init v ~ Normal(0, 2)
    x[t] ~ Normal(sum(0.5^k * A @ x[t-k] for k in 1..t) + [v[t-1], 0], [0.5, 0.2])
    v[t] ~ Normal(0.9 * v[t-1] + sum(0.1 * x[t-k, 1] for k in 1..t), 0.1)
    y[t] ~ Normal(x[t, 0] + x[t, 1], 0.3)
    """
    w = World()
    x = [[w.normal(0, 1), w.normal(0, 1)]]
    v = [w.normal(0, 2)]
    for t in range(1, T):
        first = sum(0.5**k * (0.3 * x[t - k][0] + 0.1 * x[t - k][1]) for k in range(1, t + 1)) + v[t - 1]
        second = sum(0.5**k * -0.2 * x[t - k][1] for k in range(1, t + 1))
        v.append(w.normal(0.9 * v[t - 1] + sum(0.1 * x[t - k][1] for k in range(1, t + 1)), 0.1))
        x.append([w.normal(first, 0.5), w.normal(second, 0.2)])
    wanted = [w.normal(a + b, 0.3) for a, b in x]
    checked(text, wanted, RNG.normal(size=T), {}, states=[a for a, _ in x])


def test_an_emission_that_sums_over_the_past() -> None:
    text = """
    state x
    obs y
    init x ~ Normal(1, 1)
    x[t] ~ Normal(0.8 * x[t-1], 0.5)
    y[t] ~ Normal(x[t] + sum(0.3^k * x[t-k] for k in 1..t), 0.3)
    """
    w = World()
    x = [w.normal(1, 1)]
    for _ in range(1, T):
        x.append(w.normal(0.8 * x[-1], 0.5))
    wanted = [w.normal(x[t] + sum(0.3**k * x[t - k] for k in range(1, t + 1)), 0.3) for t in range(T)]
    checked(text, wanted, RNG.normal(size=T), {}, states=x)


def test_rows_before_the_first_are_not_summed() -> None:
    text = """
    state x
    obs y
    init x[-1] ~ Normal(2, 1)
    x[t] ~ Normal(0.3 * x[t-1] + sum(0.4^k * x[t-k] for k in 1..t), 0.5)
    y[t] ~ Normal(x[t], 0.3)
    """
    w = World()
    before = w.normal(2, 1)
    x = [w.normal(0.3 * before, 0.5)]
    for t in range(1, T):
        x.append(w.normal(0.3 * x[-1] + sum(0.4**k * x[t - k] for k in range(1, t + 1)), 0.5))
    checked(text, [w.normal(v, 0.3) for v in x], RNG.normal(size=T), {}, states=x)


def test_a_state_without_init_begins_with_an_empty_sum() -> None:
    text = "state x\nobs y\nx[t] ~ Normal(sum(0.4^k * x[t-k] for k in 1..t), 0.5)\ny[t] ~ Normal(x[t], 0.3)\n"
    w = World()
    x: list[V] = []
    for t in range(T):
        x.append(w.normal(sum((0.4**k * x[t - k] for k in range(1, t + 1)), 0.0), 0.5))
    checked(text, [w.normal(v, 0.3) for v in x], RNG.normal(size=T), {}, states=x)


@pytest.mark.parametrize("missing", [False, True])
def test_observations_and_inputs_over_the_past(missing: bool) -> None:
    text = """
    input u
    state x
    obs y
    init x ~ Normal(1, 1)
    x[t] ~ Normal(0.5 * x[t-1] + sum(0.2^k * y[t-k] for k in 1..t) + sum(u[t-k] * 0.1 for k in 1..t), 0.5)
    y[t] ~ Normal(x[t], 0.3)
    """
    y, u, w = RNG.normal(size=T), RNG.normal(size=T), World()
    x = [w.normal(1, 1)]
    seen = [w.normal(x[0], 0.3)]
    for t in range(1, T):
        known = sum(u[t - k] * 0.1 for k in range(1, t + 1))
        x.append(w.normal(0.5 * x[-1] + sum(0.2**k * seen[t - k] for k in range(1, t + 1)) + known, 0.5))
        seen.append(w.normal(x[-1], 0.3))
    if missing:
        y[2] = np.nan
    assert lowered(text).form.read_back == ("y",)
    checked(text, seen, y, {}, states=x, latent=("y",) if missing else (), inputs={"u": u})


def test_inputs_as_weights_of_the_row_that_is_read() -> None:
    text = "input u\nstate x\nobs y\nx[t] ~ Normal(sum(u[t-k] * x[t-k] for k in 1..t), 0.5)\ny[t] ~ Normal(x[t], 0.3)\n"
    u, w = RNG.normal(size=T) * 0.5, World()
    x: list[V] = []
    for t in range(T):
        x.append(w.normal(sum((u[t - k] * x[t - k] for k in range(1, t + 1)), 0.0), 0.5))
    checked(text, [w.normal(v, 0.3) for v in x], RNG.normal(size=T), {}, states=x, inputs={"u": u})


def test_definitions_over_the_past_come_back_with_their_moments() -> None:
    text = """
    state x
    obs y
    let level[t] = sum(0.5^k * x[t-k] for k in 1..t)
    init x ~ Normal(1, 1)
    x[t] ~ Normal(0.8 * x[t-1], 0.5)
    y[t] ~ Normal(x[t], 0.3)
    """
    low = lowered(text, definitions=True)
    w = World()
    x = [w.normal(1, 1)]
    for _ in range(1, T):
        x.append(w.normal(0.8 * x[-1], 0.5))
    wanted, y = [w.normal(v, 0.3) for v in x], RNG.normal(size=T)
    level = [sum((0.5**k * x[t - k] for k in range(1, t + 1)), V(0.0, {})) for t in range(T)]
    mean, sd = conditional(level, wanted, y)
    found = run(low, "smooth", {}, {"y": y})
    first, _ = low.form.definitions["level"]
    np.testing.assert_allclose(found.mean[:, first], mean, atol=1e-10)
    np.testing.assert_allclose(np.sqrt(found.cov[:, first, first]), sd, atol=1e-8)


def test_the_past_of_a_noise_is_refused_with_the_way_around_it() -> None:
    text = "noise e ~ Normal(0, 1)\nstate x\nobs y\nx[t] = sum(0.5^k * e[t-k] for k in 1..t)\ny[t] ~ Normal(x[t], 1)\n"
    form = linear_form(check_text(text).require())
    assert not isinstance(form, LinearForm)
    assert [o.code for o in form] == ["E306"] and "state u" in form[0].help and form[0].span is not None


def test_a_state_whose_past_never_begins_has_no_value() -> None:
    text = "state x, z\nobs y\nx[t] ~ Normal(sum(0.5^k * z[t-k] for k in 1..t), 1)\nz[t] ~ Normal(z[t-1], 1)\n"
    with pytest.raises(SsmError, match="E205"):
        check_text(text + "y[t] ~ Normal(x[t], 1)\n").require()


def test_a_deep_pattern_is_small_and_quick_to_hash() -> None:
    low = lowered(FRACTIONAL)
    structure, _ = low.deep(2_000)
    assert isinstance(structure.transition, Pattern) and len(structure.transition.packed) < 300
    assert structure.memory_size == 1_999 and structure == low.past.structure(low.structure, 2_000)
    assert structure.patterns[0].all() and structure.patterns[0].shape == (1_999, 1, 1)


def test_a_nonlinear_sum_is_still_refused() -> None:
    with pytest.raises(SsmError, match="E304"):
        form = linear_form(check_text(FRACTIONAL.replace("x[t-k] for", "x[t-k]^2 for")).require())
        assert not isinstance(form, LinearForm)
        raise SsmError([o.diagnostic() for o in form])


def test_an_input_missing_where_a_weight_reads_it_is_found() -> None:
    text = "input u\nstate x\nobs y\nx[t] ~ Normal(sum(u[t] * x[t-k] for k in 1..t), 0.5)\ny[t] ~ Normal(x[t], 0.3)\n"
    low = lowered(text)
    u = np.ones(T)
    u[[0, 4]] = np.nan
    found = low.undefined({}, {"y": np.zeros(T)}, {"u": u}, T)
    assert np.flatnonzero(found["transition"].any(axis=1)).tolist() == [4]
    assert not low.undefined({}, {"y": np.zeros(1)}, {"u": np.full(1, np.nan)}, 1)["transition"].any()
