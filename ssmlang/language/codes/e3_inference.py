"""E341 to E350: priors, methods, and what cannot be drawn from."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_SERIES = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n"


def _model(parameters: str, rest: str = _SERIES) -> str:
    return f'\nimport ssmlang\nmodel = ssmlang.compile("""\n{parameters}{rest}""")\n'


def _code(code: str, name: str, title: str, explanation: str, wrong: str, mended: str) -> Code:
    return Code(code, name, title, explanation, Example(wrong, language="python"), Example(mended, language="python"))


_RUN = "y = {\"y\": [0.1, 0.4, -0.3, 0.2, 0.5, 0.1]}\n"
_S = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], s)\n"
_A = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(a * x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n"
_AR = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(a[0]*x[t-1] + a[1]*x[t-2], s)\ny[t] ~ Normal(x[t], 1)\n"
_FIT = _model("param s ~ HalfNormal(1)\n", _S) + _RUN
_COUNTS = "param r ~ Gamma(2, 1)\n"
_COUNT = "state n in {}\nobs y\ninit n = 1\nn[t] ~ Poisson(r)\ny[t] ~ Normal(n[t], 1)\n"
_CHAIN = "param p in (0, 1) ~ Beta(1, 1)\naxis regime = {up, down}\nstate s in regime\nobs y\ninit s ~ Stationary()\n"

CODES: tuple[Code, ...] = (
    _code("E341", "prior-needed", "a parameter without a prior",
          "A parameter without a prior is flat: there is nothing to draw it from, and a posterior need not exist. "
          "Maximum likelihood alone can estimate it.",
          _model("param s in (0, inf)\n", _S) + _RUN + 'model.fit(y, method="map", progress="off")\n',
          _model("param s in (0, inf)\n", _S) + _RUN + 'model.fit(y, method="mle", progress="off")\n'),
    _code("E343", "cannot-truncate", "a prior that cannot be truncated",
          "An interval after `in` truncates the prior and normalises it, for which the prior needs a distribution "
          "function in closed form.",
          _model("param a in (0, 1) ~ VonMises(0, 1)\nparam s ~ HalfNormal(1)\n", _A) + "model.priors\n",
          _model("param a in (0, 1) ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\n", _A) + "model.priors\n"),
    _code("E344", "prior-not-constant", "a truncated prior whose arguments depend on parameters",
          "The constant that normalises a truncated prior needs derivatives in the prior's arguments. Where there are "
          "none (the arguments of Beta, the degrees of freedom of StudentT, any argument of a stationary prior of "
          "order two and more) the arguments must be constants.",
          _model("param s ~ HalfNormal(1)\nparam a[2] in stationary ~ Normal(0, s)\n", _AR) + "model.priors\n",
          _model("param s ~ HalfNormal(1)\nparam a[2] in stationary ~ Normal(0, 0.5)\n", _AR) + "model.priors\n"),
    _code("E345", "unknown-method", "a method that does not exist",
          "`fit` takes the methods nuts, map, mle, laplace, svi, pmmh, pgibbs and smc2.",
          _FIT + 'model.fit(y, method="hmc")\n', _FIT + 'model.fit(y, method="mle", progress="off")\n'),
    _code("E346", "not-a-count", "a number of draws, chains or warm-up rounds that is none",
          "draws and chains are whole numbers from 1 on, warmup from 0 on.",
          _FIT + 'model.fit(y, method="laplace", draws=0)\n',
          _FIT + 'model.fit(y, method="laplace", draws=10, progress="off")\n'),
    _code("E347", "nothing-to-fit", "a model without parameters",
          "Where nothing is unknown there is nothing to fit; the states are found by smooth and forecast.",
          _model("") + _RUN + "model.fit(y)\n", _model("") + _RUN + "model.smooth(y, {})\n"),
    _code("E348", "range-too-large", "an integer law on a range that is too large to draw from",
          "A law truncated to a range is drawn from value by value, over at most 4096 values. A range from 0 on "
          "without an upper end truncates nothing.",
          _model(_COUNTS, _COUNT.format("0..100000")) + "model.simulate(3)\n",
          _model(_COUNTS, _COUNT.format("0..100")) + "model.simulate(3)\n"),
    _code("E350", "no-stationary-draw", "a state without a stationary law that can be drawn from",
          "The stationary law of a discrete state is that of a chain of its own whose probabilities do not change; "
          "that of a differential equation needs a linear drift and a constant diffusion.",
          _model(_CHAIN, "s[t] ~ Categorical(if t > 5 then [p, 1 - p] else [0.5, 0.5])\ny[t] ~ Normal(0, 1)\n")
          + "model.simulate(3)\n",
          _model(_CHAIN, "let P = [[p, 1 - p], [1 - p, p]]\ns[t] ~ Categorical(P[s[t-1]])\ny[t] ~ Normal(0, 1)\n")
          + "model.simulate(3)\n"),
)  # fmt: skip
