"""E2xx: names, axes, shapes, lags; E28x: imports and components."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_SERIES = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"


def _code(code: str, name: str, title: str, explanation: str, wrong: str, mended: str, fixes: str = "") -> Code:
    return Code(code, name, title, explanation, Example(wrong), Example(mended), fixes)


CODES: tuple[Code, ...] = (
    _code(
        "E201",
        "unknown-name",
        "a name that stands for nothing",
        "Every name in an expression is declared somewhere in the file (the order does not matter), is a loop's index "
        "or a function's argument, or is t, pi or inf. Labels of an axis are names only inside an index of that axis, "
        "or beside a value of that axis.",
        _SERIES + "y[t] ~ Normal(level[t], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
        fixes="a misspelt name that only one declared name is near; not short names, those told apart by a "
        "digit, and Greek letters",
    ),
    _code(
        "E202",
        "declared-twice",
        "a name is declared twice",
        "A name stands for one thing in the whole file.",
        "const a = 1\nconst a = 2\n" + _SERIES + "y[t] ~ Normal(a * x[t], 1)\n",
        "const a = 1\nconst b = 2\n" + _SERIES + "y[t] ~ Normal(a * x[t], b)\n",
    ),
    _code(
        "E204",
        "one-equation-each",
        "an entry has no equation, or more than one",
        "Each entry of each state and observation has exactly one defining equation; `x[t, pos] = ...` and "
        "`x[t, vel] ~ ...` may stand apart.",
        _SERIES + "y[t] ~ Normal(x[t], 1)\ny[t] ~ Normal(0, 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
    ),
    _code(
        "E205",
        "no-initial-value",
        "a lag has no initial value",
        "Rows are t = 0, 1, 2, ... A value at a row comes from `init` where `init` gives that row, else from its "
        "equation if all that it reads exists. A state that reads its own past needs as many first values as it reads "
        "lags; `init x ~ D` gives them all.",
        "state x\nobs y\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
    ),
    _code(
        "E206",
        "circle",
        "values that need each other",
        "States may read other states of the same row, definitions other definitions, priors other parameters: as long "
        "as there is an order in which all can be computed.",
        "state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal(b[t], 1)\nb[t] ~ Normal(a[t], 1)\n"
        "y[t] ~ Normal(a[t], 1)\n",
        "state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal(b[t-1], 1)\nb[t] ~ Normal(a[t], 1)\n"
        "y[t] ~ Normal(a[t], 1)\n",
    ),
    _code(
        "E207",
        "shapes-do-not-fit",
        "shapes that do not go together",
        "Arrays combine by NumPy's rules: dimensions are aligned from the right, and a dimension of size 1 (or a "
        "missing one) stretches. `@` is the matrix product. A law's arguments stretch to the shape of what it is the "
        "law of.",
        "state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], [1, 2, 3])\ny[t] ~ Normal(x[t, 0], 1)\n",
        "state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], [1, 2])\ny[t] ~ Normal(x[t, 0], 1)\n",
    ),
    _code(
        "E208",
        "no-such-entry",
        "an index that names no entry",
        "A dimension declared with an axis is indexed by the labels of that axis: `phi[1]` is the first entry where "
        "`axis lag = 1..p`. A bare size, `x[3]`, has labels 0, 1, 2.",
        "axis lag = 1..2\nparam phi[lag] ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(phi[0] * x[t], phi[2]^2)\n",
        "axis lag = 1..2\nparam phi[lag] ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(phi[1] * x[t], phi[2]^2)\n",
    ),
    _code(
        "E209",
        "row-missing-or-too-much",
        "a series without its row, or a row where there is none",
        "States, observations, inputs, noises and definitions with `[t]` have a value a row, and the row is the first "
        "index: `x[t]`, `x[t-1, i]`. Parameters and constants have no rows.",
        _SERIES + "y[t] ~ Normal(x, 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
    ),
    _code(
        "E210",
        "not-a-row",
        "a time index that cannot be understood",
        "A row is `t` minus a whole number known before any data (or a loop's index). An equation gives row t from "
        "rows up to t; the future cannot be read, nor an observation by a state of the same row.",
        _SERIES + "y[t] ~ Normal(x[t+1], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
        fixes="a left side without a row gets its `[t]`",
    ),
    _code(
        "E211",
        "not-a-function",
        "an unknown function, or a call that does not fit it",
        "Functions are those of the language (exp, sqrt, sum, dot, rk4, ...) and those that the file defines by `def`. "
        "They take their arguments by position.",
        _SERIES + "y[t] ~ Normal(x[t], squareroot(2))\n",
        _SERIES + "y[t] ~ Normal(x[t], sqrt(2))\n",
        fixes="a misspelt function or property, and a function that has another name here (`ln`, `arctan`, `expit`)",
    ),
    _code(
        "E212",
        "unknown-law",
        "an unknown distribution, or arguments that do not fit it",
        "Distributions bear NumPyro's names and arguments, except MvNormal(loc, cov), NegativeBinomial(mean, "
        "concentration) and LKJCholesky(concentration).",
        _SERIES + "y[t] ~ Gaussian(x[t], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
        fixes="a misspelt distribution, or argument of one",
    ),
    _code(
        "E213",
        "law-or-value",
        "a law where a value is needed, or the other way round",
        "After `~` stands a law, after `=` an exact value. Discrete states have discrete laws, real states continuous "
        "ones. Diffuse() and Stationary() are laws of `init` only.",
        _SERIES + "y[t] ~ x[t]\n",
        _SERIES + "y[t] = x[t]\n",
        fixes="`=` before a distribution in an equation",
    ),
    _code(
        "E214",
        "not-known-beforehand",
        "a number that must be known before any data",
        "Sizes, ranges of loops, labels and lags are whole numbers made of literals and constants.",
        "param p ~ Normal(3, 1)\naxis lag = 1..p\nparam phi[lag] ~ Normal(0, 1)\n"
        + _SERIES
        + "y[t] ~ Normal(phi[1] * x[t], 1)\n",
        "const p = 3\naxis lag = 1..p\nparam phi[lag] ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(phi[1] * x[t], 1)\n",
    ),
    _code(
        "E215",
        "out-of-bounds",
        "a size or number beyond what is allowed",
        "A model file is data, and what it can ask for is bounded: labels of an axis, entries of an array, lengths of "
        "loops, nesting, the size of numbers.",
        "axis a = 1..10^15\nparam b[a] ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(x[t], 1)\n",
        "axis a = 1..10\nparam b[a] ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(sum(b) * x[t], 1)\n",
    ),
    _code(
        "E216",
        "wrong-place",
        "something read where it has no value",
        "Priors, constants, functions and plain definitions have no row: they cannot read series. A definition that "
        "reads a series is one itself, `let effect[t] = ...`.",
        _SERIES + "let twice = 2 * x[t]\ny[t] ~ Normal(twice, 1)\n",
        _SERIES + "let twice[t] = 2 * x[t]\ny[t] ~ Normal(twice[t], 1)\n",
    ),
    _code(
        "E217",
        "name-of-a-dimension",
        "a name that the results need for themselves",
        "Results are labelled arrays with dimensions time, chain, draw, sample, pred_id, state, obs, component; "
        "nothing in a file may have one of these names, nor that of an axis it uses.",
        "state x\nobs time\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ntime[t] ~ Normal(x[t], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
    ),
    _code(
        "E218",
        "support",
        "a prior or an interval that does not fit",
        "`param a in (0, 1) ~ D` truncates and normalises the prior D; the interval must not be empty and must hold "
        "some of D's mass. `stationary` is for the vector of coefficients of the own lags of one state or "
        "observation. Arguments such as scales are positive.",
        "param a in (1, 0) ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(a * x[t], 1)\n",
        "param a in (0, 1) ~ Normal(0, 1)\n" + _SERIES + "y[t] ~ Normal(a * x[t], 1)\n",
    ),
    _code(
        "E219",
        "initial-law",
        "an `init` that cannot be understood",
        "`init x ~ D` gives the first state; the first index of its left side is the row, 0, -1, -2, ..., and labels "
        "come after it.",
        "state x[2]\nobs y\ninit x[1] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\ny[t] ~ Normal(x[t, 0], 1)\n",
        "state x[2]\nobs y\ninit x[0, 0] ~ Normal(0, 1)\ninit x[0, 1] ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"
        "y[t] ~ Normal(x[t, 0], 1)\n",
    ),
    _code(
        "W220",
        "no-prior",
        "a parameter without a prior",
        "Its law is flat: maximum likelihood can be asked for, but no posterior.",
        "param sd in (0, inf)\n" + _SERIES + "y[t] ~ Normal(x[t], sd)\n",
        "param sd ~ HalfNormal(1)\n" + _SERIES + "y[t] ~ Normal(x[t], sd)\n",
    ),
    _code(
        "W221",
        "never-used",
        "something declared and read by nothing",
        "Often a misspelt name elsewhere. Definitions (`let`) are results and count as used.",
        "param sd ~ HalfNormal(1)\n" + _SERIES + "y[t] ~ Normal(x[t], 1)\n",
        "param sd ~ HalfNormal(1)\n" + _SERIES + "y[t] ~ Normal(x[t], sd)\n",
    ),
    _code(
        "N222",
        "constant-from-outside",
        "a constant whose value comes from outside",
        "The file checks, and runs once `compile(..., constants={...})` or `--const` gives the value.",
        "const gain\n" + _SERIES + "y[t] ~ Normal(gain * x[t], 1)\n",
        "const gain = 2\n" + _SERIES + "y[t] ~ Normal(gain * x[t], 1)\n",
    ),
    _code(
        "W223",
        "no-observations",
        "a file without observations",
        "Nothing can be learned from data; the model can be simulated.",
        "state x\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n",
        _SERIES + "y[t] ~ Normal(x[t], 1)\n",
    ),
    _code(
        "N224",
        "conditioned",
        "an observation that is conditioned on, not scored",
        "Its equation reads values of rows before the data. The likelihood is that of the later rows given these; "
        "`init y ~ D` gives them a law instead, and they are scored.",
        _SERIES + "y[t] ~ Normal(x[t] + 0.5 * y[t-1], 1)\n",
        _SERIES + "init y ~ Normal(0, 2)\ny[t] ~ Normal(x[t] + 0.5 * y[t-1], 1)\n",
    ),
)
