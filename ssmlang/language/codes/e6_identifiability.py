"""E62x: proofs about what the observations say of the parameters."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_FACTOR = """param a ~ Normal(0, 1)
param s, sd ~ HalfNormal(1)
param phi in (-1, 1) ~ Normal(0.5, 0.3)
state x
obs y
init x ~ Stationary()
x[t] ~ Normal(phi * x[t-1], s)
y[t] ~ Normal(a * x[t], sd)
assert identifiable(a)
"""
_START = """param a ~ Normal(0, 1)
param s ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(0.5 * x[t-1], s)
y[t] = a * x[t]
"""

_RAISED = """report = ssmlang.compile(text).check(rows=ROWS)
if report.diagnostics:
    raise ssmlang.SsmError(report.diagnostics)
"""
_SLOPE = (
    '''import ssmlang
text = """
param sd_slope ~ PRIOR
param sd ~ HalfNormal(10)
state level, slope
obs y
init level, slope ~ Diffuse()
level[t] = level[t-1] + slope[t-1]
slope[t] ~ Normal(slope[t-1], sd_slope)
y[t] ~ Normal(level[t], sd)
"""
'''
    + _RAISED
)

CODES: tuple[Code, ...] = (
    Code(
        "E620",
        "not-identified",
        "parameters that the observations cannot tell apart",
        "There are two settings of these parameters under which the observations have exactly the same law, "
        "however long the series: no data can decide between them, and a posterior says of them what the "
        "prior said. The message has the functions of the parameters that are identified (only their product,"
        " only their sum) and two such settings. Give one of them a number, or change the model so that "
        "something tells them apart. As a warning (W620) where nothing is asserted. The proof is local: it "
        "speaks of small changes, and of almost all values of the parameters; signs and labels that can be "
        "exchanged are named apart.",
        Example(_FACTOR),
        Example(_FACTOR.replace("param s, sd", "const s = 1\nparam sd")),
    ),
    Code(
        "W621",
        "identified-by-first-row",
        "only the law of the first row tells parameters apart",
        "The rows after the first say nothing that would tell these parameters apart. What does is the law of"
        " the first row: that is one draw, so that a longer series does not help, and the answer rests on an "
        "initial law that is often a mere convention. Many short series (a list of data sets) can still learn"
        " them.",
        Example(_START),
        Example(_START.replace("param s ~ HalfNormal(1)", "const s = 1")),
    ),
    Code(
        "W622",
        "not-informed",
        "data of this length cannot inform a parameter",
        "The expected Fisher information of so many rows, at draws from the prior, adds next to nothing to what the "
        "prior says: on the unconstrained scale (the logarithm of a scale) the posterior is expected to be about as "
        "wide as the prior. The parameter may be identified all the same, by a longer series. Give it a number, or a "
        "prior that says what is known of it, since the data will not. Found where the number of rows is known: "
        "`model.check(rows=100)` or `model.check(data)`.",
        Example(_SLOPE.replace("ROWS", "12").replace("PRIOR", "HalfNormal(0.01)"), language="python"),
        Example(_SLOPE.replace("ROWS", "120").replace("PRIOR", "HalfNormal(5)"), language="python"),
    ),
)
