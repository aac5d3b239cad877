"""E602: what the observations cannot tell."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_TWO = """param sd_level, sd_drift, sd_obs ~ HalfNormal(1)
state level, drift
obs y
init level, drift ~ Diffuse()
level[t] ~ Normal(level[t-1], sd_level)
drift[t] ~ Normal({}, sd_drift)
y[t] ~ Normal(level[t] + drift[t], sd_obs)
"""

CODES: tuple[Code, ...] = (
    Code(
        "E602",
        "not-observable",
        "the observations cannot tell some states",
        "Some direction of the state changes no observation of its row or of any later one, whatever the parameters "
        "are: two components enter only through their sum, or a state reaches no observation at all. Filter and "
        "smoother then say of it what its prior says, and the parameters that drive it may not be identified. It is a "
        "warning (W602), and an error where the file asserts `observable(...)`. `ssmlang witness FILE --code E602` "
        "shows two states whose observations are the same. Delays that no later row needs do not count as lost.",
        Example(_TWO.format("drift[t-1]")),
        Example(_TWO.format("0.5 * drift[t-1]")),
    ),
)
