"""E301 to E303, E312: the choice of an engine."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_LEVEL = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"


def _ask(emission: str, engine: str) -> Example:
    return Example(
        f'import ssmlang\nmodel = ssmlang.compile("""\n{_LEVEL}{emission}\n""")\n'
        f'model.log_likelihood({{"y": [0.1, 0.3]}}, {{}}, engine="{engine}")\n',
        language="python",
    )


def _step(engine: str) -> Example:
    return Example(
        f'import ssmlang\nmodel = ssmlang.compile("""\n{_LEVEL}y[t] ~ Normal(x[t], 1)\n""")\n'
        f'state = model.initial_state({{}}, engine="{engine}")\nstate = model.step(state, {{"y": 0.3}})\n',
        language="python",
    )


CODES: tuple[Code, ...] = (
    Code(
        "E301",
        "unknown-engine",
        "an engine that does not exist",
        "An engine is asked for by its name, by `auto`, or as an object of one of the classes in ssmlang.engines.",
        _ask("y[t] ~ Normal(x[t], 1)", "kalmann"),
        _ask("y[t] ~ Normal(x[t], 1)", "kalman"),
    ),
    Code(
        "E302",
        "engine-not-built",
        "an engine that the language names and that is not built",
        "The name `amortized` is kept for a trained network; there is none yet. `model.why()` lists the engines that "
        "there are, with what each needs and which of them can run the model.",
        _ask("y[t] ~ Normal(x[t], 1)", "amortized"),
        _ask("y[t] ~ Normal(x[t], 1)", "auto"),
    ),
    Code(
        "E303",
        "no-engine",
        "no engine of this version can run the model",
        "The model is sound: it parses, checks and simulates. What stands in the way of each engine is listed "
        "with its line; the place shown is that of `particle`, which asks least. Most often "
        "it is a `Diffuse()` start, that of a part of the standard library too, in "
        "a model whose states do not move linearly: give the state a law there, as `init level ~ Normal(0, 10)`; "
        "`ssmlang expand` writes parts out, so that theirs can be changed.",
        _ask("y[t] ~ Normal(sum(tanh(x[t-k]) for k in 1..t), 1)", "auto"),
        _ask("y[t] ~ Normal(x[t], 1)", "auto"),
    ),
    Code(
        "E312",
        "not-row-by-row",
        "rows one at a time are asked of an engine, or of a model, that needs them all",
        "`model.initial_state` and `model.step` filter in constant time and memory for each row. Engines that "
        "filter forward do; those that work on all rows of a series together do not. A model that reads its whole "
        "past cannot, for what has to be remembered grows from row to row.",
        _step("batch"),
        _step("kalman"),
    ),
)
