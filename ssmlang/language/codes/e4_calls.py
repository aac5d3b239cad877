"""E414, E415, E45x, E49x: what a call asks for."""

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
        "E415",
        "unknown-in-row",
        "a row of a stream has a name that the model does not have",
        "A row holds values of the model's observations and inputs by name, or by that of an entry as `fix[east]`; "
        "an observation that is absent is missing. A name that is none of the model's is an error, for what is meant "
        "by it would be lost without a word.",
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.step(model.initial_state({}), {"Y": 0.1})'),
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.step(model.initial_state({}), {"y": 0.1})'),
    ),
    Code(
        "E449",
        "no-names",
        "parameters that are no dict",
        "Parameters are given by name: a dict, or the text that a result holds under `params` in its attributes.",
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.filter({"y": [0.1]}, [0.5])'),
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.filter({"y": [0.1]}, {})'),
    ),
    Code(
        "E450",
        "no-rows",
        "a forecast or a simulation of no rows, or of no draws",
        "`steps` is the number of rows wanted and `draws` that of draws: whole numbers, at least one.",
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.forecast({"y": [0.1]}, {}, steps=0)'),
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.forecast({"y": [0.1]}, {}, steps=1)'),
    ),
    Code(
        "E451",
        "no-such-choice",
        "an option with a value that it does not have",
        '`keep` is "all" or "last"; `seed` is a whole number; `progress` is None, True, False, "auto", "bar", '
        '"plain" or "off"; what is compiled is a path or a text.',
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.filter({"y": [0.1]}, {}, keep="first")'),
        _call("", "y[t] ~ Normal(x[t], 1)", "", 'model.filter({"y": [0.1]}, {}, keep="last")'),
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
