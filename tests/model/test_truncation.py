"""Where the range of a state leaves its law as it is."""

from __future__ import annotations

import pytest

import ssmlang
from ssmlang.model.model import Values
from ssmlang.model.truncation import truncation

ALL, CUT = Values(None, 0, None), Values(None, 0, 20)


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        ("Binomial(s[t-1], p)", ALL),
        ("Binomial(20, p)", ALL),
        ("Binomial(s[t-1] + 1, p)", CUT),
        ("Binomial(s[t-1] - many[t-1, 1], p)", ALL),
        ("Binomial(many[t-1, 0] + many[t-1, 1], p)", ALL),
        ("Binomial(s[t-1] + many[t-1, 1], p)", CUT),
        ("Binomial(min(s[t-1] + many[t-1, 1], 20), p)", ALL),
        ("Binomial(if s[t-1] > 3 then s[t-1] else 5, p)", ALL),
        ("Binomial(if s[t-1] > 3 then s[t-1] else 50, p)", CUT),
        ("Binomial(2 * s[t-1], p)", CUT),
        ("Binomial(wide[t-1], p)", CUT),
        ("Poisson(3 * p)", CUT),
    ],
)
def test_an_upper_end_that_the_total_keeps_to_is_left_out(law: str, expected: Values) -> None:
    text = (
        "param p in (0, 1) ~ Uniform(0, 1)\nstate s in 0..20\nstate many[2] in 0..10\nstate wide in 0..inf\nobs y\n"
        "init s ~ Poisson(5)\ninit many ~ Poisson(5)\ninit wide ~ Poisson(5)\nmany[t] ~ Poisson(4)\n"
        f"wide[t] ~ Poisson(4)\ns[t] ~ {law}\ny[t] ~ Normal(s[t] + wide[t] + many[t, 0], 1)\n"
    )
    spec = ssmlang.compile(text).spec
    (equation,) = (e for e in spec.equations if e.targets[0].name == "s")
    assert truncation(spec, equation) == expected


def test_a_range_too_wide_to_be_weighed_is_no_trouble_where_nothing_is_cut() -> None:
    text = ("param p in (0, 1) ~ Uniform(0, 1)\nstate s in 0..1000000\nobs y\ninit s = 900000\n"
            "s[t] ~ Binomial(s[t-1], p)\ny[t] ~ Normal(s[t], 10)\n")  # fmt: skip
    drawn = ssmlang.compile(text).simulate(3, {"p": 0.5})["s"].values
    assert drawn[0] == 900_000 and abs(drawn[1] - 450_000) < 5 * 475
