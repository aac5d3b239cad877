"""E3xx: the structure of a model, and what an engine needs of it."""

from __future__ import annotations

from ssmlang.language.codes import e3_discrete, e3_engines
from ssmlang.language.codes.entry import Code, Example


def _run(program: str, call: str) -> Example:
    """A program, compiled and asked for something."""
    return Example(f'import ssmlang\nmodel = ssmlang.compile("""\n{program}""")\n{call}\n', language="python")


_LIKELIHOOD = 'model.log_likelihood({"y": [0.1, 0.3]}, {}, engine="kalman")'
_SDE = "const dt = 0.1\nstate x\nobs y\ninit x ~ Normal(0, 1)\nd(x) = {}\ny[t] ~ Normal(x[t], 1)\n"
_LEVEL = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"

CODES: tuple[Code, ...] = (
    *e3_engines.CODES,
    *e3_discrete.CODES,
    Code(
        "E304",
        "not-linear-gaussian",
        "a linear-Gaussian engine was asked for, and the model is not one",
        "The Kalman filter and its kin are exact where every state and every observation is an affine function of "
        "states and Gaussian noises, with scales that do not depend on a state. Observations of earlier rows, and "
        "anything that the data give, may enter in any way where they were seen.",
        _run(_LEVEL + "y[t] ~ Normal(0, exp(x[t] / 2))\n", _LIKELIHOOD),
        _run(_LEVEL + "y[t] ~ Normal(x[t], 1)\n", _LIKELIHOOD),
    ),
    Code(
        "E305",
        "no-stationary-law",
        "Stationary() was asked for where no stationary law can exist",
        "A group of states has a joint stationary law if its transition reads only states of the group and noises, "
        "and is the same in every row: nothing in it may depend on t, on an input or on an observation. Whether the "
        "parameters then allow it is a matter of their values; where they do not, the likelihood is zero.",
        _run("state x\nobs y\ninit x ~ Stationary()\nx[t] ~ Normal(0.5 * x[t-1] + cos(t), 1)\n"
             "y[t] ~ Normal(x[t], 1)\n", _LIKELIHOOD),
        _run("state x\nobs y\ninit x ~ Normal(0, 2)\nx[t] ~ Normal(0.5 * x[t-1] + cos(t), 1)\n"
             "y[t] ~ Normal(x[t], 1)\n", _LIKELIHOOD),
    ),
    Code(
        "E306",
        "beyond-this-engine",
        "the model has a part that this engine does not know",
        "A discrete state, an augmented parameter or a differential equation needs an engine of another kind. So can a "
        "sum over the whole past of a long series, an initial law that is Diffuse(), or noise of deficient rank: "
        "`model.why()` says what each engine lacks, the message names the line, and an engine that can run it.",
        _run("state x\nobs y\ninit x ~ Diffuse()\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n",
             _LIKELIHOOD.replace("kalman", "batch")),
        _run("state x\nobs y\ninit x ~ Diffuse()\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n", _LIKELIHOOD),
    ),
    Code(
        "E307",
        "constant-without-value",
        "a constant has no value",
        "`const C[m, n]` without a value is to be given by the caller. The program checks without it, but cannot run.",
        _run("const c\n" + _LEVEL + "y[t] ~ Normal(c * x[t], 1)\n", _LIKELIHOOD),
        _run("const c = 2\n" + _LEVEL + "y[t] ~ Normal(c * x[t], 1)\n", _LIKELIHOOD),
    ),
    Code(
        "E308",
        "no-such-matrix",
        "a matrix of the model is no covariance, or is too large",
        "A covariance that is known before the data must be symmetric without negative eigenvalues; it may have any "
        "rank. Matrices over a fixed number of entries are refused rather than filling the memory.",
        _run("state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ MvNormal(0.5 * x[t-1], [[1, 2], [2, 1]])\n"
             "y[t] ~ Normal(x[t, 0], 1)\n", _LIKELIHOOD),
        _run("state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ MvNormal(0.5 * x[t-1], [[4, 2], [2, 1]])\n"
             "y[t] ~ Normal(x[t, 0], 1)\n", _LIKELIHOOD),
    ),
    Code(
        "E309",
        "not-a-differential",
        "a differential equation whose terms are not in dt and dW",
        "`d(x) = f * dt + q * dW` gives a change: each term has dt or dW as a factor, once. What stands without one "
        "would not vanish with the step, and dt^2, dW^2 or sqrt(dt) have no place in it.",
        Example(_SDE.format("-x + dW")),
        Example(_SDE.format("-x * dt + dW")),
    ),
)
