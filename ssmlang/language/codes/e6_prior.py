"""E63x: what the prior says of the observations before any data."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_WALK = """param a ~ Normal(0, 2)
param sd ~ HalfNormal(1)
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(a * x[t-1], sd)
y[t] ~ Normal(x[t], 1)
"""
_DATA = '''import ssmlang
model = ssmlang.compile("""
param sd ~ HalfNormal(1)
param mu ~ Normal(0, 1)
obs y
y[t] ~ Normal(mu, sd)
""")
report = model.check({"y": [SCALE * v for v in (1.2, -0.4, 0.3, 0.9, -1.1, 0.2, 1.5, -0.7)]})
if report.diagnostics:
    raise ssmlang.SsmError(report.diagnostics)
'''
_SCALE = """param sd ~ Normal(1, 1)
obs y
y[t] ~ Normal(0, sd)
"""
_TAIL = """param a in (5, 6) ~ Normal(0, 1)
input u
obs y
y[t] ~ Normal(a * u[t], 1)
"""

CODES: tuple[Code, ...] = (
    Code(
        "W630",
        "prior-paths-explode",
        "paths drawn from the prior explode",
        "A good part of the paths drawn from the prior grow by orders of magnitude within the length of the data (or "
        "60 rows, where it is not known). Such a prior spends most of its mass on worlds that cannot be, a sampler "
        "starts in them, and the likelihood overflows there. Keep the coefficients of the state where it is stable.",
        Example(_WALK),
        Example(_WALK.replace("param a ~ Normal(0, 2)", "param a in (-1, 1) ~ Normal(0.5, 0.3)")),
    ),
    Code(
        "W631",
        "prior-scale-is-not-the-data-s",
        "observations under the prior have another size or place than the data",
        "The spread of observations simulated from the prior is some thirty times wider or narrower than that of the "
        "data, or they lie elsewhere altogether. Often the data are in another unit than the prior was made for. Found "
        "where data are given: `model.check(data)`.",
        Example(_DATA.replace("SCALE", "5000"), language="python"),
        Example(_DATA.replace("SCALE", "1"), language="python"),
    ),
    Code(
        "W632",
        "prior-outside-support",
        "a prior has mass where the law that reads it does not exist",
        "A scale must be positive and a probability lie between 0 and 1, and a part of the prior says otherwise. There "
        "the likelihood is not a number: a sampler that goes there fails, and what it says of the rest is not the "
        "posterior of the model as it stands. Declare the interval, which truncates the prior, or take a prior on it. "
        "A state may take a rate or a probability there too, as a random walk does sooner or later: paths from the "
        "prior show it; then put exp(...) or sigmoid(...) around what the law reads.",
        Example(_SCALE),
        Example(_SCALE.replace("param sd ~", "param sd in (0, inf) ~")),
    ),
    Code(
        "W633",
        "prior-tail",
        "a declared interval holds next to nothing of the prior",
        "`in (a, b)` truncates the prior to the interval and normalises it. Where less than a thousandth of the prior "
        "lies in it, what is left is the edge of a tail, piled up at one end of the interval: hardly what was meant.",
        Example(_TAIL),
        Example(_TAIL.replace("Normal(0, 1)", "Normal(5.5, 1)")),
    ),
)
