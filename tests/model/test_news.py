"""Which observations an engine can take that needs something new in each: told from the file, before anything runs."""

from __future__ import annotations

import pytest

import ssmlang
from ssmlang import SsmError

TREND = """model trend

param sd_slope ~ HalfNormal(1)

state level, slope
obs   y

init level ~ Normal(0, 1)
init slope ~ Normal(0, 1)
level[t]   {level}
slope[t]   ~ Normal(slope[t-1], sd_slope)
y[t]       {y}
"""


@pytest.mark.parametrize(
    ("level", "y", "fits"),
    [
        ("= level[t-1] + slope[t-1]", "= level[t]", False),
        ("= level[t-1] + slope[t-1]", "~ Normal(level[t], 1)", True),
        ("= level[t-1] + slope[t-1]", "= level[t] + slope[t]", True),
        ("~ Normal(level[t-1] + slope[t-1], 1)", "= level[t]", True),
    ],
)
def test_an_observation_known_from_the_row_before(level, y, fits):
    model = ssmlang.compile(TREND.format(level=level, y=y))
    verdict = next(v for v in model.why().verdicts if v.engine == "parallel")
    assert verdict.usable is fits
    if not fits:
        assert verdict.reason == "line 12: y can be known from the row before"
        with pytest.raises(SsmError, match="E306"):
            model.log_likelihood({"y": [0.0, 1.0]}, {"sd_slope": 1.0}, engine="parallel")
