"""Nonlinear and augmented models with known answers about what their observations say of their states."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """model seen
param a in (-1, 1) ~ Normal(0.5, 0.3)
param b ~ Normal(0, 1)
param s ~ HalfNormal(1)
const dt = 0.1
"""


@dataclass(frozen=True)
class Case:
    """`declared`: what comes before the equations; `asked`: the assertion. What is to be said: the verdict, pieces of
    the reason, the exceptional sets, the entries in which the witness's two states differ."""

    name: str
    declared: str
    equations: tuple[str, ...]
    verdict: str
    said: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    differ: frozenset[str] = frozenset()
    asked: str = ""

    @property
    def text(self) -> str:
        lines = [HEAD.strip(), *self.declared.split("; "), *self.equations]
        return "\n".join(lines + ([f"assert {self.asked}"] if self.asked else [])) + "\n"


LORENZ = (
    "def lorenz(v) = [10 * (v[1] - v[0]), v[0] * (rho - v[2]) - v[1], v[0] * v[1] - 8/3 * v[2]]",
    "x[t] ~ Normal(rk4(lorenz, x[t-1], 0.02), 0.1)",
)
LORENZ_STATE = "augment param rho ~ Normal(25, 5) walk 0.01; state x[3]; obs y; init x ~ Normal([0, 1, 20], 5)"
FLOW = ("d(x) = 10 * (v - x) * dt", "d(v) = (x * (28 - u) - v) * dt", "d(u) = (x * v - 8/3 * u) * dt")
FLOW_STATE = "state x, v, u; obs y; init x, v, u ~ Normal(1, 1)"
ONE = "state x; obs y; init x ~ Normal(1, 1)"
TWO = "state x, v; obs y; init x, v ~ Normal(1, 1)"
GAIN = "augment param g ~ Normal(1, 0.5); state x; obs y; init x ~ Normal(1, 1)"

CASES = (
    # --------------------------------------------------------------------------------------------------- observable
    Case("Lorenz '63 through x, rho learned", LORENZ_STATE, (*LORENZ, "y[t] ~ Normal(x[t, 0], s)"), "proved",
         ("rank 4 of 4",), ("x[0] = x[1] = 0, where x[2] and rho are lost",), asked="observable(x, rho)"),
    Case("Lorenz '63 through x and z", LORENZ_STATE.replace("obs y", "obs y[2]"),
         (*LORENZ, "y[t] ~ Normal([x[t, 0], x[t, 2]], s)"), "proved", ("rank 4 of 4",),
         ("x[0] = x[1] = 0, where rho is lost",), asked="observable(x, rho)"),
    Case("Lorenz '63 as a flow, through x", FLOW_STATE, (*FLOW, "y[t] ~ Normal(x[t], s)"), "proved",
         ("Lie derivatives up to order 2 have rank 3 of 3",), ("x = v = 0, where u is lost",)),
    Case("Lorenz '63 as a flow, through x, rho learned", "augment param rho ~ Normal(25, 5); " + FLOW_STATE,
         (*(e.replace("28", "rho") for e in FLOW), "y[t] ~ Normal(x[t], s)"), "proved",
         ("Lie derivatives up to order 3 have rank 4 of 4",), ("x = v = 0, where u and rho are lost",)),
    Case("slope learned", GAIN.replace("0.5)", "0.5) walk 0.1"),
         ("x[t] ~ Normal(g * x[t-1], 1)", "y[t] ~ Normal(x[t], s)"), "proved", ("rank 2 of 2",),
         ("x = 0, where g is lost",)),
    Case("logistic map, growth learned", GAIN, ("x[t] = g * x[t-1] * (1 - x[t-1])", "y[t] ~ Normal(x[t], s)"), "proved",
         ("rank 2 of 2",), ("x = 0, where g is lost",)),
    Case("Henon map through x", TWO,
         ("x[t] = 1 - b * x[t-1]^2 + v[t-1]", "v[t] = a * x[t-1]", "y[t] ~ Normal(x[t], s)"), "proved",
         ("rank 2 of 2",)),
    Case("volatility through the scale of returns", "state h; obs r; init h ~ Normal(0, 1)",
         ("h[t] ~ Normal(a * h[t-1], s)", "r[t] ~ Normal(0, exp(h[t] / 2))"), "proved", ("rank 1 of 1",)),
    Case("volatility through a noise that it scales", "noise w ~ Normal(0, 1); state h; obs r; init h ~ Normal(0, 1)",
         ("h[t] ~ Normal(a * h[t-1], s)", "r[t] = exp(h[t] / 2) * w[t]"), "proved", ("rank 1 of 1",)),
    Case("intensity of counts", ONE, ("x[t] ~ Normal(a * x[t-1], s)", "y[t] ~ Poisson(exp(x[t]))"), "proved"),
    Case("pendulum through its angle's sine", TWO,
         ("x[t] = x[t-1] + dt * v[t-1]", "v[t] = v[t-1] - dt * 9.81 * sin(x[t-1])", "y[t] ~ Normal(sin(x[t]), s)"),
         "proved", ("in double precision",)),
    Case("pendulum flow through its rate", TWO, ("d(x) = v * dt", "d(v) = (-sin(x) - b * v) * dt + s * dW",
                                                 "y[t] ~ Normal(v[t], s)"), "proved", ("rank 2 of 2",)),
    Case("second order", ONE, ("x[t] = a * x[t-1] + b * x[t-2]^2", "y[t] ~ Normal(x[t], s)"), "proved",
         ("rank 2 of 2",), ("x[t-1] = 0, where x[t-1] is lost", "b = 0, where x[t-1] is lost")),
    Case("prey through predators", TWO,
         ("d(x) = x * (1 - v) * dt", "d(v) = v * (x - 1) * dt", "y[t] ~ Normal(v[t], s)"), "proved",
         ("rank 2 of 2",), ("v = 0, where x is lost",)),
    Case("input-driven gain", GAIN + "; input u", ("x[t] = a * x[t-1] + g * u[t]", "y[t] ~ Normal(x[t], s)"), "proved",
         ("rank 2 of 2",)),
    Case("logits beside a third", "state x, v; axis k = {p, q, r}; obs y in k; init x, v ~ Normal(1, 1)",
         ("x[t] = a * x[t-1]", "v[t] = b * v[t-1]", "y[t] ~ Categorical(logits = [x[t], v[t], 0])"), "proved",
         ("rank 2 of 2",)),
    Case("what is asked of a seen state alone", TWO,
         ("x[t] = a * x[t-1]^2", "v[t] = v[t-1]^2", "y[t] ~ Normal(x[t], s)"), "proved", asked="observable(x)"),
    # ------------------------------------------------------------------------------------------- symmetries of signs
    Case("Lorenz '63 through z", LORENZ_STATE, (*LORENZ, "y[t] ~ Normal(x[t, 2], s)"), "refuted",
         ("(x[0], x[1]) -> (-x[0], -x[1])",), differ=frozenset(("x[0]", "x[1]")), asked="observable(x, rho)"),
    Case("Lorenz '63 as a flow, through z", FLOW_STATE, (*FLOW, "y[t] ~ Normal(u[t], s)"), "refuted",
         ("-> (-v, -x)",), differ=frozenset("xv")),
    Case("square", ONE, ("x[t] ~ Normal(a * x[t-1], s)", "y[t] ~ Normal(x[t]^2, s)"), "refuted", ("x -> -x",),
         differ=frozenset("x")),
    Case("product of two", TWO, ("x[t] = a * x[t-1]", "v[t] = v[t-1] + 0.1 * x[t-1]^2 * v[t-1]",
                                 "y[t] ~ Normal(x[t] * v[t], s)"), "refuted", ("(v, x) -> (-v, -x)",),
         differ=frozenset("xv")),
    Case("hidden unit of a network", "augment param p ~ Normal(1, 1); augment param q ~ Normal(1, 1); input u; obs y",
         ("y[t] ~ Normal(q * tanh(p * u[t]), s)",), "refuted", ("(p, q) -> (-p, -q)",), differ=frozenset("pq")),
    Case("slow manifold through the fast state", TWO, ("x[t] = a * x[t-1]", "v[t] = b * v[t-1] + x[t-1]^2",
                                                       "y[t] ~ Normal(v[t], s)"), "refuted", ("x -> -x",),
         differ=frozenset("x")),
    Case("a sign that is not asked for", TWO, ("x[t] = a * x[t-1]", "v[t] = b * v[t-1] + x[t-1]^2",
                                               "y[t] ~ Normal(v[t], s)"), "proved", asked="observable(v)"),
    # --------------------------------------------------------------------------------------------------- exchanges
    Case("two alike, summed", TWO, ("x[t] = x[t-1]^2 + 0.1", "v[t] = v[t-1]^2 + 0.1", "y[t] ~ Normal(x[t] + v[t], s)"),
         "refuted", ("exchanging",), differ=frozenset("xv")),
    Case("two alike but for a parameter", TWO,
         ("x[t] = a * x[t-1]^2 + 0.1", "v[t] = b * v[t-1]^2 + 0.1", "y[t] ~ Normal(x[t] + v[t], s)"), "proved",
         unless=("x = v = 0, where x and v are lost",)),
    Case("two alike but for their noise", TWO,
         ("x[t] ~ Normal(x[t-1]^2 + 0.1, 1)", "v[t] ~ Normal(v[t-1]^2 + 0.1, 2)", "y[t] ~ Normal(x[t] + v[t], s)"),
         "proved", unless=("x = v = 0, where x and v are lost",)),
    Case("labels of an axis", "axis k = {p, q}; state x[k], v[k]; obs y; init x, v ~ Normal(1, 1)",
         ("x[t] = x[t-1] + 0.1 * v[t-1] * x[t-1]", "v[t] = v[t-1] - 0.1 * v[t-1]^2", "y[t] ~ Normal(sum(x[t]), s)"),
         "refuted",
         ("exchanging x[p] and v[p] with x[q] and v[q]",), differ=frozenset(("x[p]", "x[q]", "v[p]", "v[q]"))),
    # -------------------------------------------------------------------------------------------- shifts and scalings
    Case("never read", TWO, ("x[t] = a * x[t-1]^2", "v[t] = v[t-1]^2", "y[t] ~ Normal(x[t], s)"), "refuted",
         ("v never reaches",), differ=frozenset("v"), asked="observable(v)"),
    Case("only their sum", TWO, ("x[t] = a * x[t-1]", "v[t] = a * v[t-1]", "y[t] ~ Normal((x[t] + v[t])^3, s)"),
         "refuted", ("the direction (x, v) = (1, -1)",), differ=frozenset("xv")),
    Case("scale of a gain", GAIN, ("x[t] = a * x[t-1]", "y[t] ~ Normal(g * x[t], s)"), "refuted",
         ("multiplying x by r, g by 1/r",), differ=frozenset("gx")),
    Case("logits by a common shift", "state x, v; axis k = {p, q}; obs y in k; init x, v ~ Normal(1, 1)",
         ("x[t] = x[t-1]", "v[t] = v[t-1]", "y[t] ~ Categorical(logits = [x[t], v[t]])"), "refuted",
         ("the direction (x, v) = (1, 1)",), differ=frozenset("xv")),
    Case("exponents by a common shift", TWO, ("x[t] = x[t-1]", "v[t] = v[t-1]", "y[t] ~ Poisson(exp(x[t] + v[t]))"),
         "refuted", ("(1, -1)",), differ=frozenset("xv")),
    # ------------------------------------------------------------------------------------------------------ unknown
    Case("scale of a gain, with noise", GAIN, ("x[t] ~ Normal(a * x[t-1], 1)", "y[t] ~ Normal(g * x[t], s)"), "unknown",
         ("without noise multiplying", "whether the noise of x tells more")),
    Case("seen in a spread alone", "augment param g ~ Normal(0, 1); state x; obs y; init x ~ Normal(1, 1)",
         ("x[t] ~ Normal(a * x[t-1], exp(g))", "y[t] ~ Poisson(exp(x[t]))"), "unknown", ("g moves the spread",)),
    Case("what dies out unseen", TWO, ("x[t] = a * x[t-1]^2", "v[t] = 0.5 * v[t-1]", "y[t] ~ Normal(x[t], s)"),
         "unknown", ("not observable",), asked="detectable(v)"),
    Case("detectable since observable", ONE, ("x[t] = a * x[t-1]^2", "y[t] ~ Normal(x[t], s)"), "proved",
         asked="detectable(x)"),
    Case("discrete", "axis k = {p, q}; state z in k; obs y; init z ~ Categorical([0.5, 0.5])",
         ("z[t] ~ Categorical(if z[t-1] == p then [0.9, 0.1] else [0.1, 0.9])",
          "y[t] ~ Normal(if z[t] == p then 0 else 1, s)"), "proved", ("the law of y differs between its two labels",)),
)  # fmt: skip
