"""What a whole program is checked for, and what a newcomer may fairly expect of an index, a choice or a constant."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.model import expr
from ssmlang.model.elaborate.structure import roots
from tests.elaborate.checking import WALK, errors_of, findings_of, model_of

SEEN = "y[t] ~ Normal(x[t], 1)\n"
SDE = "const dt = 0.1\nstate x[2]\nobs y\ninit x ~ Normal(0, 1)\ny[t] = x[t, 0]\n"
TWO = "state x, v\nobs y\nx[t] ~ Normal(x[t-1] + v[t-1], 1)\nv[t] = v[t-1]\n" + SEEN


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("d(x) = -x * dt + [[1, 0], [1, 1]] @ dW", []),
        ("d(x) = -x * dt + x * dW", []),
        ("d(x) = dt * ones(2) - 2 * dW[a]", []),
        ("d(x) = -x + dW", [("E309", "-x")]),
        ("d(x) = -x * dt^2 + dW", [("E309", "dt^2")]),
        ("d(x) = -x * dt + dW * dt", [("E309", "dW * dt")]),
        ("d(x) = -x * dt + sqrt(dt)", [("E309", "sqrt(dt)")]),
        ("d(x) = -x[t] * dt + dW", [("E209", "t")]),
        ("d(x[t]) = -x * dt + dW", [("E209", "t")]),
    ],
)
def test_differentials_are_affine_in_their_increments(line: str, found: list[tuple[str, str]]) -> None:
    got = errors_of(SDE + line + "\n")
    assert [code for code, _ in got] == [code for code, _ in found]
    if found and found[0][0] == "E209":
        assert got == found


def test_a_differential_needs_a_step() -> None:
    text = SDE.replace("const dt = 0.1\n", "") + "d(x) = -x * dt + dW\n"
    assert errors_of(text) == [("E201", "d(x) = -x * dt + dW")]


@pytest.mark.parametrize(
    ("inits", "found"),
    [
        ("init x ~ Normal(0, 1)\ninit v ~ Normal(2 * x, 1)\n", []),
        ("init x ~ Normal(v, 1)\ninit v ~ Normal(2 * x, 1)\n", ["E206"]),
        ("init x ~ Normal(x, 1)\ninit v ~ Normal(0, 1)\n", ["E206"]),
    ],
)
def test_first_values_go_in_no_circle(inits: str, found: list[str]) -> None:
    assert [code for code, _ in errors_of(TWO + inits)] == found


def test_first_values_of_entries_may_follow_one_another() -> None:
    model_of(
        "state x[2]\nobs y\ninit x[0, 0] ~ Normal(0, 1)\ninit x[0, 1] ~ Normal(x[0, 0], 1)\nx[t] = x[t-1]\n"
        "y[t] ~ Normal(x[t, 1], 1)\n"
    )


@pytest.mark.parametrize(
    ("law", "rows"),
    [
        ("y[t] ~ Normal(x[t] + y[t-1], 1)", "row 0"),
        ("y[t] ~ Normal(x[t] + y[t-1] + y[t-2], 1)", "rows 0 and 1"),
        ("y[t] ~ Normal(x[t] + y[t-3], 1)", "rows 0 to 2"),
        ("init y ~ Normal(0, 1)\ny[t] ~ Normal(x[t] + y[t-1], 1)", None),
        ("y[t] ~ Normal(x[t] + sum(y[t-k] for k in 1..min(3, t)), 1)", None),
        ("y[t] ~ Normal(x[t] + x[t-1], 1)", None),
    ],
)
def test_a_note_says_which_rows_are_conditioned_on(law: str, rows: str | None) -> None:
    model, findings = findings_of(WALK + law + "\n")
    notes = [d.message for d in findings if d.code == "N224"]
    assert notes == ([f"`y` is conditioned on, not scored, at {rows}"] if rows else [])
    assert model is not None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("param L[1, 1] ~ LKJCholesky(2)", "E207"),
        ("param L[2, 3] ~ LKJCholesky(2)", "E207"),
        ("def f(a) = a + missing", "E201"),
        ("assert stable()", "E211"),
        ("axis two = {a, b}\nstate s in two\ninit s ~ Categorical([1, 0])\ns[t] ~ Categorical([0.2, 0.3, 0.5])",
         "E207"),
        ("axis two = {a, b}\nstate s in two\ninit s ~ Categorical([1, 0])\ns[t] ~ Categorical([1, 0])\nobs z\n"
         "z[t] ~ Normal(s[t], 1)", "E208"),
        ("let total[t] = sum(x[t-k] for k in 0..t)", "E214"),
        ("axis two = {a, b}\nlet v = [1, 2]\nlet w = v[a]", "E201"),
    ],
)  # fmt: skip
def test_refused(line: str, found: str) -> None:
    assert [code for code, _ in errors_of(WALK + SEEN + line + "\n") if code[0] == "E"] == [found]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("const unused = 3", "unused"),
        ("axis unused = 1..3", "unused"),
        ("state unused\ninit unused ~ Normal(0, 1)\nunused[t] ~ Normal(unused[t-1], 1)", "unused"),
        ("noise unused ~ Normal(0, 1)", "unused"),
    ],
)
def test_what_nothing_reads_is_warned_of(line: str, place: str) -> None:
    assert errors_of(WALK + SEEN + line + "\n") == [("W221", place)]


def test_a_definition_is_a_result_and_read_by_the_reader() -> None:
    assert errors_of(WALK + SEEN + "param a ~ Normal(0, 1)\nlet twice = 2 * a\n") == []


def test_values_that_come_late_and_values_that_never_come() -> None:
    """Without `init` a chain of lags fills up row by row; a lag of two from one first value leaves every second row."""
    chain = "state a, b, c, d\nobs y\na[t] ~ Normal(0, 1)\nb[t] = a[t-1]\nc[t] = b[t-1]\nd[t] = c[t-1]\n"
    model_of(chain + "y[t] ~ Normal(d[t], 1)\n")
    holes = "state x\nobs y\ninit x[-1] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-2], 1)\ny[t] ~ Normal(x[t], 1)\n"
    assert errors_of(holes) == [("E205", "x[t-2]")]


def test_a_choice_guards_the_end_of_an_axis() -> None:
    """Each entry reads its neighbour, the first none; both ways of saying it are the same equation."""
    head = "axis site = 1..3\nstate x[site]\nobs y\ninit x ~ Normal(0, 1)\ny[t] ~ Normal(x[t, 3], 1)\n"
    guarded = model_of(head + "x[t, i] = (if i > 1 then x[t-1, i-1] else 2) for i in site\n")
    entries = [e for e in guarded.equations if e.role == "transition"]
    assert [e.targets[0].entries for e in entries] == [(0,), (1,), (2,)]
    assert [bool(expr.references(roots(e))) for e in entries] == [False, True, True]
    assert errors_of(head + "x[t, i] = (if i > 0 then x[t-1, i-1] else 2) for i in site\n") == [("E208", "i-1")]


@pytest.mark.parametrize("walk", ["x", -1.0, float("nan"), [[1, 2]]])
def test_walks_from_outside_are_numbers(walk: object) -> None:
    text = "param a ~ Normal(0, 1)\n" + WALK + "y[t] ~ Normal(a * x[t], 1)\n"
    assert [code for code, _ in errors_of(text, augment={"a": walk})] == ["E490"]
    assert model_of(text, augment={"a": None}).parameters["a"].augment
    assert float(np.asarray(model_of(text, augment={"a": 0.1}).parameters["a"].walk.value)) == 0.1  # type: ignore


@pytest.mark.parametrize("value", ["a", [1, 2], float("nan")])
def test_constants_from_outside_are_numbers_of_the_declared_shape(value: object) -> None:
    text = "const c[3] = 1\n" + WALK + "y[t] ~ Normal(sum(c) * x[t], 1)\n"
    assert errors_of(text, constants={"c": value}) == [("E490", "c")]


def test_a_size_without_a_value_says_what_to_give() -> None:
    text = "const p\naxis lag = 1..p\nparam b[lag] ~ Normal(0, 1)\n" + WALK + "y[t] ~ Normal(sum(b) * x[t], 1)\n"
    _, findings = findings_of(text)
    assert [d.code for d in findings] == ["N222", "E214"]
    assert all("--const p=..." in d.help[0] for d in findings)


TEAMS = "axis team = {a, b}\nstate x[team]\nobs y\ninit x ~ Normal(0, 1)\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (TEAMS + "x[t, team] ~ Normal(x[t-1, team], 1)\ny[t] ~ Normal(x[t, a], 1)\n",
         "write `x[t, i]` with `for i in team` behind the equation"),
        (TEAMS + "param s[team] ~ HalfNormal(1)\nx[t, i] ~ Normal(x[t-1, i], s[team]) for i in team\n"
         "y[t] ~ Normal(x[t, a], 1)\n", "write `s[i]` with"),
        (TEAMS + "input h\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t, h[t]], 1)\n",
         "declare `input h[team]`, 1 at the label meant and 0 at the others; `dot(h[t], x[t])`"),
        (TEAMS.replace("{a, b}", "1..2") + "input h\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t, h[t]], 1)\n",
         "declare `input h[team]`"),
    ],
)  # fmt: skip
def test_labels_chosen_otherwise_are_told_what_to_write(text: str, written: str) -> None:
    model, findings = findings_of(text)
    assert model is None and any(written in help_ for d in findings for help_ in d.help)
