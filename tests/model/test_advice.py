"""Which engine can run what, which `auto` takes, and what is said of it: judged without running anything."""

from __future__ import annotations

import re

import pytest

from ssmlang.analysis import advice
from ssmlang.analysis.advice import advise, choose
from ssmlang.analysis.choice import COMPANION, DENSE_ROWS, PARALLEL_ROWS, Task
from ssmlang.analysis.engines import AVAILABLE, PURPOSE, REQUIRES
from ssmlang.analysis.needs import WHOLE_PAST_MEMORY, unmatched
from ssmlang.engines import engine_class, engine_names
from ssmlang.frontend import check_text
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model

LEVEL = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n"
PAST = LEVEL.replace("0.5 * x[t-1]", "sum(0.5^k * x[t-k] for k in 1..t)")
MOVING = LEVEL.replace("0.5 * x[t-1]", "sum(0.5^k * x[t-k] / t for k in 1..t)")
DIFFUSE = LEVEL.replace("Normal(0, 1)\nx", "Diffuse()\nx")
DIFFUSE_PAST = PAST.replace("init x ~ Normal(0, 1)", "init x ~ Diffuse()")
EXACT = LEVEL.replace("y[t] ~ Normal(x[t], 1)", "y[t] = x[t]")
CONSTANT = LEVEL.replace("x[t] ~ Normal(0.5 * x[t-1], 1)", "x[t] = x[t-1]")
AVERAGE = "noise e ~ Normal(0, 1)\n" + LEVEL.replace("x[t] ~ Normal(0.5 * x[t-1], 1)", "x[t] = e[t] + 0.5 * e[t-1]")
SHARED = "noise e ~ Normal(0, 1)\n" + LEVEL.replace("Normal(0.5 * x[t-1], 1)", "Normal(x[t-1] + e[t], 1)").replace(
    "Normal(x[t], 1)", "Normal(x[t] + e[t], 1)"
)
VOLATILITY = LEVEL.replace("Normal(x[t], 1)", "Normal(0, exp(x[t]))")


def of(text: str) -> tuple[Model, LinearForm]:
    model = check_text(text).require()
    form = linear_form(model)
    assert isinstance(form, LinearForm), form
    return model, form


def refused(text: str, engine: str, task: Task = Task()) -> str:  # noqa: B008
    with pytest.raises(SsmError) as caught:
        choose(*(lambda m, f: (m, engine, f))(*of(text)), task)
    assert [d.code for d in caught.value.diagnostics] == ["E306"]
    return str(caught.value)


def test_the_table_of_needs_is_that_of_the_classes() -> None:
    assert set(AVAILABLE) == set(engine_names()) and set(AVAILABLE) <= set(PURPOSE)
    assert {name: engine_class(name).requires for name in AVAILABLE} == REQUIRES


LONG = WHOLE_PAST_MEMORY + 1


@pytest.mark.parametrize(
    ("text", "task", "engine"),
    [
        (LEVEL, Task(), "kalman"),
        (LEVEL, Task("fit", 10**6), "kalman"),
        (LEVEL, Task("filter", 50, "float32"), "square_root"),
        (LEVEL, Task("likelihood", PARALLEL_ROWS, gpu=True), "parallel"),
        (LEVEL, Task("likelihood", PARALLEL_ROWS - 1, gpu=True), "kalman"),
        (LEVEL, Task("likelihood", PARALLEL_ROWS - 1, "float32", gpu=True), "square_root"),
        (PAST, Task(), "kalman"),
        (PAST, Task("smooth", COMPANION), "kalman"),
        (PAST, Task("smooth", COMPANION, "float32"), "square_root"),
        (PAST, Task("likelihood", COMPANION + 1), "wiener_hopf"),
        (PAST, Task("likelihood", LONG, gpu=True), "wiener_hopf"),
        (MOVING, Task("likelihood", COMPANION + 1), "batch"),
        (DIFFUSE_PAST, Task("likelihood", WHOLE_PAST_MEMORY), "kalman"),
        (DIFFUSE_PAST, Task("likelihood", WHOLE_PAST_MEMORY, "float32"), "square_root"),
        (PAST, Task("smooth", DENSE_ROWS), "wiener_hopf"),
        (PAST, Task("smooth", DENSE_ROWS + 1), "dual"),
        (DIFFUSE, Task("likelihood", 10**4), "kalman"),
    ],
)
def test_what_auto_takes(text: str, task: Task, engine: str) -> None:
    model, form = of(text)
    assert choose(model, "auto", form, task) == engine
    assert advise(model, form, task).chosen == engine


@pytest.mark.parametrize(
    ("text", "engine", "line", "label"),
    [
        (DIFFUSE, "batch", 3, "a diffuse start has infinite variance"),
        (DIFFUSE, "dual", 3, "a diffuse start has infinite variance"),
        (EXACT, "banded", 5, "y has no noise of its own here"),
        (CONSTANT, "banded", 4, "x has no noise of its own here"),
        (AVERAGE, "banded", 1, "e is read at a later row too"),
        (SHARED, "banded", 1, "by an observation too"),
    ],
)
def test_a_no_names_the_line(text: str, engine: str, line: int, label: str) -> None:
    said = refused(text, engine)
    assert f"engine '{engine}' needs" in said and f"model:{line}:" in said and label in said
    helped = re.search('use engine="(.*?)"', said)
    assert helped is not None
    model, form = of(text)
    assert choose(model, helped[1], form) == helped[1]
    verdict = next(v for v in advise(model, form).verdicts if v.engine == engine)
    assert not verdict.usable and verdict.reason.startswith(f"line {line}: ")


@pytest.mark.parametrize("engine", ["kalman", "square_root", "parallel"])
def test_a_long_past_is_no_companion_state(engine: str) -> None:
    said = refused(PAST, engine, Task("filter", LONG))
    assert f"engine '{engine}' takes a sum over the whole past up to" in said and f"{LONG} numbers in memory" in said
    assert 'use engine="wiener_hopf"' in said and "model:4:" in said
    model, form = of(PAST)
    assert choose(model, engine, form, Task("filter", WHOLE_PAST_MEMORY)) == engine


def test_a_long_past_with_a_diffuse_start_has_no_engine() -> None:
    model, form = of(DIFFUSE_PAST)
    with pytest.raises(SsmError) as caught:
        choose(model, "auto", form, Task("likelihood", LONG))
    (found,) = caught.value.diagnostics
    assert found.code == "E303" and found.why[:2] == (
        "kalman, square_root, parallel: line 4: 201 numbers in memory",
        "batch, wiener_hopf, dual, banded, growing: line 3: a diffuse start has infinite variance",
    )
    named = {name.strip() for why in found.why for name in why.split(": ")[0].split(",")}
    assert named == set(AVAILABLE)


def test_help_names_engines_of_this_version_alone() -> None:
    model = check_text(VOLATILITY).require()
    form = linear_form(model)
    assert not isinstance(form, LinearForm)
    with pytest.raises(SsmError) as caught:
        choose(model, "square_root", form)
    assert "engine 'square_root' needs an emission that is affine" in str(caught.value)
    assert 'use engine="particle"' in str(caught.value) and "amortized" not in str(caught.value)
    without = str(SsmError([form[0].diagnostic("square_root", ("kalman",))]))
    assert "particle" not in without and "model.simulate can" in without
    assert 'use engine="particle"' in str(SsmError([form[0].diagnostic("ekf", ("particle",))]))


def test_a_fit_takes_an_engine_with_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = {**REQUIRES, "batch": REQUIRES["batch"]._replace(gradients=False)}
    monkeypatch.setattr(advice, "REQUIRES", blind)
    said = refused(LEVEL, "batch", Task("fit", 10))
    assert "engine 'batch' has no gradients" in said and 'use engine="kalman"' in said
    assert choose(*(lambda m, f: (m, "batch", f))(*of(LEVEL)), Task("filter", 10)) == "batch"
    assert choose(*(lambda m, f: (m, "auto", f))(*of(MOVING)), Task("fit", LONG)) == "wiener_hopf"


def test_the_rule_is_said_in_words() -> None:
    model, form = of(PAST)
    shown = str(advise(model, form))
    assert f"kalman up to {COMPANION:,} rows" in shown and f"to {DENSE_ROWS:,} rows wiener_hopf" in shown
    assert f"square_root    yes  exact up to {WHOLE_PAST_MEMORY:,} rows" in shown
    assert advise(model, form).to_dict()["notes"]
    assert "on a GPU, from 20 rows on, parallel" in str(advise(*of(LEVEL)))


def test_noises_are_dealt_out_along_paths() -> None:
    # z reads both noises and is met first: it has to make room for x.
    text = (
        "noise a ~ Normal(0, 1)\nnoise b ~ Normal(0, 1)\nstate z, x, v\nobs y\ninit z, x, v ~ Normal(0, 1)\n"
        "z[t] = z[t-1] + a[t] + b[t]\nx[t] = x[t-1] + a[t]\nv[t] ~ Normal(v[t-1] + b[t], 1)\ny[t] ~ Normal(z[t], 1)\n"
    )
    _, form = of(text)
    assert unmatched(form.transition) == []
    assert unmatched(form.transition, without={form.stacking.e["b"]}) == [1]
    assert unmatched(form.transition, without={form.stacking.e["a"], form.stacking.e["b"]}) == [0, 1]
