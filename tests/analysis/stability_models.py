"""Programs with known dynamics: what is asserted or found of which states, with which verdict, in which words."""

from __future__ import annotations

from dataclasses import dataclass

S = "param s, s2 ~ HalfNormal(1)\n"


@dataclass(frozen=True)
class Case:
    """`of`: the finding's property. `says`: what its reason, details or fix hold; `not_says`: what they do not."""

    text: str
    of: str
    verdict: str
    says: tuple[str, ...] = ()
    not_says: tuple[str, ...] = ()


def one(mean: str, params: str = "", claim: str = "", init: str = "Normal(0, 1)") -> str:
    claims = f"assert {claim}\n" if claim else ""
    return (f"{S}{params}state x\nobs y\ninit x ~ {init}\nx[t] ~ Normal({mean}, s)\n"
            f"y[t] ~ Normal(x[t], 1)\n{claims}")  # fmt: skip


def two(first: str, second: str, params: str = "", claim: str = "") -> str:
    claims = f"assert {claim}\n" if claim else ""
    return (f"{S}{params}state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal({first}, s)\n"
            f"b[t] ~ Normal({second}, s2)\ny[t] ~ Normal(a[t] + b[t], 1)\n{claims}")  # fmt: skip


def part(names: str, body: str, seen: str, params: str = "", claim: str = "") -> str:
    claims = f"assert {claim}\n" if claim else ""
    return f"from structural import {names}\n{S}{params}{body}obs y\ny[t] ~ Normal({seen}, 1)\n{claims}"


AR2 = "phi[1] * x[t-1] + phi[2] * x[t-2]"
AR3 = f"{AR2} + phi[3] * x[t-3]"
lag = lambda p, support="": f"axis lag = 1..{p}\nparam phi[lag]{support} ~ Normal(0, 0.5)\n"
PHI = "param phi{} ~ Normal(0, 0.5)\n"
REGION2 = ("|phi[2]| < 1", "phi[1] + phi[2] < 1", "phi[2] - phi[1] < 1")
REGION3 = ("|phi[3]| < 1", "phi[1] + phi[2] + phi[3] < 1", "phi[1] + phi[3] - phi[2] > -1",
           "phi[1]*phi[3] + phi[2] - phi[3]^2 > -1")  # fmt: skip
MATRIX = "param A[2, 2] ~ Normal(0, 0.4)\n"
TURN = "[[cos({0}), sin({0})], [-sin({0}), cos({0})]]"


def vector(mean: str, size: int = 2, params: str = "", claim: str = "") -> str:
    claims = f"assert {claim}\n" if claim else ""
    return (f"{S}{params}state x[{size}]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal({mean}, s)\n"
            f"y[t] ~ Normal(x[t, 0], 1)\n{claims}")  # fmt: skip


def sde(increment: str, params: str = "", claim: str = "", size: str = "") -> str:
    claims = f"assert {claim}\n" if claim else ""
    seen = "x[t, 0]" if size else "x[t]"
    return (f"{params}param q ~ HalfNormal(1)\ninput dt\nstate x{size}\nobs y\ninit x ~ Normal(0, 1)\n"
            f"d(x) = {increment}\ny[t] ~ Normal({seen}, 1)\n{claims}")  # fmt: skip


CASES: dict[str, Case] = {
    # ---------------------------------------------------------------- autoregressions
    "AR(1), any coefficient": Case(
        one("phi * x[t-1]", PHI.format(""), "stable(x)"), "stable(x)", "refuted",
        ("stable iff |phi| < 1", "prior probability of that: 0.9", "+- 0.0", "param phi in (-1, 1) ~ ...", "grows by"),
    ),
    "AR(1) in an interval": Case(
        one("phi * x[t-1]", PHI.format(" in (-1, 1)"), "stable(x)"), "stable(x)", "proved",
        ("|phi| < 1, by the supports",),
    ),
    "AR(1) with a Beta prior": Case(
        one("phi * x[t-1]", "param phi ~ Beta(2, 2)\n", "stable(x)"), "stable(x)", "proved", ("|phi| < 1",),
    ),
    "AR(1) too wide an interval": Case(
        one("phi * x[t-1]", "param phi in (-0.5, 2) ~ Normal(0, 1)\n", "stable(x)"), "stable(x)", "refuted",
        ("phi < 1", "param phi in (-1/2, 1) ~ ..."),
    ),
    "AR(1) positive": Case(
        one("phi * x[t-1]", "param phi ~ HalfNormal(1)\n", "stable(x)"), "stable(x)", "refuted", ("phi < 1", "(0, 1)"),
    ),
    "AR(1) by a scale": Case(
        one("(1 - k) * x[t-1]", "param k in (0, 2) ~ Normal(1, 1)\n", "stable(x)"), "stable(x)", "proved", ("k",),
    ),
    "AR(1) by an exponential": Case(
        one("exp(-rate * 0.1) * x[t-1]", "param rate ~ HalfNormal(1)\n", "stable(x)"), "stable(x)", "proved",
    ),
    "AR(1) by a logistic function": Case(
        one("tanh(w) * x[t-1]", "param w ~ Normal(0, 1)\n", "stable(x)"), "stable(x)", "proved", ("|tanh(w)| < 1",),
    ),
    "AR(2), any coefficients": Case(
        one(AR2, lag(2), "stable(x)"), "stable(x)", "refuted",
        (f"stable iff {', '.join(REGION2)}", "param phi[lag] in stationary ~ ...", "prior probability of that: 0.8"),
    ),
    "AR(2) stationary": Case(
        one(AR2, lag(2, " in stationary"), "stable(x)"), "stable(x)", "proved",
        ("phi is declared `stationary`", *REGION2),
    ),
    "AR(2) in a box inside": Case(
        one(AR2, lag(2, " in (-0.49, 0.49)"), "stable(x)"), "stable(x)", "proved",
    ),
    "AR(2) in a box that touches": Case(
        one(AR2, lag(2, " in (-0.5, 0.5)"), "stable(x)"), "stable(x)", "proved",
    ),
    "AR(2) in a box too large": Case(
        one(AR2, lag(2, " in (-0.6, 0.6)"), "stable(x)"), "stable(x)", "refuted", ("phi[1] + phi[2] < 1",),
    ),
    "AR(2) by ends that read each other": Case(
        one("a * x[t-1] + b * x[t-2]", "param a in (0, 1) ~ Beta(2, 2)\nparam b in (0, 1 - a) ~ Normal(0, 1)\n",
        "stable(x)"),
        "stable(x)", "proved",
    ),
    "AR(3), any coefficients": Case(
        one(AR3, lag(3), "stable(x)"), "stable(x)", "refuted", (f"stable iff {', '.join(REGION3)}",),
    ),
    "AR(3) stationary": Case(
        one(AR3, lag(3, " in stationary"), "stable(x)"), "stable(x)", "proved", REGION3,
    ),
    "AR(4) with gaps, stationary by its own": Case(
        one("phi * x[t-4]", "param phi in (-1, 1) ~ Normal(0, 1)\n", "stable(x)"), "stable(x)", "proved",
        ("|phi| < 1",),
    ),
    "seasonal product": Case(
        one("a * x[t-1] + b * x[t-12] - a * b * x[t-13]",
            "param a in (-1, 1) ~ Normal(0, 1)\nparam b in (-1, 1) ~ Normal(0, 1)\n", "stable(x)"),
        "stable(x)", "proved", ("|a| < 1",),
    ),
    "stationary, from its own law": Case(
        one("phi * x[t-1]", PHI.format(" in (-1, 1)"), "stationary(x)", "Stationary()"), "stationary(x)", "proved",
    ),
    "stationary, from another law": Case(
        one("phi * x[t-1]", PHI.format(" in (-1, 1)"), "stationary(x)"), "stationary(x)", "proved",
        ("starts elsewhere",),
    ),
    "stable, and its mean moves with t": Case(
        one("0.5 * x[t-1] + cos(t)", "", "stationary(x)"), "stationary(x)", "refuted",
        ("mean of x moves with the row number",),
    ),
    "stable, and its mean moves with an input": Case(
        one("0.5 * x[t-1] + u[t]", "input u\n", "stationary(x)"), "stationary(x)", "refuted",
        ("mean of x moves with u[t]", "assert `stable(x)`"),
    ),
    "a constant decays": Case(one("0.9 * x[t-1]"), "stable(x)", "proved", ("half-life 6.58 rows",)),
    "a state that reads nothing": Case(one("0 * x[t-1] + 1"), "stable(x)", "proved", ("finite number of rows",)),
    # ---------------------------------------------------------------- unit roots
    "random walk": Case(one("x[t-1]", "", "unit_root(x)"), "unit_root(x)", "proved", ("unit root at frequency zero",)),
    "random walk is not stable": Case(
        one("x[t-1]", "", "stable(x)"), "stable(x)", "refuted",
        ("unit root at frequency zero", "assert `unit_root(x)` in place of this", "`param back in (0, 1)`"),
    ),
    "random walk with drift": Case(
        one("drift + x[t-1]", "param drift ~ Normal(0, 1)\n"), "unit_root(x)", "proved",
        ("unit root at frequency zero",),
    ),
    "AR(1) has no unit root": Case(
        one("phi * x[t-1]", PHI.format(" in (-1, 1)"), "unit_root(x)"), "unit_root(x)", "refuted",
        ("every root lies inside", "assert `stable(x)`"),
    ),
    "a unit root at one value only": Case(
        one("phi * x[t-1]", PHI.format(""), "unit_root(x)"), "unit_root(x)", "refuted", ("only at single values",),
    ),
    "integrated AR(1)": Case(
        one("x[t-1] + phi * (x[t-1] - x[t-2])", PHI.format(" in (-1, 1)"), "unit_root(x)"), "unit_root(x)", "proved",
        ("unit root at frequency zero", "|phi| < 1"),
    ),
    "integrated AR(1), any coefficient": Case(
        one("x[t-1] + phi * (x[t-1] - x[t-2])", PHI.format(""), "unit_root(x)"), "unit_root(x)", "refuted",
        ("a unit root at frequency zero", "but not for all values allowed", "grows by", "none outside: 0.9",
         "`param phi in (-1, 1) ~ ...`"),
    ),
    "second differences": Case(
        one("2 * x[t-1] - x[t-2]", "", "unit_root(x)"), "unit_root(x)", "proved", ("two unit roots", "order 2"),
    ),
    "alternating walk": Case(one("-x[t-1]"), "unit_root(x)", "proved", ("a unit root at period 2",)),
    "local level": Case(
        part("local_level", "part l = local_level(s)\n", "l[t]", "", "unit_root(l)"), "unit_root(l)", "proved",
        ("l.level", "frequency zero"),
    ),
    "local linear trend": Case(
        part("local_linear_trend", "part l = local_linear_trend(s, s2)\n", "l[t]"), "unit_root(l.level)", "proved",
        ("integrated of order 2",),
    ),
    "damped trend": Case(
        part("damped_trend", "part l = damped_trend(d, s, s2)\n", "l[t]", "param d in (0, 1) ~ Beta(8, 2)\n"),
        "stable(l.slope)", "proved", ("|d| < 1",),
    ),
    "damped trend, its level": Case(
        part("damped_trend", "part l = damped_trend(d, s, s2)\n", "l[t]", "param d in (0, 1) ~ Beta(8, 2)\n"),
        "unit_root(l.level)", "proved", ("unit root at frequency zero",), ("order 2",),
    ),
    "season of 12": Case(
        part("seasonal", "part q = seasonal(period = 12, sd = s)\n", "q[t]", "", "unit_root(q)"), "unit_root(q)",
        "proved",
        ("periods 12, 6, 4, 3, 2.4 and 2", "a season of 12 rows, none at frequency zero"),
    ),
    "season of 7": Case(
        part("seasonal", "part q = seasonal(period = 7, sd = s)\n", "q[t]"), "unit_root(q.effect)", "proved",
        ("periods 7, 3.5 and 2.33", "a season of 7 rows"),
    ),
    "seasonal walk": Case(
        one("x[t-4]"), "unit_root(x)", "proved", ("frequency zero", "periods 4 and 2"), ("none at frequency zero",),
    ),
    "season as waves": Case(
        part("trigonometric_seasonal", "part q = trigonometric_seasonal(period = 12, harmonics = 5, sd = s)\n",
        "q[t]", "",
             "stable(q)"),
        "stable(q)", "refuted", ("turning once in 12 rows", "`param damping in (0, 1)`"),
    ),
    "error correction": Case(
        two("a[t-1] - alpha * (a[t-1] - b[t-1])", "b[t-1] + beta * (a[t-1] - b[t-1])",
            "param alpha, beta in (0, 1) ~ Beta(2, 2)\n", "unit_root(a)"),
        "unit_root(a)", "proved", ("a unit root at frequency zero", "alpha + beta < 2"),
    ),
    "error correction towards a walk": Case(
        two("a[t-1] - alpha * (a[t-1] - b[t-1])", "b[t-1]", "param alpha in (0, 2) ~ Normal(1, 1)\n", "unit_root(a)"),
        "unit_root(a)", "proved", ("b: a unit root at frequency zero",),
    ),
    "cointegrated VAR(1) of three, one unit root": Case(
        vector("x[t-1] + a * dot(b, x[t-1])", 3, "param a[3], b[3] ~ Normal(0, 0.3)\n", "unit_root(x)"),
        "unit_root(x)", "refuted",
        ("two unit roots at frequency zero: integrated of order 1", "not for all values allowed",
         "a[0]*b[0] + a[1]*b[1] + a[2]*b[2] < 0", "prior probability of none outside: 0."),
    ),
    "two walks that do not meet": Case(
        two("a[t-1]", "b[t-1]"), "unit_root(a)", "proved", ("frequency zero",), ("order 2",),
    ),
    "a stable state that reads a walk": Case(
        two("0.5 * a[t-1] + b[t-1]", "b[t-1]", "", "stable(a)"), "stable(a)", "refuted", ("b: a unit root",
        "read through b"),
    ),
    "a walk that is read by none": Case(
        two("0.5 * a[t-1]", "b[t-1]", "", "stable(a)"), "stable(a)", "proved",
    ),
    # ---------------------------------------------------------------- oscillations
    "damped cycle": Case(
        part("cycle", "part c = cycle(period = 40, damping = d, sd = s)\n", "c[t]", "param d in (0, 1) ~ Beta(8, 2)\n",
             "stable(c)"),
        "stable(c)", "proved", ("|d| < 1", "turns once in 40 rows"),
    ),
    "cycle, damping beyond one allowed": Case(
        part("cycle", "part c = cycle(period = 40, damping = d, sd = s)\n", "c[t]",
        "param d in (0, 2) ~ Normal(1, 1)\n",
             "stable(c)"),
        "stable(c)", "refuted", ("stable iff |d| < 1", "turns once in 40 rows"),
    ),
    "undamped cycle of a whole period": Case(
        vector(f"{TURN.format('2 * pi / 20')} @ x[t-1]"), "unit_root(x)", "proved", ("turning once in 20 rows",),
    ),
    "undamped cycle, said to be stable": Case(
        vector(f"{TURN.format('2 * pi / 20')} @ x[t-1]", 2, "", "stable(x)"), "stable(x)", "refuted",
        ("turning once in 20 rows", "assert `unit_root(x)` in place of this", "`param damping in (0, 1)`"),
    ),
    "undamped cycle, said to have a unit root": Case(
        vector(f"{TURN.format('w')} @ x[t-1]", 2, "param w in (0, pi) ~ Uniform(0, pi)\n", "unit_root(x)"),
        "unit_root(x)", "proved", ("undamped", "once in 2*pi/w rows"),
    ),
    "undamped cycle of no whole period": Case(
        vector(f"{TURN.format('0.3')} @ x[t-1]"), "unit_root(x)", "proved", ("undamped", "turning once in 20.9 rows"),
    ),
    "undamped cycle of an unknown frequency": Case(
        vector(f"{TURN.format('w')} @ x[t-1]", 2, "param w in (0, pi) ~ Uniform(0, pi)\n"), "unit_root(x)", "proved",
        ("undamped", "once in 2*pi/w rows"),
    ),
    "damped cycle of an unknown frequency": Case(
        vector(f"d * {TURN.format('w')} @ x[t-1]", 2,
               "param w in (0, pi) ~ Uniform(0, pi)\nparam d in (0, 1) ~ Beta(8, 2)\n", "stable(x)"),
        "stable(x)", "proved", ("|d| < 1",),
    ),
    "harmonic oscillator by Euler's method": Case(
        vector("[x[t-1, 0] + 0.1 * x[t-1, 1], x[t-1, 1] - 0.1 * k * x[t-1, 0]]", 2, "param k ~ HalfNormal(1)\n"),
        "stable(x)", "refuted", ("not stable for any value allowed", "turns once in"),
    ),
    "damped oscillator by Euler's method": Case(
        vector("[x[t-1, 0] + 0.1 * x[t-1, 1], x[t-1, 1] - 0.1 * (x[t-1, 0] + x[t-1, 1])]"), "stable(x)", "proved",
        ("half-life",),
    ),
    # ---------------------------------------------------------------- explosions
    "explosive constant": Case(
        one("1.05 * x[t-1]"), "stable(x)", "refuted", ("grows by 5% a row", "doubling in 14.2 rows"),
    ),
    "explosive for all values": Case(
        one("g * x[t-1]", "param g in (1, 1.5) ~ Uniform(1, 1.5)\n", "unit_root(x)"), "unit_root(x)", "refuted",
        ("not stable for any value allowed",),
    ),
    "explosive rotation": Case(
        vector(f"1.01 * {TURN.format('2 * pi / 12')} @ x[t-1]"), "stable(x)", "refuted",
        ("turns once in 12 rows and grows by 1%",),
    ),
    "explosive under most of the prior": Case(
        one("g * x[t-1]", "param g ~ Normal(1.2, 0.1)\n"), "stable(x)", "refuted",
        ("explodes with prior probability 0.9",),
    ),
    # ---------------------------------------------------------------- vectors
    "two states, one coefficient": Case(
        two("a[t-1] + 0.1 * b[t-1]", "phi * b[t-1] - 0.1 * a[t-1]", PHI.format(" in (0, 1)"), "stable(a)"),
        "stable(a)", "refuted", ("stable iff phi < 99/100", "`param phi in (0, 99/100) ~ ...`"),
    ),
    "two states, the mended coefficient": Case(
        two("a[t-1] + 0.1 * b[t-1]", "phi * b[t-1] - 0.1 * a[t-1]", PHI.format(" in (0, 99/100)"), "stable(a)"),
        "stable(a)", "proved",
    ),
    "companion that is no list of lags": Case(
        vector("[phi[0] * x[t-1, 0] + x[t-1, 1], phi[1] * x[t-1, 0]]", 2, PHI.format("[2]"), "stable(x)"),
        "stable(x)", "refuted", ("give the parameters supports in which |phi[1]| < 1",), ("in stationary",),
    ),
    "VAR(1) of two": Case(
        vector("A @ x[t-1]", 2, MATRIX, "stable(x)"), "stable(x)", "refuted",
        ("|A[0,0]*A[1,1] - A[0,1]*A[1,0]| < 1", "prior probability of that: 0."),
    ),
    "VAR(1) of three, triangular": Case(
        vector("[a * x[t-1, 0], b * x[t-1, 1] + 3 * x[t-1, 0], c * x[t-1, 2] + 5 * x[t-1, 1]]", 3,
               "param a, b, c in (-1, 1) ~ Normal(0, 1)\n", "stable(x)"),
        "stable(x)", "proved", ("|a| < 1", "|b| < 1", "|c| < 1"),
    ),
    "VAR(2) of three": Case(
        vector("A[0] @ x[t-1] + A[1] @ x[t-2]", 3, "param A[2, 3, 3] ~ Normal(0, 0.3)\n", "stable(x)"),
        "stable(x)", "refuted",
        ("at a prior draw", "prior probability of that: 0.8", "too large for algebra", "narrow the prior of A"),
    ),
    "VAR(2) of three, small": Case(
        vector("A[0] @ x[t-1] + A[1] @ x[t-2]", 3, "param A[2, 3, 3] in (-0.1, 0.1) ~ Normal(0, 0.01)\n", "stable(x)"),
        "stable(x)", "unknown", ("too large for algebra", "at all 1,000 prior draws"),
    ),
    "stochastic matrix": Case(
        vector("P' @ x[t-1]", 2, "param P[2, 2] ~ Dirichlet([2, 2])\n", "stable(x)"), "stable(x)", "refuted",
    ),
    "a panel": Case(
        "axis site = 1..9\nparam rho[site] in (-1, 1) ~ Normal(0, 0.5)\nparam s ~ HalfNormal(1)\n"
        "state x[site]\nobs y[site]\n"
        "init x ~ Stationary()\nx[t, i] ~ Normal(rho[i] * x[t-1, i], s) for i in site\n"
        "y[t, i] ~ Normal(x[t, i], 1) for i in site\n",
        "stable(x)", "proved", ("each of 9", "|rho[1]| < 1"),
    ),
    # ---------------------------------------------------------------- not linear, fed back
    "fed back through the data": Case(
        f"{S}param a in (0, 1) ~ Beta(2, 2)\nparam b in (0, 1) ~ Beta(2, 2)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(a * x[t-1] + b * y[t-1], s)\ny[t] ~ Normal(x[t], 1)\nassert stable(x)\n",
        "stable(x)", "refuted", ("a + b < 1",),
    ),
    "stochastic volatility": Case(
        "param phi in (-1, 1) ~ Normal(0.9, 0.1)\nparam s ~ HalfNormal(1)\nstate h\nobs r\ninit h ~ Stationary()\n"
        "h[t] ~ Normal(phi * h[t-1], s)\nr[t] ~ Normal(0, exp(h[t] / 2))\nassert stable(h)\n",
        "stable(h)", "proved", ("|phi| < 1",),
    ),
    "GARCH reads the data": Case(
        "param a in (0, 1) ~ Beta(2, 2)\nparam b in (0, 1 - a) ~ Normal(0, 1)\nstate v\nobs r\ninit v = 1\n"
        "v[t] = 0.1 + a * r[t-1]^2 + b * v[t-1]\nr[t] ~ Normal(0, sqrt(v[t]))\nassert stable(v)\n",
        "stable(v)", "unknown", ("reads r otherwise than linearly",),
    ),
    "Ornstein-Uhlenbeck": Case(
        sde("rate * (mu - x) * dt + q * dW", "param mu ~ Normal(0, 1)\nparam rate ~ HalfNormal(0.1)\n", "stable(x)"),
        "stable(x)", "proved", ("rate > 0", "units of time"),
    ),
    "Ornstein-Uhlenbeck, either sign": Case(
        sde("-rate * x * dt + q * dW", "param rate ~ Normal(1, 1)\n", "stable(x)"), "stable(x)", "refuted",
        ("stable iff rate > 0", "prior probability of that: 0.8", "a unit of time"),
    ),
    "Ornstein-Uhlenbeck that an input moves": Case(
        sde("(u - x) * dt + q * dW", "input u\n", "stationary(x)"), "stationary(x)", "refuted", ("moves with u",),
    ),
    "Ornstein-Uhlenbeck around a level, its steps as long as the data say": Case(
        sde("(1 - x) * dt + q * dW", "", "stationary(x)"), "stationary(x)", "proved", (),
    ),
    "Brownian motion": Case(
        sde("q * dW", "", "unit_root(x)"), "unit_root(x)", "proved", ("a unit root at frequency zero",),
    ),
    "geometric Brownian motion": Case(
        sde("-0.1 * x * dt + q * x * dW", "", "stable(x)"), "stable(x)", "unknown", ("scale of its noise",),
    ),
    "damped oscillator in continuous time": Case(
        sde("[x[1], -k * x[0] - c * x[1]] * dt + [0, q] * dW[a]", "param k, c ~ HalfNormal(1)\n", "stable(x)", "[2]"),
        "stable(x)", "proved", ("c > 0", "k > 0"),
    ),
    "undamped oscillator in continuous time": Case(
        sde("[x[1], -0.25 * x[0]] * dt + [0, q] * dW[a]", "", "stable(x)", "[2]"), "stable(x)", "refuted",
        ("undamped", "turning once in 12.6 units of time"),
    ),
    "a logistic map": Case(
        one("r * x[t-1] * (1 - x[t-1])", "param r in (0, 4) ~ Uniform(0, 4)\n", "stable(x)"), "stable(x)", "unknown",
        ("no linear recursion",),
    ),
    "noise that its own state scales": Case(
        f"{S}state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1 + x[t-1]^2)\ny[t] ~ Normal(x[t], 1)\n"
        "assert stable(x)\n",
        "stable(x)", "unknown", ("scale of its noise depends on itself",),
    ),
    "a coefficient that changes with the row": Case(
        one("0.5 * cos(t) * x[t-1]", "", "stable(x)"), "stable(x)", "unknown", ("changes with the row",),
    ),
    "a sum over the whole past": Case(
        one("sum(0.1 / k * x[t-k] for k in 1..t)", "", "stable(x)"), "stable(x)", "unknown",
        ("not those of a known form from the first on",),
    ),
}  # fmt: skip
