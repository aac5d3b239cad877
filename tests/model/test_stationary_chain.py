"""Discrete states that start from their stationary law, for engines that draw them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ssmlang
from ssmlang.analysis.values import evaluate
from ssmlang.engines import Particle
from ssmlang.frontend import check_text
from ssmlang.model.stationary_chain import started, unstarted

SWITCHING = Path(__file__).resolve().parents[2] / "stdlib" / "models" / "switching.ssm"
THREE = """
axis level = {low, middle, high}
param a[level, level] ~ Normal(0, 1)
state s in level
obs y
init s ~ Stationary()
s[t] ~ Categorical(logits=a[s[t-1]])
y[t] ~ Poisson(if s[t] == low then 1 else 5)
"""


def law_of(text: str, values: dict[str, np.ndarray]) -> np.ndarray:
    (initial,) = started(check_text(text).require()).initials
    assert initial.law is not None and initial.special is None
    return np.asarray(evaluate(initial.law.args["probs"], values, 0, lambda *_: np.zeros(())))


def test_the_law_is_the_fixed_point_of_the_chances() -> None:
    found = law_of(SWITCHING.read_text(), {"stay": np.array([0.9, 0.7])})
    np.testing.assert_allclose(found, [0.75, 0.25], rtol=1e-14)
    a = np.random.default_rng(0).normal(size=(3, 3))
    chances = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    pi = law_of(THREE, {"a": a})
    np.testing.assert_allclose(pi @ chances, pi, rtol=1e-13)
    np.testing.assert_allclose(pi.sum(), 1.0, rtol=1e-14)


@pytest.mark.parametrize("chances", ["a[s[t-1]] + 0.1 * t", "a[s[t-1]] + u[t]"])
def test_chances_that_move_have_no_such_law(chances: str) -> None:
    text = "input u\n" + THREE.replace("a[s[t-1]]", chances)
    model = check_text(text).require()
    assert started(model) is model and len(unstarted(model)) == 1


def test_particles_start_there() -> None:
    """Against the exact filter of the chain, within four standard errors."""
    model = ssmlang.compile(SWITCHING)
    params = {"growth": [1.0, -1.0], "sd": 0.8, "stay": [0.9, 0.6]}
    drawn = model.simulate(12, params=params, seed=2)
    data = {"y": drawn["y"].values}
    exact = float(model.log_likelihood(data, params, engine="discrete"))
    engine = Particle(particles=2000)
    found = np.array([float(model.log_likelihood(data, params, engine=engine, seed=s)) for s in range(12)])
    ratio = np.exp(found - exact)
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / np.sqrt(len(ratio)) and ratio.std() < 0.3


ENTRIES = """
param a ~ Beta(2, 2)
let P = [[[a, 1 - a, 0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], [[0.5, 0.5, 0], [a, 0, 1 - a], [0, 1 - a, a]]]
state s[2] in 1..3
state on in 0..1
obs y[2]
obs z
init s, on ~ Stationary()
s[t, i] ~ Categorical(P[i, s[t-1, i] - 1]) for i in 0..1
on[t] ~ Bernoulli(if on[t-1] == 1 then a else 0.2)
y[t] ~ Normal(s[t], 0.5)
z[t] ~ Normal(on[t], 0.3)
"""


def test_chains_side_by_side_and_of_numbers_start_there_too() -> None:
    """Each entry by its own matrix, values that begin at one, and a binary law; against the exact filter."""
    model = ssmlang.compile(ENTRIES)
    data = {"y": np.array([[1.2, 2.9], [0.8, 3.1], [2.2, 1.7]]), "z": np.array([0.1, 0.9, 0.2])}
    exact = float(model.log_likelihood(data, {"a": 0.3}, engine="discrete"))
    runs = [float(model.log_likelihood(data, {"a": 0.3}, Particle(particles=20_000), seed=s)) for s in range(4)]
    assert max(abs(np.array(runs) - exact)) < 0.08


def test_entries_that_read_each_other_have_no_such_law() -> None:
    text = ENTRIES.replace("P[i, s[t-1, i] - 1]", "P[i, s[t-1, 1 - i] - 1]")
    assert [t.name for i in unstarted(check_text(text).require()) for t in i.targets] == ["s"]


def test_what_cannot_start_is_refused_in_its_own_terms() -> None:
    text = "model moving\n" + "input u\n" + THREE.replace("a[s[t-1]]", "a[s[t-1]] + u[t]")
    refused = {e["engine"]: e for e in ssmlang.compile(text).check().to_dict()["engines"]}
    assert not refused["particle"]["usable"] and "stationary" in refused["particle"]["reason"]
