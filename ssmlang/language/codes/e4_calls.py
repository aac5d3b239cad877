"""E45x, E49x: what a call asks for."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_LEVEL = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"


def _call(declarations: str, emission: str, options: str, call: str) -> Example:
    text = f'import ssmlang\nmodel = ssmlang.compile("""\n{declarations}{_LEVEL}{emission}\n"""{options})\n{call}\n'
    return Example(text, language="python")


CODES: tuple[Code, ...] = (
    Code(
        "E414",
        "nothing-observed",
        "a fit to data that hold no observation",
        "Where every observation is missing, the data say nothing of the parameters. The prior alone is drawn by "
        "`model.simulate`.",
        _call(
            "param s ~ HalfNormal(1)\n", "y[t] ~ Normal(x[t], s)", "", 'model.fit({"y": [float("nan")]}, method="map")'
        ),
        _call(
            "param s ~ HalfNormal(1)\n",
            "y[t] ~ Normal(x[t], s)",
            "",
            'model.fit({"y": [0.1, 0.4]}, method="map", progress="off")',
        ),
    ),
    Code(
        "E450",
        "no-rows",
        "a forecast or a simulation of no rows",
        "`steps` is the number of rows wanted, at least one.",
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.forecast({"y": [0.1]}, {}, steps=0)'),
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.forecast({"y": [0.1]}, {}, steps=1)'),
    ),
    Code(
        "E490",
        "unknown-constant",
        "a constant or a parameter given from outside does not fit the model",
        "`constants=` gives values to the `const` of a file, in their shapes; `augment=` names parameters.",
        _call("const a = 1\n", "y[t] ~ Normal(a * x[t], 1)", ', constants={"b": 2}', ""),
        _call("const a = 1\n", "y[t] ~ Normal(a * x[t], 1)", ', constants={"a": 2}', ""),
    ),
)
