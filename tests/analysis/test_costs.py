"""What engines are said to cost, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ssmlang
from ssmlang.analysis import costs
from ssmlang.analysis.costs import Size, rounded, seconds, sizes_of
from ssmlang.analysis.engines import AVAILABLE

MODELS = Path(__file__).resolve().parents[2] / "stdlib" / "models"
SAMPLED_WITH_PARAMETERS = {"latent"}


def sizes(name: str) -> tuple[Size, ...]:
    model = ssmlang.compile(MODELS / f"{name}.ssm")
    return sizes_of(model.spec, model.form)


@pytest.mark.parametrize("engine", sorted(set(AVAILABLE) - SAMPLED_WITH_PARAMETERS))
def test_every_engine_has_costs_that_grow(engine: str) -> None:
    small, large = Size(2, 1, 2, 10), Size(8, 4, 8, 80, levels=5)
    found = [seconds(engine, [size], rows) or 0.0 for size, rows in ((small, 100), (small, 10_000), (large, 10_000))]
    assert 0 < found[0] < found[1] < found[2]
    fifty = seconds(engine, [replace(large, members=50)], 10_000) or 0.0
    assert fifty - costs.CALL == pytest.approx(50 * (found[2] - costs.CALL))


def test_sizes_are_those_of_the_program() -> None:
    assert [(s.N, s.members > 1) for s in sizes("panel")] == [(1, True)]
    assert [(s.N, s.m) for s in sizes("airline")] == [(13, 1)]
    assert [s.levels for s in sizes("switching")] > [1]
    assert sizes("lorenz96")[0].work > sizes("lorenz63")[0].work > 0
    assert sizes("fractional")[0].whole_past


def test_defaults_are_the_engines_own() -> None:
    from ssmlang.engines import GaussHermite, Importance, Particle, RaoBlackwell

    own = Particle().particles, RaoBlackwell().particles, Importance().samples, GaussHermite().order
    assert own == (costs.PARTICLES, costs.PARTS, costs.SAMPLES, costs.ORDER)


def test_a_report_on_data_says_what_they_cost() -> None:
    model = ssmlang.compile(MODELS / "nile.ssm")
    report = model.check({"flow": [1120.0, 1160.0, 963.0, 1210.0]})
    assert "times are of a log-likelihood of 4 rows on one core" in str(report) and " us  exact" in str(report)
    engines = {e["engine"]: e for e in report.to_dict()["engines"]}
    assert 0 < engines["kalman"]["seconds"] <= engines["particle"]["seconds"] and engines["imm"]["seconds"] is None
    assert "takes about" in report._repr_html_() and "takes about" not in model.check()._repr_html_()
    assert all(e["seconds"] is None for e in model.check().to_dict()["engines"])


@pytest.mark.parametrize(
    ("value", "said"), [(2.4e-7, "~0.2 us"), (3.2e-4, "~300 us"), (0.0123, "~10 ms"), (999.0, "~0.3 h")]
)
def test_times_are_given_to_one_digit(value: float, said: str) -> None:
    assert rounded(value) == said
