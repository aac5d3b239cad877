"""E6xx: proofs."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_PAST = """const d = 0.4
state x
obs y
init x ~ Normal(0, 1)
x[t] ~ Normal(sum((-1)^(k+1) * d / k * x[t-k] for k in 1..t), 1)
y[t] ~ Normal(x[t], 1)
"""

CODES: tuple[Code, ...] = (
    Code(
        "E601",
        "assertion-not-proved",
        "an assertion is refuted, or neither proved nor refuted",
        "`assert` asks for a proof. What is refuted fails compilation, with two settings that show it; what can be "
        "neither proved nor refuted is a warning (W601) that says how far the proof came. Assertions that are refuted "
        "for a reason with a code of its own, such as E602, carry that code.",
        Example(_PAST + "assert stable(x)\n"),
        Example(_PAST),
    ),
)
