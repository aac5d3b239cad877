"""E741 to E746: searches and samplers at run time."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_MODEL = '''
import ssmlang
model = ssmlang.compile("""
param s in (0, inf) ~ Gamma({shape}, 1)
state x
obs   y
init x ~ Normal(0, 1)
x[t] = x[t-1]
y[t] ~ Normal(x[t], {scale})
""")
y = {{"y": [0.1, 0.4, -0.3, 0.2, 0.5, 0.1]}}
'''


def _code(code: str, name: str, title: str, explanation: str, wrong: str, mended: str) -> Code:
    return Code(code, name, title, explanation, Example(wrong, language="python"), Example(mended, language="python"))


def _model(scale: str = "s", shape: str = "2") -> str:
    return _MODEL.format(scale=scale, shape=shape)


_MLE = 'model.fit(y, method="mle", progress="off")\n'
_NUTS = 'model.fit(y, draws=10, warmup=10, chains=1, progress="off")\n'
_FLAT = '''
import ssmlang
model = ssmlang.compile("""
param a, b ~ {prior}
obs y
y[t] ~ Normal({mean}, 1)
""")
y = {{"y": [0.1, 0.4, -0.3]}}
'''

CODES: tuple[Code, ...] = (
    _code("E741", "no-start", "no starting point of finite density",
          "A sampler starts where likelihood, prior and gradient are finite. None of many draws from the prior was "
          "such a point: the model cannot be computed there, or the priors lie far from anything that the data allow.",
          _model("sqrt(-s)") + _NUTS, _model("sqrt(s)") + _NUTS),
    _code("E742", "nowhere-finite", "a likelihood that is finite nowhere",
          "The search for a maximum found no point where the likelihood is a finite number.",
          _model("sqrt(-s)") + _MLE, _model("sqrt(s)") + _MLE),
    _code("E743", "no-normal-approximation", "a posterior without a normal approximation at its mode",
          "Laplace's approximation needs a mode at which the log density is curved in every direction. Where a "
          "parameter goes to an end of its support, or a direction is flat, there is none.",
          _FLAT.format(prior="Normal(0, 1e30)", mean="a - b") + 'model.fit(y, method="laplace", progress="off")\n',
          _FLAT.format(prior="Normal(0, 1)", mean="a - b") + 'model.fit(y, method="laplace", progress="off")\n'),
    _code("E746", "no-draws", "a question about draws to a fit that has none",
          "A maximum is one point: leave-one-out needs draws of the posterior.",
          _model() + 'model.fit(y, method="mle", progress="off").loo()\n',
          _model() + 'model.fit(y, method="laplace", progress="off").loo()\n'),
)  # fmt: skip
