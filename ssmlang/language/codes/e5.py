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
)
