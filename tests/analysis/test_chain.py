"""Markov chains of labels: what is known of them, against the law of a few rows written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ssmlang.analysis import identifiability, lie
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.chain import Chain
from ssmlang.analysis.chain_array import Chains
from ssmlang.analysis.chain_words import Words
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form

TWO, THREE = "axis r = {up, down}\n", "axis r = {low, middle, high}\n"
FREE = "param P[r, r] ~ Dirichlet(ones(2))\n"
CHAIN = "state s in r\ninit s ~ Stationary()\ns[t] ~ Categorical(P[s[t-1]])\n"
MEANS = "param m[r] ~ Normal(0, 1)\nobs y\ny[t] ~ Normal(m[s[t]], 1)\n"
COINS = "param p[r] in (0, 1) ~ Beta(1, 1)\nobs y in 0..1\ny[t] ~ Bernoulli(p[s[t]])\n"


def found(text: str) -> tuple[dict[str, Finding], Context]:
    model = check_text(text).require()
    context = Context(model, linear_form(model), Budget(30))
    return {f.property: f for f in [*lie.check(context), *identifiability.check(context)]}, context


def test_two_regimes_are_told_up_to_their_names() -> None:
    findings, _ = found(TWO + FREE + CHAIN + MEANS)
    assert findings["observable"].verdict == "proved"
    known = findings["parameters identified"]
    assert known.verdict == "proved" and "up to their order" in known.reason
    assert "up to the labels up and down, exchanged in P and m: expect" in known.details[0]


def test_priors_that_differ_prefer_one_order() -> None:
    findings, _ = found(TWO + FREE + CHAIN + MEANS.replace("Normal(0, 1)\nobs", "Normal([1, -1], 1)\nobs"))
    assert "the priors of m alone prefer one order" in findings["parameters identified"].details[0]


def test_labels_that_the_parameters_tell_apart_are_not_exchanged() -> None:
    text = TWO + "param a, b ~ Normal(0, 1)\n" + FREE + CHAIN
    findings, _ = found(text + "obs y\ny[t] ~ Normal(if s[t] == up then a else a + exp(b), 1)\n")
    assert findings["parameters identified"].verdict == "proved" and not findings["parameters identified"].details


def law_of_words(chain: Chain, values: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """The chance of each word of ones and zeros."""
    tables = chain.numeric(values)
    step, ones = tables.step.value, tables.seen[0][0].value.reshape(-1)
    start = np.linalg.matrix_power(step, 2000)[0] if tables.start is None else tables.start.value
    chances = []
    for word in product((0, 1), repeat=rows):
        forward = start * np.where(word[0], ones, 1 - ones)
        for bit in word[1:]:
            forward = (forward @ step) * np.where(bit, ones, 1 - ones)
        chances.append(forward.sum())
    return np.array(chances)


def test_exchanged_coins_have_one_law_and_all_else_changes_it() -> None:
    findings, context = found(TWO + FREE + CHAIN + COINS)
    assert findings["parameters identified"].verdict == "proved"
    chain = Chain(context.model)
    p, P = np.array([0.2, 0.7]), np.array([[0.9, 0.1], [0.35, 0.65]])
    law = law_of_words(chain, {"p": p, "P": P}, 3)
    assert law.sum() == pytest.approx(1)
    assert np.allclose(law, law_of_words(chain, {"p": p[::-1], "P": P[::-1, ::-1]}, 3), atol=1e-13)
    slopes = []
    for k in range(4):
        q, Q = p.copy(), P.copy()
        if k < 2:
            q[k] += 1e-6
        else:
            Q[k - 2] += [1e-6, -1e-6]
        slopes.append((law_of_words(chain, {"p": q, "P": Q}, 3) - law) / 1e-6)
    assert np.linalg.matrix_rank(np.array(slopes), tol=1e-4) == 4


def slopes_of_words(
    chain: Chain, at: dict[str, np.ndarray], moves: list[dict[str, np.ndarray]], rows: int
) -> np.ndarray:
    """(moves, words): central differences of the chances of words."""
    h = 1e-5
    shifted = lambda move, by: {n: v + by * move[n] if n in move else v for n, v in at.items()}
    ends = [[law_of_words(chain, shifted(m, s * h), rows) for s in (1, -1)] for m in moves]
    return np.array([(a - b) / (2 * h) for a, b in ends])


def test_three_coins_are_told_by_five_rows() -> None:
    """Two chances cannot span the laws of three labels, so that three rows do not tell: longer words do."""
    text = THREE + FREE.replace("ones(2)", "ones(3)") + CHAIN + COINS
    findings, context = found(text)
    known = findings["parameters identified"]
    assert known.verdict == "proved" and "the outcomes of 5 rows" in known.reason
    assert "up to the labels low and middle" in known.details[0]
    at = {"p": np.array([0.1, 0.5, 0.9]), "P": np.array([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3], [0.25, 0.05, 0.7]])}
    moves = [{"p": np.eye(3)[i]} for i in range(3)]
    moves += [{"P": np.outer(np.eye(3)[i], np.eye(3)[j] - np.eye(3)[2])} for i in range(3) for j in range(2)]
    sizes = [np.linalg.svd(slopes_of_words(Chain(context.model), at, moves, n), compute_uv=False) for n in (3, 5)]
    assert len(sizes[0]) < 9 or sizes[0][-1] < 1e-8 * sizes[0][0]
    assert sizes[1][-1] > 1e-5 * sizes[1][0]


def test_mixtures_without_memory_are_told_where_their_laws_are() -> None:
    """Two normal laws can be known from their mixture (Teicher 1963), two coins from their mean alone."""
    text = TWO + "param w in (0, 1) ~ Beta(1, 1)\nstate s in r\ninit s ~ Categorical([w, 1 - w])\n"
    text += "s[t] ~ Categorical([w, 1 - w])\n"
    assert found(text + MEANS)[0]["parameters identified"].verdict == "proved"
    findings, context = found(text + COINS)
    lost = findings["identified: w and p"]
    assert lost.verdict == "refuted" and lost.reason == "at most p[down] + w * p[up] - w * p[down] is identified"
    chain = Chain(context.model)
    one = law_of_words(chain, {"w": np.array(0.5), "p": np.array([0.2, 0.6])}, 3)
    other = law_of_words(chain, {"w": np.array(0.25), "p": np.array([0.1, 0.5])}, 3)
    assert np.allclose(one, other, atol=1e-14)


def test_a_label_that_never_comes_is_not_claimed() -> None:
    text = TWO + "param w in (0, 1) ~ Beta(1, 1)\nlet P = [[w, 1 - w], [0, 1]]\n"
    known = found(text + CHAIN.replace("Stationary()", "Categorical([0, 1])") + MEANS)[0]["parameters identified"]
    assert known.verdict == "unknown" and "may never come" in known.reason


def test_what_a_label_that_never_comes_would_tell_is_not_identified() -> None:
    text = TWO + "param w in (0, 1) ~ Beta(1, 1)\nlet P = [[w, 1 - w], [0, 1]]\n"
    findings, _ = found(text + CHAIN.replace("Stationary()", "Categorical([0, 1])") + COINS)
    assert findings["parameters identified"].reason.startswith("p[down]: changes")
    assert {f.property for f in findings.values() if f.verdict == "refuted"} == {"identified: w", "identified: p[up]"}


def test_what_no_table_shows_is_not_identified() -> None:
    findings, _ = found(TWO + "param k ~ HalfNormal(1)\n" + FREE + CHAIN + MEANS.replace("(m[s", "(k * m[s"))
    lost = next(f for f in findings.values() if f.verdict == "refuted")
    assert lost.code == "W620" and "k * m[up] and k * m[down]" in lost.reason
    assert findings["parameters identified"].reason.startswith("P:")


def test_logits_count_up_to_a_shift() -> None:
    text = TWO + "param l[r, r] ~ Normal(0, 1)\n" + CHAIN.replace("P[s[t-1]]", "logits = l[s[t-1]]") + MEANS
    findings, _ = found(text)
    lost = [f for f in findings.values() if f.verdict == "refuted"]
    assert [f.reason for f in lost] == [f"at most l[{r},up] - l[{r},down] is identified" for r in ("up", "down")]
    assert findings["parameters identified"].reason.startswith("m:")


def test_labels_of_one_law_that_lead_alike_are_one() -> None:
    chances = "let P = [[w, (1 - w) / 2, (1 - w) / 2], [1 - w, w / 2, w / 2], [1 - w, w / 3, 2 * w / 3]]\n"
    text = THREE + "param w in (0, 1) ~ Beta(1, 1)\nparam m[r] ~ Normal(0, 1)\n" + chances + CHAIN
    seen = "obs y\ny[t] ~ Normal(if s[t] == low then m[low] else m[high], 1)\n"
    findings, _ = found(text + seen)
    assert findings["observable"].verdict == "refuted" and findings["observable"].code == "W602"
    assert findings["observable"].reason.startswith("middle and high of s have one law of y")
    apart = chances.replace("[1 - w, w / 3, 2 * w / 3]", "[w, 1 - w, 0]")
    findings, _ = found(text.replace(chances, apart) + seen)
    assert findings["observable"].verdict == "proved" and "later rows tell them apart" in findings["observable"].reason


@pytest.mark.parametrize("step", ["[0.5, 0.3, 0.2]", "[0.5, 0.25, 0.25]"])
def test_labels_of_one_coin_are_known_by_what_follows(step: str) -> None:
    """Against the chances of words of four rows from either label."""
    chances = f"let P = [[0.8, 0.1, 0.1], {step}, [0.5, 0.25, 0.25]]\n"
    text = THREE + chances + CHAIN.replace("Stationary()", "Categorical([1, 1, 1])") + "obs y in 0..1\n"
    text = text.replace("[1, 1, 1]", "[0.2, 0.3, 0.5]")
    findings, context = found(text + "y[t] ~ Bernoulli(if s[t] == low then 0.9 else 0.4)\n")
    tables = Chain(context.model).numeric({})
    P, p = tables.step.value, tables.seen[0][0].value.reshape(-1)
    ahead = {(): np.ones(3)}
    for _ in range(4):
        ahead = {(b, *w): np.where(b, p, 1 - p) * (P @ v) for w, v in ahead.items() for b in (0, 1)}
    differ = any(abs(v[1] - v[2]) > 1e-9 for v in ahead.values())
    assert findings["observable"].verdict == ("proved" if differ else "refuted")


def test_a_chain_without_parameters_is_looked_at_too() -> None:
    step = "s[t] ~ Categorical(if s[t-1] == up then [0.9, 0.1] else [0, 1])\n"
    text = TWO + "state s in r\ninit s ~ Categorical([0.5, 0.5])\n" + step
    assert found(text + "obs y\ny[t] ~ Normal(if s[t] == up then 0 else 1, 1)\n")[0]["observable"].verdict == "proved"


def test_assertions_are_answered() -> None:
    findings, _ = found(TWO + FREE + CHAIN + MEANS + "assert observable(s), identifiable(m, P)\n")
    assert findings["observable(s)"].verdict == findings["identifiable(m, P)"].verdict == "proved"
    assert findings["observable(s)"].asserted and findings["identifiable(m, P)"].asserted


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("state x\nx[t] ~ Normal(0, 1)\nobs z\nz[t] ~ Normal(x[t], 1)\n", "s is discrete and x is not"),
        ("obs z\ninput u\nz[t] ~ Normal(u[t], 1)\n", "the law of z reads u"),
        ("obs z\nz[t] ~ Normal(m[s[t]] * t, 1)\n", "the law of z changes with the row number"),
        ("obs z\nz[t] ~ Normal(0.5 * z[t-1], 1)\n", "the law of z reads z too"),
        ("state q in r\ninit q ~ Stationary()\nq[t] ~ Categorical(P[q[t-1]])\n", "s and q are both discrete"),
    ],
)  # fmt: skip
def test_what_is_not_followed_is_said_in_the_users_terms(more: str, reason: str) -> None:
    findings, _ = found(TWO + FREE + CHAIN + MEANS + more)
    for name in ("observable", "parameters identified"):
        assert findings[name].verdict == "unknown" and reason in findings[name].reason, findings[name]


BIRDS = """axis bird = 1..5
axis fate = {alive, dead}
const first[bird] = [0, 2, 0, 1, 3]
param survival, detection in (0, 1) ~ Beta(1, 1)
let P[fate, fate] = [[survival, 1 - survival], [0, 1]]
state z[bird] in fate
obs seen[bird]
init z ~ Categorical([1, 0])
z[t, i] ~ Categorical(if t <= first[i] then [1, 0] else P[z[t-1, i]]) for i in bird
seen[t, i] ~ Bernoulli(if z[t, i] == alive then detection else 0) for i in bird
"""


def test_chains_of_an_array_are_looked_at_each() -> None:
    findings, context = found(BIRDS)
    assert findings["observable"].verdict == "proved" and "of each z" in findings["observable"].reason
    assert findings["parameters identified"].verdict == "proved"
    words = Words(Chains(context.model), Budget(30))
    tables = words.chains.numeric({"survival": np.array(0.7), "detection": np.array(0.4)}, 4)
    born_at_2 = words._of(tables, 1).value.reshape(2, 2, 2, 2)
    assert words._of(tables, 1).value.sum() == pytest.approx(1)
    # Alive up to row 2: each row tells by itself; row 3 asks for survival too.
    assert born_at_2[1, 1, 1, 1] == pytest.approx(0.4**4 * 0.7)
    assert born_at_2[0, 0, 1, 0] == pytest.approx(0.6**2 * 0.4 * (1 - 0.7 * 0.4))


def test_products_of_chances_are_all_that_birds_seen_once_tell() -> None:
    """Seen for certain while first caught, and in one row after it: survival and detection come as a product."""
    text = BIRDS.replace("detection else 0", "(if t <= first[i] then 1 else detection) else 0")
    text = text.replace("[0, 2, 0, 1, 3]", "[0, 0, 0, 0, 0]")
    one = Words(Chains(found(text)[1].model), Budget(30))
    assert one.sample(1, 2).null.shape[1] == 1 and one.sample(1, 3).null.shape[1] == 0
    known = found(text)[0]["parameters identified"]
    assert known.verdict == "proved" and "of 3 rows" in known.reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("const first[bird] = [0, 2, 0, 1, 3]", "const first[bird]", "the constant first has no value"),
        ("P[z[t-1, i]]) for", "P[z[t-1, 1]]) for", "meet"),
        ("Bernoulli(if z[t, i] == alive then detection else 0)", "Normal(if z[t, i] == alive then detection else 0, 1)",
         "seen has more outcomes than are gone through"),
    ],
)  # fmt: skip
def test_what_is_not_followed_of_arrays_is_said(old: str, new: str, reason: str) -> None:
    findings, _ = found(BIRDS.replace(old, new))
    for name in ("observable", "parameters identified"):
        assert findings[name].verdict == "unknown" and reason in findings[name].reason, findings[name]


def test_what_a_condition_reads_is_unknown_not_lost() -> None:
    """Its law jumps, which no derivative says; and labels that are alike at one number may differ at another."""
    text = (
        TWO
        + "param c in (0, 1) ~ Beta(1, 1)\nparam m ~ Normal(0, 1)\n"
        + CHAIN.replace("P[s[t-1]]", "[0.3, 0.7]")
        + "obs y\ny[t] ~ Normal(if s[t] == up and c > 0.5 then m else 2, 1)\n"
    )
    findings, _ = found(text.replace("Stationary()", "Categorical([0.5, 0.5])"))
    assert "a condition reads c" in findings["identified: c"].reason
    assert findings["identified: c"].verdict == findings["observable"].verdict == "unknown"
