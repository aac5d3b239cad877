"""Small programs that the tests of data bind to."""

from __future__ import annotations

from functools import cache

from ssmlang.frontend import check_text
from ssmlang.model.model import Model

LEVEL = """
state level
obs   y
init level ~ Normal(0, 1)
level[t] ~ Normal(level[t-1], 1)
y[t] ~ Normal(level[t], 1)
"""
PLANE = """
axis  plane = {east, north}
state pos[plane]
obs   fix[plane]
init pos ~ Normal(0, 1)
pos[t] ~ Normal(pos[t-1], 1)
fix[t] ~ Normal(pos[t], 1)
"""
NUMBERED = """
axis  site = 1..3
input x
input H[site, 2]
state level[site]
obs   y[site]
init level ~ Normal(0, 1)
level[t, i] ~ Normal(level[t-1, i], 1) for i in site
y[t, i] ~ Normal(level[t, i] + x[t] + H[t, i, 0] + H[t, i, 1], 1) for i in site
"""
DISCRETE = """
axis fate = {alive, dead}
axis grade = 1..3
obs  seen in fate
obs  mark in grade
obs  digit in 0..9
seen[t]  ~ Categorical([0.5, 0.5])
mark[t]  ~ Categorical([0.2, 0.3, 0.5])
digit[t] ~ Categorical([0.1 for k in 0..9])
"""
DRIFT = """
input dt
state x
obs   y
init x ~ Stationary()
d(x) = (1 - x) * dt + 0.5 * dW
y[t] ~ Normal(x[t], 1)
"""
CLASH = """
axis  east = {rate}
state rate, level
obs   y[east], y_a[east]
init rate, level ~ Normal(0, 1)
rate[t]  ~ Normal(rate[t-1], 1)
level[t] ~ Normal(level[t-1], 1)
y[t, i]   ~ Normal(rate[t], 1) for i in east
y_a[t, i] ~ Normal(level[t], 1) for i in east
"""


@cache
def model(text: str) -> Model:
    return check_text(text).require()
