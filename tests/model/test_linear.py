"""The linear form of programs: matrices as a person would write them, and what stands against it."""

from pathlib import Path

import pytest

from ssmlang.frontend import check_file, check_text
from ssmlang.language.codes import REGISTRY
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.info import describe, info_text
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model

MODELS = Path(__file__).parents[2] / "stdlib" / "models"
LINEAR = ("nile", "ar", "arma", "var", "dynamic_factor", "tracking", "panel", "airline", "trend_cycle", "nowcast",
          "fractional", "ou")  # fmt: skip


def model(text: str) -> Model:
    return check_text(text).require() if "\n" in text else check_file(MODELS / f"{text}.ssm").require()


def matrices(name: str, role: str) -> dict:
    """{(what is read, lag): {(row, column): expression}} of a program."""
    part = describe(model(name))["linear"][role]
    return {(m["reads"], m["lag"]): {(e["row"], e["column"]): e["value"] for e in m["entries"]}
            for m in part["matrices"]}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_linear_programs_have_a_form(name: str) -> None:
    form = linear_form(model(name))
    assert isinstance(form, LinearForm), form
    assert not form.roots


def test_moving_average() -> None:
    found = matrices("arma", "transition")
    assert found["states", 1] == {("x", "x"): "phi[0]"} and found["states", 2] == {("x", "x"): "phi[1]"}
    assert found["noises", 0] == {("x", "e"): "sd"} and found["noises", 1] == {("x", "e"): "theta * sd"}
    assert matrices("arma", "emission") == {("states", 0): {("y", "x"): "1"}}


def test_correlated_trend_and_cycle() -> None:
    found = matrices("trend_cycle", "transition")
    assert found["noises", 0] == {
        ("trend", "own noise of trend"): "sd_trend",
        ("cycle", "own noise of trend"): "rho * sd_cycle",
        ("cycle", "own noise of cycle"): "sd_cycle * sqrt(1 - rho^2)",
    }
    assert found["states", 1] == {("trend", "trend"): "1", ("cycle", "cycle"): "phi[0]"}
    assert found["states", 2] == {("cycle", "cycle"): "phi[1]"}
    assert describe(model("trend_cycle"))["linear"]["transition"]["offset"] == {"trend": "drift"}


def test_a_shared_push_has_rank_two_of_four() -> None:
    found = matrices("tracking", "transition")
    assert found["noises", 0] == {
        ("pos[east]", "push[east]"): "0.005 * sd_push", ("pos[north]", "push[north]"): "0.005 * sd_push",
        ("vel[east]", "push[east]"): "0.1 * sd_push", ("vel[north]", "push[north]"): "0.1 * sd_push",
    }  # fmt: skip
    assert found["states", 1][("pos[east]", "vel[east]")] == "0.1"
    assert len(found["states", 1]) == 6


def test_seasonal_of_order_eleven_and_inputs_in_the_offset() -> None:
    found = matrices("airline", "transition")
    assert {lag for kind, lag in found if kind == "states"} == set(range(1, 12))
    assert found["states", 7] == {("season.effect", "season.effect"): "-1"}
    emission = describe(model("airline"))["linear"]["emission"]
    assert emission["offset"] == {
        "log_passengers": "beta[easter] * X[t, easter] + beta[trading_days] * X[t, trading_days]"
    }
    form = linear_form(model("airline"))
    assert isinstance(form, LinearForm)
    assert form.initial.delta == 13 and not form.matrix("emission", "x", 0).varying


def test_quarterly_growth_reaches_four_months_back() -> None:
    found = matrices("nowcast", "emission")
    assert found["states", 4] == {("gdp", "f"): "0.3333333333 * loading_gdp", ("gdp", "v"): "0.3333333333"}
    assert found["states", 2] == {("gdp", "f"): "loading_gdp", ("gdp", "v"): "1"}
    assert describe(model("nowcast"))["linear"]["stationary"] == [
        "f", "u[production]", "u[payroll]", "u[sales]", "v",
    ]  # fmt: skip


def test_a_panel_keeps_a_coefficient_for_each_site() -> None:
    form = linear_form(model("panel"))
    assert isinstance(form, LinearForm)
    assert form.matrix("transition", "x", 1).nnz == form.matrix("emission", "e", 0).nnz == 50


SERIES = "param s ~ HalfNormal(1)\nstate x, z\nobs y\ninit x, z ~ Normal(0, 1)\nz[t] ~ Normal(z[t-1], s)\n"


@pytest.mark.parametrize(
    ("program", "code", "label", "text"),
    [
        (SERIES + "x[t] ~ Normal(x[t-1] * z[t-1], s)\ny[t] ~ Normal(x[t], 1)\n", "E304", "a product of x and z",
         "x[t-1] * z[t-1]"),
        (SERIES + "x[t] ~ Normal(x[t-1], s)\ny[t] ~ Normal(x[t], exp(z[t]))\n", "E304", "the scale depends on z",
         "exp(z[t])"),
        (SERIES + "x[t] ~ StudentT(4, x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n", "E304", "StudentT is not Gaussian",
         "StudentT(4, x[t-1], s)"),
        ("noise e ~ Normal(0, 1)\n" + SERIES + "x[t] = sum(0.5^k * e[t-k] for k in 1..t)\ny[t] ~ Normal(x[t], 1)\n",
         "E306", "the whole past of e", "sum(0.5^k * e[t-k] for k in 1..t)"),
        ("stochastic_volatility", "E304", "the scale depends on h", "exp(h[t] / 2)"),
        ("capture_like", "E306", "s is discrete", "s"),
    ],
)  # fmt: skip
def test_obstacles_point_at_what_is_written(program: str, code: str, label: str, text: str) -> None:
    if program == "capture_like":
        program = "switching"
    found = linear_form(model(program))
    assert isinstance(found, tuple)
    assert (found[0].code, found[0].label) == (code, label)
    assert found[0].span is not None and found[0].span.text == text
    assert found[0].diagnostic().help


def test_every_obstacle_is_reported_in_the_order_of_the_file() -> None:
    found = linear_form(model(SERIES + "x[t] ~ Normal(sin(x[t-1]), s)\ny[t] ~ Normal(x[t]^2, 1)\n"))
    assert isinstance(found, tuple)
    assert [o.label for o in found] == ["sin of x", "the square of x"]


@pytest.mark.parametrize(
    ("law", "why"),
    [
        ("0.5 * x[t-1] + cos(t)", "its transition changes from row to row"),
        ("0.5 * x[t-1] + z[t-1]", "reads z, which is not stationary"),
        ("0.5 * x[t-1] + y[t-1]", "reads an observation"),
        ("sum(0.5^k * x[t-k] for k in 1..t)", "reads its whole past"),
    ],
)
def test_stationary_needs_a_closed_constant_group(law: str, why: str) -> None:
    text = SERIES.replace("init x, z ~ Normal(0, 1)", "init x ~ Stationary()\ninit z ~ Normal(0, 1)")
    found = linear_form(model(text + f"x[t] ~ Normal({law}, s)\ny[t] ~ Normal(x[t], 1)\n"))
    assert isinstance(found, tuple)
    assert (found[0].code, found[0].label) == ("E305", why)


def test_an_entry_without_initial_value_is_found() -> None:
    text = "state x[2]\nobs y\ninit x[0, 0] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t, 0], 1)\n"
    checked = check_text(text)
    if checked.model is None:
        assert any(d.code == "E205" for d in checked.findings)
    else:
        found = linear_form(checked.model)
        assert isinstance(found, tuple) and found[0].code == "E205" and "t = 0" in found[0].label


@pytest.mark.parametrize("name", sorted(p.stem for p in MODELS.glob("*.ssm")))
def test_info_of_every_program(name: str) -> None:
    constants = {"first": [1] * 294} if name == "capture" else {}
    spec = check_file(MODELS / f"{name}.ssm", constants=constants).require()
    found = describe(spec)
    assert ("linear" in found) == (name in LINEAR)
    text = info_text(spec)
    assert text.startswith(f"model {name}") and "#" not in text
    import json

    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("code", ["E304", "E305", "E306", "E307", "E308"])
def test_examples_of_the_codes(code: str) -> None:
    entry = REGISTRY[code]
    with pytest.raises(SsmError) as trouble:
        exec(entry.wrong.text, {})
    assert code in [d.code for d in trouble.value.diagnostics]
    exec(entry.mended.text, {})
