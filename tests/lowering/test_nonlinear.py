"""Models as general programs: laws, memories and first rows against what the equations say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines.nonlinear import Nonlinear
from ssmlang.inference.augmented import walks_of
from ssmlang.lowering.nonlinear import NonlinearLowering

ROWS = 6


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def program(text: str, params: Mapping[str, Any] = {}, data: Mapping[str, Any] = {}, latent: tuple[str, ...] = ()
            ) -> tuple[Nonlinear, Any, NonlinearLowering]:  # fmt: skip
    spec = ssmlang.compile(text).spec
    lowering = NonlinearLowering(spec, walks_of(spec), latent)
    blank = {n: jnp.full((ROWS, *o.shape), jnp.nan) for n, o in spec.observations.items()}
    inputs = {n: jnp.asarray(data[n]) for n in spec.inputs}
    seen = {n: jnp.asarray(data[n]) if n in data else v for n, v in blank.items()}
    found, y = lowering.program({n: jnp.asarray(v) for n, v in params.items()}, seen, inputs, ROWS)
    return found, y, lowering


def jacobian(p: Nonlinear, t: Any, s: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    e = jnp.zeros(p.facts.noises)
    move = lambda s, e: p.transition(t, s, e)
    value, (F, G) = jax.jit(lambda s, e: (move(s, e), jax.jacfwd(move, (0, 1))(s, e)))(s, e)
    return np.asarray(value), np.asarray(F), np.asarray(G)


def test_a_nonlinear_step_with_inputs_and_time() -> None:
    p, _, low = program(
        """
        input u
        state x[2]
        obs y
        init x ~ Normal([1, 2], 0.5)
        x[t, 0] = x[t-1, 1]
        x[t, 1] ~ Normal(sin(x[t-1, 0]) + u[t] * t, 0.1)
        y[t] ~ Normal(x[t, 0]^2, exp(x[t, 1]))
        """,
        data={"u": np.arange(ROWS, dtype=float)},
    )
    assert p.facts.N == 2 and p.facts.noises == 1 and p.facts.additive and p.facts.gaussian_transition
    assert not p.facts.density and low.states == ["x[0]", "x[1]"]
    s = jnp.array([0.3, -0.4])
    value, F, G = jacobian(p, 3, s)
    np.testing.assert_allclose(value, [-0.4, np.sin(0.3) + 9])
    np.testing.assert_allclose(F, [[0, 1], [np.cos(0.3), 0]])
    np.testing.assert_allclose(G, [[0], [0.1]])
    law = p.emission(jnp.asarray(3), s, jnp.array([1.0]))
    np.testing.assert_allclose(np.array([law.mean[0], law.cov[0, 0]]), [0.09, np.exp(-0.8)])
    found = p.log_emission(jnp.asarray(3), s, jnp.array([1.0]))
    np.testing.assert_allclose(found, stats.norm(0.09, np.exp(-0.4)).logpdf(1.0))
    assert p.log_emission(jnp.asarray(3), s, jnp.array([np.nan])) == 0
    mean, root = p.first(jnp.zeros(2)), jax.jacfwd(p.first)(jnp.zeros(2))
    np.testing.assert_allclose(mean, [1, 2])
    np.testing.assert_allclose(root @ root.T, np.eye(2) / 4)


def test_lags_and_late_noises_are_part_of_the_memory() -> None:
    p, _, low = program(
        """
        noise e ~ Normal(0, 2)
        state x
        obs y
        init x ~ Normal(0, 1)
        x[t] = 0.5 * x[t-1] + 0.2 * tanh(x[t-3]) + e[t] + 0.3 * e[t-1]
        y[t] ~ Normal(x[t] * x[t-1], 1)
        """
    )
    # x three rows deep, e one: what the next transition reads.
    assert p.facts.N == 4 and p.facts.n == 1 and low.memory.starts["noise", "e", 0] == 1
    order = [k[::2] for k in sorted(low.memory.starts, key=low.memory.starts.__getitem__)]
    assert order == [("state", 0), ("noise", 0), ("state", 1), ("state", 2)]
    s = jnp.array([1.0, 0.7, 2.0, 3.0])
    after = p.transition(jnp.asarray(4), s, jnp.array([0.5]))
    np.testing.assert_allclose(after, [0.5 + 0.2 * np.tanh(3.0) + 1.0 + 0.21, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(np.asarray(p.emission(jnp.asarray(4), s, jnp.array([np.nan])).mean), [2.0])


@pytest.mark.parametrize(
    ("init", "x", "y"),
    [
        ("x[-1]", "0.5 * x[t-1] + e[t] + 0.8 * e[t-1]", "Normal(x[t], 0.4)"),
        ("x[-1]", "0.5 * x[t-1] + 0.8 * e[t-1]", "Normal(x[t] + 0.7 * e[t], 0.4)"),
        ("x", "0.5 * x[t-1] + 0.3 * y[t-1] + 0.1 * e[t-1] + e[t]", "Normal(x[t] + 0.9 * e[t-1], 0.4)"),
    ],
    ids=["a state that moves from row 0 on", "one that observations tell", "an observation that is missing"],
)
def test_row_0_reads_a_noise_of_the_row_before_it(init: str, x: str, y: str) -> None:
    """It is as much of a draw as that of any row: the linear filter is exact here."""
    model = ssmlang.compile(f"""
        noise e ~ Normal(0, 1)
        state x
        obs y
        init {init} ~ Normal(1, 0.5)
        x[t] = {x}
        y[t] ~ {y}
        """)
    data = {"y": np.array([1.0, 2.0, np.nan, 0.5])}
    exact, found = (model.filter(data, {}, engine) for engine in ("kalman", "ekf"))
    for name in ("mean", "cov", "log_likelihood"):
        np.testing.assert_allclose(found[name], exact[name], atol=1e-12, err_msg=name)
    drawn = model.simulate(4, {}, draws=4000, seed=1).y[:, 0]
    law = exact.isel(time=0)
    assert abs(drawn.mean() - law.observed_mean[0]) < 4 * drawn.std() / 4000**0.5
    assert float(drawn.var() / law.observed_cov[0, 0]) == pytest.approx(1, abs=4 * (2 / 4000) ** 0.5)


def test_a_noise_shared_with_the_transition_is_correlated() -> None:
    p, _, _ = program(
        """
        noise e ~ Normal(0, 1)
        noise v ~ Normal(0, 0.5)
        state x
        obs y
        init x ~ Normal(0, 1)
        x[t] = 0.9 * x[t-1] + e[t]
        y[t] = exp(x[t]) + 0.4 * e[t] + v[t]
        """
    )
    # e stands in the memory, v does not: it is integrated out.
    assert p.facts.N == 2 and p.facts.noises == 1 and p.facts.gaussian_emission
    s = jnp.array([0.2, 0.6])
    law = p.emission(jnp.asarray(1), s, jnp.array([np.nan]))
    np.testing.assert_allclose(np.array([law.mean[0], law.cov[0, 0]]), [np.exp(0.2) + 0.24, 0.25])
    found = p.log_emission(jnp.asarray(1), s, jnp.array([2.0]))
    np.testing.assert_allclose(found, stats.norm(np.exp(0.2) + 0.24, 0.5).logpdf(2.0))


def test_observations_of_one_row_that_read_each_other() -> None:
    text = """
        state x
        obs cases, deaths
        init x ~ Normal(0, 1)
        x[t] ~ Normal(x[t-1], 0.1)
        cases[t] ~ Poisson(exp(x[t]))
        deaths[t] ~ Binomial(cases[t], 0.3)
        """
    p, _, _ = program(text)
    s, t = jnp.array([1.2]), jnp.asarray(2)
    rate = np.exp(1.2)
    found = jax.jit(p.log_emission)(t, s, jnp.array([5.0, 2.0]))
    np.testing.assert_allclose(found, stats.poisson(rate).logpmf(5) + stats.binom(5, 0.3).logpmf(2))
    # Of what is not seen: E and cov of (cases, deaths), deaths being Poisson(0.3 rate) again.
    law = jax.jit(p.observed)(t, s)
    np.testing.assert_allclose(law.mean, [rate, 0.3 * rate])
    np.testing.assert_allclose(law.cov, rate * np.array([[1, 0.3], [0.3, 0.3]]), rtol=1e-12)
    draws = jax.jit(jax.vmap(lambda k: p.sample_observed(k, t, s)))(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(np.mean(draws, axis=0), law.mean, rtol=0.05)


def test_an_observation_that_is_read_back_and_missing_is_part_of_the_state() -> None:
    text = """
        state x
        obs y
        init x ~ Normal(0, 1)
        x[t] ~ Normal(0.5 * x[t-1] + 0.1 * y[t-1]^2, 1)
        y[t] ~ Normal(x[t], 0.2)
        """
    seen, _, _ = program(text, data={"y": np.arange(ROWS, dtype=float)})
    assert seen.facts.N == 1
    np.testing.assert_allclose(seen.transition(jnp.asarray(3), jnp.array([1.0]), jnp.zeros(1)), [0.5 + 0.4])
    p, _, _ = program(text, latent=("y",))
    assert p.facts.N == 2 and p.facts.n == 1
    after = p.transition(jnp.asarray(3), jnp.array([1.0, 4.0]), jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(after, [0.5 + 1.6 + 1.0, 3.1 + 0.1])
    law = p.emission(jnp.asarray(3), after, jnp.array([np.nan]))
    np.testing.assert_allclose(np.array([law.mean[0], law.cov[0, 0]]), [3.2, 0.0])


def test_an_augmented_parameter_walks_on_its_unconstrained_scale() -> None:
    p, _, low = program(
        """
        augment param beta ~ LogNormal(0.5, 0.5) walk 0.05
        state x
        obs y
        let twice[t] = 2 * beta
        init x ~ Normal(0, 1)
        x[t] ~ Normal(beta * x[t-1], 1)
        y[t] ~ Normal(beta + x[t], 1)
        """
    )
    assert low.states == ["x", "beta"] and p.facts.noises == 2 and p.facts.density
    np.testing.assert_allclose(p.first(jnp.zeros(p.facts.first_noises)), [0, 0.5])
    s = jnp.array([2.0, 0.3])
    after = p.transition(jnp.asarray(1), s, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(after, [2 * np.exp(0.3), 0.35])  # the transition reads beta of the row before
    np.testing.assert_allclose(p.emission(jnp.asarray(1), after, jnp.zeros(1)).mean, [np.exp(0.35) + after[0]])
    np.testing.assert_allclose(p.definitions(jnp.asarray(1), after), [2 * np.exp(0.35)])
    truth = stats.norm(0.3, 0.05).logpdf(0.35) + stats.norm(2 * np.exp(0.3), 1).logpdf(float(after[0]))
    np.testing.assert_allclose(p.log_transition(jnp.asarray(1), s, after), truth)


def test_a_first_row_that_the_transition_gives() -> None:
    p, _, _ = program(
        """
        state x
        obs y
        init x[-1] ~ Normal(3, 0.5)
        x[t] ~ Normal(0.5 * x[t-1] + t, 0.2)
        y[t] ~ Poisson(exp(x[t]))
        """
    )
    mean, root = p.first(jnp.zeros(2)), jax.jacfwd(p.first)(jnp.zeros(2))
    np.testing.assert_allclose(np.array([mean[0], (root @ root.T)[0, 0]]), [1.5, 0.25 * 0.25 + 0.04])


def test_a_stationary_start() -> None:
    p, _, _ = program(
        """
        param phi in (-1, 1) ~ Uniform(-1, 1)
        state h
        obs y
        init h ~ Stationary()
        h[t] ~ Normal(phi * h[t-1], 0.3)
        y[t] ~ Normal(0, exp(h[t] / 2))
        """,
        {"phi": 0.8},
    )
    root = np.asarray(jax.jit(jax.jacfwd(p.first))(np.zeros(p.facts.first_noises)))
    np.testing.assert_allclose((root @ root.T)[0, 0], 0.09 / (1 - 0.64), rtol=1e-10)
    draws = np.asarray(jax.jit(jax.vmap(p.sample_first))(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_allclose(draws.std(), np.sqrt(0.25), rtol=0.05)


def test_draws_of_a_discrete_state_and_of_counts_stay_in_range() -> None:
    p, _, _ = program(
        """
        axis regime = {low, high}
        state s in regime
            state N in 0..5
        obs y
        init s ~ Categorical([0.5, 0.5])
        init N ~ Poisson(3)
        s[t] ~ Categorical([[0.9, 0.1], [0.2, 0.8]][s[t-1]])
        N[t] ~ Poisson(1 + N[t-1])
        y[t] ~ Normal(N[t] * (if s[t] == high then 2 else 1), 1)
        """
    )
    assert p.facts.discrete == (0, 1) and not p.facts.gaussian_transition
    keys = jax.random.split(jax.random.key(1), 500)
    first = jax.jit(jax.vmap(p.sample_first))(keys)
    after = np.asarray(jax.jit(jax.vmap(lambda k, s: p.sample(k, jnp.asarray(1), s)))(keys, first))
    assert set(after[:, 0]) == {0.0, 1.0} and after[:, 1].min() >= 0 and after[:, 1].max() == 5
    law = p.emission(jnp.asarray(1), jnp.array([1.0, 4.0]), jnp.zeros(1))
    np.testing.assert_allclose(law.mean, [8.0])
    truth = np.log(0.8) + stats.poisson(4.0).logpmf(2) - np.log(stats.poisson(4.0).cdf(5))
    found = jax.jit(p.log_transition)(jnp.asarray(1), jnp.array([1.0, 3.0]), jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(found, truth, rtol=1e-10)


@pytest.mark.parametrize("emission, affine", [
    ("y[t] ~ Normal([2 * x[t] + u[t], u[t] * x[t-1]], 0.1)", True),
    ("y[t] ~ Normal([sin(x[t]), x[t]], 0.1)", False),
    ("y[t] ~ Normal([x[t], 1], exp(x[t]))", False),
    ("y[t] ~ Poisson(exp([x[t], 1]))", False),
    ("y[t, 0] ~ Normal(x[t], 1)\ny[t, 1] ~ Normal(y[t, 0] * x[t], 1)", False),
    ("y[t, 0] ~ Normal(x[t], 1)\ny[t, 1] ~ Normal(y[t-1, 0] * x[t], 1)", True),
])  # fmt: skip
def test_what_is_seen_linearly_of_a_bent_state_is_known_to_be(emission: str, affine: bool) -> None:
    text = f"input u\nstate x\nobs y[2]\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sin(x[t-1]), 1)\n{emission}"
    _, _, low = program(text, data={"u": np.ones(ROWS)})
    assert low.facts.linear_emission == affine and not low.facts.linear
