"""Observations that do not tell a sign: one Gaussian is far off there, and `auto` takes draws."""

from __future__ import annotations

import pytest

import ssmlang
from ssmlang.analysis.folded import folded

PROGRAM = """
param s ~ HalfNormal(1)
state x[2], v
obs y
init x ~ Normal(1, 1)
init v ~ Normal(0, 1)
x[t] ~ Normal(sin(x[t-1]) + v[t-1], 1)
v[t] ~ Normal(v[t-1], 0.1)
y[t] ~ Normal(SEEN, s)
"""


@pytest.mark.parametrize(("seen", "names"), [
    ("x[t, 1]^2 / 20", ("x[1]",)),
    ("x[t, 0] * x[t, 1]", ("x[0]", "x[1]")),
    ("cos(v[t])", ("v",)),
    ("x[t, 0] * x[t, 1] + x[t, 0]", ()),
    ("x[t, 0] + x[t, 0]^2 / 10", ()),
    ("sin(x[t, 0])", ()),
    ("atan2(x[t, 0], x[t, 1])", ()),
])  # fmt: skip
def test_signs_that_are_not_told(seen: str, names: tuple[str, ...]) -> None:
    model = ssmlang.compile(PROGRAM.replace("SEEN", seen))
    assert folded(model.spec, 8) == names
    said = str(model.why())
    assert said.startswith("engine: particle")
    assert ("do not tell the sign" in said) == bool(names) and ("y bends with what it sees" in said) != bool(names)


def test_many_states_are_left_to_a_gaussian() -> None:
    assert folded(ssmlang.compile(PROGRAM.replace("SEEN", "x[t, 0]^2")).spec, 1) == ()
