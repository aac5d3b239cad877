"""Programs of discrete states, lowered and run, against enumeration of every path."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines.discrete import Discrete
from ssmlang.lowering.discrete import ChainLowering
from ssmlang.model.chains import ChainForm, chain_form
from tests.lowering import gnp
from tests.lowering.enumeration import every_path

nan = np.nan


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def lowered(text: str, **constants) -> ChainLowering:
    spec = ssmlang.compile(text, constants=constants).spec
    form = chain_form(spec)
    assert isinstance(form, ChainForm), form
    return ChainLowering(spec, form)


def found(low: ChainLowering, params, data, inputs=None):
    """Log-likelihood and smoothed results, compiled."""
    steps = len(next(iter(data.values())))
    engine = Discrete()

    def run(params, data, inputs):
        program, y = low.program(params, data, inputs, steps)
        return engine.log_likelihood(program, y), engine.smooth(program, y)

    return jax.jit(run)(params, data, inputs or {})


def test_hamiltons_model_of_growth_has_its_published_likelihood():
    low = lowered(gnp.MODEL)
    assert low.groups[0].memory.size == 32
    value, _ = found(low, gnp.PUBLISHED, {"y": gnp.GROWTH})
    assert float(value) == pytest.approx(gnp.LOG_LIKELIHOOD, abs=5e-5)


def test_its_smoothed_probabilities_are_those_of_statsmodels():
    sm = pytest.importorskip("statsmodels.tsa.regime_switching.markov_autoregression")
    model = sm.MarkovAutoregression(gnp.GROWTH, k_regimes=2, order=4, switching_ar=False)
    p = gnp.PUBLISHED
    raw = np.r_[p["stay"][0], 1 - p["stay"][1], p["growth"], p["sd"] ** 2, p["phi"]]
    result = model.smooth(raw)
    low = lowered(gnp.MODEL)
    value, smoothed = found(low, p, {"y": gnp.GROWTH})
    assert float(value) == pytest.approx(result.llf, abs=1e-9)
    regime = low.groups[0].memory.marginal(smoothed.smoothed[0][0], 0)
    np.testing.assert_allclose(regime[4:], result.smoothed_marginal_probabilities, atol=1e-10)


TWO = """axis regime = {calm, wild}
axis side = {left, right}
param mu[regime] ~ Normal(0, 1)
param b ~ Normal(0, 1)
input X
state s in regime
state u in side
obs y, k
init s ~ Categorical([0.3, 0.7])
init u ~ Categorical([0.5, 0.5])
s[t] ~ Categorical(if s[t-1] == calm then [0.9, 0.1] else [0.2, 0.8])
u[t] ~ Bernoulli(sigmoid(b * X[t] + 0.3 * (if u[t-1] == right then 1 else 0) + 0.1 * t))
y[t] ~ Normal(mu[s[t]] + (if u[t] == left then 1 else 0), if s[t] == wild then 2 else 1)
k[t] ~ Poisson(if u[t] == right then 3 else 1)
"""


def test_states_that_meet_in_an_emission_transitions_that_change_and_gaps():
    y = np.array([0.3, nan, -1.0, 2.0, 0.4])
    k = np.array([1.0, 2.0, nan, 0.0, 4.0])
    X = np.array([9.0, 0.5, -0.3, 0.2, 1.0])
    params = {"mu": np.array([0.2, -0.5]), "b": np.array(0.7)}
    value, smoothed = found(lowered(TWO), params, {"y": y, "k": k}, {"X": X})

    def move(t, path):
        (s0, u0), (s, u) = path[-2:]
        p = [[0.9, 0.1], [0.2, 0.8]][s0][s]
        right = 1 / (1 + np.exp(-(0.7 * X[t] + 0.3 * u0 + 0.1 * t)))
        return p * (right if u else 1 - right)

    def seen(t, path):
        s, u = path[-1]
        out = 1.0 if np.isnan(y[t]) else stats.norm.pdf(y[t], params["mu"][s] + (1 - u), [1, 2][s])
        return out if np.isnan(k[t]) else out * stats.poisson.pmf(k[t], [1, 3][u])

    states = list(itertools.product((0, 1), repeat=2))
    total, marginal, best = every_path(states, 5, lambda x: [0.3, 0.7][x[0]] * 0.5, move, seen)
    assert float(value) == pytest.approx(total, abs=1e-12)
    np.testing.assert_allclose(smoothed.smoothed[0][0], marginal, atol=1e-12)
    assert [states[int(i)] for i in smoothed.path[0][0]] == list(best)


ORDER_TWO = """axis regime = {{a, b}}
param p in (0, 1) ~ Beta(2, 2)
state s in regime
obs y
{init}
s[t] ~ Bernoulli(if s[t-1] == s[t-2] then p else 0.4 + 0.2 * (if s[t-1] == a then 1 else 0))
y[t] ~ Normal(if s[t-1] == a then 0 else 2, 1)
"""


def _order_two(s1, s2, s):
    p = 0.8 if s1 == s2 else 0.4 + 0.2 * (s1 == 0)
    return p if s else 1 - p


def test_order_two_with_a_law_for_each_first_row():
    y = np.array([0.5, 1.5, nan, 2.5])
    low = lowered(ORDER_TWO.format(init="init s ~ Bernoulli(0.3)"))
    value, smoothed = found(low, {"p": np.array(0.8)}, {"y": y})
    # A path's elements are (s_{t-1}, s_t).
    pairs = list(itertools.product((0, 1), repeat=2))
    b = lambda s: 0.3 if s else 0.7

    def move(t, path):
        (s2, s1), (before, s) = path[-2:]
        return _order_two(s1, s2, s) if before == s1 else 0.0

    def seen(t, path):
        return 1.0 if np.isnan(y[t]) else stats.norm.pdf(y[t], 2 * path[-1][0], 1)

    total, marginal, _ = every_path(pairs, 4, lambda x: b(x[0]) * b(x[1]), move, seen)
    assert float(value) == pytest.approx(total, abs=1e-12)
    of_now = np.stack([marginal[:, [i for i, x in enumerate(pairs) if x[1] == s]].sum(1) for s in (0, 1)], axis=1)
    np.testing.assert_allclose(low.groups[0].memory.marginal(smoothed.smoothed[0][0], 0), of_now, atol=1e-12)


def test_order_two_from_its_stationary_law():
    y = np.array([0.5, 1.5, nan, 2.5])
    low = lowered(ORDER_TWO.format(init="init s ~ Stationary()"))
    value, _ = found(low, {"p": np.array(0.8)}, {"y": y})
    pairs = list(itertools.product((0, 1), repeat=2))
    A = np.zeros((4, 4))
    for i, (s2, s1) in enumerate(pairs):
        for s in (0, 1):
            A[i, pairs.index((s1, s))] = _order_two(s1, s2, s)
    pi = np.linalg.matrix_power(A, 4000)[0]
    move = lambda t, path: A[pairs.index(path[-2]), pairs.index(path[-1])]
    seen = lambda t, path: 1.0 if np.isnan(y[t]) else stats.norm.pdf(y[t], 2 * path[-1][0], 1)
    total, _, _ = every_path(pairs, 4, lambda x: pi[pairs.index(x)], move, seen)
    assert float(value) == pytest.approx(total, abs=1e-12)


COUNTS = """const top = 6
axis site = 1..2
param rate ~ HalfNormal(1)
param found in (0, 1) ~ Beta(1, 1)
state N[site] in 0..top
obs y[site]
init N ~ Poisson(3)
N[t, i] ~ Poisson(rate * N[t-1, i] + 0.5) for i in site
y[t, i] ~ Binomial(N[t, i], found) for i in site
"""


def test_truncated_counts_are_normalised_and_sites_run_apart():
    low = lowered(COUNTS)
    assert low.groups[0].entries.shape == (2, 1)
    y = np.array([[2.0, 1.0], [3.0, nan], [nan, 0.0]])
    value, smoothed = found(low, {"rate": np.array(0.9), "found": np.array(0.6)}, {"y": y})

    def truncated(rate, n):
        p = stats.poisson.pmf(np.arange(7), rate)
        return p[n] / p.sum()

    total = 0.0
    for i in (0, 1):
        one, marginal, _ = every_path(
            list(range(7)), 3, lambda n: truncated(3, n), lambda t, p: truncated(0.9 * p[-2] + 0.5, p[-1]),
            lambda t, p, i=i: 1.0 if np.isnan(y[t, i]) else stats.binom.pmf(y[t, i], p[-1], 0.6),
        )  # fmt: skip
        total += one
        np.testing.assert_allclose(smoothed.smoothed[0][i], marginal, atol=1e-12)
    assert float(value) == pytest.approx(total, abs=1e-12)


def test_what_is_exact_and_what_starts_before_the_data():
    """A countdown: s falls to zero and is drawn anew; row 0 comes from a law of row -1."""
    text = """param q in (0, 1) ~ Beta(1, 1)
state fresh in 0..2
state s in 0..2
obs y in 0..1
init s[-1] ~ Categorical([0.2, 0.3, 0.5])
fresh[t] ~ Categorical([0.5, 0.25, 0.25])
s[t] = if s[t-1] > 0 then s[t-1] - 1 else fresh[t]
y[t] ~ Bernoulli(if s[t] == 0 then q else 0)
"""
    y = np.array([1.0, nan, 0.0, 1.0])
    value, _ = found(lowered(text), {"q": np.array(0.7)}, {"y": y})
    f, first = [0.5, 0.25, 0.25], [0.2, 0.3, 0.5]

    def step(s0, s):
        return float(s == s0 - 1) if s0 else f[s]

    def seen(t, p):
        q = 0.7 if p[-1] == 0 else 0.0
        return 1.0 if np.isnan(y[t]) else (q if y[t] else 1 - q)

    start = lambda s: sum(first[r] * step(r, s) for r in range(3))
    total, _, _ = every_path([0, 1, 2], 4, start, lambda t, p: step(p[-2], p[-1]), seen)
    assert float(value) == pytest.approx(total, abs=1e-12)


def test_several_laws_of_observations_and_parts_of_vectors():
    text = """axis regime = {a, b}
axis k = 1..3
param w ~ Normal(0, 1)
state s in regime
obs v[k], n[k], share[k]
init s ~ Categorical([0.4, 0.6])
s[t] ~ Categorical(if s[t-1] == a then [0.7, 0.3] else [0.1, 0.9])
v[t] ~ MvNormal(if s[t] == a then [0, 0, 0] else [1, w, 0], cov=[[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]])
n[t] ~ Multinomial(7, probs=if s[t] == a then [0.2, 0.3, 0.5] else [0.6, 0.2, 0.2])
share[t] ~ Dirichlet(if s[t] == a then [2, 3, 4] else [5, 1, 1])
"""
    v = np.array([[0.2, nan, 1.0], [nan, nan, nan], [0.1, 0.5, -0.3]])
    n = np.array([[3.0, 2.0, 2.0], [nan, 2.0, nan], [1.0, nan, 4.0]])
    share = np.array([[0.2, 0.3, 0.5], [nan, nan, nan], [0.25, nan, nan]])
    value, _ = found(lowered(text), {"w": np.array(0.3)}, {"v": v, "n": n, "share": share})
    cov = np.array([[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1.0]])
    mean, probs, conc = ([0, 0, 0], [1, 0.3, 0]), ([0.2, 0.3, 0.5], [0.6, 0.2, 0.2]), ([2, 3, 4], [5, 1, 1])

    def seen(t, path):
        s = path[-1]
        at = np.flatnonzero(~np.isnan(v[t]))
        out = stats.multivariate_normal.pdf(v[t][at], np.array(mean[s])[at], cov[np.ix_(at, at)]) if len(at) else 1.0
        p = np.array(probs[s])
        out *= [stats.multinomial.pmf([3, 2, 2], 7, p), stats.binom.pmf(2, 7, p[1]),
                stats.multinomial.pmf([1, 4, 2], 7, [p[0], p[2], p[1]])][t]  # fmt: skip
        a = np.array(conc[s])
        return out * [stats.dirichlet.pdf([0.2, 0.3, 0.5], a), 1.0, stats.beta.pdf(0.25, a[0], a[1] + a[2])][t]

    total, _, _ = every_path([0, 1], 3, lambda s: [0.4, 0.6][s], lambda t, p: [[0.7, 0.3], [0.1, 0.9]][p[-2]][p[-1]],
                             seen)  # fmt: skip
    assert float(value) == pytest.approx(total, abs=1e-12)


def test_the_gradient_in_the_parameters_is_that_of_finite_differences():
    low = lowered(gnp.MODEL)
    y = gnp.GROWTH[:30]

    def value(params):
        program, seen = low.program(params, {"y": y}, {}, len(y))
        return Discrete(once=True).log_likelihood(program, seen)

    params = {n: jnp.asarray(v) for n, v in gnp.PUBLISHED.items()}
    slope = jax.jit(jax.grad(value))(params)
    f, h = jax.jit(value), 1e-5
    for name, v in params.items():
        for i in range(v.size):
            step = jnp.zeros(v.size).at[i].set(h).reshape(v.shape)
            up, down = f({**params, name: v + step}), f({**params, name: v - step})
            np.testing.assert_allclose(slope[name].reshape(-1)[i], (up - down) / (2 * h), rtol=2e-7, atol=1e-7)


def test_what_cannot_be_run_is_said_at_its_line():
    def codes(text):
        against = chain_form(ssmlang.compile(text).spec)
        assert isinstance(against, tuple)
        return [(o.code, o.span.text if o.span else "") for o in against]

    joint = """axis i = 1..12
state s[i] in 0..9
obs y
init s ~ Categorical([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
s[t, k] ~ Binomial(9, 0.5 * s[t-1, k] / 9) for k in i
y[t] ~ Poisson(1 + sum(s[t, k] for k in i))
"""
    assert codes(joint) == [("E315", "s[i] in 0..9"[:1])]
    (obstacle,) = chain_form(ssmlang.compile(joint).spec)
    assert "s[1], s[2], s[3], s[4] and 8 more meet" in obstacle.label
    endless = "state N in 0..inf\nobs y\ninit N ~ Poisson(3)\nN[t] ~ Poisson(1 + N[t-1])\ny[t] ~ Poisson(1 + N[t])\n"
    assert "E306" in [c for c, _ in codes(endless)]
    mixed = "state s in 0..1\nstate x\nobs y\ninit s ~ Bernoulli(0.5)\ninit x ~ Normal(0, 1)\n" \
            "s[t] ~ Bernoulli(0.5)\nx[t] ~ Normal(x[t-1], 1 + s[t])\ny[t] ~ Normal(x[t], 1)\n"  # fmt: skip
    assert codes(mixed) == [("E306", "x")]
    moving = "state s in 0..1\nobs y\ninit s ~ Stationary()\ns[t] ~ Bernoulli(if s[t-1] == 1 then 0.1 else t / 100)\n" \
             "y[t] ~ Normal(s[t], 1)\n"  # fmt: skip
    assert codes(moving)[0][0] == "E305"
