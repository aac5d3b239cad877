"""E416: the time from row to row."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_PROGRAM = """import ssmlang
model = ssmlang.compile(\"\"\"
param rate ~ HalfNormal(1)
input dt
state x
obs   y
init x ~ Stationary()
d(x) = -rate * x * dt + dW
y[t] ~ Normal(x[t], 1)
\"\"\")
model.log_likelihood({"y": [0.1, 0.2, 0.3], "dt": [0.0, %s]}, {"rate": 1.0})
"""

CODES: tuple[Code, ...] = (
    Code(
        "E416",
        "time-step",
        "the time from one row to the next is missing or negative",
        "A differential equation moves a state over the time `dt` from the row before. `dt` of row 0 is not used; in "
        "every later row it is a number, zero for a second row of the same time. A table whose rows have times needs "
        "no column `dt`: it is the difference of the times, in days where they are dates.",
        Example(_PROGRAM % "0.5, -0.1", language="python"),
        Example(_PROGRAM % "0.5, 0.1", language="python"),
    ),
)
