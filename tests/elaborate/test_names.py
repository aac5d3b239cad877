"""Names, labels, rows and shapes of expressions."""

from __future__ import annotations

import numpy as np
import pytest

from ssmlang.model import expr
from ssmlang.model.elaborate.structure import roots
from tests.elaborate.checking import WALK, errors_of, findings_of, model_of


def emission(text: str, **options: object) -> expr.Node:
    """The location of the law of y."""
    model = model_of(text, **options)
    return next(e for e in model.equations if e.role == "emission").law.args["loc"]  # type: ignore[union-attr]


def constant(expression: str) -> np.ndarray:
    node = emission(f"const c = {expression}\n" + WALK + "y[t] ~ Normal(c + x[t], 1)\n")
    return np.asarray(node.args[0].value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2^3^2", 512),
        ("-2^2", -4),
        ("7 % 4 + 1/2", 3.5),
        ("sum(k^2 for k in 1..4)", 30),
        ("prod(k for k in 1..5)", 120),
        ("max(k % 3 for k in 1..5)", 2),
        ("sum(i * j for i in 1..3 for j in 1..i)", 1 + 2 * 3 + 3 * 6),
        ("sum([i + j for i in 0..1 for j in 0..2])", 9),
        ("[[1, 2], [3, 4]][1, 0]", 3),
        ("dot([1, 2], [3, 4])", 11),
        ("sum([[1, 2], [3, 4]] @ [1, 1])", 10),
        ("[[1, 2], [3, 4]]'[0, 1]", 3),
        ("if 2 > 1 and not 1 > 2 then 5 else 6", 5),
        ("min(3, 4) + max(3, 4)", 7),
        ("sum(diag([1, 2]) @ [1, 1])", 3),
        ("lgamma(5) - log(24)", 0),
        ("where(1 < 2, 1, 2)", 1),
        ("interp(0.5, [0, 1], [0, 10])", 5),
        ("sum(kron([[1, 2]], [[1, 1]])[0])", 6),
        ("sum([[f for f in 1..2] for g in 1..3])", 9),
        ("sum([[1, 2], [3, 4]][i, 1 - i] for i in 0..1)", 5),
    ],
)
def test_constant_expressions(expression: str, value: float) -> None:
    assert constant(expression) == pytest.approx(value, abs=1e-12)


def test_labels_of_an_integer_axis_are_numbers() -> None:
    """phi[k] for k in 1..2 pairs the first coefficient with the first lag."""
    node = emission(
        "axis lag = 1..2\nparam phi[lag] ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(x[t-1] + 0 * x[t-2], 1)\ny[t] ~ Normal(sum(phi[k] * x[t-k] for k in lag), 1)\n"
    )
    pairs = [(int(n.args[0].args[1].value), n.args[1].attrs[2]) for n in expr.walk([node]) if n.op == "mul"]
    assert pairs == [(0, 1), (1, 2)]


def test_named_labels_pick_their_position() -> None:
    model = model_of(
        "axis plane = {east, north}\nstate x[plane]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t, north] ~ Normal(x[t-1, east], 1)\nx[t, east] = x[t-1, east]\ny[t] ~ Normal(x[t, north], 1)\n"
    )
    entries = {e.targets[0].entries for e in model.equations if e.role == "transition"}
    assert entries == {(0,), (1,)}


def test_a_loop_over_labels_is_one_equation() -> None:
    model = model_of(
        "axis site = 1..40\nparam sd[site] ~ HalfNormal(1)\nstate x[site]\nobs y[site]\n"
        "init x ~ Normal(0, 1)\nx[t, i] ~ Normal(x[t-1, i], sd[i]) for i in site\n"
        "y[t, i] ~ Normal(x[t, i], 1) for i in site\n"
    )
    assert len(model.equations) == 2
    assert model.equations[0].law is not None and model.equations[0].law.shape == (40,)


def test_neighbours_on_a_ring() -> None:
    model = model_of(
        "axis site = 0..4\nstate x[site]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t, i] ~ Normal(x[t-1, (i+1) % 5] - x[t-1, (i-1) % 5], 1) for i in site\n"
        "y[t] ~ Normal(x[t, 0], 1)\n"
    )
    picked = [np.asarray(n.args[1].value) for n in expr.walk(roots(model.equations[0])) if n.op == "index"]
    assert [list(p) for p in picked] == [[1, 2, 3, 4, 0], [4, 0, 1, 2, 3]]


def test_a_definition_is_read_at_earlier_rows() -> None:
    node = emission(WALK + "let twice[t] = 2 * x[t] + t\ny[t] ~ Normal(twice[t-1], 1)\n")
    assert expr.references([node]) == {("state", "x", 1)}
    assert any(n.op == "sub" and n.args[0].op == "time" for n in expr.walk([node]))


def test_sums_over_the_past() -> None:
    full = model_of(
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(x[t-k] / k for k in 1..t), 1)\n"
        "y[t] ~ Normal(x[t], 1)\n"
    )
    assert full.states["x"].order is None
    cut = model_of(
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(x[t-k] / k for k in 1..min(3, t)), 1)\n"
        "y[t] ~ Normal(x[t], 1)\n"
    )
    assert cut.states["x"].order == 3
    assert ("x", 3) in cut.equations[0].guarded
    assert {t.row for i in cut.initials for t in i.targets} == {0, -1, -2}


def test_augmented_parameters_are_read_a_row_back_in_transitions() -> None:
    model = model_of(
        "augment param a ~ Normal(0, 1) walk 0.1\nlet g = 2 * a\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(g * x[t-1], 1)\ny[t] ~ Normal(g * x[t], 1)\n"
    )
    lags = {e.role: {r[2] for r in expr.references(roots(e)) if r[0] == "augment"} for e in model.equations}
    assert lags == {"transition": {1}, "emission": {0}}


def test_functions_do_not_see_the_names_of_their_caller() -> None:
    assert errors_of("def f(v) = v + k\n" + WALK + "y[t] ~ Normal(sum(f(k) for k in 1..2) * x[t], 1)\n") == [
        ("E201", "k")
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("y[t] ~ Normal(xx[t], 1)", [("E201", "xx")]),
        ("y[t] ~ Normal(x[t] + x[t, 0], 1)", [("E208", "0")]),
        ("y[t] ~ Normal(x[t-0.5], 1)", [("E214", "0.5")]),
        ("y[t] ~ Normal(x[2*t], 1)", [("E210", "2*t")]),
        ("y[t] ~ Normal(x[1], 1)", [("E209", "1")]),
        ("y[t] ~ Normal(x[t], 1, 2)", [("E212", "2")]),
        ("y[t] ~ Normal(x[t], sigma=2)", [("E212", "sigma")]),
        ("y[t] ~ Norml(x[t], 2)", [("E212", "Norml")]),
        ("y[t] ~ Normal([1, 2], 1)", [("E207", "[1, 2]")]),
        ("y[t] = Normal(x[t], 1)", [("E213", "Normal(x[t], 1)")]),
        ("y[t] ~ Normal(x[t], -1)", [("E218", "-1")]),
        ("y[t] ~ Categorical([0.5, 0.6])", [("E218", "[0.5, 0.6]")]),
        ("y[t] ~ Normal(x[t], 9^9^9^9)", [("E215", "9^9^9")]),
        ("y[t-1] ~ Normal(x[t], 1)", [("E210", "y[t-1]")]),
        ("y[t] ~ Normal(y[t], 1)", [("E206", "y[t]")]),
    ],
)
def test_errors_are_at_the_smallest_place(line: str, found: list[tuple[str, str]]) -> None:
    assert errors_of(WALK + line + "\n") == found


def test_suggestions() -> None:
    _, findings = findings_of("param sd_level ~ HalfNormal(1)\n" + WALK + "y[t] ~ Normal(x[t], sd_levl)\n")
    unknown = next(d for d in findings if d.code == "E201")
    assert unknown.help == ("did you mean `sd_level`?",)


def test_all_errors_in_one_run() -> None:
    found = errors_of(
        "param a in (2, 1) ~ Normal(0, 1)\nparam b ~ Nrmal(0, 1)\n" + WALK + "y[t] ~ Normal(z[t], w)\nlet q = x\n"
    )
    assert [c for c, _ in found] == ["E218", "E212", "E201", "E216"]
