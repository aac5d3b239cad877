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



def _excited(inputs: str) -> Example:
    """A coefficient that wanders beside a level, and these inputs."""
    program = (
        "param sd_level, sd_beta, sd_obs ~ HalfNormal(1)\ninput X\nstate level, beta\nobs y\n"
        "init level, beta ~ Normal(0, 1)\nlevel[t] ~ Normal(level[t-1], sd_level)\n"
        "beta[t] ~ Normal(beta[t-1], sd_beta)\ny[t] ~ Normal(level[t] + beta[t] * X[t], sd_obs)\n"
    )
    text = f'import ssmlang\nmodel = ssmlang.compile("""\n{program}""")\n'
    return Example(f'{text}report = model.check({{"y": [0.0] * 40, "X": {inputs}}})\n', language="python")


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
    Code(
        "W605",
        "not-excited",
        "the data do not excite a direction of the state",
        "Where the matrices of a model depend on its inputs, what can be known of the state depends on how the inputs "
        "move: the coefficient of a covariate that never changes cannot be told from the level. `model.check(data)` "
        "looks at the information that windows of rows hold about the state at their start; here even all rows "
        "together leave a direction out. Where some window does, its alpha, beta and length N are said instead.",
        _excited("[1.0] * 40"),
        _excited("[1.0, 2.0, 4.0, 3.0] * 10"),
    ),
)
