"""What is not identified comes with two settings, and their likelihoods agree wherever the engine is exact for it."""

from __future__ import annotations

import pytest

from ssmlang.analysis import identifiability
from ssmlang.running.witnessing import shown
from tests.analysis.programs import context_of

PROGRAMS = {
    "a volatility with a level and a scale": (
        "param mu ~ Normal(0, 1)\nparam phi in (-1, 1) ~ Normal(0.9, 0.1)\nparam scale ~ HalfNormal(1)\n"
        "state h\nobs r\ninit h ~ Normal(mu, 1)\nh[t] ~ Normal(mu + phi * (h[t-1] - mu), 0.3)\n"
        "r[t] ~ Normal(0, scale * exp(h[t] / 2))\n",
        {"mu", "scale"},
    ),
    "growth in units of its own": (
        "param r in (0.5, 2) ~ Uniform(0.5, 2)\nparam c, m ~ LogNormal(0, 0.5)\nstate n\nobs y\n"
        "init n = m\nn[t] = n[t-1] * exp(r - n[t-1] / m)\ny[t] ~ Normal(c * n[t], 1)\n",
        {"c", "m"},
    ),
    "an input through two gains": (
        "param a, b ~ LogNormal(0, 0.5)\ninput u\nobs y\ny[t] ~ Normal(a * b * u[t], 1)\n", {"a", "b"},
    ),
    "a label that never comes": (
        "param a, b, c in (0, 1) ~ Beta(2, 2)\nlet P = [[a, 1 - a, 0], [1 - a, a, 0], [c, 0, 1 - c]]\n"
        "axis k = {low, high, never}\nstate s in k\nobs y\ninit s ~ Categorical([0.5, 0.5, 0])\n"
        "s[t] ~ Categorical(P[s[t-1]])\ny[t] ~ Bernoulli(if s[t] == low then b else 0.3)\n",
        {"c"},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_two_settings_that_nobody_can_tell_apart(name: str) -> None:
    text, moved = PROGRAMS[name]
    context = context_of(text)
    found = [f for f in identifiability.check(context) if f.code == "W620"]
    assert [set(f.witness.first) for f in found if f.witness] == [moved], found
    assert found[0].witness is not None and found[0].witness.first != found[0].witness.second
    table = shown(context, found[0], steps=5)
    assert table.difference < 1e-6
    assert abs(table.first).max() > 0
