"""States that read their whole past: their stability against the response to a shock, their draws, and what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from ssmlang.analysis import observability, stability
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.prior_paths import paths
from ssmlang.analysis.whole_past import Form, Weights, recognised, response, weights
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form

FRACTIONAL = """param s ~ HalfNormal(0.5)
{given}
def weight(k) = {weight}
state x
obs y
init x ~ Normal(1, 1)
x[t] ~ Normal(sum(weight(k) * x[t-k] for k in 1..t), s)
y[t] ~ Normal(cos(0.2 * t) * x[t], 1)
"""
OF_ORDER = "{d} * exp(lgamma(k - {d}) - lgamma(1 - {d}) - lgamma(k + 1))"


def program(weight: str, given: str = "") -> str:
    return FRACTIONAL.replace("{given}", given).replace("{weight}", weight)


def context_of(text: str) -> Context:
    model = check_text(text).require()
    return Context(model, linear_form(model), Budget(30))


def stable(text: str) -> Finding:
    return next(f for f in stability.check(context_of(text)) if f.property == "stable(x)")


@pytest.mark.parametrize(
    ("weight", "given", "verdict", "says"),
    [
        (OF_ORDER.format(d="0.3"), "", "proved", "(1 - z)^0.3, fractional differencing of order 0.3 < 1/2"),
        (OF_ORDER.format(d="0.7"), "", "refuted", "its variance grows like t^0.4"),
        (OF_ORDER.format(d="d"), "param d in (0, 0.5) ~ Beta(2, 2)", "proved", "(1 - z)^d"),
        (OF_ORDER.format(d="d"), "param d in (0, 1) ~ Beta(2, 2)", "refuted", "stable iff d < 1/2"),
        (OF_ORDER.format(d="0.3") + " * 0.9^k", "", "proved", "a shock dies out geometrically"),
        (OF_ORDER.format(d="0.7") + " * (-1)^k", "", "refuted", "at the period of 2 rows"),
        ("0.5 * r^k", "param r in (0, 0.5) ~ Beta(1, 1)", "proved", "r"),
        ("r^k", "param r in (0, 1) ~ Beta(1, 1)", "refuted", "not for all values allowed"),
        ("0.3 / k^2", "", "unknown", "neither geometric nor those of fractional differencing; numerically between"),
        (OF_ORDER.format(d="0.3").replace("lgamma(1 -", "lgamma(1.2 -"), "", "unknown", "from the first on"),
    ],
)  # fmt: skip
def test_weights_of_known_forms_are_recognised(weight: str, given: str, verdict: str, says: str) -> None:
    f = stable(program(weight, given))
    assert f.verdict == verdict and says in f.reason, f


@pytest.mark.parametrize("d", [-0.3, 0.2, 0.45, 0.8])
def test_the_variance_is_what_the_order_says(d: float) -> None:
    context = context_of(program(OF_ORDER.format(d=f"({d})")))
    (w,) = weights(context).values()
    assert isinstance(w, Weights)
    form = recognised(w)
    assert form == Form(form.rate, form.order) and form.rate == 1 and float(form.order) == pytest.approx(d)
    psi = response(w.numbers({}, 2000))
    k = np.arange(1, 2001)
    sign = 1 if d > 0 else -1
    known = sign * np.exp(gammaln(k + d) - gammaln(k + 1) - (gammaln(d) if d > 0 else gammaln(1 + d) - np.log(-d)))
    assert np.allclose(psi[1:], known, rtol=1e-7)
    late = float((psi[1000:] ** 2).sum() / (psi[:1000] ** 2).sum())
    assert (late < 0.1) == (d < 0.4) or d == 0.45
    assert stable(program(OF_ORDER.format(d=f"({d})"))).verdict == ("proved" if d < 0.5 else "refuted")


def test_geometric_weights_are_a_state_of_one_lag() -> None:
    """x[t] = sum of a r^k x[t-k] has the root r (1 + a)."""
    (w,) = weights(context_of(program("0.5 * 0.6^k"))).values()
    assert isinstance(w, Weights) and float(recognised(w).rate) == pytest.approx(0.9)
    psi = response(w.numbers({}, 30))
    assert np.allclose(psi[2:] / psi[1:-1], 0.9)


def test_assertions_of_the_whole_past_are_answered() -> None:
    f = stable(program(OF_ORDER.format(d="0.7")) + "assert stable(x)\n")
    assert f.asserted and f.verdict == "refuted" and f.code == "E611"
    assert stable(program(OF_ORDER.format(d="0.2")) + "assert stable(x)\n").verdict == "proved"


def test_draws_of_the_whole_past_follow_their_weights() -> None:
    """With next to no noise a path is its first value times the response to a shock."""
    context = context_of(program(OF_ORDER.format(d="0.3")).replace("x[t], 1)", "x[t], s)"))
    drawn = paths(context.model, {"s": np.array(1e-13)}, 50, np.random.default_rng(0), {})["y"]
    x = drawn / np.cos(0.2 * np.arange(50))
    (w,) = weights(context).values()
    assert isinstance(w, Weights)
    assert np.allclose(x, x[0] * response(w.numbers({}, 49)), atol=1e-10)


def test_what_is_seen_in_its_own_row_is_observable() -> None:
    text = program(OF_ORDER.format(d="0.3"))
    (f,) = observability.check(context_of(text))
    assert f.verdict == "proved" and "from y of its own row" in f.reason
    (f,) = observability.check(context_of(text.replace("cos(0.2 * t) * x[t]", "t * 0 * x[t]")))
    assert f.verdict == "unknown"
    found = observability.check(context_of(text + "assert observable(x)\n"))
    assert [f.verdict for f in found] == ["proved", "proved"]
