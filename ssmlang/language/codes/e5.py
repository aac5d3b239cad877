"""E5xx: lifts."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example

_MAP = """param a in (-1, 1) ~ Normal(0.9, 0.1)
param b in (-1, 1) ~ Normal(0.5, 0.2)
param c ~ Normal(0, 1)
param s ~ HalfNormal(1)
state u, v
obs y
init u, v ~ Normal(0, 1)
u[t] = a * u[t-1]
v[t] = b * v[t-1] + c * u[t-1]^2
y[t] ~ Normal(v[t], s)
"""

_RUN = """import ssmlang

model = ssmlang.compile(\"\"\"
{}\"\"\")
model.log_likelihood({{"y": [0.1, 0.3]}}, {{"a": 0.9, "s": 0.5}}, engine="kalman")
"""
_SQUARE = """param a in (-1, 1) ~ Normal(0.9, 0.1)
param s ~ HalfNormal(1)
state u, v
obs y
init u, v ~ {init}
u[t] = a * u[t-1]
v[t] = 0.5 * v[t-1] + u[t-1]^2
y[t] ~ Normal({read}, s)
lift z[t] = [u[t], v[t], u[t]^2] exact
"""


def _run(init: str, read: str) -> Example:
    return Example(_RUN.format(_SQUARE.format(init=init, read=read)), language="python")


CODES: tuple[Code, ...] = (
    Code(
        "E501",
        "lift-not-closed",
        "an exact lift is proved not to close",
        "`lift z[t] = [...] exact` asks for a proof that each of the functions, one row on, is a combination of the "
        "functions: z[t] = K z[t-1] without noise (in continuous time, that their rates of change are). Here some "
        "become functions that no matrix K can give. The message names what is left over, and the fewest functions "
        "that would close it, where there are some; `ssmlang lift FILE --degree 6` looks further. A map whose degree "
        "grows from row to row, such as the logistic one, has no finite lift: write `fitted` for the operator that is "
        "best in least squares.",
        Example(_MAP + "lift z[t] = [u[t], v[t]] exact\n"),
        Example(_MAP + "lift z[t] = [u[t], v[t], u[t]^2] exact\n"),
    ),
    Code(
        "E502",
        "lift-without-a-program",
        "a lift gives no linear program",
        "`kalman` and its kin run a model with a lift in its coordinates, whose noise and first row get the means and "
        "covariances that those of the model give them. This asks for Gaussian noises and a Gaussian first row, "
        "noises that are read in their own row alone, and moments that follow from finitely many others in the same "
        "way in every row. The message says which of these is missing. The model runs without the lift in an engine "
        "for nonlinear programs, such as `ekf` or `ukf`.",
        _run("Exponential(1)", "v[t]"),
        _run("Normal(1, 1)", "v[t]"),
    ),
    Code(
        "E503",
        "emission-outside-the-lift",
        "an observation is not affine in the coordinates of a lift",
        "In the coordinates of a lift a model is linear only if what is observed is a combination of them, plus a "
        "constant and Gaussian noise. An emission that reads another function of the state needs that function in the "
        "lift (and what closes it: `ssmlang lift FILE` looks for that), or an engine for nonlinear programs.",
        _run("Normal(1, 1)", "u[t] * v[t]"),
        _run("Normal(1, 1)", "v[t] + 2 * u[t]^2"),
    ),
)
