"""Lifts with known answers: maps and vector fields of the literature, closed and not."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """model lifted
param a in (-1, 1) ~ Normal(0.5, 0.3)
param b in (-1, 1) ~ Normal(0.5, 0.3)
param c ~ Normal(0, 1)
param d ~ Normal(0, 1)
param r in (0, inf) ~ HalfNormal(1)
param w ~ Normal(0, 1)
param s ~ HalfNormal(1)
const dt = 0.1
"""


@dataclass(frozen=True)
class Case:
    """A lift of a model: `states`, their `equations`, the lift's `functions`, and what is to be said of it.

    closed: `eigenvalues` (written) and, where given, `stable` the verdict of `assert stable(z)`. Not closed: `left`
    (pieces of the reason), `added` (what closes it) or `endless` (nothing does, proved)."""

    name: str
    states: str
    equations: tuple[str, ...]
    functions: str
    verdict: str = "proved"
    eigenvalues: str = ""
    stable: str = ""
    left: tuple[str, ...] = ()
    added: tuple[str, ...] | None = None
    endless: bool = False
    noise: str = ""
    unless: tuple[str, ...] = ()
    mode: str = "exact"

    @property
    def text(self) -> str:
        first = self.states.split(",")[0].strip().split("[")[0]
        read = f"{first}[t, 0]" if "[" in self.states.split(",")[0] else f"{first}[t]"
        names = ", ".join(s.strip().split("[")[0] for s in self.states.split(","))
        lines = [
            f"state {self.states}", "obs y", f"init {names} ~ Normal(0.5, 0.1)", *self.equations,
            f"y[t] ~ Normal({read}, s)", f"lift z[t] = {self.functions} {self.mode}",
        ]  # fmt: skip
        return HEAD + "\n".join(lines + (["assert stable(z)"] if self.stable else [])) + "\n"


SLOW = ("x[t] = a * x[t-1]", "v[t] = b * v[t-1] + c * x[t-1]^2")
CUBIC = ("x[t] = a * x[t-1]", "v[t] = b * v[t-1] + c * x[t-1]^2 + d * x[t-1]^3")
TURN = ("x[t] = cos(w) * x[t-1] - sin(w) * v[t-1]", "v[t] = sin(w) * x[t-1] + cos(w) * v[t-1]")
HENON = ("x[t] = 1 - c * x[t-1]^2 + v[t-1]", "v[t] = d * x[t-1]")
PHASE = ("x[t] = x[t-1] + w", "v[t] = b * v[t-1] + c * sin(x[t-1])")
VAN_DER_POL = ("d(x) = v * dt", "d(v) = (c * (1 - x^2) * v - x) * dt")
DUFFING = ("d(x) = v * dt", "d(v) = (-d * v - c * x - r * x^3) * dt")
POLYNOMIAL_FLOW = ("d(x) = -r * x * dt", "d(v) = d * (v - x^2) * dt")

CASES = (
    # ------------------------------------------------------------------------------------ closed, in discrete time
    Case("linear", "x, v", ("x[t] = a * x[t-1]", "v[t] = b * v[t-1] + c * x[t-1]"), "[x[t], v[t]]",
         eigenvalues="a, b", stable="proved"),
    Case("slow manifold", "x, v", SLOW, "[x[t], v[t], x[t]^2]", eigenvalues="a, b, a^2", stable="proved"),
    Case("without the state that nothing needs", "x, v", SLOW, "[v[t], x[t]^2]", eigenvalues="b, a^2", stable="proved"),
    Case("cubic", "x, v", CUBIC, "[x[t], v[t], x[t]^2, x[t]^3]", eigenvalues="a, b, a^2, a^3", stable="proved"),
    Case("eigenfunction", "x, v", SLOW, "[x[t], v[t] - c / (a^2 - b) * x[t]^2]", eigenvalues="a, b", stable="proved"),
    Case("chain of squares", "x, v, u",
         (*SLOW, "u[t] = a * u[t-1] + v[t-1]^2"),
         "[u[t], v[t], v[t]^2, v[t] * x[t]^2, x[t]^4, x[t]^2]", eigenvalues="a, b, b^2, a^2 * b, a^4, a^2",
         stable="proved"),
    Case("affine, with the constant", "x", ("x[t] = a * x[t-1] + c",), "[1, x[t]]",
         eigenvalues="a, and 1 of the constant function", stable="proved"),
    Case("explosive", "x", ("x[t] = 1.1 * x[t-1]",), "[x[t], x[t]^2]", eigenvalues="11/10, 121/100", stable="refuted"),
    Case("stable where c is small", "x", ("x[t] = c * x[t-1]",), "[x[t]^2]", eigenvalues="c^2", stable="refuted"),
    Case("rotation", "x, v", TURN, "[x[t]^2 + v[t]^2]", eigenvalues="1", stable="refuted"),
    Case("products of a rotation", "x, v", TURN, "[x[t]^2, x[t] * v[t], v[t]^2]", stable="refuted"),
    Case("phase", "x, v", PHASE, "[v[t], sin(x[t]), cos(x[t])]", stable="refuted"),
    Case("harmonics", "x, v", PHASE, "fourier(x[t], 3)"),
    Case("monomials", "x[2]", ("x[t] = [a * x[t-1, 0], b * x[t-1, 1]]",), "monomials(x[t], 2)",
         eigenvalues="a, b, a^2, a * b, b^2", stable="proved"),
    Case("Beverton-Holt", "x", ("x[t] = r * x[t-1] / (1 + c * x[t-1])",), "[1 / x[t], 1]",
         eigenvalues="1/r, and 1 of the constant function"),
    Case("Gompertz", "x", ("x[t] = r * x[t-1]^b",), "[log(x[t]), 1]",
         eigenvalues="b, and 1 of the constant function", stable="proved"),
    Case("power map", "x", ("x[t] = exp(c) * x[t-1]",), "[log(x[t]), 1, x[t]^0.5]"),
    Case("second order", "x", ("x[t] = a * x[t-1] + c * x[t-2]",), "[x[t]^2, x[t] * x[t-1], x[t-1]^2]"),
    Case("Gaussian bump that moves with its center", "x", ("x[t] = -x[t-1]",), "rbf(x[t], [-1, 0, 1])"),
    Case("redundant", "x", ("x[t] = a * x[t-1]",), "[x[t], 2 * x[t]]"),
    Case("wave times power", "x, v", ("x[t] = x[t-1] + w", "v[t] = b * v[t-1]"),
         "[v[t] * sin(x[t]), v[t] * cos(x[t])]"),
    # ---------------------------------------------------------------------------------- closed, in continuous time
    Case("polynomial flow", "x, v", POLYNOMIAL_FLOW, "[x[t], v[t], x[t]^2]", eigenvalues="-r, d, -2 * r",
         stable="refuted"),
    Case("logistic flow through 1/x", "x", ("d(x) = r * x * (1 - x) * dt",), "[1 / x[t], 1]",
         eigenvalues="-r, and 0 of the constant function", stable="proved"),
    Case("oscillator's energy", "x, v", ("d(x) = v * dt", "d(v) = -x * dt"), "[x[t]^2, x[t] * v[t], v[t]^2]"),
    # ---------------------------------------------------------------------------------------------------- with noise
    Case("additive noise", "x, v", ("x[t] ~ Normal(a * x[t-1], s)", "v[t] = b * v[t-1] + c * x[t-1]"), "[x[t], v[t]]",
         noise="the lift stays exact"),
    Case("squared noise", "x, v", ("x[t] ~ Normal(a * x[t-1], s)", SLOW[1]), "[x[t], v[t], x[t]^2]",
         noise="noise moves the mean of x[t]^2 by s^2"),
    Case("noise in a phase", "x", ("x[t] ~ Normal(x[t-1] + w, s)",), "[sin(x[t]), cos(x[t])]",
         noise="through the state"),
    Case("no noise", "x, v", SLOW, "[x[t], v[t], x[t]^2]", noise="none in these functions"),
    Case("Ito's term", "x", ("d(x) = -r * x * dt + s * dW",), "[x[t], x[t]^2]",
         noise="noise moves the rate of change of x[t]^2 by s^2"),
    # ---------------------------------------------------------------------------------------------------- not closed
    Case("one function short", "x, v", SLOW, "[x[t], v[t]]", "refuted", left=("x[t-1]^2",), added=("x[t]^2",)),
    Case("two functions short", "x, v", CUBIC, "[x[t], v[t]]", "refuted", added=("x[t]^2", "x[t]^3")),
    Case("no constant", "x", ("x[t] = a * x[t-1] + c",), "[x[t]]", "refuted", left=("c is left over",), added=("1",)),
    Case("half a rotation", "x, v", TURN, "[x[t]^2]", "refuted"),
    Case("logistic map", "x", ("x[t] = c * x[t-1] * (1 - x[t-1])",), "[x[t], x[t]^2]", "refuted", endless=True),
    Case("Henon map", "x, v", HENON, "[x[t], v[t]]", "refuted", left=("c * x[t-1]^2",), endless=True),
    Case("van der Pol", "x, v", VAN_DER_POL, "[x[t], v[t], x[t]^2 * v[t]]", "refuted", endless=True),
    Case("Duffing", "x, v", DUFFING, "[x[t], v[t], x[t]^3]", "refuted", endless=True),
    Case("Lorenz '63 by Euler", "x, v, u",
         ("x[t] = x[t-1] + dt * 10 * (v[t-1] - x[t-1])", "v[t] = v[t-1] + dt * (x[t-1] * (28 - u[t-1]) - v[t-1])",
          "u[t] = u[t-1] + dt * (x[t-1] * v[t-1] - 8/3 * u[t-1])"),
         "[x[t], v[t], u[t], x[t] * u[t], x[t] * v[t]]", "refuted", endless=True),
    Case("pendulum", "x, v", ("x[t] = x[t-1] + dt * v[t-1]", "v[t] = v[t-1] - dt * 9.81 * sin(x[t-1])"),
         "[x[t], v[t], sin(x[t]), cos(x[t])]", "refuted", left=("sin(v[t-1]/10 + x[t-1])",)),
    Case("other frequency", "x", ("x[t] = 0.5 * x[t-1]",), "[sin(x[t])]", "refuted"),
    Case("radial functions of a contraction", "x", ("x[t] = a * x[t-1]",), "rbf(x[t], [-1, 0, 1])", "refuted"),
    Case("logistic flow", "x", ("d(x) = r * x * (1 - x) * dt",), "[x[t], x[t]^2]", "refuted", endless=True),
    Case("logarithm of a sum", "x", ("x[t] = a * x[t-1] + 1",), "[log(x[t]), 1]", "refuted"),
    # ------------------------------------------------------------------------------------------------------- unknown
    Case("drawn waiting times", "x", ("x[t] ~ Exponential(1 + x[t-1]^2)",), "[x[t]]", "unknown"),
    Case("reads an input", "x", ("x[t] = a * x[t-1]",), "[x[t] * t]", "unknown"),
)  # fmt: skip
