"""E413: data that an equation needs as numbers."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_PROGRAM = """import ssmlang
model = ssmlang.compile(\"\"\"
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.5 * x[t-1] + %s, 1)
y[t] ~ Normal(x[t], 1)
\"\"\")
model.log_likelihood({"y": [0.1, float("nan"), 0.3]}, {})
"""

CODES: tuple[Code, ...] = (
    Code(
        "E413",
        "missing-where-needed",
        "an observation is missing where an equation needs it as a number",
        "An observation that other equations read linearly may be missing anywhere: it is then a latent value with the "
        "law that its own equation gives. Read in another way (a square, a sine, a product with a state) it must have "
        "been seen. The same holds in the first rows for an observation whose equation reaches before the data.",
        Example(_PROGRAM % "sin(y[t-1])", language="python"),
        Example(_PROGRAM % "0.2 * y[t-1]", language="python"),
    ),
)
