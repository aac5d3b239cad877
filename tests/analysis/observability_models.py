"""Programs whose observability is known, with what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass

S = "param s1, s2, s3, s4, s_obs ~ HalfNormal(1)\n"


@dataclass(frozen=True)
class Case:
    """`says`: what the finding's reason, sets, details, label or headline hold; `unless`: how many sets are named."""

    text: str
    verdict: str
    says: tuple[str, ...] = ()
    unless: int | None = None


def two(first: str, second: str, seen: str, more: str = "") -> str:
    return (f"{S}{more}state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal({first}, s1)\n"
            f"b[t] ~ Normal({second}, s2)\ny[t] ~ Normal({seen}, s_obs)\n")  # fmt: skip


def parts(names: str, body: str, seen: str, more: str = "") -> str:
    return f"from structural import {names}\n{S}{more}{body}obs y\ny[t] ~ Normal({seen}, s_obs)\n"


RHO = "param rho in (0, 1) ~ Beta(2, 2)\n"
AR = "param phi[2] in stationary ~ Normal(0, 0.5)\n"

CASES = {
    "local level": Case(parts("local_level", "part l = local_level(s1)\n", "l[t]"), "proved", ("whatever",), 0),
    "two random walks": Case(
        two("a[t-1]", "b[t-1]", "a[t] + b[t]"), "refuted",
        ("both are random walks", "(a, b) = (1, -1)", "two components cannot be told apart", "only through their sum",
         "not detectable", "eigenvalue is 1"),
    ),
    "two random walks, their difference": Case(
        two("a[t-1]", "b[t-1]", "a[t] - b[t]"), "refuted", ("(a, b) = (1, 1)", "only through their difference"),
    ),
    "two random walks, weighted by parameters": Case(
        two("a[t-1]", "b[t-1]", "v * a[t] + w * b[t]", "param v, w ~ Normal(0, 1)\n"), "refuted",
        ("v * a[t] + w * b[t]",),
    ),
    "three random walks": Case(
        f"{S}state a[3]\nobs y\ninit a ~ Normal(0, 1)\na[t] ~ Normal(a[t-1], s1)\n"
        "y[t] ~ Normal(a[t, 0] + a[t, 1] + a[t, 2], s_obs)\n", "refuted", ("3 components", "(a[0], a[2]) = (1, -1)"),
    ),
    "two autoregressions": Case(
        two("p * a[t-1]", "q * b[t-1]", "a[t] + b[t]", "param p, q in (-1, 1) ~ Normal(0, 1)\n"), "proved",
        ("p = q, where (a, b) = (1, -1) is never seen",), 1,
    ),
    "two autoregressions, apart by their supports": Case(
        two("p * a[t-1]", "q * b[t-1]", "a[t] + b[t]",
            "param p in (-1, 0) ~ Normal(0, 1)\nparam q in (0, 1) ~ Normal(0, 1)\n"), "proved", ("whatever",), 0,
    ),
    "one coefficient for both": Case(
        two("p * a[t-1]", "p * b[t-1]", "a[t] + b[t]", "param p in (-1, 1) ~ Normal(0, 1)\n"), "refuted",
        ("both are autoregressions with the coefficient p", "detectable: it decays: |p| < 1"),
    ),
    "an explosive coefficient for both": Case(
        two("p * a[t-1]", "p * b[t-1]", "a[t] + b[t]", "param p in (1, 2) ~ Normal(1, 1)\n"), "refuted",
        ("not detectable",),
    ),
    "a chain seen at its end": Case(
        two("0.5 * a[t-1]", "a[t-1] + 0.5 * b[t-1]", "b[t]"), "proved", ("whatever",), 0,
    ),
    "a chain seen at its start": Case(
        two("0.5 * a[t-1]", "a[t-1] + 0.5 * b[t-1]", "a[t]"), "refuted",
        ("b[t] never reaches an observation", "a state is never seen", "detectable: it decays by the factor 1/2"),
    ),
    "a chain with a link that may be zero": Case(
        two("0.5 * a[t-1]", "k * a[t-1] + 0.3 * b[t-1]", "b[t]", "param k ~ Normal(0, 1)\n"), "proved",
        ("k = 0, where a is never seen",), 1,
    ),
    "a chain with a positive link": Case(
        two("0.5 * a[t-1]", "k * a[t-1] + 0.3 * b[t-1]", "b[t]", "param k ~ HalfNormal(1)\n"), "proved", (), 0,
    ),
    "a state that nothing reads": Case(
        two("a[t-1]", "0.5 * b[t-1]", "a[t]"), "refuted", ("b is read by no observation",),
    ),
    "local linear trend": Case(
        parts("local_linear_trend", "part l = local_linear_trend(s1, s2)\n", "l[t]"), "proved", ("whatever",), 0,
    ),
    "two local linear trends": Case(
        parts("local_linear_trend", "part l = local_linear_trend(s1, s2)\npart m = local_linear_trend(s3, s4)\n",
              "l[t] + m[t]"), "refuted",
        ("(l.level, m.level) = (1, -1)", "(l.slope, m.slope) = (1, -1)", "two components", "not detectable"),
    ),
    "trend and damped trend": Case(
        parts("local_linear_trend, damped_trend",
              "part l = local_linear_trend(s1, s2)\npart m = damped_trend(rho, s3, s4)\n", "l[t] + m[t]", RHO),
        "refuted", ("two components cannot be told apart", "eigenvalue is 1"),
    ),
    "trend, season and cycle": Case(
        parts("local_linear_trend, seasonal, cycle",
              "part l = local_linear_trend(s1, s2)\npart m = seasonal(12, s3)\npart c = cycle(20, rho, s4)\n",
              "l[t] + m[t] + c[t]", RHO), "proved", ("whatever",), 0,
    ),
    "trend, season and a cycle of unknown period": Case(
        parts("local_linear_trend, seasonal, cycle",
              "part l = local_linear_trend(s1, s2)\npart m = seasonal(12, s3)\npart c = cycle(n, rho, s4)\n",
              "l[t] + m[t] + c[t]", RHO + "param n in (2, 50) ~ Normal(20, 5)\n"), "proved", ("whatever",), 0,
    ),
    "level and a season of all frequencies, zero too": Case(
        f"from structural import local_level\n{S}part l = local_level(s1)\nstate e\ninit e ~ Diffuse()\n"
        "e[t] ~ Normal(e[t-4], s2)\nobs y\ny[t] ~ Normal(l[t] + e[t], s_obs)\n", "refuted",
        ("(l.level, e) = (1, -1)", "two components cannot be told apart", "not detectable"),
    ),
    "a season written twice": Case(
        parts("seasonal, trigonometric_seasonal",
              "part m = seasonal(12, s1)\npart w = trigonometric_seasonal(12, 5, s2)\n", "m[t] + w[t]"), "refuted",
        ("two components", "not detectable"),
    ),
    "waves of a season": Case(
        parts("local_level, trigonometric_seasonal",
              "part l = local_level(s1)\npart w = trigonometric_seasonal(52, 6, s2)\n", "l[t] + w[t]"), "proved",
        ("whatever",), 0,
    ),
    "two seasons with a common frequency": Case(
        parts("seasonal", "part m = seasonal(4, s1)\npart w = seasonal(6, s2)\n", "m[t] + w[t]"), "refuted",
        ("(m.effect, w.effect) = (1, -1)", "eigenvalue is -1"),
    ),
    "two seasons without one": Case(
        parts("seasonal", "part m = seasonal(4, s1)\npart w = seasonal(7, s2)\n", "m[t] + w[t]"), "proved", (), 0,
    ),
    "two undamped cycles of one period": Case(
        f"{S}state c[2], d[2]\nobs y\ninit c, d ~ Normal(0, 1)\n"
        "let turn = [[cos(2*pi/7), sin(2*pi/7)], [-sin(2*pi/7), cos(2*pi/7)]]\nc[t] ~ Normal(turn @ c[t-1], s1)\n"
        "d[t] ~ Normal(turn @ d[t-1], s2)\ny[t] ~ Normal(c[t, 0] + d[t, 0], s_obs)\n", "refuted",
        ("(c[0], d[0]) = (1, -1)", "not detectable"),
    ),
    "undamped cycles of periods 7 and 14": Case(
        f"{S}state c[2], d[2]\nobs y\ninit c, d ~ Normal(0, 1)\n"
        "let turn = [[cos(2*pi/7), sin(2*pi/7)], [-sin(2*pi/7), cos(2*pi/7)]]\nc[t] ~ Normal(turn @ c[t-1], s1)\n"
        "let half = [[cos(2*pi/14), sin(2*pi/14)], [-sin(2*pi/14), cos(2*pi/14)]]\nd[t] ~ Normal(half @ d[t-1], s2)\n"
        "y[t] ~ Normal(c[t, 0] + d[t, 0], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "autoregression of order 2, seen exactly": Case(
        f"{S}{AR}state u\nobs y\ninit u ~ Stationary()\nu[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s1)\n"
        "y[t] = u[t]\n", "proved", ("phi[1] = 0, where only the delay u[t-1] is lost",), 1,
    ),
    "level and autoregression": Case(
        f"from structural import local_level\n{S}{AR}part l = local_level(s1)\nstate u\nobs y\ninit u ~ Stationary()\n"
        "u[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s2)\ny[t] = l[t] + u[t]\n", "proved",
        ("where only the delay u[t-1] is lost",), 1,
    ),
    "level and an autoregression without a region": Case(
        f"from structural import local_level\n{S}param phi[2] ~ Normal(0, 0.5)\npart l = local_level(s1)\nstate u\n"
        "obs y\ninit u ~ Normal(0, 1)\nu[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s2)\ny[t] = l[t] + u[t]\n",
        "proved", ("phi[0] + phi[1] = 1, where (l.level, u) = (1, -1) is never seen",), 2,
    ),
    # Kailath (1980), 2.4: a controllable companion is observable iff numerator and denominator share no root.
    "controllable companion, a root shared with its numerator": Case(
        f"{S}state x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal([[5/6, -1/6], [1, 0]] @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t, 0] - 0.5 * x[t, 1], s_obs)\n", "refuted",
        ("the direction (x[0], x[1]) = (1, 2) is never seen", "decays by the factor 1/2"),
    ),
    "controllable companion, its numerator's root a parameter": Case(
        f"{S}param b ~ Normal(0, 1)\nstate x[3]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal([[13/12, -3/8, 1/24], [1, 0, 0], [0, 1, 0]] @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t, 0] + b * x[t, 1], s_obs)\n", "proved",
        ("b = -1/4, where (x[0], x[1], x[2]) = (1, 4, 16) is never seen", "b = -1/3", "b = -1/2"), 3,
    ),
    "observable companion": Case(
        f"{S}param a[3] ~ Normal(0, 0.3)\nstate x[3]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal([[a[0], 1, 0], [a[1], 0, 1], [a[2], 0, 0]] @ x[t-1], s1)\ny[t] ~ Normal(x[t, 0], s_obs)\n",
        "proved", ("whatever",), 0,
    ),
    "a wave with a gain": Case(
        f"{S}{RHO}param om in (0, 3) ~ Uniform(0, 3)\nparam g ~ Normal(0, 1)\nstate a, b\nobs y\n"
        "init a, b ~ Normal(0, 1)\na[t] ~ Normal(rho * (cos(om) * a[t-1] + sin(om) * b[t-1]), s1)\n"
        "b[t] ~ Normal(rho * (cos(om) * b[t-1] - sin(om) * a[t-1]), s2)\ny[t] ~ Normal(g * a[t], s_obs)\n", "proved",
        ("g = 0, where a and b are never seen",), 1,
    ),
    "a moving average": Case(
        f"{S}param th in (-1, 1) ~ Normal(0, 1)\nnoise e ~ Normal(0, s1)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] = 0.5 * x[t-1] + e[t] + th * e[t-1]\ny[t] = x[t]\n", "proved", (), None,
    ),
    "a dynamic factor": Case(
        f"{S}param g[3] ~ Normal(0, 1)\nstate f\nobs y[3]\ninit f ~ Normal(0, 1)\nf[t] ~ Normal(0.5 * f[t-1], 1)\n"
        "y[t] ~ Normal(g * f[t], s_obs)\n", "proved", ("g[0] = g[1] = g[2] = 0, where f is never seen",), 1,
    ),
    "two factors": Case(
        f"{S}param g[3, 2] ~ Normal(0, 1)\nparam p[2] in (-1, 1) ~ Normal(0, 1)\nstate f[2]\nobs y[3]\n"
        "init f ~ Normal(0, 1)\nf[t] ~ Normal(p * f[t-1], 1)\ny[t] ~ Normal(g @ f[t], s_obs)\n", "proved",
        ("g[0,1] = g[1,1] = g[2,1] = 0, where f[1] is never seen", "p[0] = p[1] and"), 3,
    ),
    "a vector autoregression seen in one entry": Case(
        f"{S}param A[2, 2] ~ Normal(0, 1)\nstate x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(A @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t, 0], s_obs)\n", "proved", ("A[0,1] = 0, where x[1] is never seen",), 1,
    ),
    "a vector autoregression seen whole": Case(
        f"{S}param A[3, 3] ~ Normal(0, 1)\nstate x[3]\nobs y[3]\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(A @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "two compartments, the second seen": Case(
        two("(1 - k - e) * a[t-1]", "k * a[t-1] + (1 - m) * b[t-1]", "b[t]",
            "param k, e, m in (0, 0.5) ~ Beta(2, 5)\n"), "proved", (), 0,
    ),
    "two compartments that feed one, their sum unseen": Case(
        f"{S}param k, q in (0, 1) ~ Beta(2, 2)\nstate a, b, c\nobs y\ninit a, b, c ~ Normal(0, 1)\n"
        "a[t] ~ Normal((1 - k) * a[t-1], s1)\nb[t] ~ Normal((1 - k) * b[t-1], s2)\n"
        "c[t] ~ Normal(0.5 * c[t-1] + k * a[t-1] + k * b[t-1], s3)\ny[t] ~ Normal(c[t], s_obs)\n", "refuted",
        ("(a, b) = (1, -1)", "detectable"),
    ),
    "white noise on a level": Case(
        two("a[t-1]", "0", "a[t] + b[t]"), "proved", ("whatever",), 0,
    ),
    "unseen white noise": Case(
        two("a[t-1]", "0", "a[t]"), "refuted", ("b is read by no observation",),
    ),
    "panel with one site unseen": Case(
        f"{S}axis site = 1..4\nstate l[site], m[site]\nobs y[site]\ninit l, m ~ Normal(0, 1)\n"
        "l[t, i] ~ Normal(l[t-1, i], s1) for i in site\nm[t, i] ~ Normal(m[t-1, i], s2) for i in site\n"
        "y[t, i] ~ Normal(l[t, i] + m[t, i], s_obs) for i in site\n", "refuted",
        ("(l[1], m[1]) = (1, -1)", "alike for 3 more blocks"),
    ),
    "tracking": Case(
        f"{S}state pos, vel\nobs y\ninit pos, vel ~ Normal(0, 1)\nnoise push ~ Normal(0, s1)\n"
        "pos[t] = pos[t-1] + 0.1 * vel[t-1] + 0.005 * push[t]\nvel[t] = vel[t-1] + 0.1 * push[t]\n"
        "y[t] ~ Normal(pos[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "tracking by the velocity": Case(
        f"{S}state pos, vel\nobs y\ninit pos, vel ~ Normal(0, 1)\nnoise push ~ Normal(0, s1)\n"
        "pos[t] = pos[t-1] + 0.1 * vel[t-1] + 0.005 * push[t]\nvel[t] = vel[t-1] + 0.1 * push[t]\n"
        "y[t] ~ Normal(vel[t], s_obs)\n", "refuted", ("pos[t] never reaches", "not detectable"),
    ),
    "a coefficient that wanders": Case(
        f"from structural import local_level, dynamic_regression\n{S}input X[2]\npart l = local_level(s1)\n"
        "part r = dynamic_regression(X, 2, s2)\nobs y\ny[t] ~ Normal(l[t] + r[t], s_obs)\n", "proved",
        ("almost every course of X",), 0,
    ),
    "two coefficients of one input": Case(
        two("a[t-1]", "b[t-1]", "X[t] * (a[t] + b[t])", "input X\n"), "refuted", ("(a, b) = (1, -1)",),
    ),
    "waves as functions of the row": Case(
        two("a[t-1]", "b[t-1]", "cos(2*pi*t/12) * a[t] + sin(2*pi*t/12) * b[t]"), "proved", ("the row number",), 0,
    ),
    "aliased waves": Case(
        two("a[t-1]", "b[t-1]", "cos(2*pi*t/12) * a[t] + cos(2*pi*11*t/12) * b[t]"), "refuted", ("(a, b) = (1, -1)",),
    ),
    "a wave that is no fraction of the circle": Case(
        two("a[t-1]", "b[t-1]", "cos(0.3 * t) * a[t] + sin(0.3 * t) * b[t]"), "proved", ("the row number",), 0,
    ),
    "waves of one angle in radians": Case(
        two("a[t-1]", "b[t-1]", "cos(0.6 * t) * a[t] + (2 * cos(0.3 * t)^2 - 1) * b[t]"), "refuted",
        ("(a, b) = (1, -1)",),
    ),
    "the whole past": Case(
        f"{S}state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(0.5^k * x[t-k] for k in 1..t), s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "proved", ("from y of its own row",), 0,
    ),
    "a lag that the first rows lack": Case(
        f"{S}state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(0.2 * x[t-k] for k in 1..min(3, t)), s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
}  # fmt: skip
