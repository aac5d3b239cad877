"""What the states' noise tells of the parameters of a model that is not linear."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.analysis.identifiability import check
from tests.analysis.programs import context_of

STATE = "state x\nobs y\ninit x ~ Normal(0, 1)\n"
SCALES = "param a, b ~ HalfNormal(1)\n"
TWO = "noise u ~ Normal(0, a)\nnoise v ~ Normal(0, b)\n"
SHARED = "noise w[2] ~ MvNormal([0, 0], [[1, r], [r, 1]])\nparam r in (-1, 1) ~ Normal(0, 0.3)\n"

# The noise of the states is told by how rows move together (Harvey, Ruiz & Shephard 1994 for volatility; Harvey &
# Shephard 1996 with leverage); what only its product, its sum or nothing at all enters is not.
CASES = {
    "volatility": (
        "param a ~ HalfNormal(1)\n" + STATE + "x[t] ~ Normal(0.9 * x[t-1], a)\ny[t] ~ Normal(0, exp(x[t] / 2))\n",
        {"a"}, set(),
    ),
    "leverage": (
        "param a ~ HalfNormal(1)\n" + SHARED + STATE
        + "x[t] = 0.9 * x[t-1] + a * w[t-1, 1]\ny[t] = exp(x[t] / 2) * w[t, 0]\n",
        {"a", "r"}, set(),
    ),
    "counts": (SCALES + STATE + "x[t] ~ Normal(0.9 * x[t-1], a)\ny[t] ~ Poisson(exp(x[t]) + b)\n", {"a", "b"}, set()),
    "two noises of one state": (
        SCALES + TWO + STATE + "x[t] = sin(x[t-1]) + u[t] + v[t]\ny[t] ~ Poisson(exp(x[t]))\n", set(), {"a", "b"},
    ),
    "two noises of two states": (
        SCALES + TWO + "state x, z\nobs y\ninit x ~ Normal(0, 1)\ninit z ~ Normal(0, 1)\nx[t] = 0.9 * x[t-1] + u[t]\n"
        "z[t] = -0.3 * z[t-1] + v[t]\ny[t] ~ Poisson(exp(x[t] + z[t]))\n",
        {"a", "b"}, set(),
    ),
    "a product of scales": (SCALES + STATE + "x[t] ~ Normal(sin(x[t-1]), a * b)\ny[t] ~ Poisson(exp(x[t]))\n", set(),
                            {"a", "b"}),
    "a scale and a loading": (SCALES + STATE + "x[t] ~ Normal(0.5 * x[t-1], a)\ny[t] ~ Poisson(exp(b * x[t]))\n", set(),
                              {"a", "b"}),
    "a state that forgets at once": (
        "param a, b ~ HalfNormal(1)\n" + STATE + "x[t] ~ Normal(0, a)\ny[t] ~ Normal(x[t] + x[t]^3, b)\n", {"b"}, {"a"},
    ),
    "a state that nothing sees": (
        SCALES + "state x, z\nobs y\ninit x ~ Normal(0, 1)\ninit z ~ Normal(0, 1)\nx[t] ~ Normal(0.8 * x[t-1], a)\n"
        "z[t] ~ Normal(z[t-1], b)\ny[t] ~ Poisson(exp(x[t]))\n",
        {"a"}, {"b"},
    ),
    "many parameters on the path, and one scale": (
        "param W[6, 6] ~ Normal(0, 0.5)\nparam V[6], b[6] ~ Normal(0, 1)\nparam a, r ~ HalfNormal(0.5)\ninput u\n"
        "state x[6]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(tanh(W @ x[t-1] + b * u[t]), a)\n"
        "y[t] ~ Normal(dot(V, x[t]), r)\n",
        {"W", "V", "b", "a", "r"}, set(),
    ),
    "many parameters on the path, and a scale that one row alone shows": (
        "param c[5] ~ Normal(0, 1)\nparam a, r ~ HalfNormal(0.5)\nstate x[5]\nobs y[5]\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(tanh(c * t), a)\ny[t] ~ Normal(x[t] + 0.1 * x[t]^3, r)\n",
        {"c", "r"}, {"a"},
    ),
    "continuous time": (
        "param a ~ HalfNormal(1)\ninput dt\n" + STATE + "d(x) = (x - x^3) * dt + a * dW\ny[t] ~ Normal(x[t], 0.3)\n",
        {"a"}, set(),
    ),
}  # fmt: skip


def proved(text: str) -> set[str]:
    """Names of parameters that a proof names, as the check's reasons begin with them."""
    found = check(context_of("model m\n" + text))
    said = [f.reason.split(":")[0] for f in found if f.verdict == "proved" and f.property == "parameters identified"]
    return {word.strip(",") for reason in said for word in reason.split()} - {"and"}


@pytest.mark.parametrize("name", CASES)
def test_known_models(name: str) -> None:
    text, told, not_told = CASES[name]
    found = proved(text)
    assert told <= found and not not_told & found


@pytest.mark.parametrize("seed", range(12))
def test_nothing_planted_is_proved(seed: int) -> None:
    """Two scales enter by one function of them alone, in a program drawn at random: neither is told."""
    rng = np.random.default_rng(seed)
    phi, shape = np.round(rng.uniform(0.2, 0.95), 2), rng.choice(["sin(x[t-1])", "x[t-1] / (1 + x[t-1]^2)", "x[t-1]"])
    scale = rng.choice(["a * b", "a / b", "sqrt(a^2 + b^2)", "a^2 * b", "exp(a) * b"])
    emission = rng.choice(["Poisson(exp(x[t]))", "Normal(x[t]^3 + x[t], 0.5)", "Normal(0, exp(x[t]))",
                           "Bernoulli(logits=x[t] + 0.1)"])  # fmt: skip
    text = SCALES + STATE + f"x[t] ~ Normal({phi} * {shape}, {scale})\ny[t] ~ {emission}\n"
    assert not {"a", "b"} & proved(text), text
    assert "a" in proved(text.replace("param a, b ~", "const b = 0.7\nparam a ~")), text
