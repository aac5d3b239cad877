"""What the statements say together."""

from __future__ import annotations

import pytest

from ssmlang.language.render import render_text
from tests.elaborate.checking import WALK, errors_of, findings_of, model_of


def test_a_shuffled_file_means_the_same() -> None:
    lines = ["param s ~ HalfNormal(1)", "state a, b", "obs y", "init a, b ~ Normal(0, 1)", "a[t] ~ Normal(b[t], s)",
             "b[t] ~ Normal(a[t-1], s)", "y[t] ~ Normal(a[t], 1)"]  # fmt: skip
    forward, backward = model_of("\n".join(lines) + "\n"), model_of("\n".join(lines[::-1]) + "\n")
    names = lambda m: [e.targets[0].name for e in m.equations]
    assert names(forward) == names(backward) == ["b", "a", "y"]
    assert set(forward.parameters) == set(backward.parameters)


def test_missing_initial_values_name_the_rows() -> None:
    _, findings = findings_of(
        "param phi[2] ~ Normal(0, 1)\nstate u\nobs y\n"
        "u[t] ~ Normal(phi[0] * u[t-1] + phi[1] * u[t-2], 1)\ny[t] ~ Normal(u[t], 1)\n"
    )
    assert render_text(findings.sorted()) == (
        "error[E205]: a lag has no initial value\n"
        " --> model.ssm:4:38\n"
        "4 | u[t] ~ Normal(phi[0] * u[t-1] + phi[1] * u[t-2], 1)\n"
        "  |                                          ^^^^^^ needs u at t = 0 and t = -1\n"
        "  = help: add `init u ~ ...`, its law at the first rows (Stationary() and Diffuse() are laws too)"
    ).replace("4:38", "4:42")


def test_init_gives_every_lag_that_the_transition_reads() -> None:
    model = model_of(
        "state u\nobs y\ninit u ~ Normal(0, 1)\nu[t] ~ Normal(u[t-1] + u[t-3], 1)\ny[t] ~ Normal(u[t], 1)\n"
    )
    assert [t.row for i in model.initials for t in i.targets] == [0, -1, -2]
    joint = model_of(
        "state a, b\nobs y\ninit (a, b) ~ MvNormal([0, 0], eye(2))\na[t] = a[t-1]\nb[t] = b[t-1]\n"
        "y[t] ~ Normal(a[t] + b[t], 1)\n"
    )
    assert [len(i.targets) for i in joint.initials] == [2]


def test_predict_then_update_by_an_earlier_row() -> None:
    model_of("state x\nobs y\ninit x[-1] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n")


def test_a_state_that_reads_no_lag_needs_no_init() -> None:
    model_of("state x\nobs y\nx[t] ~ Normal(0, 1)\ny[t] ~ Normal(x[t], 1)\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t, 0] ~ Normal(0, 1)\ny[t] ~ Normal(x[t, 0], 1)\n",
            [("E204", "x")],
        ),
        (WALK + "init x ~ Normal(0, 2)\ny[t] ~ Normal(x[t], 1)\n", [("E204", "init x ~ Normal(0, 2)")]),
        (
            "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1) for i in 1..2\ny[t] ~ Normal(x[t], 1)\n",
            [("E204", "x[t]")],
        ),
        (
            "state s in 0..1\nobs y\ninit s ~ Bernoulli(0.5)\ns[t] ~ Normal(0, 1)\ny[t] ~ Normal(s[t], 1)\n",
            [("E213", "Normal(0, 1)")],
        ),
        (
            "axis size = {low, high}\nstate x\nobs y in size\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"
            "y[t] ~ Poisson(exp(x[t]))\n",
            [("E213", "Poisson(exp(x[t]))")],
        ),
        (
            "param a ~ Normal(b, 1)\nparam b ~ Normal(a, 1)\n" + WALK + "y[t] ~ Normal(x[t], a^2 + b^2)\n",
            [("E206", "b")],
        ),
        ("axis k = 1..2\nparam k2[kk] ~ Normal(0, 1)\n" + WALK + "y[t] ~ Normal(x[t], k2[1])\n", [("E201", "kk")]),
        (WALK + "y[t] ~ Normal(x[t], 1)\nassert stabel(x)\n", [("E211", "stabel")]),
    ],
)
def test_structural_errors(text: str, found: list[tuple[str, str]]) -> None:
    assert [f for f in errors_of(text) if f[0].startswith("E")] == found


def test_constants_from_outside() -> None:
    text = (
        "const p = 2\naxis lag = 1..p\nparam phi[lag] ~ Normal(0, 1)\n" + WALK + "y[t] ~ Normal(sum(phi) * x[t], 1)\n"
    )
    assert model_of(text, constants={"p": 3}).parameters["phi"].shape == (3,)
    assert errors_of(text, constants={"q": 3}) == [("E490", "")]


@pytest.mark.parametrize(
    "text",
    [
        "axis a = 1..10^15\n",
        "const a = 9^9^9^9\n",
        "param b[10^9] ~ Normal(0, 1)\n",
        "const c = sum(k for k in 1..10^9)\n",
        "const d = zeros(10^6, 10^6)\n",
    ],
)
def test_bounds(text: str) -> None:
    found = [c for c, _ in errors_of(text + WALK + "y[t] ~ Normal(x[t], 1)\n") if c.startswith("E")]
    assert found and set(found) <= {"E215", "E207"}
