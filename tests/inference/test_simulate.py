"""Forward simulation against exact moments."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg

import ssmlang
from ssmlang.inference.simulate import Simulator
from ssmlang.language.diagnostics import SsmError


def run(text: str, steps: int, draws: int = 4000, seed: int = 0, constants: Any = None, **kwargs: Any
        ) -> dict[str, np.ndarray]:  # fmt: skip
    model = ssmlang.compile(text, constants=constants).spec
    params = {n: np.broadcast_to(np.asarray(v, float), (draws, *np.shape(v)))
              for n, v in kwargs.pop("params", {"_": 0.0}).items()}  # fmt: skip
    return Simulator(model).run(jax.random.key(seed), steps, params, **kwargs)


def close(sample: np.ndarray, exact: Any, sd: Any, count: int, factor: float = 4.5) -> None:
    assert (np.abs(sample - exact) < factor * np.asarray(sd) / count**0.5).all(), (sample, exact)


def covariances(x: np.ndarray, exact: np.ndarray) -> None:
    """The sample covariance of Gaussian rows (draws, k) against the exact one."""
    d = np.diag(exact)
    close(np.cov(x.T), exact, np.sqrt(np.outer(d, d) + exact**2), len(x))


def test_a_stationary_ar2_starts_in_its_law_and_stays_there() -> None:
    text = ("state x\nobs y\ninit x ~ Stationary()\nx[t] ~ Normal(1 + 0.5*x[t-1] + 0.3*x[t-2], 2)\n"
            "y[t] ~ Normal(x[t], 1)\n")  # fmt: skip
    out = run(text, 4)
    F = np.array([[0.5, 0.3], [1, 0]])
    P = scipy.linalg.solve_discrete_lyapunov(F, np.diag([4.0, 0]))
    gamma = [P[0, 0], P[0, 1]]
    for _ in range(2):
        gamma.append(0.5 * gamma[-1] + 0.3 * gamma[-2])
    covariances(out["x"], scipy.linalg.toeplitz(gamma))
    close(out["x"].mean(0), 1 / 0.2, P[0, 0] ** 0.5, 4000)
    covariances((out["y"] - out["x"]), np.eye(4))


def test_named_noises_are_shared_and_remembered_from_before_the_first_row() -> None:
    # ARMA(1, 1) in its stationary law: gamma_0 and gamma_1 by hand; the observation shares the state's noise.
    text = ("noise e ~ Normal(0, 2)\nstate x\nobs y\ninit x ~ Stationary()\n"
            "x[t] = 0.6*x[t-1] + e[t] + 0.5*e[t-1]\ny[t] = x[t] - e[t]\n")  # fmt: skip
    out = run(text, 3)
    phi, theta, s2 = 0.6, 0.5, 4.0
    g0 = s2 * (1 + 2 * phi * theta + theta**2) / (1 - phi**2)
    g1 = phi * g0 + theta * s2
    covariances(out["x"], scipy.linalg.toeplitz([g0, g1, phi * g1]))
    # y_t = x_t - e_t is uncorrelated with e_t: var(y) = g0 - s2.
    close(out["y"].var(0), g0 - s2, (g0 - s2) * 2**0.5, 4000)


def test_a_vector_of_lags_inputs_and_order_of_equations() -> None:
    text = ("axis plane = {east, north}\nparam a\ninput u\nstate pos[plane], vel[plane]\nobs y\n"
            "y[t] ~ Normal(pos[t, east] + total[t], 0.1)\nlet total[t] = sum(vel[t, i] for i in plane)\n"
            "pos[t] = pos[t-1] + vel[t]\nvel[t, east] ~ Normal(a * vel[t-1, east] + u[t], 1)\n"
            "vel[t, north] = vel[t-1, north] + pos[t-1, east]\n"
            "init pos = 0\ninit vel ~ Normal(1, 0.5)\n")  # fmt: skip
    out = run(text, 3, params={"a": 0.5}, inputs={"u": np.array([9.0, 1.0, -1.0])})
    v, p = out["vel"], out["pos"]
    np.testing.assert_allclose(p[:, 0], 0.0)
    np.testing.assert_allclose(p[:, 1], v[:, 1])
    np.testing.assert_allclose(v[:, 2, 1], v[:, 1, 1] + p[:, 1, 0])
    np.testing.assert_allclose(out["total"], v.sum(-1))
    close((v[:, 1, 0] - 0.5 * v[:, 0, 0]).mean(), 1.0, 1.0, 4000)
    close(v[:, 0].mean(0), 1.0, 0.5, 4000)
    close((out["y"] - p[..., 0] - out["total"]).std(), 0.1, 0.1, 8000)


def test_a_markov_chain_and_labels() -> None:
    text = ("axis regime = {up, down}\nparam growth[regime]\nstate s in regime\nobs y\ninit s ~ Stationary()\n"
            "let P = [[0.9, 0.1], [0.3, 0.7]]\ns[t] ~ Categorical(P[s[t-1]])\n"
            "y[t] ~ Normal(growth[s[t]], 0.01)\n")  # fmt: skip
    out = run(text, 5, params={"growth": [1.0, -1.0]})
    s = out["s"]
    close((s == 0).mean(0), 0.75, (0.75 * 0.25) ** 0.5, 4000)
    before = s[:, :-1].ravel()
    close((s[:, 1:].ravel()[before == 1] == 0).mean(), 0.3, 0.46, (before == 1).sum())
    assert (np.sign(out["y"]) == 1 - 2 * s).all()


def test_discrete_laws_ranges_and_feedback() -> None:
    text = ("state n in 0..3\nobs seen, parts[3]\ninit n ~ Poisson(1)\nn[t] ~ Poisson(2)\n"
            "seen[t] ~ Binomial(n[t], 0.5)\nparts[t] ~ Multinomial(n[t], [0.2, 0.3, 0.5])\n")  # fmt: skip
    out = run(text, 2)
    law = np.array([1, 2, 2, 4 / 3]) / np.sum([1, 2, 2, 4 / 3])
    close(np.array([(out["n"][:, 1] == k).mean() for k in range(4)]), law, np.sqrt(law * (1 - law)), 4000)
    assert (out["parts"].sum(-1) == out["n"]).all() and (out["seen"] <= out["n"]).all()
    close(out["parts"].mean((0, 1)) / out["n"].mean(), [0.2, 0.3, 0.5], 0.6, 8000)


def test_the_whole_past() -> None:
    text = "state x\nobs y\ninit x = 1\nx[t] = sum(x[t-k] for k in 1..t)\ny[t] ~ Normal(x[t], 1)\n"
    np.testing.assert_allclose(run(text, 7, draws=2)["x"][0], [1, 1, 2, 4, 8, 16, 32])


def test_augmented_parameters_walk_on_their_unconstrained_scale() -> None:
    text = ("augment param theta ~ LogNormal(0, 0.5) walk 0.2\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x = 0\n"
            "x[t] = theta * 1\ny[t] ~ Normal(theta, s)\n")  # fmt: skip
    out = run(text, 4, params={"s": 1e-3})
    z = np.log(out["theta"])
    close(z.var(0), 0.25 + 0.04 * np.arange(4), (0.25 + 0.04 * np.arange(4)) * 2**0.5, 4000)
    # theta[t-1] in a transition, theta[t] in an emission
    np.testing.assert_allclose(out["x"][:, 1:], out["theta"][:, :-1])
    np.testing.assert_allclose(out["y"], out["theta"], atol=0.01)
    fixed = run(text, 2, draws=3, params={"s": 1.0, "theta": 2.0})
    np.testing.assert_allclose(fixed["theta"][:, 0], 2.0)


def test_a_stochastic_differential_equation_in_its_stationary_law() -> None:
    text = ("param rate\ninput dt\nstate x\nobs y\ninit x ~ Stationary()\nd(x) = rate * (2 - x) * dt + 0.8 * dW\n"
            "y[t] ~ Normal(x[t], 1)\n")  # fmt: skip
    out = run(text, 3, params={"rate": 0.7}, inputs={"dt": np.array([0.0, 1.0, 0.5])})
    times = np.array([0.0, 1.0, 1.5])
    covariances(out["x"], 0.64 / 1.4 * np.exp(-0.7 * np.abs(times[:, None] - times)))
    close(out["x"].mean(0), 2.0, (0.64 / 1.4) ** 0.5, 4000)


def test_a_joint_law_with_a_diffuse_and_a_stationary_part() -> None:
    text = ("state a, b\nobs y\ninit a ~ Diffuse()\ninit b ~ Stationary()\n"
            "(a[t], b[t]) ~ MvNormal([a[t-1], 0.5*b[t-1]], [[1, 0.6], [0.6, 2]])\ny[t] = a[t] + b[t]\n")  # fmt: skip
    with pytest.raises(SsmError) as caught:
        run(text, 3)
    assert caught.value.diagnostics[0].code == "E447"
    out = run(text, 2, init={"a": 10.0})
    np.testing.assert_allclose(out["a"][:, 0], 10.0)
    covariances(out["b"], 2 / 0.75 * np.array([[1, 0.5], [0.5, 1]]))
    shocks = np.stack([out["a"][:, 1] - 10, out["b"][:, 1] - 0.5 * out["b"][:, 0]], axis=1)
    covariances(shocks, np.array([[1, 0.6], [0.6, 2]]))


def test_what_cannot_be_computed_is_named() -> None:
    text = "obs y\ny[t] ~ Normal(0.5 * y[t-1], 1)\n"
    with pytest.raises(SsmError) as caught:
        run(text, 3)
    assert caught.value.diagnostics[0].code == "E448" and "init=" in caught.value.diagnostics[0].help[0]
    out = run(text, 3, init={"y": 4.0})
    close((out["y"][:, 1] - 2.0).mean(), 0.0, 1.0, 4000)
    with pytest.raises(SsmError) as caught:
        run(text, 3, init={"x": 4.0})
    assert caught.value.diagnostics[0].code == "E447"


def test_the_seed_decides() -> None:
    text = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ StudentT(3, x[t-1], 1)\ny[t] ~ Poisson(exp(x[t]))\n"
    one, two, three = run(text, 5, 3), run(text, 5, 3), run(text, 5, 3, seed=1)
    np.testing.assert_array_equal(one["y"], two["y"])
    assert (one["x"] != three["x"]).all()
    assert len(np.unique(one["x"][:, 0])) == 3


def test_a_covariance_of_deficient_rank_is_drawn_from() -> None:
    text = ("param r\nnoise e[2] ~ MvNormal([0, 1], [[1, 2], [2, 4]])\nstate x[2]\nobs y[2]\n"
            "init x ~ MvNormal([0, 0], [[4, 2], [2, 1]])\n"
            "x[t] ~ MvNormal([0, x[t-1, 0]], [[1, -r], [-r, r^2]])\ny[t] = x[t] + e[t]\n")  # fmt: skip
    out = run(text, 2, params={"r": 0.5})
    x, e = out["x"], out["y"] - out["x"]
    np.testing.assert_allclose(x[:, 0, 0], 2 * x[:, 0, 1], atol=1e-12)
    np.testing.assert_allclose(x[:, 1, 1] - x[:, 0, 0], -0.5 * x[:, 1, 0], atol=1e-12)
    np.testing.assert_allclose(e[..., 1], 1 + 2 * e[..., 0], atol=1e-12)
    for exact, draws in ((4.0, x[:, 0, 0]), (1.0, x[:, 1, 0]), (1.0, e[:, 1, 0])):
        close(draws.mean(), 0.0, exact**0.5, len(draws))
        close(draws.var(), exact, exact * 2**0.5, len(draws))


def test_simulated_data_can_be_changed() -> None:
    model = ssmlang.compile("state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n")
    found = model.simulate(steps=5)
    found["y"].values[2] = np.nan
    assert np.isnan(found["y"][2]) and model.smooth(found, {})["mean"].sizes["time"] == 5


@pytest.mark.parametrize(
    ("body", "given", "message", "underlined"),
    [
        # The state that reads the observation is no cause, nor is the observation at the lag that has a value.
        ("x[t] ~ Normal(x[t-1] + y[t-1], 1)\ny[t] ~ Normal(x[t] + 0.5*y[t-2], 1)\n", {"init": {"y": np.ones(1)}},
         "`y` has no first value to simulate from", "y[t-2]"),
        ("x[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t] + z[t], 1)\nz[t] ~ Normal(z[t-1], 1)\n", {},
         "`z` has no first value to simulate from", "z[t-1]"),
        ("x[t] ~ Normal(x[t-1], sqrt(u[t]))\ny[t] ~ Normal(x[t] + y[t-1], 1)\n",
         {"init": {"y": 1.0}, "inputs": {"u": np.array([1.0, 1, -1, 1])}},
         "`x` is not a number at row 2", "x[t] ~ Normal(x[t-1], sqrt(u[t]))"),
        ("x[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t] + y[t-1] + u[t], 1)\n",
         {"init": {"y": 1.0}, "inputs": {"u": np.array([1.0, 1, np.nan, 1])}},
         "`u` is missing at row 2, which is read", "u[t]"),
    ],
)  # fmt: skip
def test_the_equation_where_numbers_end_is_underlined(body: str, given: Any, message: str, underlined: str) -> None:
    head = "state x\nobs y" + (", z\n" if "z[" in body else "\n") + ("input u\n" if "u[" in body else "")
    with pytest.raises(SsmError) as caught:
        run(head + "init x ~ Normal(0, 1)\n" + body, 4, draws=3, **given)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E448", message)
    assert found.span is not None
    assert found.span.text == underlined


def test_entries_with_and_without_a_first_value() -> None:
    text = ("state x\nobs y[2]\ninit x ~ Normal(0, 1)\ninit y[0, 1] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"
            "y[t, 0] ~ Normal(x[t] + y[t-1, 1], 1)\ny[t, 1] ~ Normal(y[t-1, 0], 1)\n")  # fmt: skip
    with pytest.raises(SsmError) as caught:
        run(text, 5, draws=2)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.text == "y[t-1, 1]"


def test_a_first_law_that_gives_no_number_is_underlined() -> None:
    text = "param a\nstate x\nobs y\ninit x ~ Normal(0, sqrt(a))\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n"
    with pytest.raises(SsmError) as caught:
        run(text, 3, draws=2, params={"a": -1.0})
    (found,) = caught.value.diagnostics
    assert found.message == "`x` is not a number at row 0" and found.span is not None
    assert found.span.text == "init x ~ Normal(0, sqrt(a))"


@pytest.mark.parametrize("law", ["NegativeBinomial(x[t], 2)", "Poisson(x[t])"])
def test_a_rate_that_turns_negative_is_no_count(law: str) -> None:
    text = f"state x\nobs y\ninit x = 1\nx[t] = x[t-1] - 0.25\ny[t] ~ {law}\n"
    assert (ssmlang.compile(text).simulate(4, {})["y"].values >= 0).all()
    with pytest.raises(SsmError, match="not a number at row 5") as caught:
        ssmlang.compile(text).simulate(8, {})
    (found,) = caught.value.diagnostics
    assert found.code == "E448" and found.span is not None and found.span.text == f"y[t] ~ {law}"
