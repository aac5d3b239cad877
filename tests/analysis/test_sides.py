"""Steps at late rows and thresholds: what a few rows do not show is not said to be without influence."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.analysis import identifiability, information
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.sides import rows_until_typical, turns
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form

LEVEL = "param q, s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Diffuse()\nx[t] ~ Normal(x[t-1], q)\n"
STEP = LEVEL + "param effect ~ Normal(0, 1)\ny[t] ~ Normal(x[t] + effect * (if t >= 70 then 1 else 0), s)\n"


def found(text: str, rows: int | None = None, module=identifiability) -> list[Finding]:
    model = check_text("model m\n" + text).model
    assert model is not None
    return module.check(Context(model, linear_form(model), Budget(60.0), rows))


def verdicts(text: str, rows: int | None = None) -> dict[str, str]:
    return {f.property: f.verdict for f in found(text, rows)}


@pytest.mark.parametrize(
    ("expression", "rows"),
    [("cos(2 * pi * t / 12)", [1]), ("if t >= 70 then 1 else 0", [1, 70]), ("max(0, t - 50)", [1, 51]),
     ("if t % 12 == 11 then 1 else 0", [1, 11])],
)  # fmt: skip
def test_rows_at_which_functions_of_the_row_number_turn(expression, rows):
    model = check_text(f"model m\nparam s ~ HalfNormal(1)\nobs y\ny[t] ~ Normal({expression}, s)\n").model
    assert turns([e.law.args["loc"] for e in model.equations]) == rows


def test_an_effect_from_a_late_row_on_is_identified():
    assert verdicts(STEP) == {"parameters identified": "proved"}
    proved = found(STEP)[0]
    assert "effect" in proved.reason and "70" not in proved.reason
    assert not proved.details, "its sign is told too"


def test_an_effect_after_the_last_row_is_not():
    assert verdicts(STEP, 200) == {"parameters identified": "proved"}
    assert verdicts(STEP, 50) == {"parameters identified": "proved", "identified: effect": "refuted"}


def test_what_is_confounded_after_a_late_row_is_refuted_with_a_pair_of_settings():
    text = STEP.replace("param effect ", "param a, b ").replace("effect", "(a + b)")
    lost = [f for f in found(text) if f.verdict == "refuted"]
    assert [f.property for f in lost] == ["identified: a and b"]
    assert "a + b" in lost[0].reason
    one, two = lost[0].witness.first, lost[0].witness.second
    assert np.isclose(one["a"] + one["b"], two["a"] + two["b"]) and one["a"] != two["a"]


def test_both_sides_of_a_threshold_on_the_past_are_seen():
    text = (
        "param a, b ~ Normal(0, 0.5)\nparam s ~ HalfNormal(1)\nobs y\n"
        "y[t] ~ Normal(if y[t-1] > 0 then a * y[t-1] else b * y[t-1], s)\n"
    )
    assert verdicts(text) == {"parameters identified": "proved"}
    assert not found(text)[0].details


def test_a_side_that_is_not_seen_refutes_nothing():
    text = "param a, b ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\ninput u\nobs y\n" \
           "y[t] ~ Normal(if u[t] > 100 then a else b, s)\n"  # fmt: skip
    [f] = found(text)
    assert f.verdict == "unknown" and "line 6" in f.reason and "one side alone" in f.reason


def test_a_row_of_change_that_is_to_be_learned_refutes_nothing():
    text = "param a, b ~ Normal(0, 1)\nparam tau ~ Uniform(0, 30)\nparam s ~ HalfNormal(1)\nobs y\n" \
           "y[t] ~ Normal(if t > tau then a else b, s)\n"  # fmt: skip
    [f] = found(text)
    assert f.verdict == "unknown" and "line 6" in f.reason
    [informed] = found(text, 60, information)
    assert informed.verdict == "unknown" and any("tau: not said" in d for d in informed.details)


@pytest.mark.parametrize("rate", ["a + b * max(0, t - 50)", "if y[t-1] > 4 then a else b", "a + b * (t > 50)"])
def test_beyond_linear_models_too(rate):
    text = f"param a, b ~ Normal(0, 0.5)\nobs y\ny[t] ~ Poisson(exp({rate}))\n"
    assert {f.verdict for f in found(text)} <= {"proved", "unknown"}


def test_a_late_effect_is_informed_by_the_rows_after_it():
    """Its expected sd from 200 rows of which it is in 80 is far below the prior's; from 50 rows it is the prior's."""
    text = STEP.replace("t >= 70", "t >= 120")
    [summary] = found(text, 200, information)
    assert summary.verdict == "proved" and "effect" in summary.reason
    assert [f.property for f in found(text, 50, information) if f.code] == ["informed: effect"]


def test_rows_until_inputs_vary_as_they_will():
    late = np.zeros((192, 1))
    late[170:] = 1
    assert 170 < rows_until_typical(late) < 180
    assert rows_until_typical(np.random.default_rng(0).normal(size=(192, 1))) < 10
    assert rows_until_typical(np.ones((192, 1))) == 0


def test_a_check_out_of_time_is_called_by_what_it_says():
    """Not by the name of the module that looked."""
    text = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] = x[t-1]^2 / 2\ny[t] ~ Normal(x[t], 1)\n"
    model = check_text("model m\n" + text).model
    from ssmlang.analysis.checks import run_checks

    names = {f.property for f in run_checks(Context(model, linear_form(model), Budget(-1.0))) if f.verdict == "unknown"}
    assert "observable" in names and not names & {"lie", "observability", "structure"}
