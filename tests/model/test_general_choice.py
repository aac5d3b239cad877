"""Which engine `auto` takes for programs that are not linear and Gaussian."""

from __future__ import annotations

from typing import Any

import pytest

import ssmlang
from ssmlang.analysis.choice import Task
from ssmlang.engines._particle_filter import plan_of
from ssmlang.language.diagnostics import SsmError

GROWN = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1] - exp(x[t-1]), 0.3)\ny[t] ~ {}\n"
LEVEL = GROWN.replace("x[t-1] - exp(x[t-1])", "0.5 * x[t-1]")
STILL = GROWN.replace("x[t] ~ Normal(x[t-1] - exp(x[t-1]), 0.3)", "x[t] = x[t-1] - exp(x[t-1])")
WIDE = GROWN.replace("state x", "state x[9]").replace("exp(x[t])", "sum(exp(x[t]))")
LAYERS = "augment param w, v ~ Normal(0, 1) walk 0.01\ninput u\nobs y\ny[t] ~ Bernoulli(logits = w * tanh(v * u[t]))\n"
CROSSES = "if x[t-1] > 0 then 0.5 * x[t-1] else 2"
COUNTS, HEAVY = "Poisson(exp(x[t]))", "StudentT(4, x[t], 0.2)"
VALUE, MAP = Task(), Task("fit", method="map")


@pytest.mark.parametrize(
    ("text", "task", "engine"),
    [
        (GROWN.format(COUNTS), VALUE, "particle"),
        (GROWN.format(COUNTS), Task("fit"), "ipls"),
        (GROWN.format(COUNTS), MAP, "ipls"),
        (GROWN.format(COUNTS), Task("fit", method="svi"), "ipls"),
        (GROWN.format(COUNTS), Task("fit", method="pmmh"), "particle"),
        (WIDE.format("Poisson(sum(exp(x[t])))"), VALUE, "ipls"),
        (STILL.format(COUNTS), VALUE, "ipls"),
        (STILL.replace("init x ~ Normal(0, 1)", "init x = 0").format(COUNTS), VALUE, "recursion"),
        (GROWN.format("Gamma(2, exp(x[t]))"), VALUE, "laplace"),
        (GROWN.format("Gamma(2, exp(abs(x[t])))"), VALUE, "ipls"),
        (GROWN.format("Normal(x[t], 1)"), VALUE, "ukf"),
        (GROWN.format("Normal(sin(x[t]), 1)"), VALUE, "particle"),
        (GROWN.format("Normal(sin(x[t]), 1)"), Task("fit"), "laplace"),
        (GROWN.format("Normal(min(x[t], 1), 1)"), Task("fit"), "ipls"),
        (GROWN.format("Normal(x[t]^2, 1)"), Task("fit"), "ipls"),
        (GROWN.replace("state x", "state x[4]").format("Normal(sin(x[t, 0]), 1)"), VALUE, "ukf"),
        (STILL.format("Normal(sin(x[t]), 1)"), VALUE, "ukf"),
        (GROWN.replace("state x", "state x[4]").format("Normal(log(x[t, 0]), 1)"), VALUE, "laplace"),
        (GROWN.replace("state x", "state x[4]").format("Normal(sqrt(1 + exp(x[t, 0])), 1)"), VALUE, "ukf"),
        (GROWN.replace("x[t-1] - exp(x[t-1])", CROSSES).format("Normal(x[t], 1)"), VALUE, "particle"),
        (GROWN.replace("x[t-1] - exp(x[t-1])", CROSSES.replace("x[t-1] >", "t >")).format("Normal(x[t], 1)"), VALUE,
         "kalman"),
        (LEVEL.format("VonMises(x[t], 9)"), VALUE, "particle"),
        (LEVEL.format("VonMises(x[t], 9)"), MAP, "laplace"),
        (LEVEL.format("VonMises(atan2(x[t], 1), 9)"), VALUE, "laplace"),
        (LEVEL.format(COUNTS), VALUE, "laplace"),
        (LEVEL.format(COUNTS), Task("fit", method="pmmh"), "importance"),
        (LEVEL.format(HEAVY), Task("smooth"), "particle"),
        (LEVEL.format(HEAVY), MAP, "importance"),
        (LEVEL.format(HEAVY), Task("fit"), "latent"),
        (LEVEL.format(HEAVY), Task("fit", method="svi"), "latent"),
        (LEVEL.format("StudentT(4, 0, exp(x[t]))"), VALUE, "laplace"),
        (LAYERS, VALUE, "dual_ekf"),
        (LAYERS.replace("* tanh(v * u[t])", "* u[t] + v"), VALUE, "laplace"),
        (LEVEL.format("Laplace(x[t], 1)"), VALUE, "particle"),
        (LEVEL.format("Laplace(x[t], 1)"), MAP, "importance"),
    ],
)  # fmt: skip
def test_what_auto_takes(text: str, task: Task, engine: str) -> None:
    assert ssmlang.compile(text).execution("auto", task).engine.name == engine


def test_the_reason_is_told() -> None:
    assert "one Gaussian fits neither" in str(ssmlang.compile(GROWN.format(COUNTS)).why())
    said = str(ssmlang.compile(LEVEL.format(HEAVY)).why())
    assert "a Gaussian takes a StudentT" in said and "too sure of the states" in said and "by its variance" in said


def test_what_no_engine_runs_is_one_error_at_the_line_that_bars_them() -> None:
    """Before, two more errors followed, of the engine `kalman` alone."""
    model = ssmlang.compile(GROWN.format(COUNTS).replace("init x ~ Normal(0, 1)", "init x ~ Diffuse()"))
    with pytest.raises(SsmError) as caught:
        model.execution("auto", MAP)
    (found,) = caught.value.diagnostics
    assert found.code == "E303" and found.label == "a diffuse start has infinite variance" and found.span is not None
    assert found.help[0].startswith("give a law") and any("kalman" in w and "line 4: exp of x" in w for w in found.why)


def test_what_bars_engines_in_a_component_is_said_to_stand_in_its_file() -> None:
    """Before, its line was given as if it were the model's own, and the mend spoke of an `x` that is nowhere."""
    model = ssmlang.compile("from structural import local_level\nparam s ~ HalfNormal(1)\npart level = local_level(s)\n"
                            "obs y\ny[t] ~ Uniform(level[t] - 1, level[t] + 1)\n")  # fmt: skip
    assert "line 6 of structural.ssm: a diffuse start" in str(model.why())
    assert "line 5: Uniform is not Gaussian" in str(model.why())
    with pytest.raises(SsmError) as caught:
        model.execution("auto", MAP)
    said = caught.value.diagnostics[0].help
    assert said[0].endswith("`init level.level ~ Normal(0, 100)`") and "ssmlang expand" in said[1]


@pytest.mark.parametrize("law", ["Laplace(x[t], 1)", "Uniform(x[t] - 1, x[t] + 1)"])
def test_a_log_density_that_does_not_bend_has_no_mode_by_newton(law: str) -> None:
    """Before, `auto` took `laplace`, which found no mode."""
    model = ssmlang.compile(LEVEL.format(law))
    for engine in ("laplace", "importance") if law.startswith("Uniform") else ("laplace",):
        with pytest.raises(SsmError) as caught:
            model.execution(engine)
        assert caught.value.diagnostics[0].code == "E306" and "bends with the state" in str(caught.value)


def test_particles_are_sent_to_where_counts_put_the_state() -> None:
    made: Any = ssmlang.compile(GROWN.format(COUNTS)).execution("particle")
    facts = made.general().facts
    assert plan_of(facts, "auto").guided and not plan_of(facts._replace(noises=20), "auto").guided
    made = ssmlang.compile(LEVEL.format(HEAVY)).execution("particle")
    assert not plan_of(made.general().facts, "auto").guided
