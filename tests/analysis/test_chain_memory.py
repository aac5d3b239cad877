"""What discrete states forget, against powers and eigenvalues of their matrices, and filters run side by side."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.analysis import stability
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.chain_memory import _shrinks, memory_of
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form

AXIS = "axis r = {low, middle, high}\nparam a, b in (0, 1) ~ Beta(1, 1)\n"
CHAIN = "state s in r\ninit s ~ Categorical([0.2, 0.3, 0.5])\ns[t] ~ Categorical(P[s[t-1]])\n"
SEEN = "obs y\ny[t] ~ Normal(if s[t] == low then 1 else 0, 1)\n"
FILTER = "filter forgets its start"


def found(text: str) -> dict[str, Finding]:
    model = check_text(text).require()
    return {f.property: f for f in stability.check(Context(model, linear_form(model), Budget(30)))}


@pytest.mark.parametrize(
    ("matrix", "verdict", "words"),
    [
        ("[[a, 1 - a, 0], [0, b, 1 - b], [1, 0, 0]]", "proved", "every label leads to every other"),
        ("[[1, 0, 0], [a, 0, 1 - a], [b, 1 - b, 0]]", "proved", "middle and high lead to low, which is never left"),
        ("[[0, 1, 0], [0, 0, 1], [1, 0, 0]]", "refuted", "low, middle and high with period 3"),
        ("[[0, a, 1 - a], [1, 0, 0], [1, 0, 0]]", "refuted", "with period 2"),
        ("[[1, 0, 0], [a, 0, 1 - a], [0, 0, 1]]", "refuted", "{low} and {high} are never left"),
        ("[[1, 0, 0], [0, a, 1 - a], [0, b, 1 - b]]", "refuted", "{low} and {middle, high} are never left"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_chain_is_read_off_its_zeros(matrix: str, verdict: str, words: str) -> None:
    findings = found(AXIS + f"let P = {matrix}\n" + CHAIN + SEEN)
    assert findings["stable(s)"].verdict == verdict and words in findings["stable(s)"].reason
    assert (FILTER in findings) == (verdict == "proved")


def test_random_patterns_agree_with_eigenvalues() -> None:
    random = np.random.default_rng(0)
    forgotten = 0
    for _ in range(300):
        size = int(random.integers(2, 6))
        possible = random.random((size, size)) < random.choice([0.2, 0.35, 0.6])
        possible[np.arange(size), random.integers(0, size, size)] = True
        P = np.where(possible, random.random((size, size)) + 0.1, 0)
        P /= P.sum(axis=1, keepdims=True)
        on_circle = int((np.abs(np.linalg.eigvals(P)) > 1 - 1e-9).sum())
        memory = memory_of(possible)
        assert sum(period for _, period in memory.closed) == on_circle
        late = np.linalg.matrix_power(P, 4096)
        assert memory.forgets == bool(np.allclose(late, late[:1], atol=1e-6))
        assert (late[:, list(memory.passing)] < 1e-6).all()
        forgotten += memory.forgets
    assert 50 < forgotten < 290


def test_filters_come_together_as_fast_as_is_said() -> None:
    random = np.random.default_rng(1)
    P = random.dirichlet([2, 2, 2], 3)
    [said] = _shrinks(P)
    bound = float(said.split("at most ")[1].split(" ")[0])
    metric = lambda p, q: np.log(p / q).max() - np.log(p / q).min()
    one, other = np.array([0.98, 0.01, 0.01]), np.array([0.01, 0.01, 0.98])
    for _ in range(30):
        before = metric(one, other)
        seen = np.exp(random.normal(size=3) * 3)
        one, other = ((p @ P) * seen for p in (one, other))
        one, other = one / one.sum(), other / other.sum()
        assert metric(one, other) <= (bound + 1e-3) * before + 1e-12


def test_memory_halves_in_as_many_rows_as_is_said() -> None:
    text = AXIS + "let P = [[0.9, 0.1, 0], [0.05, 0.9, 0.05], [0, 0.1, 0.9]]\n" + CHAIN + SEEN
    P = np.array([[0.9, 0.1, 0], [0.05, 0.9, 0.05], [0, 0.1, 0.9]])
    rows = float(found(text)["stable(s)"].details[0].split("halves in ")[1].split(" ")[0])
    gap = lambda n: np.abs(np.diff(np.linalg.matrix_power(P, n)[[0, 2]], axis=0)).max()
    assert gap(60) / gap(40) == pytest.approx(0.5 ** (20 / rows), rel=0.02)


def test_outcomes_that_a_label_rules_out_are_not_claimed() -> None:
    text = AXIS + "let P = [[a, 1 - a, 0], [0, b, 1 - b], [1, 0, 0]]\n" + CHAIN
    seen = "obs y in 0..1\ny[t] ~ Bernoulli(if s[t] == low then 0.5 else 0)\n"
    f = found(text + seen)[FILTER]
    assert f.verdict == "unknown" and "rule out outcomes of y" in f.reason
    assert found(text + seen.replace("else 0)", "else 0.1)"))[FILTER].verdict == "proved"


def test_assertions_of_labels_are_answered() -> None:
    text = AXIS + "let P = [[a, 1 - a, 0], [0, b, 1 - b], [1, 0, 0]]\n" + CHAIN + SEEN
    findings = found(text + "assert stable(s), stationary(s)\n")
    assert findings["stable(s)"].asserted and findings["stable(s)"].verdict == "proved"
    assert "starts elsewhere" in findings["stationary(s)"].details[-1]
    never = found(text.replace("[1, 0, 0]]", "[0, 0, 1]]").replace("1 - b]", "0]").replace("[0, b,", "[0, 1,")
                  + "assert stable(s)\n")["stable(s)"]  # fmt: skip
    assert never.verdict == "refuted" and never.code == "E611"


def test_arrays_of_chains_forget_each() -> None:
    text = """axis bird = 1..4
axis fate = {alive, dead}
param survival[bird] in (0, 1) ~ Beta(1, 1)
state z[bird] in fate
obs y[bird] in 0..1
init z ~ Categorical([1, 0])
z[t, i] ~ Categorical(if z[t-1, i] == alive then [survival[i], 1 - survival[i]] else [0, 1]) for i in bird
y[t, i] ~ Bernoulli(if z[t, i] == alive then 0.4 else 0) for i in bird
"""
    f = found(text)["stable(z)"]
    assert f.verdict == "proved" and f.reason.startswith("alive leads to dead, which is never left")
    joined = text.replace("z[t-1, i] == alive then", "z[t-1, 1] == alive then")
    apart = found(joined + "assert stable(z)\n")["stable(z)"]
    assert apart.verdict == "unknown" and "read each other" in apart.reason


def test_labels_beside_real_states_are_looked_at_too() -> None:
    text = AXIS + "let P = [[a, 1 - a, 0], [0, b, 1 - b], [1, 0, 0]]\n" + CHAIN
    findings = found(text + "state x\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\nobs y\n"
                     "y[t] ~ Normal(x[t] + (if s[t] == low then 1 else 0), 1)\n")  # fmt: skip
    assert findings["stable(s)"].verdict == findings["stable(x)"].verdict == "proved"
