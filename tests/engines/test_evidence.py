"""The likelihood of observations that are not Gaussian, by engines that work with moments: against a grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import ssmlang
from ssmlang.engines import EKF, IEKF, IPLS, UKF, Cubature, GaussHermite
from ssmlang.engines._evidence import axes, evidence
from ssmlang.engines._linearise import Affine
from ssmlang.engines.nonlinear import Law
from tests.engines.grid_oracle import EMISSIONS, PARAMS, autoregression, text
from tests.engines.programs import jit
from tests.engines.test_laplace import Case

OWN: dict[str, tuple[str, Any]] = {
    "rare": ("Poisson(exp(x[t] - 2))", lambda x, y: scipy.stats.poisson.logpmf(y, np.exp(x - 2))),
    "frequent": ("Poisson(exp(x[t] + 4))", lambda x, y: scipy.stats.poisson.logpmf(y, np.exp(x + 4))),
    "category": (
        "Categorical(logits = [0, x[t], -x[t] / 2])",
        lambda x, y: (a := np.stack([0 * x, x, -x / 2]))[int(y)] - scipy.special.logsumexp(a, axis=0),
    ),
}
LAWS = EMISSIONS | OWN

# Within how much of the truth the log-likelihood of 60 rows is. By the Gaussian density of the statistic it is off by
# 3.1 (rare), 9.2 (poisson), 29 (negative_binomial), 2.1 (bernoulli), 1.2 (binomial), 4.4 (student), 2.5 (category).
UNSCENTED = {"rare": 0.1, "poisson": 0.3, "negative_binomial": 0.7, "bernoulli": 0.05, "binomial": 0.05, "student": 1.0,
             "category": 0.05}  # fmt: skip


def case_of(name: str, steps: int = 60) -> Case:
    return Case(text("poisson").replace(EMISSIONS["poisson"][0], LAWS[name][0]), PARAMS, steps=steps)


def truth(case: Case, name: str) -> np.ndarray:
    return autoregression(case.data["y"], LAWS[name][1], **PARAMS, points=601).terms


def off(case: Case, name: str, engine: Any) -> float:
    return abs(float(jit(lambda: engine.log_likelihood(*case.program()))()) - truth(case, name).sum())


@pytest.mark.parametrize("name", UNSCENTED)
def test_unscented_points_give_the_probability_of_counts_and_categories(name: str) -> None:
    case = case_of(name)
    found = jit(lambda: UKF().log_likelihood_terms(*case.program()))()
    exact = truth(case, name)
    assert abs(found.sum() - exact.sum()) < UNSCENTED[name]
    np.testing.assert_allclose(found, exact, atol=1.0)
    assert found[7] == 0.0 and exact[7] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("engine", [Cubature(), GaussHermite(), IPLS(), IEKF(), UKF(covariance="factor")],
                         ids=lambda e: f"{e.name}-{e.covariance}")  # fmt: skip
def test_so_do_the_others(engine: Any) -> None:
    assert off(case_of("poisson"), "poisson", engine) < 1.0


def test_where_the_emission_bends_within_the_law_ahead_iterating_makes_law_and_likelihood_right() -> None:
    case = case_of("frequent")
    assert off(case, "frequent", IPLS()) < 0.3 and off(case, "frequent", IEKF()) < 0.3
    assert off(case, "frequent", UKF()) > 1.0


def test_its_derivative_is_that_of_the_number() -> None:
    case = case_of("poisson", steps=12)
    ask = jit(jax.value_and_grad(lambda p: UKF().log_likelihood(*case.program(p))))
    slope = ask(case.params)[1]
    for name, value in case.params.items():
        h = 1e-5
        up, down = (float(ask({**case.params, name: value + d})[0]) for d in (h, -h))
        assert float(slope[name]) == pytest.approx((up - down) / (2 * h), rel=1e-6)


TURNED = """
param mean ~ Normal(0, 1)
param phi in (-1, 1) ~ Normal(0.9, 0.1)
param sd ~ HalfNormal(1)
noise e ~ Normal(0, 1)
state u, v
obs y
init u ~ Normal(0.3, 0.8)
init v ~ Normal(0, 0.5)
u[t] = mean + phi * (u[t-1] - v[t-1] - mean) + sd * e[t] + v[t]
v[t] ~ Normal(0.5 * v[t-1], 0.7)
y[t] ~ Poisson(exp(u[t] - v[t]))
"""


def test_it_does_not_depend_on_coordinates() -> None:
    """A count that sees a difference of two states, one of which it says nothing of: as if it saw the one state."""
    turned = Case(TURNED, PARAMS, steps=20)
    plain = Case(text("poisson", "Normal(0.3, 0.8)").replace("Stationary()", ""), PARAMS, steps=20)
    plain.data = turned.data
    # The first law of u - v is wider than that of x: row 0 aside, they differ by what that leaves.
    start = Case(text("poisson", f"Normal(0.3, {np.sqrt(0.8**2 + 0.5**2)})"), PARAMS, steps=20)
    start.data = turned.data
    terms = jit(lambda: [EKF().log_likelihood_terms(*case.program()) for case in (turned, plain, start)])
    wide, narrow, same = map(np.asarray, terms())
    np.testing.assert_allclose(wide, same, atol=1e-9)
    assert np.abs(narrow - same).max() > 1e-3


def test_axes_make_up_the_covariance() -> None:
    rng = np.random.default_rng(0)
    for n, k, rank in ((1, 1, 1), (4, 1, 4), (4, 2, 3), (3, 5, 3), (30, 2, 30)):
        root = rng.normal(size=(n, rank))
        P, A = root @ root.T, rng.normal(size=(k, n))
        found = np.asarray(jit(lambda P, A, n=n: axes(Law(jnp.zeros(n), P), A, n <= 24))(P, A))
        if n > 24:  # along what is seen alone
            np.testing.assert_allclose(A @ found @ found.T @ A.T, A @ P @ A.T, rtol=1e-9)
            assert found.shape == (n, k)
        else:
            np.testing.assert_allclose(found @ found.T, P, atol=1e-10)


def test_it_is_the_gaussian_density_where_the_law_is_gaussian() -> None:
    rng = np.random.default_rng(1)
    A, m, z = rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=2)
    P, R = (M @ M.T for M in (rng.normal(size=(3, 3)), rng.normal(size=(2, 2))))
    S = A @ P @ A.T + R
    K = np.linalg.solve(S, A @ P).T
    ahead, after = Law(*map(jnp.asarray, (m, P))), Law(*map(jnp.asarray, (m + K @ (z - A @ m), P - K @ S @ K.T)))
    sight = Affine(jnp.asarray(A), jnp.zeros(2), jnp.asarray(R))
    normal = lambda s: jax.scipy.stats.multivariate_normal.logpdf(z, sight.A @ s, sight.Omega)
    both = jnp.ones(2, bool)
    never, nowhere = (lambda s, v=v: jnp.asarray(v) for v in (-jnp.inf, jnp.nan))
    ask = lambda law: evidence(law, ahead, after, sight, jnp.asarray(z), both, True)
    found, impossible, beyond = map(float, jit(lambda: [ask(law) for law in (normal, never, nowhere)])())
    assert found == pytest.approx(scipy.stats.multivariate_normal(A @ m, S).logpdf(z), rel=1e-10)
    # An observation that the law cannot give has no probability; a mean that it cannot have falls back on the stand-in.
    assert impossible == -jnp.inf
    assert beyond == pytest.approx(found)


def test_beside_an_exact_observation_only_counts_have_a_law_of_their_own() -> None:
    """The state is known from the other observation: the count's own probability, and none where the two disagree."""
    model = ssmlang.compile("state x\nobs y, n\ninit x ~ Normal(0, 1)\nx[t] = x[t-1]\ny[t] = 2 * x[t]\n"
                            "n[t] ~ Poisson(exp(x[t]))")  # fmt: skip
    agrees, disagrees = ({"y": np.array([0.6, y]), "n": np.array([1.0, 2.0])} for y in (0.6, 0.7))
    exact = scipy.stats.norm.logpdf(0.6, 0, 2) + scipy.stats.poisson.logpmf([1, 2], np.exp(0.3)).sum()
    assert float(model.log_likelihood(agrees, {}, engine="ukf")) == pytest.approx(exact, rel=1e-12)
    assert float(model.log_likelihood(disagrees, {}, engine="ukf")) == -np.inf
