"""E441 to E448, E452: parameter values and first values that a caller gives."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_MODEL = '''
import ssmlang
model = ssmlang.compile("""
axis  plane = {east, north}
param s ~ HalfNormal(1)
param a[plane] in (-1, 1) ~ Normal(0, 1)
state x[plane]
obs   y[plane]
init x ~ Normal(0, 1)
x[t] ~ Normal(a * x[t-1], s)
y[t] ~ Normal(x[t], 1)
""")
'''
_DIFFUSE = '''
import ssmlang
model = ssmlang.compile("""
param s ~ HalfNormal(1)
state x
obs   y
init x ~ Diffuse()
x[t] ~ Normal(x[t-1], s)
y[t] ~ Normal(x[t], 1)
""")
'''
_OWN_PAST = '''
import ssmlang
model = ssmlang.compile("""
param a ~ Normal(0, 0.3)
obs y
y[t] ~ Normal(a * y[t-1], 1)
""")
'''
_STATIONARY = '''
import ssmlang
model = ssmlang.compile("""
param phi ~ Normal(0.5, 0.5)
state x
obs   y
init x ~ Stationary()
x[t] ~ Normal(phi * x[t-1], 1)
y[t] ~ Normal(x[t], 1)
""")
'''


def _code(code: str, name: str, title: str, explanation: str, before: str, wrong: str, mended: str) -> Code:
    example = lambda line: Example(f"{before}{line}\n", language="python")
    return Code(code, name, title, explanation, example(wrong), example(mended))


def _value(code: str, name: str, title: str, explanation: str, wrong: str) -> Code:
    call = "model.params_of({})"
    right = '{"s": 1.0, "a": {"east": 0.5, "north": 0.1}}'
    return _code(code, name, title, explanation, _MODEL, call.format(wrong), call.format(right))


CODES: tuple[Code, ...] = (
    _value("E441", "missing-parameter", "a parameter has no value",
           "A likelihood, filter, smoother or forecast needs a value of every parameter, and every label of its axes.",
           '{"s": 1.0}'),
    _value("E442", "unknown-parameter", "a value for a parameter that the model does not have",
           "Values are matched by name. An augmented parameter is a state and takes no value, except in simulate, "
           "where it is the value at row 0.",
           '{"s": 1.0, "a": [0.5, 0.1], "b": 2.0}'),
    _value("E443", "parameter-shape", "a parameter's value has another shape",
           "An array comes in the order of the axes' labels, or as a dict by label.",
           '{"s": 1.0, "a": [0.5, 0.1, 0.2]}'),
    _value("E444", "outside-support", "a parameter's value is outside its support",
           "The support is that of the prior, met with the interval after `in`, whose ends are open; coefficients "
           "that are declared stationary must be those of a stationary autoregression.",
           '{"s": -1.0, "a": [0.5, 0.1]}'),
    _value("E445", "unknown-label", "a label that the axis does not have",
           "A dict by label holds exactly the labels of the axis.",
           '{"s": 1.0, "a": {"east": 0.5, "west": 0.1}}'),
    _value("E446", "not-finite", "a parameter's value is not a finite number",
           "Values are numbers, sequences or arrays of numbers; NaN and infinity are not values.",
           '{"s": "one", "a": [0.5, 0.1]}'),
    _code("E447", "first-values", "a simulation lacks its first values",
          "A diffuse start has no law to draw from: the caller gives the first values by `init=`, one value or rows "
          "0, -1, ... of the state's shape.",
          _DIFFUSE, 'model.simulate(5, {"s": 1.0})', 'model.simulate(5, {"s": 1.0}, init={"x": 0.0})'),
    _code("E448", "no-number-drawn", "what was simulated is not a number",
          "A value was read that does not exist, such as an observation before the first row, or an argument of a law "
          "was out of its range.",
          _OWN_PAST, 'model.simulate(5, {"a": 0.1})', 'model.simulate(5, {"a": 0.1}, init={"y": 0.0})'),
    _code("E452", "no-start-here", "the parameters allow no stationary law to start from",
          "`init x ~ Stationary()` draws the first row from the law that the transition keeps. At the parameters given "
          "it keeps none: the likelihood is zero there, which a fit passes by, and there is nothing to filter, smooth, "
          "forecast or draw.",
          _STATIONARY, 'model.simulate(5, {"phi": 1.2})', 'model.simulate(5, {"phi": 0.9})'),
)  # fmt: skip
